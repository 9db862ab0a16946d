"""Dagster's run launcher, which also tells whether a run is still alive."""

from datetime import datetime, timedelta
from typing import Any

from dagster import DagsterRun
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    WorkerStatus,
)
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Row, select

from resources.engine.names import task_type_of
from resources.engine.storage import state_engine
from resources.errors import Unavailable
from resources.store.database import read_transaction
from resources.store.models import Status
from resources.store.tables import tasks
from resources.timestamps import now

# A run writes its heartbeat every 5 s, and Dagster's monitor looks every 5 s. With a second look
# before it is given up, a dead one is found within 25 s or so.
HEARTBEAT_PATIENCE = timedelta(seconds=15)
SECOND_LOOK = timedelta(seconds=4)


class WorkersRunLauncher(DefaultRunLauncher):
    """Starts runs by the code server; sees dead ones by the heartbeat in the task's row.

    The stock launcher cannot tell: a run whose code server died would stay "started" for ever.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silent_since: dict[str, datetime] = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process, unless its task was cancelled or given to another run.

        Between a look at the queue and a launch both can happen (dagster#3323).
        """
        run = context.dagster_run
        if task_type_of(run) is None or (not run.is_finished and _is_wanted(run)):
            super().launch_run(context)
        elif not run.is_finished:
            self._instance.report_run_canceled(run, "Its task waits for it no longer.")

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes, so Dagster's run monitoring asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process was heard of lately.

        One that was not is looked at twice: when the task database comes back after a while,
        every heartbeat is old.
        """
        row = _task_row(run)
        if row is None or row.heartbeat_at is None or not _is_silent(row.heartbeat_at):
            self._silent_since.pop(run.run_id, None)  # without a task there is nothing to go by
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if now() - self._silent_since.setdefault(run.run_id, now()) < SECOND_LOOK:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._silent_since[run.run_id]
        silence = int(HEARTBEAT_PATIENCE.total_seconds())
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"no heartbeat for more than {silence} seconds"
        )


def _is_silent(heartbeat_at: datetime) -> bool:
    return heartbeat_at < now() - HEARTBEAT_PATIENCE


def _is_wanted(run: DagsterRun) -> bool:
    try:
        row = _task_row(run)
    except Unavailable:
        return True  # Dagster would fail it; a run that is not wanted finds that out by itself
    return row is not None and row.status == Status.PENDING


def _task_row(run: DagsterRun) -> Row[Any, Any] | None:
    query = select(tasks.c.status, tasks.c.heartbeat_at).where(tasks.c.run_id == run.run_id)
    with read_transaction(state_engine()) as connection:
        return connection.execute(query).first()
