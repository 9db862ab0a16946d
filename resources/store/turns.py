"""Whose turn it is: start-time fair queueing of the owners' tasks, within each priority.

Goyal, Vin, Cheng: "Start-time Fair Queueing" (SIGCOMM 1996), after Demers, Keshav, Shenker:
"Analysis and Simulation of a Fair Queueing Algorithm" (SIGCOMM 1989). Owners are the flows, every
task has the length 1, and a task's turn is its start tag: the one after its owner's task before
it, but none that is over already. Tasks are handed over in the order of their turns, so that of two
owners who both wait neither gets ahead of the other by more than two tasks. A task's turn is given
to it once, at submission: nothing is computed over the tasks that wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    ScalarSelect,
    String,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from resources.errors import Unavailable
from resources.store.database import CONNECT_TIMEOUT_SECONDS
from resources.store.models import Task
from resources.store.tables import WAITING, tasks, turns

_OWNER, _PRIORITY, _EARLIEST = (
    bindparam(f"turn_{name}", type_=type_)
    for name, type_ in (("owner", String), ("priority", Integer), ("earliest", BigInteger))
)


def _next_turn() -> ScalarSelect[int]:
    """The turn of the next task of `_OWNER` with `_PRIORITY`, but not before `_EARLIEST`."""
    own_waiting = select((func.max(tasks.c.turn) + 1).label("turn")).where(
        WAITING, tasks.c.owner == _OWNER, tasks.c.priority == _PRIORITY
    )
    own_last = select(turns.c.turn + 1).where(
        turns.c.owner == _OWNER, turns.c.priority == _PRIORITY
    )
    # Where the others are: who has not waited so far gains nothing by it, and loses nothing.
    present = select(func.max(turns.c.turn)).where(turns.c.priority == _PRIORITY)
    bounds = union_all(own_waiting, own_last, present, select(_EARLIEST)).subquery()
    return select(func.max(bounds.c.turn)).scalar_subquery()


# Made once: making it takes longer than carrying it out.
_INSERT = insert(tasks).values(turn=_next_turn()).returning(tasks)

InsertTask = Callable[[Connection, dict[str, Any]], Task]


class Turns:
    """Gives new tasks their turns: each of an owner's tasks another one.

    A transaction does not see what others are about to commit, so the turns of those are kept here.
    A lock in the database instead would make an owner's commits wait for each other. Two processes
    that submit tasks of one owner at the same moment may give a turn twice, and no harm is done:
    that owner goes ahead by one.
    """

    def __init__(self) -> None:
        self._inserting = Lock()
        self._uncommitted: set[tuple[str, int, int]] = set()

    @contextmanager
    def submission(self) -> Iterator[InsertTask]:
        """Inserts the rows of new tasks, in a transaction that ends inside."""
        mine = set()

        def insert_task(connection: Connection, values: dict[str, Any]) -> Task:
            with self._alone():
                task = self._insert(connection, values)
                mine.add((task.owner, task.priority, task.turn))
                self._uncommitted.update(mine)
            return task

        try:
            yield insert_task
        finally:
            self._uncommitted.difference_update(mine)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._inserting.acquire(timeout=CONNECT_TIMEOUT_SECONDS):
            msg = "The task database does not answer to another request."
            raise Unavailable(msg)
        try:
            yield
        finally:
            self._inserting.release()

    def _insert(self, connection: Connection, values: dict[str, Any]) -> Task:
        whose = (values["owner"], values["priority"])
        taken = [turn for *each, turn in self._uncommitted.copy() if tuple(each) == whose]
        bounds = {
            _OWNER.key: values["owner"],
            _PRIORITY.key: values["priority"],
            _EARLIEST.key: max(taken, default=-1) + 1,
        }
        return Task.from_row(connection.execute(_INSERT, values | bounds).one())


def note_turn(connection: Connection, task: Task) -> None:
    """Note that ``task`` had its turn. It is the dispatcher that does this, and nobody else."""
    mine = and_(turns.c.owner == task.owner, turns.c.priority == task.priority)
    connection.execute(update(turns).where(mine, turns.c.turn < task.turn).values(turn=task.turn))
    first = select(literal(task.owner), literal(task.priority), literal(task.turn))
    connection.execute(
        insert(turns).from_select(["owner", "priority", "turn"], first.where(~exists().where(mine)))
    )
