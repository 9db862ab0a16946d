"""Runs are forked from a process that is warm, and share nothing with it."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from resources.settings import POSTGRESQL_DRIVER, RUNS_SOCKET
from tests.service.conftest import Setup, running_apart
from tests.support.service import Client, Service
from tests.support.ui import Ui
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux"),
]

SLOW = {"filters": {"status": "slow"}}
QUICK = {"filters": {"status": "pending"}}
MANY_SLOTS = 8
MOST_CONNECTIONS = 20


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service.graphql_url, alice.http)


def sockets_of(process: psutil.Process) -> set[str]:
    """The sockets that the process has open, by their inodes."""
    found = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(link.readlink()))
    return {each for each in found if each.startswith("socket:")}


def grpc_server(service: Service) -> psutil.Process:
    """The half of the code server that serves the definitions: its first child."""
    return min(service.part("code-server").children(), key=lambda child: child.create_time())


def test_a_run_shares_no_connection_with_the_process_it_was_forked_from(
    service: Service, alice: Client
) -> None:
    tasks = [alice.submit(**SLOW) for _ in range(2)]
    for task in tasks:
        alice.until(task["id"], "processing")
    eventually(lambda: len(service.run_processes()) == len(tasks), within=10)
    first, second = service.run_processes()

    served = service.part("code-server")
    apart = [sockets_of(each) for each in (served, grpc_server(service), first, second)]
    assert sum(len(each) for each in apart) == len(set.union(*apart))
    assert served.num_threads() == 1
    assert served.net_connections("inet") == []

    for task in tasks:
        alice.cancel(task["id"])
        alice.until(task["id"], "cancelled")


def test_runs_that_are_over_leave_no_process(service: Service, alice: Client) -> None:
    for _ in range(5):
        alice.until(alice.submit(**QUICK)["id"], "completed")

    eventually(lambda: service.part("code-server").children() == [grpc_server(service)], within=10)
    assert service.part("code-server").num_threads() == 1


def test_what_a_run_prints_is_kept(service: Service, alice: Client, ui: Ui) -> None:
    task = alice.submit(**QUICK)
    alice.until(task["id"], "completed")

    assert ui.has_event(task["run_id"], "LogsCapturedEvent")
    kept = list((service.home / "storage" / task["run_id"]).rglob("*"))
    assert {file.suffix for file in kept if file.is_file()} == {".out", ".err", ".complete"}


def test_a_new_code_server_forks_the_runs_that_follow(service: Service, alice: Client) -> None:
    before = service.part("code-server")
    before.kill()
    eventually(lambda: not before.is_running(), within=10)

    task = alice.submit(**SLOW)
    alice.until(task["id"], "processing", within=60)

    (run,) = eventually(service.run_processes, within=10)
    assert run.ppid() == service.part("code-server").pid != before.pid
    alice.cancel(task["id"])
    alice.until(task["id"], "cancelled")


def test_without_the_fork_server_runs_start_as_dagster_starts_them(
    service: Service, alice: Client, ui: Ui
) -> None:
    socket = service.home / "run" / RUNS_SOCKET
    aside = socket.with_suffix(".aside")
    socket.rename(aside)
    try:
        done, slow = alice.submit(**QUICK), alice.submit(**SLOW)
        alice.until(done["id"], "completed", within=60)
        alice.until(slow["id"], "processing", within=60)
        assert any("cannot be forked" in each for each in ui.messages(done["run_id"]))
        assert service.run_processes() == []

        alice.cancel(slow["id"])
        alice.until(slow["id"], "cancelled")
    finally:
        aside.rename(socket)
    alice.until(alice.submit(**QUICK)["id"], "completed")


@pytest.fixture
def crowded(
    setup: Setup, backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Service]:
    """A service with many slots."""
    if backend != "postgresql":
        pytest.skip("a file has no connections")
    slots = {name: str(MANY_SLOTS) for name in ("WORKERS_SLOTS", "WORKERS_OWNER_SLOTS")}
    with running_apart(setup, request, tmp_path / "home", **slots) as service:
        yield service


@pytest.mark.faults
def test_many_runs_at_once_need_few_connections(crowded: Service) -> None:
    state = make_url(crowded.environment["WORKERS_DATABASE_URL"])
    alice = crowded.client("alice")
    tasks = [alice.submit(**SLOW) for _ in range(MANY_SLOTS)]
    for task in tasks:
        alice.until(task["id"], "processing", within=60)
    assert len(crowded.run_processes()) == MANY_SLOTS

    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
    server = create_engine(
        state.set(database="postgres", drivername=POSTGRESQL_DRIVER), poolclass=NullPool
    )
    counts = []
    with server.connect() as connection, ThreadPoolExecutor(2 * MANY_SLOTS) as pool:
        for _ in range(20):
            list(pool.map(lambda task: alice.task(task["id"]), 4 * tasks))
            counts.append(connection.scalar(query, {"name": state.database}))
    server.dispose()
    assert MANY_SLOTS < max(counts) <= MOST_CONNECTIONS
    for task in tasks:
        alice.cancel(task["id"])
    for task in tasks:
        alice.until(task["id"], "cancelled")
    alice.close()
