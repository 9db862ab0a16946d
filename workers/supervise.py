"""The process that `workers up` becomes: it starts the parts, and looks after them.

``python -m workers.supervise PLAN LOCK``, both open descriptors: a file that holds a `Plan`, and
the lock on the home, held for as long as this process has it open. For weeks this process does next
to nothing; so it imports the standard library, and nothing of ours that imports more.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from resources.processes import give_back_memory
from workers.plan import Plan
from workers.supervisor import STOP_SIGNALS, Supervisor, say

READY_SECONDS = 90.0
READY_POLL_SECONDS = 0.2
PROBE_SECONDS = 0.5
# Both are far more than it takes: what hangs must not stay for as long as the service.
GREETING_SECONDS = 30.0
LOOK_SECONDS = 120.0


def main(plan_descriptor: int, lock_descriptor: int) -> None:
    """Supervise what the plan says until the end is asked for."""
    logging.basicConfig(format="Warning: %(message)s")
    # No part may hold the lock.
    os.set_inheritable(lock_descriptor, False)  # noqa: FBT003 - its only argument
    with os.fdopen(plan_descriptor) as file:
        plan = Plan.from_json(file.read())
    try:
        asyncio.run(_supervise(plan))
    finally:
        plan.clean_up()


async def _supervise(plan: Plan) -> None:
    supervisor = Supervisor(os.environ)
    supervisor.stop_on_signals()
    # `workers up` held them back since before it became this process.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    started = time.monotonic()
    try:
        for part in plan.first:
            await supervisor.start(part)
        # Daemon and web server look for the code location once at their start, then seldom.
        await _until(supervisor, lambda: _accepts_connections(plan.socket), "code server")
        for part in plan.then:
            await supervisor.start(part)
        await _until(supervisor, lambda: all(map(_answers, plan.ready_urls)), "service")
        if not supervisor.stopping:
            say(f"Ready after {time.monotonic() - started:.0f} s.")
            supervisor.run_beside(_follow_up(supervisor, plan))
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


def _accepts_connections(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PROBE_SECONDS)
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def _answers(url: str) -> bool:
    where = urlsplit(url)
    connection = HTTPConnection(where.netloc, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", where.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (HTTPException, OSError):
        return False
    finally:
        connection.close()


async def _follow_up(supervisor: Supervisor, plan: Plan) -> None:
    for line in plan.told:
        say(line)
    if sys.stderr.isatty():
        await supervisor.carry_out(plan.greeting, GREETING_SECONDS)
    say("Ctrl-C stops it.")
    await supervisor.carry_out(plan.look, LOOK_SECONDS)
    give_back_memory()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
