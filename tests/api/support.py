"""The API as tests use it: the real application, served over a real socket."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from io import BufferedIOBase
from typing import Any

import httpx
import uvicorn
from sqlalchemy import select, update

from api.__main__ import server_options
from api.app import Backends, create_app
from resources.errors import TaskFailed
from resources.results import ResultFile
from resources.settings import Settings
from resources.store.attempts import AttemptStore
from resources.store.models import Role, Status
from resources.store.tables import tasks
from resources.store.tokens import TokenStore
from resources.task_types import REGISTRY
from resources.timestamps import now
from tests.support.waiting import eventually

TASKS = "/api/v1/workers/"
EXPORTS = sorted(name for name in REGISTRY if name.endswith("_export"))
# Every route under /api/, of a task that has an id.
ROUTES = [
    ("GET", TASKS),
    ("POST", TASKS),
    ("GET", f"{TASKS}{{id}}/"),
    ("DELETE", f"{TASKS}{{id}}/"),
    ("GET", f"{TASKS}{{id}}/status/"),
    ("GET", f"{TASKS}{{id}}/result/"),
    ("GET", f"{TASKS}{{id}}/result/part-00001.csv"),
]
HOST = "127.0.0.1"
TIMEOUT_SECONDS = 20
FAILURE = TaskFailed("source_unavailable", "Submit the task again later.", retryable=True)
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}
# What tells of the inside of the service.
LEAKS = ("Traceback", 'File "', ".py", "SELECT", "sqlite", "psycopg", "/tmp", "/work", "127.0.0.1")


@contextmanager
def serving(settings: Settings, backends: Backends) -> Iterator[int]:
    """The application, served as `api.__main__` does it; yields its port on the loopback."""
    listener = socket.create_server((HOST, 0))
    config = uvicorn.Config(create_app(settings, backends), **server_options(settings))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="served api")
    thread.start()
    try:
        eventually(lambda: server.started, within=TIMEOUT_SECONDS, every=0.005)
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Raw:
    """An answer to bytes that were sent as they are."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


@dataclass(frozen=True)
class File:
    """One file of a result that a test publishes."""

    name: str
    content: bytes
    media_type: str = "text/csv; charset=utf-8"


class Api:
    """A served application, its clients, and what moves its tasks on."""

    def __init__(self, port: int, backends: Backends, closing: ExitStack) -> None:
        self.url = f"http://{HOST}:{port}"
        self.port = port
        self.engine = backends.engine
        self.results = backends.results
        self.tokens = TokenStore(backends.engine)
        self._closing = closing

    def client(self, token: str | None = None) -> httpx.Client:
        """A client that sends ``token``."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            verify=False,
            trust_env=False,
        )
        return self._closing.enter_context(client)

    def user(self, owner: str = "alice") -> httpx.Client:
        """A client with a new token of ``owner``."""
        return self.client(self.tokens.create(owner))

    def admin(self, owner: str = "root") -> httpx.Client:
        """A client that sees everybody's tasks."""
        return self.client(self.tokens.create(owner, Role.ADMIN))

    def submit(self, client: httpx.Client, **fields: Any) -> dict[str, Any]:
        """A new pending task."""
        answer = client.post(TASKS, json={"task_type": "bookings_export", **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def send(self, data: bytes, *, half_close: bool = False) -> Raw:
        """What the server answers to ``data``, on a connection of its own.

        With ``half_close`` the client has nothing more to say: a server that waits for the rest
        of something hangs up, which counts as status 0.
        """
        with socket.create_connection((HOST, self.port), TIMEOUT_SECONDS) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                return read_answer(stream, may_hang_up=half_close)

    def send_all(self, data: bytes, answers: int) -> list[int]:
        """The statuses of so many answers to ``data``, on one connection."""
        with socket.create_connection((HOST, self.port), TIMEOUT_SECONDS) as connection:
            connection.sendall(data)
            with connection.makefile("rb") as stream:
                return [read_answer(stream).status for _ in range(answers)]

    def set(self, task: dict[str, Any], **columns: Any) -> None:
        """Write columns of the task's row."""
        with self.engine.begin() as connection:
            connection.execute(update(tasks).where(tasks.c.id == task["id"]).values(columns))

    def row(self, task: dict[str, Any]) -> dict[str, Any]:
        """The task's row."""
        with self.engine.connect() as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == task["id"])).one()
        return dict(row._mapping)

    def process(
        self, task: dict[str, Any], processed: int = 0, total: int | None = None
    ) -> AttemptStore:
        """Start the task's run, and let it tell how far it is; returns the run's side."""
        at = now()
        self.set(task, status=Status.PROCESSING, handed_over_at=at, started_at=at)
        attempt = AttemptStore(self.engine, task["run_id"])
        if total is not None:
            attempt.report_progress(processed, total)
        return attempt

    def complete(self, task: dict[str, Any], *files: File, rows: int = 0) -> dict[str, Any]:
        """Run the task to its end, with ``files`` as its result; returns the manifest."""
        attempt = self.process(task)
        folder = self.results.attempt(task["id"], task["run_id"])
        folder.create()
        written = []
        for file in files:
            with folder.writing(file.name) as output:
                output.write(file.content)
            size = len(file.content)
            written.append(ResultFile(file.name, rows, size, output.sha256, file.media_type))
        folder.write_checkpoint({"files": [asdict(file) for file in written]})
        manifest = {
            "rows": rows * len(files),
            "bytes": sum(file.bytes for file in written),
            "files": [asdict(file) for file in written],
            "schema": [{"name": "id", "type": "int64"}],
            "filters": task["filters"],
            "date_from": task["date_from"],
            "date_to": task["date_to"],
            "snapshots": [{"taken_at": "2024-01-01T00:00:00Z", "rows": rows * len(files)}],
        }
        folder.write_manifest(manifest)
        told = {name: manifest[name] for name in ("rows", "bytes")}
        attempt.publish({**told, "files": len(files), "folder": folder.name})
        self.set(task, status=Status.COMPLETED, finished_at=now())
        return manifest

    def fail(self, task: dict[str, Any], error: TaskFailed) -> None:
        """Let the task's run fail for the reason ``error``."""
        self.process(task).record_error(error)
        self.set(task, status=Status.FAILED, finished_at=now())

    def bring_to(self, client: httpx.Client, task: dict[str, Any], state: str) -> None:
        """Let ``client``'s new task get as far as ``state``."""
        match state:
            case "processing":
                self.process(task, 3, 10)
            case "completed":
                self.complete(task, File("part-00001.csv", b"id\n"))
            case "failed":
                self.fail(task, FAILURE)
            case "cancelled":
                client.delete(f"{TASKS}{task['id']}/")


def read_answer(stream: BufferedIOBase, *, may_hang_up: bool = False) -> Raw:
    """The next answer on ``stream``, of which the server tells the length."""
    status_line = stream.readline()
    if may_hang_up and not status_line:
        return Raw(0, {}, b"")
    assert status_line, "the server hung up without an answer"
    status = int(status_line.split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.lower()] = value.strip()
    return Raw(status, headers, stream.read(int(headers.get("content-length", 0))))


def assert_problem(answer: httpx.Response | Raw, status: int, code: str) -> dict[str, Any]:
    """``answer`` is the problem document of ``code``; returns it."""
    found = answer.status if isinstance(answer, Raw) else answer.status_code
    text = answer.body.decode() if isinstance(answer, Raw) else answer.text
    document = dict(json.loads(text))
    assert (found, document["code"]) == (status, code), document
    assert answer.headers["content-type"] == "application/problem+json"
    assert not [leak for leak in LEAKS if leak in text]
    members = PROBLEM_MEMBERS | ({"errors"} if code == "invalid_request" else set())
    assert set(document) == members
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    assert all(document[name] for name in ("type", "title", "detail"))
    return document


def bad_fields(answer: httpx.Response) -> dict[str, str]:
    """The code of each bad field in ``answer``, by its pointer."""
    document = assert_problem(answer, 422, "invalid_request")
    for error in document["errors"]:
        assert set(error) == {"pointer", "code", "detail"}
        assert error["detail"]
    return {error["pointer"]: error["code"] for error in document["errors"]}
