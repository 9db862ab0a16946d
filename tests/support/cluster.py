"""A PostgreSQL server of a test's own, which may be crashed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from resources.settings import POSTGRESQL_DRIVER
from tests.support.outages import disposed
from tests.support.service import free_port

START_SECONDS = 60
_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")


@dataclass(frozen=True)
class Cluster:
    """A server with data of its own."""

    programs: Path
    folder: Path
    port: int
    user: str | None  # None: this process's

    @property
    def url(self) -> URL:
        """The server, to make databases on."""
        return URL.create(
            POSTGRESQL_DRIVER, "postgres", host="127.0.0.1", port=self.port, database="postgres"
        )

    def database(self, name: str) -> URL:
        """A new, empty database; it goes with the server."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with disposed(engine), engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        return self.url.set(database=name)

    def crash(self) -> None:
        """Kill every process of it in the middle of its work, and start it again."""
        self._control("restart", "-m", "immediate")

    def start(self) -> None:
        """Make its data, and start it."""
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", self._data)
        self._control("start")

    def stop(self) -> None:
        """End it, whoever is connected."""
        self._control("stop", "-m", "immediate")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _control(self, *command: str) -> None:
        # Without fsync: what its processes have written survives their death, if not the machine's.
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off "
            "-c max_connections=100"
        )
        log = str(self.folder / "log")
        self._run(
            "pg_ctl", *command, "-D", self._data, "-o", options, "-l", log, "-w",
            "-t", str(START_SECONDS),
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / program), *arguments],
            user=self.user,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be held open by the server it starts
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS * 2,
            check=True,
        )


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A server while inside; skips where there is no PostgreSQL to start, fails so in CI."""
    programs = _programs()
    if programs is None:
        message = "NO POSTGRESQL PROGRAMS (initdb, pg_ctl): what crashes a server does not run."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    # The server does not run as root, and must reach its folder.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="workers-pg-"))
    if user is not None:
        shutil.chown(folder, user)
    cluster = Cluster(programs, folder, free_port(), user)
    try:
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    on_path = shutil.which("pg_ctl")
    if on_path is not None and shutil.which("initdb"):
        return Path(on_path).parent
    found = [path for pattern in _FOLDERS for path in Path("/").glob(f"{pattern}/pg_ctl")]
    return max(found).parent if found else None
