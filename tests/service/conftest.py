"""The service under test: all its processes, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import URL

from resources.store.models import Role
from tests.conftest import temporary_database
from tests.support.crashes import Crashes
from tests.support.schedules import LOOKS_OFTEN, SELDOM
from tests.support.service import Client, Service
from tests.support.sources import (
    DATASETS,
    FRAMES_OF_ONE_BATCH,
    make_postgres_source,
    make_sqlite_source,
    queries_on,
)


@dataclass(frozen=True)
class Setup:
    """What a service is set up with."""

    environment: dict[str, str]
    source: URL


@pytest.fixture(scope="session")
def setup(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    """State and source, both on the same kind of database."""
    folder = tmp_path_factory.mktemp("setup")
    datasets = folder / "datasets.toml"
    datasets.write_text(DATASETS)
    (folder / "schedules.toml").write_text(SELDOM)
    lite = make_sqlite_source(folder / "source.sqlite")
    environment = {
        **Crashes(folder / "crashes").environment(**FRAMES_OF_ONE_BATCH, **LOOKS_OFTEN),
        "WORKERS_DATASETS": str(datasets),
        "WORKERS_SCHEDULES": str(folder / "schedules.toml"),
        # Most tests have one owner, who fills all slots.
        "WORKERS_SLOTS": "2",
        "WORKERS_OWNER_SLOTS": "2",
    }
    if backend == "sqlite":
        yield Setup({**environment, "WORKERS_SOURCE_URL": str(lite)}, lite)
        return
    server = request.getfixturevalue("postgres_server")
    with temporary_database(server) as state, temporary_database(server) as source:
        make_postgres_source(source, folder / "source.sqlite")
        urls = {"WORKERS_DATABASE_URL": _text(state), "WORKERS_SOURCE_URL": _text(source)}
        yield Setup({**environment, **urls}, source)


def _text(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def service(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One running service for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("service") / "home", setup.environment) as service:
        yield service


@contextmanager
def running(home: Path, environment: Mapping[str, str]) -> Iterator[Service]:
    """A service that runs while inside, and leaves no process."""
    service = Service(home, environment)
    try:
        service.start()
        yield service
        processes = service.processes()
        assert service.stop() == 0
        assert_gone(processes)
    finally:
        service.kill()


@contextmanager
def running_apart(
    setup: Setup, request: pytest.FixtureRequest, home: Path, **environment: str
) -> Iterator[Service]:
    """A service with a state of its own: two on one would take each other's tasks."""
    with ExitStack() as stack:
        if "WORKERS_DATABASE_URL" in setup.environment:
            server = request.getfixturevalue("postgres_server")
            state = stack.enter_context(temporary_database(server))
            environment["WORKERS_DATABASE_URL"] = _text(state)
        yield stack.enter_context(running(home, {**setup.environment, **environment}))


def assert_gone(processes: list[psutil.Process]) -> None:
    """None of ``processes`` is alive."""
    left = [process for process in processes if process.is_running()]
    assert [each.cmdline() for each in left if each.status() != psutil.STATUS_ZOMBIE] == []


ClientMaker = Callable[..., Client]


@pytest.fixture
def client_of(service: Service) -> Iterator[ClientMaker]:
    """Makes clients of the running service, by their owner's name."""
    clients: list[Client] = []

    def make(owner: str, role: Role = Role.USER) -> Client:
        clients.append(service.client(owner, role))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def alice(client_of: ClientMaker, request: pytest.FixtureRequest) -> Client:
    """A client whose tasks no other test sees."""
    return client_of(f"alice of {request.node.name}")


def results_of(service: Service, task_id: int) -> list[Path]:
    """The files of a task that lie in the results folder."""
    return [path for path in (service.home / "results" / str(task_id)).rglob("*") if path.is_file()]


def left_of(service: Service, source: URL, *tasks: Mapping[str, Any]) -> list[object]:
    """What there is of ``tasks``, while no others run: processes, queries and files."""
    files = [file for task in tasks for file in results_of(service, task["id"])]
    return [*service.run_processes(), *queries_on(source), *files]
