"""How a run hears that it is to end, and how it ends itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts, check_captured_interrupt


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Inside, an interrupt is noted and raises nothing; what is given tells whether one came.

    Dagster would raise its exception at whatever line the process is just then, such as one
    between the begin of a transaction and its end, which would then hold its locks.
    """
    with capture_interrupts():
        yield check_captured_interrupt


def end_as_interrupted() -> NoReturn:
    """End this process's run as Dagster ends one that is interrupted.

    It is recorded as cancelled where somebody asked for that, else as a lost worker.

    Raises:
        DagsterExecutionInterruptedError: Always.
    """
    raise DagsterExecutionInterruptedError


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
