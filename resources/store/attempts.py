"""A task as its run uses it: claim, report, publish.

``tasks.run_id`` is the fencing token. Every write here is one UPDATE that hits a row only while
the task is being processed by this run, nobody asked for its end, and it has not run out of time;
a write that hits none means "stop, and touch nothing". (Dagster's RUN_START makes a task
"processing" before its job begins.)
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, select, update

from resources.errors import AttemptSuperseded, TaskFailed
from resources.store.database import read_transaction, write_transaction
from resources.store.models import Status, Task
from resources.store.tables import tasks
from resources.timestamps import now


@dataclass(frozen=True)
class AttemptStore:
    """One run's side of the task store."""

    engine: Engine
    run_id: str

    def claim(self) -> Task:
        """The task that this run is to do.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
            Unavailable: The database does not answer.
        """
        self._write_fenced(heartbeat_at=now())
        with read_transaction(self.engine) as connection:
            row = connection.execute(select(tasks).where(tasks.c.run_id == self.run_id)).first()
        if row is None:
            raise AttemptSuperseded
        return Task.from_row(row)

    def report_progress(self, processed: int, total: int) -> None:
        """Tell how many rows are done, of how many.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
            Unavailable: The database does not answer.
        """
        at = now()
        self._write_fenced(processed=processed, total=total, updated_at=at, heartbeat_at=at)

    def beat(self) -> None:
        """Tell that this run is alive.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
            Unavailable: The database does not answer.
        """
        self._write_fenced(heartbeat_at=now())

    def check(self) -> None:
        """Make sure that the task is still this run's; a read, no write.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
            Unavailable: The database does not answer.
        """
        with read_transaction(self.engine) as connection:
            mine = connection.execute(select(tasks.c.id).where(self._mine())).first()
        if mine is None:
            raise AttemptSuperseded

    def publish(self, result: dict[str, Any]) -> None:
        """Make ``result`` the task's result: the one write by which it exists.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now; nothing was published.
            Unavailable: The database does not answer.
        """
        at = now()
        rows = result["rows"]
        self._write_fenced(result=result, processed=rows, total=rows, updated_at=at)

    def record_error(self, error: TaskFailed) -> None:
        """Write down why this run is about to fail.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
            Unavailable: The database does not answer.
        """
        told = {"code": error.code, "detail": error.detail, "retryable": error.retryable}
        try:
            self._write_fenced(error=told)
        except AttemptSuperseded:
            if self._told() != told:  # it is, when this is done twice
                raise

    def _told(self) -> dict[str, Any] | None:
        """The error that stands in the row while the task is this run's."""
        with read_transaction(self.engine) as connection:
            told: dict[str, Any] | None = connection.scalar(
                select(tasks.c.error).where(self._held())
            )
        return told

    def _held(self) -> ColumnElement[bool]:
        return and_(
            tasks.c.run_id == self.run_id,
            tasks.c.status == Status.PROCESSING,
            tasks.c.cancel_requested_at.is_(None),
        )

    def _mine(self) -> ColumnElement[bool]:
        """Held, and not about to fail, as one is that ran out of time."""
        return and_(self._held(), tasks.c.error.is_(None))

    def _write_fenced(self, **values: Any) -> None:
        with write_transaction(self.engine) as connection:
            written = connection.execute(update(tasks).where(self._mine()).values(values))
            if written.rowcount == 0:
                raise AttemptSuperseded
