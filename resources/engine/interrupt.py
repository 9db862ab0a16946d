"""How a run ends itself as cancelled."""

from typing import NoReturn

from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterExecutionInterruptedError


def end_as_cancelled(instance: DagsterInstance, run_id: str) -> NoReturn:
    """End this process's run such that Dagster records it as cancelled, not as failed.

    Dagster takes an interrupt for a cancellation only of a run that is being cancelled.

    Raises:
        DagsterExecutionInterruptedError: Always.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, "The task was cancelled, or another run has it.")
    raise DagsterExecutionInterruptedError
