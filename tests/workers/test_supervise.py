"""The process that `workers up` becomes, with small parts in place of the service's."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import eventually
from workers.plan import Part, Plan
from workers.supervisor import STOP_SIGNALS

WAIT_SECONDS = 30
FOREVER = "import time; time.sleep(600)"


def python(name: str, code: str) -> Part:
    return Part(name, (sys.executable, "-c", code))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """The socket of a code server that is ready."""
    path = tmp_path / "code.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield path


class Supervising:
    """`workers.supervise` on a plan; signals of ``pending`` came before it was there."""

    def __init__(self, folder: Path, plan: Plan, *pending: signal.Signals) -> None:
        self.lock_file = folder / "up.lock"
        self.log = folder / "log"
        with (
            tempfile.TemporaryFile("w+") as document,
            self.lock_file.open("a") as lock,
            self.log.open("w") as log,
        ):
            document.write(plan.to_json())
            document.seek(0)
            fcntl.flock(lock, fcntl.LOCK_EX)
            descriptors = (document.fileno(), lock.fileno())

            def ask_for_the_end() -> None:
                signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
                for signo in pending:
                    os.kill(os.getpid(), signo)

            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.supervise", *map(str, descriptors)],
                pass_fds=descriptors,
                preexec_fn=ask_for_the_end,  # noqa: PLW1509 - these tests have no threads
                stderr=log,
            )

    @property
    def told(self) -> list[str]:
        return self.log.read_text().splitlines()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def is_locked(self) -> bool:
        with self.lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False


def plan(listening: Path, *parts: Part, look: str = "") -> Plan:
    return Plan(
        first=parts,
        socket=str(listening),
        then=[],
        ready_urls=[],
        told=["API         somewhere"],
        greeting=python("greeting", ""),
        look=python("start check", look),
        leftovers=[str(listening)],
    )


@pytest.mark.parametrize("signo", STOP_SIGNALS)
def test_who_asked_for_the_end_before_anything_was_started_is_heard(
    tmp_path: Path, listening: Path, signo: signal.Signals
) -> None:
    supervising = Supervising(tmp_path, plan(listening, python("part", FOREVER)), signo)

    assert supervising.process.wait(WAIT_SECONDS) == 0

    assert supervising.told == ["workers | Stopping."]
    assert not listening.exists()


def test_the_lock_is_held_until_the_end_and_by_no_part(tmp_path: Path, listening: Path) -> None:
    files = (
        "import os; print(sorted(os.path.basename(os.path.realpath(f'/proc/self/fd/{n}'))"
        " for n in os.listdir('/proc/self/fd')), flush=True)"
    )
    part = python("part", f"{files}; {FOREVER}")
    supervising = Supervising(tmp_path, plan(listening, part))

    eventually(lambda: any("part | [" in line for line in supervising.told), within=WAIT_SECONDS)
    assert "up.lock" not in supervising.log.read_text()
    assert supervising.is_locked()

    assert supervising.stop() == 0
    assert not supervising.is_locked()


def test_a_look_that_fails_is_told_and_hurts_nothing(tmp_path: Path, listening: Path) -> None:
    part = python("part", FOREVER)
    supervising = Supervising(tmp_path, plan(listening, part, look="raise SystemExit(3)"))

    failed = "workers | start check ended with code 3."
    eventually(lambda: failed in supervising.told, within=WAIT_SECONDS)
    assert len(psutil.Process(supervising.process.pid).children()) == 1

    assert supervising.stop() == 0
    ready, *told = supervising.told
    assert ready.startswith("workers | Ready after ")
    assert told == [
        "workers | API         somewhere",
        "workers | Ctrl-C stops it.",
        failed,
        "workers | Stopping.",
    ]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_look_that_hangs_ends_with_the_service(
    tmp_path: Path, listening: Path, end: signal.Signals
) -> None:
    supervising = Supervising(
        tmp_path, plan(listening, look=f"import os; os.write(2, b'looks\\n'); {FOREVER}")
    )
    eventually(lambda: "looks" in supervising.told, within=WAIT_SECONDS)
    (look,) = psutil.Process(supervising.process.pid).children()

    supervising.process.send_signal(end)
    supervising.process.wait(WAIT_SECONDS)

    eventually(lambda: not _is_alive(look), within=WAIT_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
