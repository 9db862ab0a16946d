"""``workers up``: the whole service, on one machine, until it is stopped."""

import asyncio
import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from urllib.error import URLError
from urllib.request import urlopen

from resources.demo_source import create_demo_source
from resources.errors import WorkersError
from resources.results.factory import result_store
from resources.settings import Settings
from resources.source.declarations import load_declarations
from resources.store.database import connect
from resources.store.tokens import TokenStore
from workers.parts import Runtime
from workers.start_check import look_in_background
from workers.supervisor import Supervisor, say

READY_SECONDS = 90.0
READY_POLL_SECONDS = 0.2
PROBE_SECONDS = 0.5
MIGRATE_SECONDS = 120.0
LOCAL_OWNER = "local"
LOCAL_TOKEN_LIFETIME = timedelta(hours=24)


class CannotStart(WorkersError):
    """The service cannot be started; the message says why, in one line."""


def run_service(settings: Settings) -> None:
    """Start everything, and return when it was stopped.

    Raises:
        CannotStart: With what to change.
    """
    _make_home(settings)
    with _only_one(settings):
        _check_ports(settings)
        load_declarations(settings.datasets)
        result_store(settings).prepare()
        runtime = Runtime.create(settings)
        try:
            _prepare(runtime)
            asyncio.run(_supervise(runtime))
        finally:
            runtime.close()


def _make_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        msg = f"WORKERS_HOME={settings.home} cannot be made: {error.strerror}."
        raise CannotStart(msg) from error


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Two services on one home would take each other's tasks."""
    with (settings.home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f"The service is running already, with WORKERS_HOME={settings.home}."
            raise CannotStart(msg) from error
        yield


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


async def _supervise(runtime: Runtime) -> None:
    supervisor = Supervisor(runtime.environment)
    supervisor.stop_on_signals()
    started = time.monotonic()
    try:
        await supervisor.start(runtime.code_server)
        await supervisor.start(runtime.api)
        # Daemon and web server look for the code location once at their start, then seldom.
        await _until(supervisor, lambda: _accepts_connections(runtime), "code server")
        await supervisor.start(runtime.daemon)
        await supervisor.start(runtime.ui)
        await _until(supervisor, lambda: _is_ready(runtime.settings), "service")
        if not supervisor.stopping:
            _tell_ready(runtime.settings, time.monotonic() - started)
            look_in_background(runtime.settings)
        await supervisor.wait()
        say("Stopping.")
    finally:
        await supervisor.stop()


async def _until(supervisor: Supervisor, condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not await asyncio.to_thread(condition):
        if await supervisor.wait(READY_POLL_SECONDS):
            return
        if time.monotonic() > deadline:
            say(f"The {what} is not ready after {READY_SECONDS:.0f} s; see the lines above.")
            deadline = float("inf")


def _accepts_connections(runtime: Runtime) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PROBE_SECONDS)
        try:
            client.connect(str(runtime.socket))
        except OSError:
            return False
        return True


def _is_ready(settings: Settings) -> bool:
    return _answers(f"{api_url(settings)}/health/ready") and _answers(
        f"{ui_url(settings)}/server_info"
    )


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310 - http, our own
            return bool(response.status == HTTPStatus.OK)
    except (URLError, OSError):
        return False


def api_url(settings: Settings) -> str:
    """Where the API is reached from this machine."""
    return f"http://{_reachable(settings.api_host)}:{settings.api_port}"


def ui_url(settings: Settings) -> str:
    """Where Dagster's UI is reached from this machine."""
    return f"http://{_reachable(settings.ui_host)}:{settings.ui_port}"


def _reachable(host: str) -> str:
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what they are called, no bind
    return local.get(host, f"[{host}]" if ":" in host else host)


def _tell_ready(settings: Settings, seconds: float) -> None:
    say(f"Ready after {seconds:.0f} s.")
    say(f"API         {api_url(settings)}/api/v1/workers/")
    say(f"Dagster UI  {ui_url(settings)}/")
    if sys.stderr.isatty():
        token = fresh_token(settings, LOCAL_OWNER, LOCAL_TOKEN_LIFETIME)
        say(f"Token       {token}  (owner {LOCAL_OWNER}, valid for 24 hours)")
    say("Ctrl-C stops it.")


def fresh_token(settings: Settings, owner: str, lifetime: timedelta) -> str:
    """A new token of ``owner``; the last one that was made so for them works no longer."""
    engine = connect(settings.state_url)
    try:
        return TokenStore(engine).create(owner, expires_in=lifetime, replaces=owner)
    finally:
        engine.dispose()
