"""Tasks as clients use them: submit, look, list, cancel.

Every method is one transaction; every method that writes sees only what its principal may see.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from resources.errors import (
    IdempotencyKeyReused,
    TaskNotCancellable,
    TaskNotFound,
)
from resources.requests import TaskRequest
from resources.store.database import announce_change, write_transaction
from resources.store.lists import MOST_COUNTED, TaskFilter, TaskPage, list_values, read_page
from resources.store.models import Principal, Status, Task, TaskStatus
from resources.store.positions import QueuePositions
from resources.store.rows import RowQuery
from resources.store.tables import tasks
from resources.store.turns import InsertTask, Turns
from resources.timestamps import now

IDEMPOTENCY_KEY_LIFETIME = timedelta(hours=24)
_TASK, _STATUS = (
    [tasks.c[each.name] for each in fields(kind) if each.name in tasks.c]
    for kind in (Task, TaskStatus)
)
_BY_ID = tasks.c.id == bindparam("task_id")
_OWN = tasks.c.owner == bindparam("owner")
_ANYBODYS_TASK, _OWN_TASK, _ANYBODYS_STATUS, _OWN_STATUS = (
    RowQuery(select(*columns).where(_BY_ID, *own))
    for columns in (_TASK, _STATUS)
    for own in ((), (_OWN,))
)


@dataclass(frozen=True)
class Submission:
    """What submitting gave: the task, and whether an earlier request had made it."""

    task: Task
    replayed: bool


class TaskStore:
    """The clients' side of the task store."""

    def __init__(self, engine: Engine, *, most_counted: int = MOST_COUNTED) -> None:
        self._engine = engine
        self._most_counted = most_counted
        self._turns = Turns()
        self._positions = QueuePositions(engine)

    def submit(
        self, request: TaskRequest, *, owner: str, request_id: str, idempotency_key: str | None
    ) -> Submission:
        """Accept ``request``: one new row, or the row an earlier request under the key made.

        The dispatcher is woken by the same commit.

        Raises:
            IdempotencyKeyReused: The key stands for another request.
            Unavailable: The database does not answer; nothing was accepted.
        """
        values = _new_row(request, owner, request_id) | {"idempotency_key": idempotency_key}
        try:
            return self._submit(values)
        except IntegrityError:
            # Another request took the key between our look and our insert: it is there now.
            return self._submit(values)

    def _submit(self, values: dict[str, Any]) -> Submission:
        with (
            self._turns.submission() as insert_task,
            write_transaction(self._engine) as connection,
        ):
            return _submit(connection, values, insert_task)

    def get(self, task_id: int, principal: Principal) -> Task:
        """The task.

        Raises:
            TaskNotFound: No such task, or not this principal's.
            Unavailable: The database does not answer.
        """
        query = _ANYBODYS_TASK if principal.is_admin else _OWN_TASK
        return Task(*self._row(query, task_id, principal))

    def status(self, task_id: int, principal: Principal) -> TaskStatus:
        """The task, and its place in the queue.

        Raises:
            TaskNotFound: No such task, or not this principal's.
            Unavailable: The database does not answer.
        """
        query = _ANYBODYS_STATUS if principal.is_admin else _OWN_STATUS
        task = TaskStatus(*self._row(query, task_id, principal))
        if task.status is not Status.PENDING:
            return task
        return replace(task, queue_position=self._positions.position(task))

    def _row(self, query: RowQuery, task_id: int, principal: Principal) -> Sequence[Any]:
        row = query.first(self._engine, {"task_id": task_id, "owner": principal.owner})
        if row is None:
            raise TaskNotFound
        return row

    def page(
        self, principal: Principal, wanted: TaskFilter, *, page: int, page_size: int
    ) -> TaskPage:
        """Page ``page`` (from 1) of the tasks that ``principal`` sees and ``wanted`` keeps.

        One owner's tasks are counted; those of all up to ``most_counted``, where that is slow.

        Raises:
            PageOutOfRange: The page lies past the end (page 1 never does).
            Unavailable: The database does not answer.
        """
        return read_page(
            self._engine,
            list_values(principal, wanted),
            page=page,
            page_size=page_size,
            most_counted=self._most_counted,
        )

    def cancel(self, task_id: int, principal: Principal) -> Task:
        """Ask for the end of a task.

        A pending task is cancelled at once and never runs. Of a processing one the wish is
        written down; its run and the dispatcher both act on it. Asking again changes nothing.

        Raises:
            TaskNotFound: No such task, or not this principal's.
            TaskNotCancellable: The task is final.
            Unavailable: The database does not answer.
        """
        with write_transaction(self._engine) as connection:
            task = _read(connection, task_id, principal, lock=True)
            if task.status.is_final:
                raise TaskNotCancellable
            if task.cancel_requested_at is None:
                connection.execute(
                    update(tasks).where(tasks.c.id == task.id).values(_cancellation(task.status))
                )
                announce_change(connection)
            return _read(connection, task_id, principal)


def fingerprint(request: TaskRequest) -> str:
    """A digest that two requests share when they ask for the same."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_task_values(*, owner: str, task_type: str, request_id: str, run_id: str) -> dict[str, Any]:
    """The columns that every new task starts with."""
    at = now()
    return {
        "owner": owner,
        "task_type": task_type,
        "status": Status.PENDING,
        "request_id": request_id,
        "run_id": run_id,
        "attempt": 1,
        "processed": 0,
        "created_at": at,
        "updated_at": at,
    }


def _new_row(request: TaskRequest, owner: str, request_id: str) -> dict[str, Any]:
    return new_task_values(
        owner=owner,
        task_type=request.task_type,
        request_id=request_id,
        run_id=str(uuid.uuid4()),
    ) | {
        "batch_size": request.batch_size,
        "filters": request.filters,
        "date_from": request.date_from,
        "date_to": request.date_to,
        "options": request.options,
        "priority": request.priority.rank,
        "fingerprint": fingerprint(request),
    }


def _submit(connection: Connection, values: dict[str, Any], insert_task: InsertTask) -> Submission:
    earlier = _holder_of_key(connection, values["owner"], values["idempotency_key"])
    if earlier is not None:
        if earlier["fingerprint"] != values["fingerprint"]:
            raise IdempotencyKeyReused
        return Submission(_task_where(connection, tasks.c.id == earlier["id"]), replayed=True)
    announce_change(connection)
    return Submission(insert_task(connection, values), replayed=False)


def _holder_of_key(connection: Connection, owner: str, key: str | None) -> dict[str, Any] | None:
    """The id and fingerprint of the task under ``key``; a key past its time is set free."""
    if key is None:
        return None
    row = connection.execute(
        select(tasks.c.id, tasks.c.fingerprint, tasks.c.created_at).where(
            tasks.c.owner == owner, tasks.c.idempotency_key == key
        )
    ).first()
    if row is None:
        return None
    if row.created_at + IDEMPOTENCY_KEY_LIFETIME > now():
        return {"id": row.id, "fingerprint": row.fingerprint}
    connection.execute(update(tasks).where(tasks.c.id == row.id).values(idempotency_key=None))
    return None


def _read(
    connection: Connection, task_id: int, principal: Principal, *, lock: bool = False
) -> Task:
    query = select(tasks).where(tasks.c.id == task_id, _visible_to(principal))
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise TaskNotFound
    return Task.from_row(row)


def _task_where(connection: Connection, condition: ColumnElement[bool]) -> Task:
    return Task.from_row(connection.execute(select(tasks).where(condition)).one())


def _visible_to(principal: Principal) -> ColumnElement[bool]:
    if principal.is_admin:
        return true()
    return tasks.c.owner == principal.owner


def _cancellation(status: Status) -> dict[str, Any]:
    at = now()
    wish: dict[str, Any] = {"cancel_requested_at": at, "updated_at": at}
    if status is Status.PENDING:
        wish |= {"status": Status.CANCELLED, "finished_at": at}
    return wish
