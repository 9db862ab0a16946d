"""A fork server whose runs do what their ids say: ``python -m tests.support.forks FOLDER``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from dagster._utils.interrupts import check_captured_interrupt

from resources.engine import fork_server
from resources.settings import RUNS_SOCKET

SERVER_ID = "this code"
PLACES = 2
PLACE_SECONDS = 1.0
# In the environment: a server with a second thread, which must not fork.
WITH_THREAD = "TEST_WITH_THREAD"
# In the environment: how many forks fail at first, as where the system has no room for a process.
FAILING_FORKS = "TEST_FAILING_FORKS"


class Scripted:
    """Runs named ``<what>-<anything>``: each leaves a file of its name that tells what it saw."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def execute(self, run_id: str) -> None:
        """Do what the id says."""
        self._leave(run_id)
        what = run_id.partition("-")[0]
        if what == "wait":  # until its file is taken away, or it is interrupted
            while (self._folder / run_id).exists() and not check_captured_interrupt():
                time.sleep(0.01)
        elif what == "fail":
            raise RuntimeError
        elif what == "exit":
            os._exit(3)

    def report_lost(self, run_id: str, exit_code: int) -> None:
        """Leave a file that says so."""
        self._leave(f"lost-{run_id}", exit_code=exit_code)

    def _leave(self, name: str, **also: int) -> None:
        seen = {"pid": os.getpid(), "open": _open_files(), **also}
        draft = self._folder / f".{name}"
        draft.write_text(json.dumps(seen))
        draft.rename(self._folder / name)


def _open_files() -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what listing the folder itself took
            found.append(str(descriptor.readlink()))
    return found


def fail_to_fork(times: int) -> None:
    """Have the next ``times`` forks fail."""
    fork, left = os.fork, times

    def failing() -> int:
        nonlocal left
        if left:
            left -= 1
            raise BlockingIOError
        return fork()

    os.fork = failing


def main(folder: Path) -> None:
    """Serve until told to end, beside a companion that only waits."""
    fork_server.PLACE_SECONDS = PLACE_SECONDS
    if WITH_THREAD in os.environ:
        threading.Thread(target=signal.pause, daemon=True).start()
    companion = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    (folder / "companion").write_text(str(companion.pid))
    fail_to_fork(int(os.environ.get(FAILING_FORKS, "0")))
    with fork_server.open_listener(folder / RUNS_SOCKET) as listener:
        fork_server.ForkServer(
            listener,
            Scripted(folder),
            server_id=SERVER_ID,
            companion=companion.pid,
            places=PLACES,
        ).serve()
    companion.returncode = 0  # it was waited for already


if __name__ == "__main__":
    main(Path(sys.argv[1]))
