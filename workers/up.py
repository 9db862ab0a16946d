"""``workers up``: the whole service, on one machine, until it is stopped."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NoReturn

from resources.demo_source import create_demo_source
from resources.errors import WorkersError
from resources.results.factory import result_store
from resources.schedules.declarations import load_schedules
from resources.settings import Settings
from resources.source.declarations import load_declarations
from workers.parts import Runtime
from workers.supervisor import STOP_SIGNALS, say

MIGRATE_SECONDS = 120.0


class CannotStart(WorkersError):
    """The service cannot be started; the message says why, in one line."""


def run_service(settings: Settings) -> NoReturn:
    """Prepare everything, then become the process that starts it and ends when it is stopped.

    Raises:
        CannotStart: With what to change.
    """
    _make_home(settings)
    with _only_one(settings) as lock:
        _check_ports(settings)
        load_declarations(settings.datasets)
        load_schedules(settings.schedules)
        result_store(settings).prepare()
        runtime = Runtime.create(settings)
        try:
            _prepare(runtime)
            _become_supervisor(runtime, lock)
        finally:  # it did not come to that
            runtime.plan.clean_up()


def _make_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        msg = f"WORKERS_HOME={settings.home} cannot be made: {error.strerror}."
        raise CannotStart(msg) from error


@contextmanager
def _only_one(settings: Settings) -> Iterator[IO[str]]:
    """Two services on one home would take each other's tasks."""
    with (settings.home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f"The service is running already, with WORKERS_HOME={settings.home}."
            raise CannotStart(msg) from error
        yield lock


def _check_ports(settings: Settings) -> None:
    for name, host, port in (
        ("WORKERS_API_PORT", settings.api_host, settings.api_port),
        ("WORKERS_UI_PORT", settings.ui_host, settings.ui_port),
    ):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.create_server((host, port), family=family):
                pass
        except OSError as error:
            msg = f"Port {port} on {host} cannot be used ({error.strerror}); set {name} to another."
            raise CannotStart(msg) from error


def _prepare(runtime: Runtime) -> None:
    settings = runtime.settings
    if settings.source_url is None and not settings.demo_source_path.exists():
        say("Making the demo source: the bookings of two years.")
        create_demo_source(settings.demo_source_path)
    # In a process of its own: this one stays small, without Dagster in it.
    try:
        subprocess.run(
            [sys.executable, "-m", "workers", "migrate"],
            env=runtime.environment,
            timeout=MIGRATE_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        msg = "The task database could not be brought up to date; see above."
        raise CannotStart(msg) from error


def _become_supervisor(runtime: Runtime, lock: IO[str]) -> NoReturn:
    """Go on as `workers.supervise`, in this process, without all that is imported here.

    The process stays the same for who started it, and with it goes the lock on the home.
    """
    with tempfile.TemporaryFile("w+") as plan:
        plan.write(runtime.plan.to_json())
        plan.seek(0)
        for file in (plan, lock):
            os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - its only argument
        descriptors = [str(file.fileno()) for file in (plan, lock)]
        # Whoever asks for the end from here on is heard once there is somebody who listens.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        # A thread of a library that is asked instead ends the process, and does not forget it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stdout.flush()
        sys.stderr.flush()
        command = [sys.executable, "-m", "workers.supervise", *descriptors]
        os.execve(sys.executable, command, runtime.environment)  # noqa: S606 - our own module
