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
_PR_SET_CHILD_SUBREAPER = 36
PIPE_BYTES = 2**20


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends.

    A process of `multiprocessing` whose parent has ended already ends at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def widen_pipe(descriptor: int) -> None:
    """Have a pipe hold `PIPE_BYTES`, so that both its ends wait less often."""
    with suppress(OSError, AttributeError):  # not on every system, and not needed
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


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
