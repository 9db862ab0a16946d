"""Tasks over HTTP: list, submit, look, cancel."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from falcon.asgi import Request, Response

from api.bodies import read_object
from api.parameters import read_list_parameters
from api.representation import Representation
from api.threads import StoreThreads
from resources.errors import Forbidden, InvalidRequest, TaskNotFound
from resources.requests import TaskRequest, parse_request
from resources.source.catalog import Catalog
from resources.store.models import Principal, Priority, Role, Status
from resources.store.tasks import TaskStore

MAX_KEY_LENGTH = 255
MAX_TASK_ID = 2**63 - 1
STATUS_RETRY_AFTER_SECONDS = "1"
CHECK_THREADS = 2


class Tasks:
    """``/api/v1/workers/``."""

    def __init__(
        self,
        store: TaskStore,
        threads: StoreThreads,
        catalog: Catalog,
        representation: Representation,
    ) -> None:
        self._store = store
        self._threads = threads
        self._catalog = catalog
        # Checking may ask the source: while that hangs, everything else has threads left.
        self._checks = ThreadPoolExecutor(CHECK_THREADS, thread_name_prefix="check")
        self._representation = representation

    async def on_get(self, req: Request, resp: Response) -> None:
        """One page of the principal's tasks."""
        principal = req.context.principal
        parameters = read_list_parameters(req, principal)
        page = await self._threads.call(
            self._store.page,
            principal,
            parameters.wanted,
            page=parameters.page,
            page_size=parameters.page_size,
        )
        base_url = self._representation.base_url(req)
        resp.media = self._representation.page(
            page, req, base_url, parameters.page, parameters.page_size
        )

    async def on_post(self, req: Request, resp: Response) -> None:
        """Accept a task; it starts by itself."""
        principal = req.context.principal
        key = read_idempotency_key(req)
        body = await read_object(req)
        loop = asyncio.get_running_loop()
        request = await loop.run_in_executor(self._checks, parse_request, body, self._catalog)
        check_role(request, principal)
        submission = await self._threads.call(
            self._store.submit,
            request,
            owner=principal.owner,
            request_id=req.context.request_id,
            idempotency_key=key,
        )
        base_url = self._representation.base_url(req)
        resp.status = HTTPStatus.OK if submission.replayed else HTTPStatus.CREATED
        if submission.replayed:
            resp.set_header("Idempotency-Replayed", "true")
        resp.location = base_url + self._representation.task_path(submission.task)
        resp.media = self._representation.task(submission.task, base_url)


class Task:
    """``/api/v1/workers/{id}/`` and its ``status/``."""

    def __init__(
        self, store: TaskStore, threads: StoreThreads, representation: Representation
    ) -> None:
        self._store = store
        self._threads = threads
        self._representation = representation

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The task."""
        task = await self._threads.call(
            self._store.get, read_task_id(task_id), req.context.principal
        )
        resp.media = self._representation.task(task, self._representation.base_url(req))

    async def on_delete(self, req: Request, resp: Response, task_id: str) -> None:
        """Cancel the task: done at once (200), or asked for (202)."""
        task = await self._threads.call(
            self._store.cancel, read_task_id(task_id), req.context.principal
        )
        done = task.status is Status.CANCELLED
        resp.status = HTTPStatus.OK if done else HTTPStatus.ACCEPTED
        resp.media = self._representation.task(task, self._representation.base_url(req))

    async def on_get_status(self, req: Request, resp: Response, task_id: str) -> None:
        """The task's status and progress."""
        status = await self._threads.call(
            self._store.status, read_task_id(task_id), req.context.principal
        )
        if not status.status.is_final:
            resp.set_header("Retry-After", STATUS_RETRY_AFTER_SECONDS)
        resp.media = self._representation.status(status)


def read_task_id(text: str) -> int:
    """The task id in a path.

    Raises:
        TaskNotFound: It is none, so there is no such task.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_TASK_ID)):
        raise TaskNotFound
    task_id = int(text)
    if task_id > MAX_TASK_ID:
        raise TaskNotFound
    return task_id


def read_idempotency_key(req: Request) -> str | None:
    """The ``Idempotency-Key``, if one was sent.

    Raises:
        InvalidRequest: It is empty, too long or not printable ASCII.
    """
    key = req.get_header("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        detail = f"Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        raise InvalidRequest.single("/Idempotency-Key", "invalid_value", detail)
    return key


def check_role(request: TaskRequest, principal: Principal) -> None:
    """Let pass who may ask for this task type, and this priority.

    Raises:
        Forbidden: It takes an admin.
    """
    if principal.is_admin:
        return
    if request.type.role is Role.ADMIN:
        msg = f"{request.task_type} takes a token with the role admin."
        raise Forbidden(msg)
    if request.priority is Priority.HIGH:
        msg = "The priority high takes a token with the role admin."
        raise Forbidden(msg)
