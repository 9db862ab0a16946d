"""Starting, stopping, and what happens when a part dies."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from resources.settings import PROJECT_ROOT, Settings
from resources.store.database import connect
from resources.store.lists import TaskFilter
from resources.store.models import Principal, Role, Status
from resources.store.tasks import TaskStore
from tests.service.conftest import Setup, assert_gone
from tests.support.service import STOP_SECONDS, Client, Service, free_port
from tests.support.sources import BIG
from tests.support.ui import Ui
from tests.support.waiting import always, eventually

pytestmark = pytest.mark.service

WANTED = {"filters": {"status": "pending"}}
ADMIN = Principal("root", Role.ADMIN)


@pytest.fixture
def own_service(setup: Setup, tmp_path: Path, backend: str) -> Iterator[Service]:
    """A service of this test's own, not started yet; on SQLite, for these say nothing of it."""
    if backend != "sqlite":
        pytest.skip("starting and stopping does not depend on the database")
    # One attempt for each task: what costs one fails it.
    environment = {**setup.environment, "WORKERS_TASK_MAX_ATTEMPTS": "1"}
    service = Service(tmp_path / "home", environment)
    yield service
    service.kill()


@pytest.mark.faults
def test_a_part_that_dies_is_started_again_and_tasks_go_on(alice: Client, service: Service) -> None:
    for name in ("code-server", "daemon", "ui", "api"):
        before = service.part(name)
        before.kill()
        eventually(partial(_replaced, service, name, before), within=15)
    eventually(lambda: _answers(alice), within=15)

    task = alice.submit(**WANTED)

    alice.until(task["id"], "completed")


def _replaced(service: Service, name: str, old: psutil.Process) -> bool:
    try:
        return bool(service.part(name).pid != old.pid)
    except (AssertionError, psutil.NoSuchProcess):
        return False


def _answers(client: Client) -> bool:
    try:
        return bool(client.http.get("/").status_code == 200)
    except httpx.TransportError:
        return False


@pytest.mark.faults
def test_tasks_wait_while_the_code_server_is_stopped_and_then_run(
    alice: Client, service: Service
) -> None:
    code_server = service.part("code-server")
    code_server.suspend()
    try:
        tasks = [alice.submit(**WANTED) for _ in range(3)]
        always(
            lambda: {alice.task(task["id"])["status"] for task in tasks} == {"pending"}, during=4
        )
    finally:
        code_server.resume()

    for task in tasks:
        alice.until(task["id"], "completed", within=90)


@pytest.mark.faults
def test_stopping_leaves_no_process_and_costs_no_attempt_of_what_was_accepted(
    own_service: Service,
) -> None:
    own_service.start()
    client = own_service.client("alice")
    running = client.submit(**BIG)
    client.until(running["id"], "processing")
    starting = client.submit(**WANTED)
    processes = own_service.processes()

    assert own_service.stop() == 0

    assert_gone(processes)
    assert not (own_service.home / "run" / "code.sock").exists()

    own_service.start()
    client.until(starting["id"], "completed", within=60)
    client.until(running["id"], "processing", within=60)
    client.cancel(running["id"])
    client.until(running["id"], "cancelled", within=15)
    client.close()
    own_service.stop()


def test_ctrl_c_stops_it(own_service: Service) -> None:
    own_service.start()
    processes = own_service.processes()
    assert own_service.process is not None

    own_service.process.send_signal(signal.SIGINT)

    assert own_service.process.wait(STOP_SECONDS) == 0
    assert_gone(processes)


def test_killing_it_leaves_no_process(own_service: Service) -> None:
    own_service.start()
    client = own_service.client("alice")
    task = client.submit(**BIG)
    client.until(task["id"], "processing")
    client.close()
    processes = own_service.processes()

    own_service.kill()

    eventually(lambda: not [each for each in processes if _is_alive(each)], within=10)


def _is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_a_busy_port_is_said_in_one_line(own_service: Service) -> None:
    with socket.create_server(("127.0.0.1", own_service.api_port)):
        refused = own_service.run("up")

    assert refused.returncode == 1
    (line,) = refused.stderr.strip().splitlines()
    assert str(own_service.api_port) in line
    assert "WORKERS_API_PORT" in line


def test_a_second_one_on_the_same_home_is_refused_in_one_line(service: Service) -> None:
    other = {"WORKERS_API_PORT": str(free_port()), "WORKERS_UI_PORT": str(free_port())}
    refused = subprocess.run(
        [sys.executable, "-m", "workers", "up"],
        env={**service.environment, **other},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert refused.returncode == 1
    (line,) = refused.stderr.strip().splitlines()
    assert "running already" in line


def test_in_stock_dagster_the_job_loads_and_a_run_started_there_is_a_task(
    own_service: Service, tmp_path: Path
) -> None:
    assert own_service.run("migrate").returncode == 0
    store = TaskStore(connect(Settings(home=own_service.home).state_url))
    with stock_dagster(own_service, tmp_path) as ui:
        run_id = ui.launch({"ops": {"exports__bookings": {"config": WANTED}}})

        (task,) = store.page(ADMIN, TaskFilter(), page=1, page_size=10).tasks
        assert (task.owner, task.task_type, task.run_id) == ("dagster", "bookings_export", run_id)
        eventually(lambda: store.get(task.id, ADMIN).status.is_final, within=60, every=0.2)
        done = store.get(task.id, ADMIN)
        assert (done.status, done.error) == (Status.COMPLETED, None)
    store._engine.dispose()


@contextmanager
def stock_dagster(service: Service, folder: Path) -> Iterator[Ui]:
    """``dagster dev``, as the README tells, on the service's home."""
    log = folder / "dagster-dev.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster", "dev", "--port", str(service.ui_port)),
                *("-w", str(PROJECT_ROOT / "workspace.yaml")),
            ],
            env=service.environment | {"DAGSTER_HOME": str(service.home)},
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    http = httpx.Client(timeout=30)
    ui = Ui(f"http://127.0.0.1:{service.ui_port}/graphql", http)
    try:
        eventually(lambda: loaded(ui), within=60, every=0.2)
        yield ui
    finally:
        http.close()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(30)
        eventually(lambda: not [each for each in children if _is_alive(each)], within=60)


def loaded(ui: Ui) -> bool:
    """Whether the web server is up and knows the job."""
    try:
        return bool(
            ui.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")[
                "nodes"
            ]
        )
    except (httpx.TransportError, ValueError, KeyError):
        return False
