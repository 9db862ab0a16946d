"""Schedules for tests, and Dagster's scheduler at times that a test names.

``python -m tests.support.schedules SOCKET SECONDS POINT`` is a scheduler that kills itself when it
gets to one of Dagster's own crash points; without a POINT, the schedule of a service that is named
in place of the socket is made as old as that.
"""

import logging
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster._daemon.daemon  # noqa: F401 - imported after the scheduler it fails
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import ScheduleInstigatorData
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from resources.settings import CODE_LOCATION
from resources.timestamps import now

SCHEDULES = """
[nightly]
cron = "30 2 * * *"
time_zone = "Europe/Berlin"
task_type = "bookings_export"
window = "yesterday"
filters = { status = "pending" }
options = { format = "csv", priority = "low" }
owner = "reports"
description = "What waits, every night"

# May be called as a job is.
[users_export]
cron = "0 12 1 1 *"
task_type = "users_export"
owner = "o'brien & sons, \\u00fcber"
enabled = false
"""

# When a schedule was due that no test meets by chance: it comes once in a year, and came lately.
LAST_DUE = (now() - timedelta(days=2)).replace(hour=1, minute=30, second=0, microsecond=0)
SELDOM = SCHEDULES.replace("30 2 * * *", f"30 1 {LAST_DUE:%-d %-m} *").replace(
    "Europe/Berlin",
    "Africa/Abidjan",  # all year at no offset
)
# Have the daemon look every few seconds, not every minute.
LOOKS_OFTEN = {"dagster._scheduler.scheduler.SECONDS_IN_MINUTE": 2}


def code_target(socket: str) -> GrpcServerTarget:
    """The code server that listens on ``socket``."""
    return GrpcServerTarget(host="localhost", port=None, socket=socket, location_name=CODE_LOCATION)


def look(
    context: WorkspaceProcessContext, at: datetime, crash: Mapping[str, Any] | None = None
) -> None:
    """Have the scheduler look once, at the time ``at``, as one that was started just now does.

    Args:
        context: The code location.
        at: The time that it goes by.
        crash: For Dagster's crash points, the exception or signal that happens there.
    """
    scheduler: Any = context.instance.scheduler
    steps = launch_scheduled_runs(
        context,
        logging.getLogger("tests.scheduler"),
        at,
        iteration_times={},
        max_catchup_runs=scheduler.max_catchup_runs,
        max_tick_retries=scheduler.max_tick_retries,
        debug_crash_flags={"nightly": dict(crash)} if crash else None,
    )
    with freeze_time(at):
        for _ in steps:
            pass


def be_killed(socket: str, seconds: str, point: str) -> None:
    """Look once, and be killed at ``point``."""
    at = datetime.fromtimestamp(float(seconds), UTC)
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, code_target(socket)) as context,
    ):
        look(context, at, {point: signal.SIGKILL})


def date_back(name: str, seconds: str) -> None:
    """Have it seem that the schedule ``name`` was switched on then, and nobody looked since."""
    with DagsterInstance.get() as instance:
        (state,) = (
            each for each in instance.all_instigator_state() if each.instigator_name == name
        )
        data: Any = state.instigator_data
        past = ScheduleInstigatorData(data.cron_schedule, start_timestamp=float(seconds))
        instance.update_instigator_state(state.with_data(past))


if __name__ == "__main__":
    (date_back if len(sys.argv) == 3 else be_killed)(*sys.argv[1:])
