"""Takes away what the service stands on, and gives it back."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, text


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    """``engine``, its connections closed at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """The file or folder ``path`` lies elsewhere while inside."""
    path = path.resolve()
    away = path.with_name(path.name + ".away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def shut(server: URL, url: URL) -> Iterator[None]:
    """Nobody reaches the PostgreSQL database ``url`` while inside."""
    allow = f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS '
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    with disposed(create_engine(server, isolation_level="AUTOCOMMIT")) as admin:
        with admin.connect() as connection:
            connection.execute(text(allow + "false"))
            connection.execute(text(end), {"name": url.database})
        try:
            yield
        finally:
            with admin.connect() as connection:
                connection.execute(text(allow + "true"))


@contextmanager
def replaced_by_a_file(folder: Path) -> Iterator[None]:
    """There is a file where ``folder`` should be while inside."""
    with moved_away(folder):
        folder.touch()
        try:
            yield
        finally:
            folder.unlink()


@contextmanager
def unusable(folder: Path) -> Iterator[None]:
    """Nothing can be read in ``folder``, nor written, while inside."""
    if os.geteuid() == 0:  # to root, permissions mean nothing
        with _mounted(folder, "ro"):
            yield
        return
    mode = folder.stat().st_mode
    folder.chmod(0)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """While inside, ``folder`` is another, empty one, with room for a few pages."""
    if os.geteuid() != 0:
        pytest.skip("NO FULL DISK: only root may mount a small file system")
    with _mounted(folder, "size=64k"):
        yield


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NO MOUNT: this machine does not allow it ({done.stderr.strip()})")
    try:
        yield
    finally:
        # Lazily: a file that is open still must not keep it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
