"""The API as a process of its own: ``python -m api``."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.__main__ import SHUTDOWN_SECONDS
from tests.api.support import HOST, TASKS, TIMEOUT_SECONDS, assert_problem
from tests.support.waiting import eventually


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def process(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The API, in a home where nothing is set up."""
    environment = {"WORKERS_HOME": str(tmp_path / "home"), "WORKERS_API_PORT": str(port)}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "api"], env=os.environ | environment, stdout=log, stderr=log
        ) as started,
    ):
        yield started
        started.kill()


def test_process_serves_and_stops_when_told_to(
    port: int, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with httpx.Client(base_url=f"http://{HOST}:{port}", verify=False, trust_env=False) as client:
        # Given
        eventually(lambda: process.poll() is not None or is_served(port), within=TIMEOUT_SECONDS)
        assert client.get("/health/live").status_code == 200
        assert_problem(client.get(TASKS), 401, "unauthorized")
        # When: the client keeps its connection open
        process.send_signal(signal.SIGTERM)
        # Expect
        process.wait(SHUTDOWN_SECONDS + 5)
    log = (tmp_path / "log").read_text()
    assert f"The API listens on http://{HOST}:{port}" in log
    assert "Traceback" not in log
    assert not is_served(port)


def is_served(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), TIMEOUT_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True
