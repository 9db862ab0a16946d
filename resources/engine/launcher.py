"""Dagster's run launcher, which also tells whether a run is still alive."""

from datetime import timedelta

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from sqlalchemy import select

from resources.engine.storage import state_engine
from resources.store.database import read_transaction
from resources.store.tables import tasks
from resources.timestamps import now

# A run writes its heartbeat every 5 s; with Dagster's monitor looking every 5 s, a dead one is
# found within 25 s.
HEARTBEAT_PATIENCE = timedelta(seconds=20)


class WorkersRunLauncher(DefaultRunLauncher):
    """Starts runs by the code server; sees dead ones by the heartbeat in the task's row.

    The stock launcher cannot tell: a run whose code server died would stay "started" for ever.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes, so Dagster's run monitoring asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process was heard of lately."""
        with read_transaction(state_engine()) as connection:
            row = connection.execute(
                select(tasks.c.heartbeat_at).where(tasks.c.run_id == run.run_id)
            ).first()
        if row is None or row.heartbeat_at is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)  # no task: nothing to go by
        if row.heartbeat_at < now() - HEARTBEAT_PATIENCE:
            silence = int(HEARTBEAT_PATIENCE.total_seconds())
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"no heartbeat for more than {silence} seconds"
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)
