"""What happens to every request: an id, a token, a look at its path, a line in the log."""

import logging
import re
import time
import uuid
from typing import Any

from falcon import InvalidMediaType, mediatypes
from falcon.asgi import Request, Response

from api.errors import PROBLEM_MEDIA_TYPE, NotAcceptable
from api.principals import Principals
from api.threads import StoreThreads
from resources.errors import NotFound, Unauthorized

PROTECTED_FOLDER = "api"
HEALTH_PREFIX = "/health/"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)  # RFC 6750, section 2.1

_JSON_TYPES = ("application/json", PROBLEM_MEDIA_TYPE)

_logger = logging.getLogger("api.access")


class RequestIds:
    """Gives every request an id, the client's own where it is sane, and logs what came of it."""

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Before routing."""
        req.context.request_id = choose_request_id(req.get_header("X-Request-ID") or "")
        req.context.started = time.monotonic()

    async def process_response(
        self,
        req: Request,
        resp: Response,
        _resource: Any,
        _succeeded: bool,  # noqa: FBT001 - Falcon's
    ) -> None:
        """After everything else, errors too."""
        resp.set_header("X-Request-ID", req.context.request_id)
        # Whoever watches the service asks every few seconds.
        level = logging.DEBUG if req.path.startswith(HEALTH_PREFIX) else logging.INFO
        _logger.log(
            level,
            "%s %s %s %.1f ms request_id=%s",
            req.method,
            # A path may hold anything; escaped, it stays one line.
            req.path.encode("unicode_escape").decode(),
            resp.status[:3] if isinstance(resp.status, str) else int(resp.status),
            (time.monotonic() - req.context.started) * 1000,
            req.context.request_id,
        )


def choose_request_id(given: str) -> str:
    """The id that the client gave, where it is sane, else a new one."""
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


class Authentication:
    """Lets nobody past ``/api/`` without a token; puts the principal into the context."""

    def __init__(self, principals: Principals, threads: StoreThreads) -> None:
        self._principals = principals
        self._threads = threads

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Before routing, so that what exists under ``/api/`` is told only to who may know."""
        if not _is_protected(req.path):
            return
        match = _BEARER.fullmatch(req.get_header("Authorization") or "")
        if match is None:
            raise Unauthorized
        principal = self._principals.remembered(match[1])
        if principal is None:
            principal = await self._threads.call(self._principals.look_up, match[1])
        req.context.principal = principal


def _is_protected(path: str) -> bool:
    # The router looks past leading slashes: "//api/" is "/api/" to it.
    return path.lstrip("/").split("/", 1)[0] == PROTECTED_FOLDER


class PlainPaths:
    """Takes an escaped slash for no separator.

    Whoever stands before this service may read such a path in another way; no route has one.
    """

    async def process_request(self, req: Request, _resp: Response) -> None:
        """Before routing, which sees the path unescaped."""
        if b"%2f" in req.scope.get("raw_path", b"").lower():
            raise NotFound


class ContentNegotiation:
    """Answers only clients that take JSON; files are served whatever a client says it takes."""

    async def process_resource(
        self, req: Request, _resp: Response, resource: Any, _params: dict[str, Any]
    ) -> None:
        """After routing."""
        if getattr(resource, "serves_files", False):
            return
        if not _accepts_json(req.accept):
            raise NotAcceptable


def _accepts_json(accept: str) -> bool:
    try:
        # Media types know no case; Falcon's matching does.
        return bool(mediatypes.best_match(_JSON_TYPES, accept.lower()))
    except InvalidMediaType:
        return False
