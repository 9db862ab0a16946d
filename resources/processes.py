"""Processes that end together, and pipes between them (Linux; elsewhere these do nothing)."""

import ctypes
import fcntl
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

# Options of prctl, see its manual page.
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
PIPE_BYTES = 2**20


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends.

    A process whose ``parent`` has ended already ends at once; one of `multiprocessing` knows its
    parent without being told.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    started_by = multiprocessing.parent_process()
    expected = parent if parent is not None else started_by and started_by.pid
    if expected is not None and expected != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Have `ps` and the like show ``name``, of which the kernel keeps 15 bytes."""
    _prctl(_PR_SET_NAME, name.encode())


def _prctl(option: int, value: int | bytes) -> bool:
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def widen_pipe(descriptor: int) -> None:
    """Have a pipe hold `PIPE_BYTES`, so that both its ends wait less often."""
    with suppress(OSError, AttributeError):  # not on every system, and not needed
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def give_back_memory() -> None:
    """Return what was freed to the system; the C library would keep it for later."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library than GNU's
            ctypes.CDLL(None).malloc_trim(0)


def thread_count() -> int:
    """How many threads this process has, those of libraries too; 0 where that cannot be told."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0


def children() -> list[int]:
    """The ids of this process's children, adopted ones too."""
    found: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found += [int(pid) for pid in task.read_text().split()]
        except OSError:
            continue  # the thread has ended since
    return found


def reap(pid: int) -> None:
    """Forget the child ``pid`` if it has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
