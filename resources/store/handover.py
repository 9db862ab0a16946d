"""Tasks as the dispatcher uses them: which to hand over, which to end, which to clean up after."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select, update

from resources.store.database import read_transaction, write_transaction
from resources.store.models import Status, Task
from resources.store.tables import tasks
from resources.timestamps import now


@dataclass(frozen=True)
class HandoverStore:
    """The dispatcher's side of the task store."""

    engine: Engine

    def waiting(self, limit: int) -> list[Task]:
        """At most ``limit`` accepted tasks that Dagster does not have yet.

        First the owner with the fewest tasks in flight, then the oldest task. An owner's
        second waiting task counts the first as in flight already.
        """
        in_flight = (
            select(tasks.c.owner, func.count().label("runs"))
            .where(
                tasks.c.status.in_([Status.PENDING, Status.PROCESSING]),
                tasks.c.handed_over_at.is_not(None),
            )
            .group_by(tasks.c.owner)
            .subquery()
        )
        place = func.row_number().over(partition_by=tasks.c.owner, order_by=tasks.c.id)
        turn = (place + func.coalesce(in_flight.c.runs, 0)).label("turn")
        query = (
            select(tasks, turn)
            .join(in_flight, in_flight.c.owner == tasks.c.owner, isouter=True)
            .where(tasks.c.status == Status.PENDING, tasks.c.handed_over_at.is_(None))
            .order_by(turn, tasks.c.id)
            .limit(limit)
        )
        with read_transaction(self.engine) as connection:
            return [Task.from_row(row) for row in connection.execute(query)]

    def queued(self) -> int:
        """How many tasks Dagster has been given and not started."""
        query = select(func.count()).where(
            tasks.c.status == Status.PENDING, tasks.c.handed_over_at.is_not(None)
        )
        with read_transaction(self.engine) as connection:
            return connection.scalar(query) or 0

    def mark_handed_over(self, run_id: str) -> None:
        """Note that Dagster has the run."""
        with write_transaction(self.engine) as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.run_id == run_id, tasks.c.handed_over_at.is_(None))
                .values(handed_over_at=now())
            )

    def to_stop(self, limit: int) -> list[Task]:
        """Tasks that somebody wants ended, and whose run may still be alive."""
        return self._tasks(
            tasks.c.cancel_requested_at.is_not(None),
            tasks.c.status.in_([Status.PENDING, Status.PROCESSING, Status.CANCELLED]),
            tasks.c.swept_at.is_(None),
            limit=limit,
        )

    def to_sweep(self, limit: int) -> list[Task]:
        """Failed tasks whose partial files may still lie about."""
        return self._tasks(tasks.c.status == Status.FAILED, tasks.c.swept_at.is_(None), limit=limit)

    def is_current(self, task: Task) -> bool:
        """Whether ``task`` is still as it was read: no other run has taken it."""
        with read_transaction(self.engine) as connection:
            row = connection.execute(
                select(tasks.c.id).where(
                    tasks.c.id == task.id,
                    tasks.c.run_id == task.run_id,
                    tasks.c.status == task.status,
                )
            ).first()
        return row is not None

    def give_up(self, task: Task, error: dict[str, Any]) -> None:
        """End a pending task of which nothing will come, unless another run has taken it."""
        at = now()
        with write_transaction(self.engine) as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.run_id == task.run_id, tasks.c.status == Status.PENDING)
                .values(status=Status.FAILED, error=error, finished_at=at, updated_at=at)
            )

    def quiet(self, since: timedelta, limit: int) -> list[Task]:
        """Tasks that Dagster has, and that have been pending without a change for so long."""
        return self._tasks(
            tasks.c.status == Status.PENDING,
            tasks.c.handed_over_at.is_not(None),
            tasks.c.updated_at < now() - since,
            limit=limit,
        )

    def mark_swept(self, task: Task) -> None:
        """Note that nothing is left of ``task``, unless another run has taken it since."""
        with write_transaction(self.engine) as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.id == task.id, tasks.c.run_id == task.run_id)
                .values(swept_at=now())
            )

    def _tasks(self, *conditions: ColumnElement[bool], limit: int) -> list[Task]:
        query = select(tasks).where(*conditions).order_by(tasks.c.id).limit(limit)
        with read_transaction(self.engine) as connection:
            return [Task.from_row(row) for row in connection.execute(query)]
