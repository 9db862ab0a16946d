"""Results over HTTP: the manifest, and each file."""

import asyncio
from http import HTTPStatus
from typing import Any, BinaryIO, Self

from falcon.asgi import Request, Response

from api.representation import Representation
from api.tasks import read_task_id
from api.threads import StoreThreads
from resources.errors import ResultExpired, ResultFileNotFound, ResultNotReady
from resources.results import ResultStore
from resources.store.models import Principal, Task
from resources.store.tasks import TaskStore
from resources.timestamps import now

PIECE_BYTES = 2**18


class TaskResult:
    """``/api/v1/workers/{id}/result/``."""

    def __init__(
        self,
        store: TaskStore,
        threads: StoreThreads,
        results: ResultStore,
        representation: Representation,
    ) -> None:
        self._store = store
        self._threads = threads
        self._results = results
        self._representation = representation

    async def on_get(self, req: Request, resp: Response, task_id: str) -> None:
        """The manifest."""
        task, manifest = await self.find(read_task_id(task_id), req.context.principal)
        base_url = self._representation.base_url(req)
        resp.media = self._representation.manifest(task, manifest, base_url)

    async def find(self, task_id: int, principal: Principal) -> tuple[Task, dict[str, Any]]:
        """The task and the manifest of its result.

        Raises:
            TaskNotFound: No such task, or not this principal's.
            ResultNotReady: It has no result.
            ResultExpired: It had one.
            Unavailable: The task store or the result storage does not answer.
        """
        task = await self._threads.call(self._store.get, task_id, principal)
        expires_at = self._representation.expires_at(task)
        if expires_at is None or task.result is None:
            raise ResultNotReady
        if expires_at <= now():
            raise ResultExpired
        return task, await asyncio.to_thread(self._results.manifest, task.result["folder"])


class TaskResultFile:
    """``/api/v1/workers/{id}/result/{name}``."""

    serves_files = True

    def __init__(self, result: TaskResult, results: ResultStore) -> None:
        self._result = result
        self._results = results

    async def on_get(self, req: Request, resp: Response, task_id: str, name: str) -> None:
        """One file, streamed."""
        task, manifest = await self._result.find(read_task_id(task_id), req.context.principal)
        listed = next((file for file in manifest["files"] if file["name"] == name), None)
        if listed is None or task.result is None:
            raise ResultFileNotFound
        resp.etag = listed["sha256"]
        if any(etag in {"*", listed["sha256"]} for etag in req.if_none_match or []):
            resp.status = HTTPStatus.NOT_MODIFIED
            return
        file = await asyncio.to_thread(
            self._results.open, task.result["folder"], name, listed["bytes"]
        )
        resp.content_type = listed["media_type"]
        resp.downloadable_as = f"{task.task_type}-{task.id}-{name}"
        resp.set_stream(_Pieces(file), listed["bytes"])


class _Pieces:
    """A file piece by piece, read outside the event loop.

    Falcon reads what has a ``read`` in pieces of 8 KiB, each of which would be a change of
    threads; what it can iterate over says itself how long they are.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await asyncio.to_thread(self._file.read, PIECE_BYTES)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def close(self) -> None:
        """Falcon calls this when the response is over, whatever its end."""
        self._file.close()
