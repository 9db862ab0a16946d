"""Starting, stopping, and what happens when a part dies."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from resources.settings import PROJECT_ROOT
from resources.store.models import Role
from tests.service.conftest import Setup, assert_gone
from tests.support.service import STOP_SECONDS, Client, Service, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

WANTED = {"filters": {"status": "pending"}}


@pytest.fixture
def own_service(setup: Setup, tmp_path: Path, backend: str) -> Iterator[Service]:
    """A service of this test's own, not started yet; on SQLite, for these say nothing of it."""
    if backend != "sqlite":
        pytest.skip("starting and stopping does not depend on the database")
    service = Service(tmp_path / "home", setup.environment)
    yield service
    service.kill()


def test_a_part_that_dies_is_started_again_and_tasks_go_on(alice: Client, service: Service) -> None:
    for name in ("code-server", "daemon", "ui", "api"):
        before = service.part(name)
        before.kill()
        eventually(lambda old=before, part=name: _replaced(service, part, old), within=15)
    eventually(lambda: _answers(alice), within=15)

    task = alice.submit(**WANTED)

    alice.until(task["id"], "completed")


def _replaced(service: Service, name: str, old: psutil.Process) -> bool:
    try:
        return service.part(name).pid != old.pid
    except (AssertionError, psutil.NoSuchProcess):
        return False


def _answers(client: Client) -> bool:
    try:
        return client.http.get("/").status_code == 200
    except httpx.TransportError:
        return False


def test_tasks_wait_while_the_code_server_is_stopped_and_then_run(
    alice: Client, service: Service
) -> None:
    code_server = service.part("code-server")
    code_server.suspend()
    try:
        tasks = [alice.submit(**WANTED) for _ in range(3)]
        eventually(lambda: _queue_was_tried(service), within=10)
        assert {alice.task(task["id"])["status"] for task in tasks} == {"pending"}
    finally:
        code_server.resume()

    for task in tasks:
        alice.until(task["id"], "completed", within=90)


def _queue_was_tried(service: Service) -> bool:
    """The dispatcher lives, so it has seen the tasks by now."""
    return service.part("daemon").is_running()


def test_a_task_whose_run_process_dies_is_run_again(alice: Client, service: Service) -> None:
    task = alice.submit(filters={"status": "big"})
    eventually(lambda: alice.task(task["id"])["progress"]["processed"] > 0, within=60)

    workers = service.part("code-server").children(recursive=True)
    run = max(workers, key=lambda process: process.memory_info().rss)
    run.kill()

    eventually(lambda: alice.task(task["id"])["attempt"] == 2, within=60)
    alice.until(task["id"], "processing", within=60)
    alice.cancel(task["id"])
    alice.until(task["id"], "cancelled", within=15)


def test_stopping_leaves_no_process_and_what_was_accepted_runs_after_the_next_start(
    own_service: Service,
) -> None:
    own_service.start()
    client = own_service.client("alice")
    running = client.submit(filters={"status": "big"})
    client.until(running["id"], "processing")
    processes = own_service.processes()

    assert own_service.stop() == 0

    assert_gone(processes)
    assert not (own_service.home / "run" / "code.sock").exists()

    own_service.start()
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
    task = client.submit(filters={"status": "big"})
    client.until(task["id"], "processing")
    client.close()
    processes = own_service.processes()

    own_service.kill()

    eventually(lambda: not [each for each in processes if _is_alive(each)], within=10)


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


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


def test_stock_dagster_loads_the_job_and_a_run_started_there_is_a_task(
    own_service: Service, tmp_path: Path
) -> None:
    assert own_service.run("migrate").returncode == 0
    environment = own_service.environment | {"DAGSTER_HOME": str(own_service.home)}
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "job", "launch"),
            *("-w", str(PROJECT_ROOT / "workspace.yaml"), "-j", "bookings_export"),
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr

    own_service.start()
    admin = own_service.client("root", Role.ADMIN)
    (task,) = admin.http.get("/").json()["results"]
    assert (task["owner"], task["task_type"]) == ("dagster", "bookings_export")
    admin.close()
