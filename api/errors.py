"""Every error as the client sees it: RFC 9457 problem documents, made in this one place."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from falcon import HTTPError, HTTPMethodNotAllowed, HTTPNotFound
from falcon.asgi import App, Request, Response

from resources import errors

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"

_logger = logging.getLogger(__name__)


class MalformedJson(errors.WorkersError):
    """The body is no JSON object; the message says what is wrong."""


class BodyTooLarge(errors.WorkersError):
    """The body is longer than any request may be."""


class HeadersTooLarge(errors.WorkersError):
    """The request line and the headers are longer than any may be."""


class UnsupportedMediaType(errors.WorkersError):
    """The body is said to be something other than JSON."""


class NotAcceptable(errors.WorkersError):
    """The client does not take JSON."""


@dataclass(frozen=True)
class Problem:
    """How one kind of error is told.

    Attributes:
        status: The HTTP status.
        code: Stable, in snake_case.
        title: The kind of error in a few words.
        detail: What to do, where the error itself does not say it.
        retryable: Whether the same request may work later.
    """

    status: HTTPStatus
    code: str
    title: str
    detail: str = ""
    retryable: bool = False


PROBLEMS: Mapping[type[Exception], Problem] = {
    MalformedJson: Problem(HTTPStatus.BAD_REQUEST, "malformed_json", "Not a JSON object"),
    errors.Unauthorized: Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "No valid token",
        'Send "Authorization: Bearer <token>" with a token that is neither expired nor revoked.',
    ),
    errors.Forbidden: Problem(HTTPStatus.FORBIDDEN, "forbidden", "Not allowed"),
    errors.TaskNotFound: Problem(
        HTTPStatus.NOT_FOUND,
        "task_not_found",
        "No such task",
        "You have no task with this id.",
    ),
    errors.PageOutOfRange: Problem(
        HTTPStatus.NOT_FOUND,
        "page_out_of_range",
        "No such page",
        "The list ends before this page.",
    ),
    errors.NotFound: Problem(
        HTTPStatus.NOT_FOUND, "not_found", "Not found", "There is nothing at this address."
    ),
    errors.TaskNotCancellable: Problem(
        HTTPStatus.CONFLICT,
        "task_not_cancellable",
        "The task is final",
        "Only a pending or processing task can be cancelled.",
    ),
    errors.IdempotencyKeyReused: Problem(
        HTTPStatus.CONFLICT,
        "idempotency_key_reused",
        "The key stands for another request",
        "Send another Idempotency-Key, or the request that was sent with this one.",
    ),
    errors.ResultNotReady: Problem(
        HTTPStatus.CONFLICT,
        "result_not_ready",
        "The task has no result",
        "A task has a result once its status is completed.",
    ),
    errors.ResultExpired: Problem(
        HTTPStatus.GONE,
        "result_expired",
        "The result is past its retention",
        "Submit the task again.",
    ),
    NotAcceptable: Problem(
        HTTPStatus.NOT_ACCEPTABLE,
        "not_acceptable",
        "Only JSON is to be had",
        'Send "Accept: application/json", or no Accept at all.',
    ),
    BodyTooLarge: Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        "The body is too large",
        "A body has at most 1 MiB.",
    ),
    UnsupportedMediaType: Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Not JSON",
        'Send "Content-Type: application/json".',
    ),
    HeadersTooLarge: Problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The headers are too large",
        "The request line and the headers have at most 64 KiB together.",
    ),
    errors.InvalidRequest: Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        "The request is not valid",
        "See errors for each bad field.",
    ),
    errors.Unavailable: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Temporarily unavailable",
        retryable=True,
    ),
    errors.DeclarationError: Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Temporarily unavailable",
        "The dataset is not set up correctly. The operator finds the reason in the log.",
    ),
    HTTPMethodNotAllowed: Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method not allowed",
        "See the Allow header.",
    ),
    HTTPNotFound: Problem(
        HTTPStatus.NOT_FOUND, "not_found", "Not found", "There is nothing at this address."
    ),
    HTTPError: Problem(
        HTTPStatus.BAD_REQUEST, "bad_request", "Bad request", "The request cannot be understood."
    ),
    Exception: Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Internal error",
        "The failure was logged under this request's id.",
        retryable=True,
    ),
}
"""Every error, by its class; the most specific class that has an entry tells."""

# Whose own words reach the client; they are written for it.
_SELF_EXPLAINING = (
    MalformedJson,
    errors.Forbidden,
    errors.Unavailable,
)


def add_error_handlers(app: App[Request, Response]) -> None:
    """Make every error that a request ends in a problem document."""
    app.add_error_handler(Exception, _handle)
    app.add_error_handler(HTTPError, _handle)


async def _handle(
    req: Request, resp: Response, error: Exception, _params: dict[str, Any], **_kwargs: Any
) -> None:
    problem = problem_of(error)
    _log(req, error, problem)
    resp.status = problem.status
    resp.content_type = PROBLEM_MEDIA_TYPE
    resp.text = json.dumps(document(problem, error, req.context.request_id))
    if isinstance(error, HTTPError) and error.headers:
        resp.set_headers(error.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        resp.set_header("WWW-Authenticate", "Bearer")
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        resp.set_header("Retry-After", RETRY_AFTER_SECONDS)


def problem_of(error: Exception) -> Problem:
    """How ``error`` is told."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def document(problem: Problem, error: Exception, request_id: str) -> dict[str, Any]:
    """The problem document for ``error``."""
    detail = str(error) if isinstance(error, _SELF_EXPLAINING) and str(error) else problem.detail
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": int(problem.status),
        "detail": detail,
        "code": problem.code,
        "retryable": problem.retryable,
        "request_id": request_id,
    }
    if isinstance(error, errors.InvalidRequest):
        body["errors"] = [asdict(each) for each in error.errors]
    return body


def _log(req: Request, error: Exception, problem: Problem) -> None:
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _logger.error("request %s failed", req.context.request_id, exc_info=error)
    elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        _logger.warning("request %s: %s", req.context.request_id, error)
