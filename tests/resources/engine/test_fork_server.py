"""The fork server starts each run once, in a process that shares nothing, and sees it end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError

from resources.engine.fork_client import (
    CannotFork,
    OtherCode,
    interrupt,
    launch,
)
from resources.engine.fork_server import RUN_NAME
from resources.settings import RUNS_SOCKET
from tests.support.forks import FAILING_FORKS, PLACES, SERVER_ID, WITH_THREAD
from tests.support.waiting import always, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

SECONDS = 20

Seen = Callable[[str], dict[str, Any]]


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "tests.support.forks", str(folder)]
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        try:
            eventually(lambda: _listens(folder), within=SECONDS)
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def _listens(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        return client.connect_ex(str(folder / RUNS_SOCKET)) == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[psutil.Process]:
    with serving(tmp_path) as process:
        yield process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / RUNS_SOCKET


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """What the run left that is named."""

    def look(name: str) -> dict[str, Any]:
        file = tmp_path / name
        eventually(file.exists, within=SECONDS)
        return dict(json.loads(file.read_text()))

    return look


def runs(server: psutil.Process) -> list[psutil.Process]:
    return [child for child in server.children() if child.name() == RUN_NAME]


def test_a_run_is_forked_and_leaves_no_zombie(
    server: psutil.Process, path: Path, seen: Seen
) -> None:
    launch(path, "quick-1", SERVER_ID)

    pid = seen("quick-1")["pid"]
    assert pid != server.pid
    eventually(lambda: not psutil.pid_exists(pid), within=SECONDS)


def test_a_run_shares_no_descriptor_with_the_server_or_another_run(
    server: psutil.Process, path: Path, seen: Seen
) -> None:
    launch(path, "wait-1", SERVER_ID)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as silent:
        silent.connect(str(path))  # a connection that the server holds while it forks
        launch(path, "wait-2", SERVER_ID)
        for name in ("wait-1", "wait-2"):
            assert [
                each for each in seen(name)["open"] if "socket" in each or "event" in each
            ] == []
    assert server.num_threads() == 1


def test_a_run_of_other_code_is_refused(server: psutil.Process, path: Path) -> None:
    with pytest.raises(OtherCode):
        launch(path, "quick-1", "code that was changed since")

    assert runs(server) == []


def test_no_server_is_told_as_such(path: Path) -> None:
    with pytest.raises(CannotFork):
        launch(path, "quick-1", SERVER_ID)


def test_a_server_that_has_threads_does_not_fork(tmp_path: Path, path: Path) -> None:
    with serving(tmp_path, **{WITH_THREAD: "1"}) as server:
        with pytest.raises(CannotFork, match="2 threads"):
            launch(path, "quick-1", SERVER_ID)
        assert runs(server) == []


def test_a_run_that_is_asked_for_again_is_started_once(
    server: psutil.Process, path: Path, seen: Seen
) -> None:
    for _ in range(3):
        launch(path, "wait-1", SERVER_ID)

    pid = seen("wait-1")["pid"]
    assert [run.pid for run in runs(server)] == [pid]


def test_there_are_no_more_runs_at_once_than_places(
    server: psutil.Process, path: Path, tmp_path: Path, seen: Seen
) -> None:
    names = [f"wait-{number}" for number in range(PLACES + 1)]
    for name in names[:PLACES]:
        launch(path, name, SERVER_ID)
        seen(name)

    with pytest.raises(DagsterUserCodeUnreachableError, match="Every place"):
        launch(path, names[-1], SERVER_ID)
    assert len(runs(server)) == PLACES

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(launch, path, names[-1], SERVER_ID)
        (tmp_path / names[0]).unlink()
        waiting.result(SECONDS)
    seen(names[-1])
    assert len(runs(server)) == PLACES


def test_who_has_hung_up_gets_no_process(
    server: psutil.Process, path: Path, tmp_path: Path, seen: Seen
) -> None:
    names = [f"wait-{number}" for number in range(PLACES)]
    for name in names:
        launch(path, name, SERVER_ID)
        seen(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(path))
        client.send(
            json.dumps({"do": "launch", "run_id": "quick-1", "server_id": SERVER_ID}).encode()
        )

    (tmp_path / names[0]).unlink()

    launch(path, "wait-after", SERVER_ID)
    seen("wait-after")
    assert not (tmp_path / "quick-1").exists()


def test_a_run_is_interrupted_by_its_id_alone(
    server: psutil.Process, path: Path, seen: Seen
) -> None:
    for name in ("wait-1", "wait-2"):
        launch(path, name, SERVER_ID)
        seen(name)

    assert interrupt(path, "wait-1")
    assert not interrupt(path, "wait-3")

    eventually(lambda: [run.pid for run in runs(server)] == [seen("wait-2")["pid"]], within=SECONDS)


@pytest.mark.parametrize(("what", "exit_code"), [("fail", 1), ("exit", 3), ("wait", -9)])
def test_a_run_that_is_lost_is_reported(
    server: psutil.Process, path: Path, seen: Seen, what: str, exit_code: int
) -> None:
    launch(path, f"{what}-1", SERVER_ID)
    pid = seen(f"{what}-1")["pid"]
    if what == "wait":
        os.kill(pid, signal.SIGKILL)

    assert seen(f"lost-{what}-1")["exit_code"] == exit_code
    eventually(lambda: len(server.children()) == 1, within=SECONDS)  # the companion


def test_a_run_that_ends_well_is_not_reported(
    server: psutil.Process, path: Path, tmp_path: Path, seen: Seen
) -> None:
    launch(path, "quick-1", SERVER_ID)
    seen("quick-1")
    eventually(lambda: runs(server) == [], within=SECONDS)

    always(lambda: not (tmp_path / "lost-quick-1").exists(), during=0.5)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_server(
    server: psutil.Process, path: Path, seen: Seen, signo: signal.Signals
) -> None:
    launch(path, "wait-1", SERVER_ID)
    run = psutil.Process(seen("wait-1")["pid"])
    children = server.children()

    server.send_signal(signo)

    eventually(lambda: not run.is_running(), within=SECONDS)
    if signo is signal.SIGTERM:
        eventually(lambda: not any(child.is_running() for child in children), within=SECONDS)
        eventually(lambda: server.status() == psutil.STATUS_ZOMBIE, within=SECONDS)


def test_the_server_ends_with_its_companion(
    server: psutil.Process, path: Path, tmp_path: Path, seen: Seen
) -> None:
    launch(path, "wait-1", SERVER_ID)
    run = psutil.Process(seen("wait-1")["pid"])

    os.kill(int((tmp_path / "companion").read_text()), signal.SIGKILL)

    eventually(lambda: not run.is_running(), within=SECONDS)
    eventually(lambda: server.status() == psutil.STATUS_ZOMBIE, within=SECONDS)


def test_what_is_no_request_harms_nobody(server: psutil.Process, path: Path, seen: Seen) -> None:
    for message in (b"{", b"\xff", b'{"do": "dance"}', b"[]", b'{"do": "launch"}', b""):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(path))
            client.send(message)

    launch(path, "quick-1", SERVER_ID)
    seen("quick-1")
    assert server.is_running()


def test_a_fork_that_fails_ends_no_other_run(tmp_path: Path, path: Path, seen: Seen) -> None:
    with serving(tmp_path, **{FAILING_FORKS: "1"}) as server:
        with pytest.raises(DagsterUserCodeUnreachableError):
            launch(path, "wait-1", SERVER_ID)

        launch(path, "wait-1", SERVER_ID)

        seen("wait-1")
        assert server.is_running()


def test_a_launch_that_waits_when_the_server_is_ended_gets_no_process(
    server: psutil.Process, path: Path, tmp_path: Path, seen: Seen
) -> None:
    for number in range(PLACES):
        launch(path, f"wait-{number}", SERVER_ID)
        seen(f"wait-{number}")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(launch, path, "wait-more", SERVER_ID)
        eventually(lambda: interrupt(path, "wait-more"), within=SECONDS)  # it is known

        server.send_signal(signal.SIGTERM)

        with pytest.raises(DagsterUserCodeUnreachableError):
            waiting.result(SECONDS)
    eventually(lambda: server.status() == psutil.STATUS_ZOMBIE, within=SECONDS)
    assert not (tmp_path / "wait-more").exists()
