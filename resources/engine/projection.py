"""Writes the task's row whenever Dagster writes its run, in Dagster's own transaction.

So a task's status is its run's state in the very next read, whoever changed the run: this API,
Dagster's UI, a daemon, a retry, a crash. Each function here works on the connection it is given
and is called by `resources.engine.storage` alone.
"""

import json
import uuid
from dataclasses import replace
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterRun, DagsterRunStatus
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
from dagster._core.storage.tags import (
    MAX_RETRIES_TAG,
    MAX_RUNTIME_SECONDS_TAG,
    PRIORITY_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
)
from sqlalchemy import ColumnElement, Connection, insert, select, update

from resources.engine import failures
from resources.engine.names import (
    OWNER_TAG,
    TASK_ID_TAG,
    TASK_TYPE_TAG,
    parameters_of,
    task_type_of,
)
from resources.engine.run_status import status_from_run
from resources.requests import DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE
from resources.settings import load_settings
from resources.store.database import announce_change
from resources.store.models import DAGSTER_OWNER, Status, Task
from resources.store.tables import MAX_DATE_LENGTH, tasks
from resources.store.tasks import new_task_values
from resources.timestamps import now

NUL = "\\u0000"
PRIORITY = "priority"

_OPEN = (Status.PENDING, Status.PROCESSING)
_ENDS = {
    DagsterEventType.RUN_SUCCESS,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
}


def run_added(connection: Connection, run: DagsterRun, relatives: int) -> DagsterRun:
    """Join a new run with its task; returns the run as it is to be stored.

    A run made for a waiting task belongs to that; a retry or re-execution of a failed task's
    run becomes its next attempt; every other run of a task type becomes a new task.

    Args:
        connection: The transaction that stores the run.
        run: The run.
        relatives: How many runs it was made from, one after the other, and those made of them.
    """
    task_type = task_type_of(run)
    if task_type is None:
        return run
    task = _task(connection, tasks.c.run_id == run.run_id)
    if task is None and run.parent_run_id is not None:
        parent = _task(connection, tasks.c.run_id == run.parent_run_id)
        if RETRY_NUMBER_TAG in run.tags and (parent is None or parent.status is Status.CANCELLED):
            # An automatic retry that comes too late: somebody has cancelled the task or
            # re-executed its run since. It belongs to no task, and ends when it finds that out.
            return run
        if parent is not None and parent.status in {Status.FAILED, Status.PENDING}:
            _next_attempt(connection, parent, run, task_type)
            task = parent
        elif parent is not None:
            task = _new_task(connection, run, task_type, owner=parent.owner)
    if task is None:
        owner = run.tags.get(OWNER_TAG, DAGSTER_OWNER)
        task = _new_task(connection, run, task_type, owner=owner)
    identity = {TASK_ID_TAG: str(task.id), OWNER_TAG: task.owner, TASK_TYPE_TAG: task.task_type}
    # What somebody wrote on a run in Dagster itself stands, and retries inherit it.
    priority = {PRIORITY_TAG: str(task.priority)} if task.priority else {}
    return run.with_tags(priority | _engine_tags(run, relatives) | identity)


def _engine_tags(run: DagsterRun, relatives: int) -> dict[str, str]:
    """The run's tags, with those by which Dagster retries it and limits its time."""
    settings = load_settings()
    # Dagster's default strategy goes on from the failed step, and finds nothing to do where a
    # process died after its last one.
    strategy = {RETRY_STRATEGY_TAG: ReexecutionStrategy.ALL_STEPS.value}
    limits = {
        # Dagster compares it with the number of all relatives.
        MAX_RETRIES_TAG: str(relatives + settings.task_max_attempts - 1),
        MAX_RUNTIME_SECONDS_TAG: str(int(settings.task_max_runtime.total_seconds())),
    }
    tags = strategy | limits | dict(run.tags)
    if max_runtime_of(run) is None:  # Dagster would take what is no number for no limit
        tags[MAX_RUNTIME_SECONDS_TAG] = limits[MAX_RUNTIME_SECONDS_TAG]
    by_hand = run.parent_run_id is not None and RETRY_NUMBER_TAG not in run.tags
    return tags | limits if by_hand else tags  # by hand, its parent's limits are used up


def max_runtime_of(run: DagsterRun) -> float | None:
    """For how many seconds the run may work, as its tag says; None: that says no such thing."""
    try:
        seconds = float(run.tags.get(MAX_RUNTIME_SECONDS_TAG, ""))
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _next_attempt(connection: Connection, task: Task, run: DagsterRun, task_type: str) -> None:
    at = now()
    values = _parameters(run, task_type) | {
        "run_id": run.run_id,
        "status": Status.PENDING,
        "attempt": task.attempt + 1,
        "error": None,
        "updated_at": at,
        "handed_over_at": at,
        "started_at": None,
        "finished_at": None,
        "cancel_requested_at": None,
        "swept_at": None,
    }
    if PRIORITY in task.options:  # was decided when the task was accepted
        values["options"][PRIORITY] = task.options[PRIORITY]
    if task.result is None:
        values |= {"processed": 0, "total": None}
    _set(connection, task, **values)
    announce_change(connection)


def _new_task(connection: Connection, run: DagsterRun, task_type: str, *, owner: str) -> Task:
    values = new_task_values(
        owner=owner, task_type=task_type, request_id=str(uuid.uuid4()), run_id=run.run_id
    )
    values |= _parameters(run, task_type) | {"fingerprint": "", "handed_over_at": now()}
    connection.execute(insert(tasks).values(values))
    announce_change(connection)
    return Task.from_row(
        connection.execute(select(tasks).where(tasks.c.run_id == run.run_id)).one()
    )


def _parameters(run: DagsterRun, task_type: str) -> dict[str, Any]:
    """A run's parameters as columns; what somebody typed wrongly is left to the run to refuse."""
    given = parameters_of(run, task_type)
    return {
        "batch_size": _batch_size(given.get("batch_size")),
        "filters": _object(given.get("filters")),
        "date_from": _short_text(given.get("date_from")),
        "date_to": _short_text(given.get("date_to")),
        "options": _options(given.get("options")),
    }


def _options(value: Any) -> dict[str, Any]:
    """The options but for the priority, which a run config has no say in."""
    return {k: v for k, v in _object(value).items() if v is not None and k != PRIORITY}


def _object(value: Any) -> dict[str, Any]:
    """``value`` as the column can hold it: a run config may have enums, NaN, NUL."""
    if not isinstance(value, dict):
        return {}
    try:
        text = json.dumps(value, default=str, allow_nan=False)
    except ValueError:
        return {}
    return {} if NUL in text else dict(json.loads(text))


def _batch_size(value: Any) -> int:
    fits = isinstance(value, int) and 1 <= value <= MAX_BATCH_SIZE
    return int(value) if fits else DEFAULT_BATCH_SIZE


def _short_text(value: Any) -> str | None:
    return value[:MAX_DATE_LENGTH] if isinstance(value, str) else None


def lock_task(connection: Connection, run_id: str) -> Task | None:
    """The task that belongs to the run, locked until the transaction's end."""
    return _task(connection, tasks.c.run_id == run_id)


def ran_out_of_time(connection: Connection, task: Task) -> Task:
    """Note that the task's run has worked for too long: it will fail, whatever it gets to."""
    _set(connection, task, error=failures.MAX_RUNTIME_EXCEEDED)
    return replace(task, error=failures.MAX_RUNTIME_EXCEEDED)


def as_it_ends(task: Task | None, event: DagsterEvent) -> DagsterEvent:
    """The event as it is to be stored.

    Once its end was asked for, a task ends cancelled, and one that ran out of time fails, even
    where its run got to success or failed on the way: then the run's end is written so too. A
    run that broke on the task database's absence has not failed but was lost.
    """
    if task is None or event.event_type not in _ENDS:
        return event
    if task.cancel_requested_at is not None:
        return failures.cancelled(event)
    if _has_run_out(task):
        return failures.out_of_time(event)
    if task.error is None and failures.is_outage(event):
        return failures.lost(event)
    return event


def _has_run_out(task: Task) -> bool:
    return task.error is not None and task.error["code"] == failures.MAX_RUNTIME_EXCEEDED["code"]


def run_changed(
    connection: Connection,
    task: Task,
    run_state: DagsterRunStatus,
    event: DagsterEvent,
    *,
    will_retry: bool,
) -> None:
    """Bring the task's row to what its run has just become."""
    if task.status not in _OPEN:
        return
    at = now()
    status = status_from_run(run_state, task.status, will_retry=will_retry)
    values: dict[str, Any] = {"status": status, "updated_at": at}
    if run_state is DagsterRunStatus.STARTED:
        values |= {"started_at": at, "heartbeat_at": at}
        values["handed_over_at"] = task.handed_over_at or at  # if nobody came to note it
    elif run_state is DagsterRunStatus.CANCELING and not _has_run_out(task):
        values["cancel_requested_at"] = task.cancel_requested_at or at
    if status is Status.COMPLETED and task.result is None:
        values |= {"status": Status.FAILED, "error": failures.INTERNAL_ERROR}
    elif status is Status.FAILED and task.error is None:
        values["error"] = failures.unexplained(event)
    elif status is Status.CANCELLED:
        # So that the dispatcher looks after what is left, whoever ended it.
        values |= {"error": None, "cancel_requested_at": task.cancel_requested_at or at}
    if values["status"].is_final:
        values["finished_at"] = at
    if values["status"] in {Status.FAILED, Status.CANCELLED}:
        values["result"] = None  # its files are about to be swept
    _set(connection, task, **values)
    announce_change(connection)


def run_deleted(connection: Connection, run_id: str) -> None:
    """A task whose run was deleted while it was open has failed."""
    task = lock_task(connection, run_id)
    if task is None or task.status not in _OPEN:
        return
    _end_deleted(connection, task)
    announce_change(connection)


def all_runs_deleted(connection: Connection) -> None:
    """Every open task that Dagster had has failed."""
    handed_over = tasks.c.handed_over_at.is_not(None) | (tasks.c.status == Status.PROCESSING)
    had = select(tasks).where(tasks.c.status.in_(_OPEN), handed_over)
    for row in connection.execute(had.with_for_update()).all():
        _end_deleted(connection, Task.from_row(row))
    announce_change(connection)


def _end_deleted(connection: Connection, task: Task) -> None:
    at = now()
    end: dict[str, Any] = (
        {"status": Status.CANCELLED}
        if task.cancel_requested_at
        else {"status": Status.FAILED, "error": failures.RUN_DELETED}
    )
    _set(connection, task, finished_at=at, updated_at=at, result=None, **end)


def _task(connection: Connection, condition: ColumnElement[bool]) -> Task | None:
    row = connection.execute(select(tasks).where(condition).with_for_update()).first()
    return None if row is None else Task.from_row(row)


def _set(connection: Connection, task: Task, **values: Any) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(values))
