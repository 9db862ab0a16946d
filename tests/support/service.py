"""The whole service as an operator runs it, and what a client does with it."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from resources.engine.fork_server import RUN_NAME
from resources.store.models import Role
from tests.support.waiting import eventually

START_SECONDS = 90
STOP_SECONDS = 10  # what the README promises
FINAL = {"completed", "failed", "cancelled"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class NotRunning(AssertionError):
    """A part of the service that is not there just now."""


class Service:
    """``workers up``, in processes of its own."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.api_port, self.ui_port = free_port(), free_port()
        self._environment = {
            "WORKERS_HOME": str(home),
            "WORKERS_API_PORT": str(self.api_port),
            "WORKERS_UI_PORT": str(self.ui_port),
            "WORKERS_SCHEDULES": os.devnull,  # what ships would start tasks in the middle of a test
            **environment,
        }
        self.log = home.parent / f"{home.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment that its commands run in."""
        return {**os.environ, **self._environment}

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """``workers <arguments>``, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self) -> None:
        """``workers up``, until it is ready."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers", "up"],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        eventually(self._is_ready, within=START_SECONDS, every=0.2)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return "Ready after" in self.log.read_text()

    def stop(self) -> int:
        """SIGTERM; returns the exit code. Fails where it takes longer than promised."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def kill_and_start(self) -> None:
        """SIGKILL; once every process has ended with it, ``workers up`` anew."""
        self.kill()
        eventually(lambda: self.left() == [], within=STOP_SECONDS)
        self.start()

    def left(self) -> list[int]:
        """Every process that works for the service, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("WORKERS_HOME") == str(self.home)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def part(self, name: str) -> psutil.Process:
        """The process of one part: ``api``, ``daemon``, ``code-server`` or ``ui``."""
        assert self.process is not None
        mark = {
            "api": ["-m", "api"],
            "daemon": ["-m", "resources.engine.daemon"],
            "code-server": ["-m", "resources.engine.code_server"],
            "ui": ["-m", "resources.engine.ui"],
        }[name]
        for child in psutil.Process(self.process.pid).children():
            try:
                command = child.cmdline()
            except psutil.NoSuchProcess:  # it has just died
                continue
            if command[1 : 1 + len(mark)] == mark:
                return child
        raise NotRunning(name)

    def run_processes(self) -> list[psutil.Process]:
        """The processes of runs, oldest first."""
        found = []
        for child in self.part("code-server").children():
            with suppress(psutil.NoSuchProcess):  # it has just died
                if child.name() == RUN_NAME and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found

    def processes(self) -> list[psutil.Process]:
        """Every process of the service that is alive."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    @contextmanager
    def suspended(self, *names: str) -> Iterator[None]:
        """The parts ``names`` do nothing while inside."""
        parts = [self.part(name) for name in names]
        eventually(lambda: self._suspend(parts), within=10)
        try:
            yield
        finally:
            for part in parts:
                part.resume()

    def _suspend(self, parts: list[psutil.Process]) -> bool:
        """Suspend ``parts``, but not in the middle of a write: its lock would stop everybody."""
        for part in parts:
            part.suspend()
        if self._is_writable():
            return True
        for part in parts:
            part.resume()
        return False

    def _is_writable(self) -> bool:
        file = self.home / "state" / "runs.db"
        if not file.exists():  # PostgreSQL locks rows
            return True
        with closing(sqlite3.connect(file, timeout=0.5)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.rollback()
        return True

    @property
    def api_url(self) -> str:
        """The collection of tasks."""
        return f"http://127.0.0.1:{self.api_port}/api/v1/workers"

    @property
    def graphql_url(self) -> str:
        """Where Dagster's UI asks its server."""
        return f"http://127.0.0.1:{self.ui_port}/graphql"

    def client(self, owner: str, role: Role = Role.USER) -> "Client":
        """A client with a new token of ``owner``."""
        created = self.run("token", "create", owner, "--role", role.value)
        assert created.returncode == 0, created.stderr
        return Client(self.api_url, created.stdout.strip())


class Client:
    """A client of the API."""

    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def submit(self, **parameters: Any) -> dict[str, Any]:
        """A new task; a ``bookings_export`` where nothing else is said."""
        answer = self.http.post("/", json={"task_type": "bookings_export", **parameters})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def task(self, task_id: int) -> dict[str, Any]:
        """The task."""
        answer = self.http.get(f"/{task_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def cancel(self, task_id: int) -> httpx.Response:
        """DELETE the task."""
        return self.http.delete(f"/{task_id}/")

    def until(self, task_id: int, *statuses: str, within: float = 60) -> dict[str, Any]:
        """The task, once it has one of ``statuses``."""
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.update(self.task(task_id))
            wrong = seen["status"] in FINAL and seen["status"] not in statuses
            assert not wrong, f"ended as {seen['status']}: {seen['error']}"
            return seen["status"] in statuses

        eventually(look, within=within)
        return seen

    def files(self, task: Mapping[str, Any]) -> list[bytes]:
        """The files of a completed task."""
        manifest = self.http.get(task["result"]["url"]).json()
        return [self.http.get(file["url"]).content for file in manifest["files"]]

    def close(self) -> None:
        """Close its connections."""
        self.http.close()
