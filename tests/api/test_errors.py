"""The catalogue of errors."""

from collections.abc import Iterator

import pytest
from falcon import HTTPBadRequest, HTTPInvalidHeader, HTTPRouteNotFound

from api import errors as api_errors
from api.errors import PROBLEMS, document, problem_of
from resources import errors
from resources.errors import WorkersError

CONTRACT = {
    "malformed_json": 400,
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "task_not_found": 404,
    "page_out_of_range": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "task_not_cancellable": 409,
    "idempotency_key_reused": 409,
    "result_not_ready": 409,
    "result_expired": 410,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "headers_too_large": 431,
    "internal_error": 500,
    "unavailable": 503,
}
# End a run; no request ever sees them.
OF_RUNS = {errors.AttemptInterrupted, errors.AttemptSuperseded, errors.TaskFailed}
# Groups, and what the command line alone raises.
NOT_RAISED_HERE = {errors.Conflict, errors.ArchiveDamaged, errors.ScheduleError}


def test_codes_are_those_of_the_contract() -> None:
    assert {problem.code: problem.status for problem in PROBLEMS.values()} == CONTRACT


def every_error(of: type[WorkersError] = WorkersError) -> Iterator[type[WorkersError]]:
    for error in of.__subclasses__():
        yield error
        yield from every_error(error)


def test_every_error_that_a_request_may_end_in_has_its_status() -> None:
    ours = {each for each in every_error() if each.__module__ in {errors.__name__, "api.errors"}}
    found = {error for error in ours if problem_of(error.__new__(error)).code == "internal_error"}
    assert found == OF_RUNS | NOT_RAISED_HERE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ResultFileNotFound(), "not_found"),
        (errors.SourceUnavailable(), "unavailable"),
        (HTTPRouteNotFound(), "not_found"),
        (HTTPBadRequest(), "bad_request"),
        (HTTPInvalidHeader("x", "y"), "bad_request"),
        (KeyError("x"), "internal_error"),
    ],
)
def test_error_without_an_entry_is_told_as_its_kind(error: Exception, code: str) -> None:
    assert problem_of(error).code == code


@pytest.mark.parametrize(
    "error",
    [
        KeyError("s3cret"),
        HTTPBadRequest(title="s3cret", description="s3cret"),
        errors.DeclarationError("s3cret"),
        errors.TaskNotFound("s3cret"),
        errors.InvalidRequest([]),
        api_errors.BodyTooLarge("s3cret"),
    ],
)
def test_message_that_was_not_written_for_clients_stays_here(error: Exception) -> None:
    told = document(problem_of(error), error, "id")
    assert "s3cret" not in str(told)
    assert told["detail"]


def test_message_that_was_written_for_clients_reaches_them() -> None:
    told = document(problem_of(errors.Forbidden("Ask an admin.")), errors.Forbidden("Ask."), "id")
    assert told["detail"] == "Ask."


def test_every_problem_can_tell_something_without_a_message() -> None:
    silent = {problem.code for problem in PROBLEMS.values() if not problem.detail}
    # These are raised with a message each.
    assert silent == {"malformed_json", "forbidden", "unavailable"}
