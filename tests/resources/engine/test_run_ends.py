"""How a run ends says how its task ends: out of time, lost with its database, interrupted."""

import signal
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.storage.tags import MAX_RETRIES_TAG, MAX_RUNTIME_SECONDS_TAG
from dagster._utils.error import serializable_error_info_from_exc_info
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from pipelines.export_jobs import run_export
from pipelines.jobs import config_model, run_task
from resources.engine import failures
from resources.errors import AttemptSuperseded, Unavailable
from resources.store.attempts import AttemptStore
from resources.store.models import Principal, Role, Status, Task
from resources.store.tasks import TaskStore
from resources.task_types import REGISTRY
from tests.resources.engine.conftest import RunMaker, report, stored

ADMIN = Principal("root", Role.ADMIN)
RESULT = {"rows": 3, "bytes": 10, "files": 1, "folder": "1/x"}
RETRY = {"dagster/retry_number": "1"}

ENDS = [DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED]


@pytest.fixture
def run(task: Task, new_run: RunMaker, instance: DagsterInstance) -> DagsterRun:
    """Its run, at work."""
    return begun(instance, new_run(task.run_id))


def begun(instance: DagsterInstance, run: DagsterRun) -> DagsterRun:
    report(instance, run, DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START)
    return run


def fail(
    instance: DagsterInstance, run: DagsterRun, reason: RunFailureReason, error: Exception | None
) -> None:
    """The run fails as Dagster tells it when ``error`` was raised in its step."""
    step = None
    if error is not None:
        failure: Any = StepFailureData
        step = DagsterEvent(
            event_type_value=DagsterEventType.STEP_FAILURE.value,
            job_name=run.job_name,
            step_key="exports__bookings",
            event_specific_data=failure(error_info(error), user_failure_data=None),
        )
    data = JobFailureData(error=None, failure_reason=reason, first_step_failure_event=step)
    instance.report_run_failed(run, "failed", data)


def error_info(error: Exception) -> object:
    """``error`` as Dagster keeps it, wrapped as it wraps what a step raises."""
    try:
        raise RuntimeError("in a step") from error
    except RuntimeError:
        return serializable_error_info_from_exc_info(sys.exc_info())


def put_past_its_time(engine: Engine, run: DagsterRun) -> None:
    """As if the run had begun two days ago; a task may work for one."""
    with engine.begin() as connection:
        begun = text("UPDATE runs SET start_time = start_time - 172800 WHERE run_id = :run_id")
        connection.execute(begun, {"run_id": run.run_id})


def test_a_run_carries_the_limits_of_the_settings(task: Task, run: DagsterRun) -> None:
    assert (run.tags[MAX_RETRIES_TAG], run.tags[MAX_RUNTIME_SECONDS_TAG]) == ("2", "86400")


def test_limits_that_somebody_sets_in_the_launchpad_are_kept(new_run: RunMaker) -> None:
    asked = {MAX_RETRIES_TAG: "0", MAX_RUNTIME_SECONDS_TAG: "5"}

    assert asked.items() <= new_run(tags=asked).tags.items()


@pytest.mark.parametrize("asked", ["1h", "0", "-5", "nan", ""])
def test_a_limit_that_is_none_is_replaced_by_that_of_the_settings(
    new_run: RunMaker, asked: str
) -> None:
    run = new_run(tags={MAX_RUNTIME_SECONDS_TAG: asked})

    assert run.tags[MAX_RUNTIME_SECONDS_TAG] == "86400"


def test_who_executes_a_run_again_gets_all_attempts_again(
    task: Task, run: DagsterRun, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    statuses = []
    for attempt in range(1, 7):
        instance.report_run_failed(run, "its process died")
        after = store.get(task.id, ADMIN)
        statuses.append((after.attempt, after.status))
        by_hand = attempt == 3
        tags = {} if by_hand else {"dagster/retry_number": str(attempt)}
        run = begun(instance, new_run(parent=stored(instance, run), tags=tags))

    expected = [Status.PENDING, Status.PENDING, Status.FAILED] * 2
    assert statuses == list(enumerate(expected, start=1))


def test_who_executes_a_run_again_gets_the_time_that_is_set_now(
    task: Task, run: DagsterRun, new_run: RunMaker, instance: DagsterInstance
) -> None:
    instance.add_run_tags(run.run_id, {MAX_RUNTIME_SECONDS_TAG: "1"})

    by_itself = new_run(parent=stored(instance, run), tags=RETRY)
    by_hand = new_run(parent=stored(instance, run))

    assert by_itself.tags[MAX_RUNTIME_SECONDS_TAG] == "1"
    assert by_hand.tags[MAX_RUNTIME_SECONDS_TAG] == "86400"


@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_the_monitor_ends_for_its_time_fails_for_good_whatever_it_gets_to(
    task: Task,
    run: DagsterRun,
    store: TaskStore,
    instance: DagsterInstance,
    end: DagsterEventType,
) -> None:
    # Given
    attempt = AttemptStore(store._engine, run.run_id)
    attempt.check()
    put_past_its_time(store._engine, run)
    # When: as the monitor does, and the launcher once more
    instance.report_run_canceling(run)
    instance.report_run_canceling(run)
    # Expect
    with pytest.raises(AttemptSuperseded):
        attempt.publish(RESULT)
    report(instance, run, end)
    after = store.get(task.id, ADMIN)
    assert (after.status, after.error) == (Status.FAILED, failures.MAX_RUNTIME_EXCEEDED)
    assert (after.cancel_requested_at, after.result) == (None, None)
    ended = stored(instance, run)
    assert ended.status == DagsterRunStatus.FAILURE
    assert ended.tags[MAX_RETRIES_TAG] == "0"


def test_a_run_that_is_terminated_before_its_time_is_cancelled(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    instance.report_run_canceling(run)
    put_past_its_time(store._engine, run)
    instance.report_run_canceling(run)
    instance.report_run_canceled(run)

    after = store.get(task.id, ADMIN)
    assert (after.status, after.error) == (Status.CANCELLED, None)


@pytest.fixture
def _signals_kept() -> Iterator[None]:
    """Dagster's handlers of signals are gone afterwards."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_kept")
def test_an_interrupt_does_not_break_off_what_a_cancelled_run_tells(
    task: Task,
    run: DagsterRun,
    store: TaskStore,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    store.cancel(task.id, ADMIN)
    tell = instance.report_run_canceling

    def interrupted(*told: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        tell(*told)

    monkeypatch.setattr(instance, "report_run_canceling", interrupted)
    monkeypatch.setattr("pipelines.jobs.die_with_parent", lambda: None)
    task_type = REGISTRY["bookings_export"]
    context: Any = SimpleNamespace(run=run, run_id=run.run_id, instance=instance)
    # When: as Dagster calls a job
    with raise_execution_interrupts(), pytest.raises(DagsterExecutionInterruptedError):
        run_task(task_type, context, config_model(task_type)(), run_export)
    # Expect
    assert stored(instance, run).status == DagsterRunStatus.CANCELING


def test_a_wish_to_cancel_counts_for_a_run_out_of_time_too(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    put_past_its_time(store._engine, run)
    instance.report_run_canceling(run)
    store.cancel(task.id, ADMIN)

    instance.report_run_failed(run, "it took too long")

    after = store.get(task.id, ADMIN)
    assert (after.status, after.error) == (Status.CANCELLED, None)


Failing = Callable[[], Exception]
OUTAGES: dict[str, Failing] = {
    "sqlalchemy": lambda: OperationalError("SELECT 1", {}, Exception("server closed")),
    "ours": Unavailable,
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_a_step_that_failed_for_the_task_databases_absence_is_tried_again(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance, outage: Failing
) -> None:
    fail(instance, run, RunFailureReason.STEP_FAILURE, outage())

    after = store.get(task.id, ADMIN)
    assert (after.status, after.error) == (Status.PENDING, None)
    assert stored(instance, run).tags["dagster/will_retry"] == "true"


def test_a_step_that_failed_for_another_reason_is_not(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    fail(instance, run, RunFailureReason.STEP_FAILURE, ValueError("a mistake"))

    after = store.get(task.id, ADMIN)
    assert (after.status, after.error) == (Status.FAILED, failures.INTERNAL_ERROR)
    assert stored(instance, run).tags["dagster/will_retry"] == "false"


BROKEN_OFF: dict[str, tuple[bool, RunFailureReason]] = {
    "interrupted": (True, RunFailureReason.UNEXPECTED_TERMINATION),
    "not started in time": (False, RunFailureReason.START_TIMEOUT),
    "died before its job began": (False, RunFailureReason.UNKNOWN),
}


@pytest.mark.parametrize(("has_begun", "reason"), BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_an_attempt_that_was_broken_off_by_no_fault_of_its_own_does_not_count(
    task: Task,
    new_run: RunMaker,
    store: TaskStore,
    instance: DagsterInstance,
    has_begun: bool,
    reason: RunFailureReason,
) -> None:
    run = new_run(task.run_id)
    for number in range(1, 6):
        if has_begun:
            begun(instance, run)
        fail(instance, run, reason, None)
        assert store.get(task.id, ADMIN).status is Status.PENDING
        tags = {"dagster/retry_number": str(number)}
        run = new_run(parent=stored(instance, run), tags=tags)
    for lost in (1, 2, 3):
        instance.report_run_failed(begun(instance, run), "its process died")
        assert (store.get(task.id, ADMIN).status is Status.FAILED) == (lost == 3)
        run = new_run(parent=stored(instance, run), tags=RETRY)


def test_what_is_always_broken_off_ends_as_well(
    task: Task,
    new_run: RunMaker,
    store: TaskStore,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resources.engine.storage.MOST_RUNS", 4)
    run = new_run(task.run_id)
    statuses = []
    for _ in range(5):
        fail(instance, run, RunFailureReason.START_TIMEOUT, None)
        statuses.append(store.get(task.id, ADMIN).status)
        run = new_run(parent=stored(instance, run), tags=RETRY)

    assert statuses == [Status.PENDING] * 4 + [Status.FAILED]
