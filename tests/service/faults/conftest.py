"""A service whose every process may be crashed, on SQLite and on a PostgreSQL server of its own."""

import hashlib
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import URL

from tests.service.conftest import results_of, running
from tests.support.cluster import Cluster, own_cluster
from tests.support.crashes import Crashes
from tests.support.outages import moved_away, shut
from tests.support.service import Client, NotRunning, Service
from tests.support.sources import DATASETS, make_postgres_source, make_sqlite_source

# How long a part of the service may be away, at most, that is started again.
RESTART_SECONDS = 60


@dataclass(frozen=True)
class Subject:
    """A running service, and what it stands on."""

    service: Service
    crashes: Crashes
    source: URL
    state: URL | None  # None: SQLite
    cluster: Cluster | None

    @property
    def database(self) -> str:
        """What state and source are kept in, as people call it."""
        return "SQLite" if self.cluster is None else "PostgreSQL"

    @property
    def victims(self) -> list[str]:
        """What may be killed."""
        of_all = ["api", "daemon", "code-server", "ui", "run", "workers up"]
        return of_all if self.cluster is None else [*of_all, "postgresql"]

    def without_source(self) -> AbstractContextManager[None]:
        """The source is gone while inside."""
        if self.cluster is None:
            return moved_away(Path(self.source.database or ""))
        return shut(self.cluster.url, self.source)

    def kill(self, victim: str, chance: random.Random) -> None:
        """Kill one of `victims`, and start again what nobody else does.

        Raises:
            NotRunning: It is not there just now.
        """
        match victim:
            case "workers up":
                self.service.kill_and_start()
            case "postgresql":
                assert self.cluster is not None
                self.cluster.crash()
            case "run":
                at_work = self.service.run_processes()
                if not at_work:
                    raise NotRunning(victim)
                chance.choice(at_work).kill()
            case _:
                self.service.part(victim).kill()


@contextmanager
def subject(backend: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Subject]:
    """A service with state and source of its own, on the same kind of database."""
    (folder / "datasets.toml").write_text(DATASETS)
    lite = make_sqlite_source(folder / "source.sqlite")
    crashes = Crashes(folder / "crashes")
    constants = {"pipelines.exports.FRAME_ROWS": 100, "pipelines.parts.PART_ROWS": 200}
    surroundings = {
        **crashes.environment(**constants),
        "WORKERS_DATASETS": str(folder / "datasets.toml"),
        **environment,
    }
    with ExitStack() as stack:
        source, state, cluster = lite, None, None
        if backend == "postgresql":
            cluster = stack.enter_context(own_cluster())
            state, source = cluster.database("state"), cluster.database("source")
            make_postgres_source(source, folder / "source.sqlite")
            surroundings["WORKERS_DATABASE_URL"] = state.render_as_string(hide_password=False)
        surroundings["WORKERS_SOURCE_URL"] = source.render_as_string(hide_password=False)
        service = stack.enter_context(running(folder / "home", surroundings))
        yield Subject(service, crashes, source, state, cluster)


@pytest.fixture(scope="session")
def crashing(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """One service for the tests that leave it at work."""
    with subject(backend, tmp_path_factory.mktemp("crashing"), {}) as made:
        yield made


@pytest.fixture
def alice(crashing: Subject, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client whose tasks no other test sees."""
    client = crashing.service.client(f"alice of {request.node.name}")
    yield client
    client.close()


def is_alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def submit_patiently(client: Client, key: str | None = None, **parameters: Any) -> dict[str, Any]:
    """A task, asked for under one key until the service answers, as a client should."""
    body = {"task_type": "bookings_export", **parameters}
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    answer = patiently(lambda: client.http.post("/", json=body, headers=headers))
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def patiently(ask: Any) -> httpx.Response:
    """The answer, once the service gives one that is not 503."""
    deadline = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            answer: httpx.Response = ask()
            if answer.status_code != 503:
                return answer
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the service did not come back"
        time.sleep(0.1)


def flaws_of(service: Service, client: Client, task: Mapping[str, Any], rows: int) -> list[str]:
    """What is wrong with the result of a completed task; nothing where it is exactly one."""
    manifest = patiently(lambda: client.http.get(task["result"]["url"])).json()
    flaws = []
    if not rows == manifest["rows"] == sum(each["rows"] for each in manifest["files"]):
        flaws.append(f"{manifest['rows']} rows, not {rows}")
    for each in manifest["files"]:
        content = patiently(lambda url=each["url"]: client.http.get(url)).content
        if hashlib.sha256(content).hexdigest() != each["sha256"]:
            flaws.append(f"{each['name']} is not what its manifest says")
    expected = {"manifest.json", "checkpoint.json", *(each["name"] for each in manifest["files"])}
    found = results_of(service, task["id"])
    if {path.name for path in found} != expected or len({path.parent for path in found}) != 1:
        flaws.append(f"its folder has {sorted(str(path) for path in found)}")
    return flaws
