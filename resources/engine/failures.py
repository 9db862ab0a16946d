"""Why a run failed, where its job did not tell: the task's ``error``, and whether it counts."""

from collections.abc import Iterator
from typing import Any

from dagster import DagsterEvent, DagsterEventType
from dagster._core.events import JobFailureData, RunFailureReason
from dagster_shared.error import SerializableErrorInfo

WORKER_LOST = {
    "code": "worker_lost",
    "detail": "The process that worked on the task died. Submit the task again.",
    "retryable": True,
}
MAX_RUNTIME_EXCEEDED = {
    "code": "max_runtime_exceeded",
    "detail": "The task worked for longer than a task may. Submit it in smaller pieces: narrower "
    "dates or filters.",
    "retryable": False,
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

# What a database that does not answer raises, in the drivers (PEP 249), in Dagster and here.
# Dagster's event log keeps of an error its class's name.
_OUTAGES = {"OperationalError", "InterfaceError", "DagsterPostgresException", "Unavailable"}


def unexplained(event: DagsterEvent) -> dict[str, Any]:
    """Why a run failed that did not tell: an error in the code, or a process that died."""
    in_code = {RunFailureReason.STEP_FAILURE, RunFailureReason.RUN_EXCEPTION}
    return INTERNAL_ERROR if failure_reason(event) in in_code else WORKER_LOST


def failure_reason(event: DagsterEvent) -> RunFailureReason | None:
    """Dagster's reason in the event of a run's failure."""
    data = event.event_specific_data
    return data.failure_reason if isinstance(data, JobFailureData) else None


def is_outage(event: DagsterEvent) -> bool:
    """Whether the event tells of a run that failed because the task database was away."""
    data = event.event_specific_data
    if not isinstance(data, JobFailureData):
        return False
    step = data.first_step_failure_event
    error = step.step_failure_data.error if step is not None else data.error
    return any(each.cls_name in _OUTAGES for each in _chain(error))


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """The error and all that led to it."""
    while error is not None:
        yield error
        error = error.cause or error.context


def cancelled(event: DagsterEvent) -> DagsterEvent:
    """The end of a run, told as that of one that was cancelled."""
    return DagsterEvent(
        event_type_value=DagsterEventType.RUN_CANCELED.value,
        job_name=event.job_name,
        message="The task was cancelled.",
    )


def out_of_time(event: DagsterEvent) -> DagsterEvent:
    """The end of a run, told as that of one that worked for too long."""
    return _failed(event, "The task exceeded its maximum runtime.")


def lost(event: DagsterEvent) -> DagsterEvent:
    """The end of a run, told as that of one whose process was lost: it is tried again."""
    return _failed(event, "The task database did not answer.")


def _failed(event: DagsterEvent, message: str) -> DagsterEvent:
    return DagsterEvent(
        event_type_value=DagsterEventType.RUN_FAILURE.value,
        job_name=event.job_name,
        message=message,
        event_specific_data=JobFailureData(error=None, failure_reason=RunFailureReason.UNKNOWN),
    )
