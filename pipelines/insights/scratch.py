"""Folders for what a run works on, gone with it whatever happens."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCRATCH = "scratch"
_LOCK = "lock"


@contextmanager
def scratch_folder(home: Path, name: str) -> Iterator[Path]:
    """A folder of this process in ``home``, removed at the end.

    What a process that was killed could not remove, the next one does: the folder's lock dies with
    the process that holds it.

    Args:
        home: Where the service keeps what it writes.
        name: What the folder is called; nobody else's is.

    Raises:
        OSError: It cannot be made.
    """
    parent = home / SCRATCH
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / name
    with _locked(parent / _LOCK) as _:  # so that nobody sweeps a folder that is not locked yet
        sweep(parent)
        folder.mkdir(mode=0o700)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def sweep(parent: Path) -> None:
    """Remove the folders in ``parent`` whose processes are gone."""
    for folder in parent.iterdir():
        if folder.is_dir() and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
    return True
