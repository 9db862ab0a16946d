"""Tasks past their time, as retention uses them: results to remove, tasks to forget."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Engine,
    and_,
    cast,
    delete,
    func,
    select,
    tuple_,
    update,
)

from resources.store.database import read_transaction, write_transaction
from resources.store.models import Task
from resources.store.tables import FINISHED, WITH_RESULT, tasks
from resources.timestamps import now

# The most rows that one statement names, or one transaction changes: SQLite has one writer.
MOST_ROWS = 1_000
T = TypeVar("T")
_SIZE = cast(tasks.c.result["bytes"].as_string(), BigInteger)


@dataclass(frozen=True)
class Outdated:
    """How much is past its time.

    Attributes:
        results: Completed tasks whose result has expired and lies there still.
        bytes: What those results take.
        tasks: Tasks to forget, but for those whose results lie there still.
    """

    results: int
    bytes: int
    tasks: int


@dataclass(frozen=True)
class RetentionStore:
    """What of the task store is past its time.

    Attributes:
        expired: Results of tasks that ended before this instant have expired.
        old: Tasks that ended before this instant are to be forgotten.
    """

    engine: Engine
    expired: datetime
    old: datetime

    def outdated(self) -> Outdated:
        """How much there is; tasks whose results are yet to be removed count among the tasks."""
        with read_transaction(self.engine) as connection:
            results, size = connection.execute(
                select(func.count(), func.coalesce(func.sum(_SIZE), 0)).where(self._has_expired())
            ).one()
            forgettable = self._is_forgettable() | and_(self._has_expired(), self._is_old())
            old = connection.scalar(select(func.count()).select_from(tasks).where(forgettable))
        return Outdated(results=results, bytes=int(size), tasks=int(old or 0))

    def expired_results(self, limit: int, after: Task | None = None) -> Sequence[Task]:
        """At most ``limit`` tasks whose result has expired and lies there still, oldest first.

        Args:
            limit: How many.
            after: Only those that come after this one.
        """
        order = (tasks.c.finished_at, tasks.c.id)
        query = select(tasks).where(self._has_expired()).order_by(*order).limit(limit)
        if after is not None:
            query = query.where(tuple_(*order) > (after.finished_at, after.id))
        with read_transaction(self.engine) as connection:
            return [Task.from_row(row) for row in connection.execute(query)]

    def mark_removed(self, removed: Sequence[Task]) -> None:
        """Note that nothing is left of the results of ``removed``."""
        for some in _slices(removed):
            ids = [task.id for task in some]
            with write_transaction(self.engine) as connection:
                connection.execute(
                    update(tasks).where(tasks.c.id.in_(ids), WITH_RESULT).values(swept_at=now())
                )

    def kept(self, ids: Collection[int]) -> set[int]:
        """Those of the tasks ``ids`` that are there, and not to be forgotten."""
        stay: set[int] = set()
        for some in _slices(list(ids)):
            query = select(tasks.c.id).where(
                tasks.c.id.in_(some), ~func.coalesce(and_(FINISHED, self._is_old()), False)
            )
            with read_transaction(self.engine) as connection:
                stay |= set(connection.scalars(query))
        return stay

    def forget(self, limit: int) -> int:
        """Delete at most ``limit`` old tasks, in one transaction; returns how many there were.

        A task of which anything may be left, a file or a process, stays until that is gone.
        """
        chosen = (
            select(tasks.c.id)
            .where(self._is_forgettable())
            .order_by(tasks.c.finished_at)
            .limit(min(limit, MOST_ROWS))
        )
        with write_transaction(self.engine) as connection:
            ids = list(connection.scalars(chosen))
            # Asked once more: somebody may have run a failed one again since.
            gone = delete(tasks).where(tasks.c.id.in_(ids), self._is_forgettable())
            return connection.execute(gone).rowcount

    def _has_expired(self) -> ColumnElement[bool]:
        return and_(WITH_RESULT, tasks.c.finished_at < self.expired)

    def _is_old(self) -> ColumnElement[bool]:
        return tasks.c.finished_at < self.old

    def _is_forgettable(self) -> ColumnElement[bool]:
        return and_(FINISHED, self._is_old(), tasks.c.swept_at.is_not(None))


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), MOST_ROWS):
        yield items[start : start + MOST_ROWS]
