"""Which one a pending task is in the queue: how many are to start before it, and itself.

Higher priorities come first; within one, what Dagster has already, in its order; then whose turn
it is. Limits are not looked at: who is at one is overtaken.
"""

import time
from threading import Lock
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Engine,
    Select,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
)

from resources.store.database import read
from resources.store.models import Task, TaskStatus
from resources.store.tables import IN_FLIGHT, WAITING, tasks

# So many places are counted for each who asks. Further back, where counting takes longer and
# nobody is about to start, all places are looked up together, this often at most; the longer that
# takes, the more seldom.
COUNTED = 1_000
AGE_SECONDS = 1.0
LEAST_AGE_IN_LOOKUPS = 10
MOST = 2**31 - 1

_IN_DAGSTER = and_(IN_FLIGHT, tasks.c.status == literal_column("'pending'"))


def _bound(*names: str) -> list[BindParameter[Any]]:
    return [bindparam(name, type_=tasks.c[name].type) for name in names]


class QueuePositions:
    """Tells positions: exact ones at the front of the queue, further back as of a second ago."""

    def __init__(self, engine: Engine, *, counted: int = COUNTED) -> None:
        self._engine = engine
        self._counted = counted
        self._looking = Lock()
        self._positions: dict[int, int] = {}
        self._valid_until = 0.0

    def position(self, task: Task | TaskStatus) -> int:
        """The position of the pending ``task``, from 1.

        Raises:
            Unavailable: The database does not answer.
        """
        known = self._positions.get(task.id, 0)
        if known > self._counted and time.monotonic() < self._valid_until:
            return known
        counted = self._count(task, self._counted + 1)
        if counted <= self._counted:
            return counted
        self._look_up_once()
        return self._positions.get(task.id) or self._count(task, MOST)

    def _count(self, task: Task | TaskStatus, most: int) -> int:
        """The position; where it is further back than ``most``, some number beyond that."""
        values: dict[str, Any] = {"priority": task.priority, "id": task.id, "most": most}
        if task.handed_over_at is None:
            ((count,),) = read(self._engine, _UP_TO_WAITING, values | {"turn": task.turn})
        else:
            values["handed_over_at"] = task.handed_over_at
            ((count,),) = read(self._engine, _UP_TO_HANDED_OVER, values)
        return int(count)

    def _look_up_once(self) -> None:
        """Bring the positions up to date, unless they are, or another thread is at it."""
        if time.monotonic() >= self._valid_until and self._looking.acquire(blocking=False):
            try:
                self._look_up()
            finally:
                self._looking.release()

    def _look_up(self) -> None:
        started = time.monotonic()
        rows = read(self._engine, _ALL_IN_ORDER)
        self._positions = {row.id: place for place, row in enumerate(rows, start=1)}
        took = time.monotonic() - started
        self._valid_until = time.monotonic() + max(AGE_SECONDS, LEAST_AGE_IN_LOOKUPS * took)


def _counting(*conditions: ColumnElement[bool]) -> Select[int]:
    """Counts what fits each condition, which is a range of one index, and no more than ``most``."""
    found = [select(tasks.c.id).where(each).limit(bindparam("most")) for each in conditions]
    counts = [select(func.count()).select_from(each.subquery()) for each in found]
    return select(sum((each.scalar_subquery() for each in counts), literal(0)))


# Made once: putting a statement together takes longer than sending it.
_HIGHER = tasks.c.priority > bindparam("priority")
_SAME = tasks.c.priority == bindparam("priority")
_UP_TO_WAITING = _counting(
    and_(_IN_DAGSTER, _HIGHER),
    and_(WAITING, _HIGHER),
    and_(_IN_DAGSTER, _SAME),
    and_(WAITING, _SAME, tuple_(tasks.c.turn, tasks.c.id) <= tuple_(*_bound("turn", "id"))),
)
_UP_TO_HANDED_OVER = _counting(
    and_(_IN_DAGSTER, _HIGHER),
    and_(WAITING, _HIGHER),
    and_(
        _IN_DAGSTER,
        _SAME,
        tuple_(tasks.c.handed_over_at, tasks.c.id) <= tuple_(*_bound("handed_over_at", "id")),
    ),
)


def _all_in_order() -> Select[int]:
    key = (tasks.c.id, tasks.c.priority, tasks.c.turn, tasks.c.handed_over_at)
    pending = union_all(select(*key).where(_IN_DAGSTER), select(*key).where(WAITING)).subquery()
    return select(pending.c.id).order_by(
        pending.c.priority.desc(),
        pending.c.handed_over_at.is_(None),
        pending.c.handed_over_at,
        pending.c.turn,
        pending.c.id,
    )


_ALL_IN_ORDER = _all_in_order()
