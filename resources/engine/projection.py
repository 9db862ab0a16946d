"""Writes the task's row whenever Dagster writes its run, in Dagster's own transaction.

So a task's status is its run's state in the very next read, whoever changed the run: this API,
Dagster's UI, a daemon, a retry, a crash. Each function here works on the connection it is given
and is called by `resources.engine.storage` alone.
"""

import json
import uuid
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterRun, DagsterRunStatus
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
from dagster._core.storage.tags import RETRY_NUMBER_TAG, RETRY_STRATEGY_TAG
from sqlalchemy import ColumnElement, Connection, insert, select, update

from resources.engine.names import (
    OWNER_TAG,
    TASK_ID_TAG,
    parameters_of,
    task_type_of,
)
from resources.engine.run_status import status_from_run
from resources.requests import DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE
from resources.store.database import announce_change
from resources.store.models import DAGSTER_OWNER, Status, Task
from resources.store.tables import MAX_DATE_LENGTH, tasks
from resources.store.tasks import new_task_values
from resources.timestamps import now

# Dagster's default strategy goes on from the failed step, and finds nothing to do where a process
# died after its last one.
DEFAULT_TAGS = {RETRY_STRATEGY_TAG: ReexecutionStrategy.ALL_STEPS.value}
NUL = "\\u0000"

_OPEN = (Status.PENDING, Status.PROCESSING)

WORKER_LOST = {
    "code": "worker_lost",
    "detail": "The process that worked on the task died. Submit the task again.",
    "retryable": True,
}
INTERNAL_ERROR = {
    "code": "internal_error",
    "detail": "The task failed for a reason of the service's own. The operator finds it in the "
    "run's log.",
    "retryable": False,
}
RUN_DELETED = {
    "code": "run_deleted",
    "detail": "The task's run was deleted in Dagster. Submit the task again.",
    "retryable": True,
}


def run_added(connection: Connection, run: DagsterRun) -> DagsterRun:
    """Join a new run with its task; returns the run as it is to be stored.

    A run made for a waiting task belongs to that; a retry or re-execution of a failed task's
    run becomes its next attempt; every other run of a task type becomes a new task.
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
    identity = {TASK_ID_TAG: str(task.id), OWNER_TAG: task.owner}
    return run.with_tags({**DEFAULT_TAGS, **run.tags, **identity})


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
        "options": {k: v for k, v in _object(given.get("options")).items() if v is not None},
    }


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


def as_it_ends(task: Task | None, event: DagsterEvent) -> DagsterEvent:
    """The event as it is to be stored.

    Once its end was asked for, a task ends cancelled, even where its run got to success or
    failed on the way: then the run's end is written as "cancelled" too.
    """
    ends = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE}
    if task is None or task.cancel_requested_at is None or event.event_type not in ends:
        return event
    return DagsterEvent(
        event_type_value=DagsterEventType.RUN_CANCELED.value,
        job_name=event.job_name,
        message="The task was cancelled.",
    )


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
    elif run_state is DagsterRunStatus.CANCELING and task.cancel_requested_at is None:
        values["cancel_requested_at"] = at
    if status is Status.COMPLETED and task.result is None:
        values |= {"status": Status.FAILED, "error": INTERNAL_ERROR}
    elif status is Status.FAILED and task.error is None:
        values["error"] = _unexplained(event)
    if values["status"].is_final:
        values["finished_at"] = at
    if values["status"] in {Status.FAILED, Status.CANCELLED}:
        values["result"] = None  # its files are about to be swept
    _set(connection, task, **values)
    announce_change(connection)


def _unexplained(event: DagsterEvent) -> dict[str, Any]:
    """Why a run failed that did not tell: an error in the code, or a process that died."""
    reason = getattr(event.event_specific_data, "failure_reason", None)
    in_code = {RunFailureReason.STEP_FAILURE, RunFailureReason.RUN_EXCEPTION}
    if isinstance(event.event_specific_data, JobFailureData) and reason in in_code:
        return INTERNAL_ERROR
    return WORKER_LOST


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
        else {"status": Status.FAILED, "error": RUN_DELETED}
    )
    _set(connection, task, finished_at=at, updated_at=at, result=None, **end)


def _task(connection: Connection, condition: ColumnElement[bool]) -> Task | None:
    row = connection.execute(select(tasks).where(condition).with_for_update()).first()
    return None if row is None else Task.from_row(row)


def _set(connection: Connection, task: Task, **values: Any) -> None:
    connection.execute(update(tasks).where(tasks.c.id == task.id).values(values))
