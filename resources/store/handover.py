"""Tasks as the dispatcher uses them: which to hand over, which to end, which to clean up after."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    ScalarSelect,
    Select,
    and_,
    func,
    select,
    union_all,
    update,
)

from resources.store.database import read_transaction, write_transaction
from resources.store.models import Priority, Status, Task
from resources.store.tables import IN_FLIGHT, TO_STOP, TO_SWEEP, WAITING, tasks
from resources.store.turns import note_turn
from resources.timestamps import now


@dataclass(frozen=True)
class WaitingTask:
    """What has to be known of a waiting task to tell whether it may go."""

    id: int
    owner: str
    task_type: str
    priority: int


@dataclass(frozen=True)
class InFlight:
    """How many tasks of one kind Dagster has: queued ones, or ``processing`` ones."""

    owner: str
    task_type: str
    priority: int
    status: Status
    runs: int


@dataclass(frozen=True)
class Work:
    """What there is to do, as of one moment.

    Attributes:
        to_stop: Tasks that somebody wants ended, and whose run may still be alive.
        to_sweep: Failed tasks whose partial files may still lie about.
        in_flight: What Dagster has already.
        waiting: Of each priority, the tasks whose turn it is next, the first one first.
    """

    to_stop: Sequence[Task]
    to_sweep: Sequence[Task]
    in_flight: Sequence[InFlight]
    waiting: Sequence[WaitingTask]


@dataclass(frozen=True)
class HandoverStore:
    """The dispatcher's side of the task store."""

    engine: Engine

    def work(self, *, ends: int, waiting: int) -> Work:
        """What there is to do; it costs the same however many tasks wait.

        Args:
            ends: At most so many tasks to stop, and so many to sweep.
            waiting: At most so many waiting tasks of each priority.
        """
        with read_transaction(self.engine) as connection:
            return Work(
                to_stop=_tasks(connection, TO_STOP, limit=ends),
                to_sweep=_tasks(connection, TO_SWEEP, limit=ends),
                in_flight=[_in_flight(row) for row in connection.execute(_IN_FLIGHT_BY_KIND)],
                waiting=[WaitingTask(*row) for row in connection.execute(_next(waiting))],
            )

    def first_of_each_kind(self) -> list[WaitingTask]:
        """The first waiting task of each owner, priority and type, in the order of their turns.

        It costs as much as there are owners who wait, and not as there are tasks.
        """
        with read_transaction(self.engine) as connection:
            return [WaitingTask(*row) for row in connection.execute(_first_of_each_kind())]

    def waiting_task(self, task_id: int) -> Task | None:
        """The task, while it waits to be handed over."""
        with read_transaction(self.engine) as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == task_id, WAITING)).first()
        return None if row is None else Task.from_row(row)

    def mark_handed_over(self, task: Task) -> None:
        """Note that Dagster has the task's run, and that its owner had a turn."""
        with write_transaction(self.engine) as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.run_id == task.run_id, tasks.c.handed_over_at.is_(None))
                .values(handed_over_at=now())
            )
            note_turn(connection, task)

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
        with read_transaction(self.engine) as connection:
            return _tasks(
                connection,
                IN_FLIGHT,
                tasks.c.status == Status.PENDING,
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


def _tasks(connection: Connection, *conditions: ColumnElement[bool], limit: int) -> list[Task]:
    query = select(tasks).where(*conditions).order_by(tasks.c.id).limit(limit)
    return [Task.from_row(row) for row in connection.execute(query)]


_WAITING_TASK = (tasks.c.id, tasks.c.owner, tasks.c.task_type, tasks.c.priority)
_KIND = (tasks.c.owner, tasks.c.task_type, tasks.c.priority, tasks.c.status)
_IN_FLIGHT_BY_KIND = select(*_KIND, func.count().label("runs")).where(IN_FLIGHT).group_by(*_KIND)


def _in_flight(row: Row[Any]) -> InFlight:
    return InFlight(row.owner, row.task_type, row.priority, Status(row.status), row.runs)


def _next(limit: int) -> Select[Any]:
    """Of each priority at most ``limit`` waiting tasks: the front of one index each."""
    fronts = [
        select(*_WAITING_TASK, tasks.c.turn)
        .where(WAITING, tasks.c.priority == priority.rank)
        .order_by(tasks.c.turn, tasks.c.id)
        .limit(limit)
        .subquery()
        for priority in Priority
    ]
    found = union_all(*(select(front) for front in fronts)).subquery()
    return select(found.c.id, found.c.owner, found.c.task_type, found.c.priority).order_by(
        found.c.turn, found.c.id
    )


def _first_of_each_kind() -> Select[Any]:
    """A skip scan: from the first task of each kind, the index is searched for the next kind's."""
    found = tasks.alias("found")
    same_owner = tasks.c.owner == found.c.owner
    same_priority = and_(same_owner, tasks.c.priority == found.c.priority)
    # Apart: SQLite searches for the first column alone where all three are compared at once.
    following = func.coalesce(
        _first(same_priority, tasks.c.task_type > found.c.task_type),
        _first(same_owner, tasks.c.priority > found.c.priority),
        _first(tasks.c.owner > found.c.owner),
    )
    firsts = select(_first().label("id")).cte("firsts", recursive=True)
    firsts = firsts.union_all(
        select(following).select_from(firsts.join(found, found.c.id == firsts.c.id))
    )
    return (
        select(*_WAITING_TASK)
        .join(firsts, firsts.c.id == tasks.c.id)
        .order_by(tasks.c.turn, tasks.c.id)
    )


def _first(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """The id of the first waiting task in the order of kinds that fulfils ``conditions``."""
    kinds = (tasks.c.owner, tasks.c.priority, tasks.c.task_type)
    query = select(tasks.c.id).where(WAITING, *conditions)
    return query.order_by(*kinds, tasks.c.turn, tasks.c.id).limit(1).scalar_subquery()
