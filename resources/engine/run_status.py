"""Which status of a task each state of its run stands for: the one place that says so."""

from dagster import DagsterRunStatus as RunStatus

from resources.store.models import Status


def status_from_run(state: RunStatus, before: Status, *, will_retry: bool) -> Status:
    """The status of a task whose latest run is in ``state``.

    Args:
        state: The run's state. One that is unknown here, from a newer Dagster, changes nothing.
        before: The task's status up to now.
        will_retry: Whether Dagster will run the task again after this failure.
    """
    match state:
        case RunStatus.NOT_STARTED | RunStatus.QUEUED | RunStatus.MANAGED | RunStatus.STARTING:
            return Status.PENDING
        case RunStatus.STARTED | RunStatus.SUSPENDED:
            return Status.PROCESSING
        case RunStatus.SUCCESS:
            return Status.COMPLETED
        case RunStatus.CANCELED:
            return Status.CANCELLED
        case RunStatus.FAILURE:
            return Status.PENDING if will_retry else Status.FAILED
        case _:  # CANCELING, and states of a newer Dagster
            return before
