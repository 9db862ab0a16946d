"""A task's row follows its run, whatever is done to the run, in the same transaction."""

from typing import Any

import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    job,
)
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.tags import PRIORITY_TAG
from sqlalchemy import Engine, select, update

from resources.engine import failures, projection
from resources.engine.names import OWNER_TAG, TASK_ID_TAG, TASK_TYPE_TAG
from resources.errors import AttemptSuperseded, TaskFailed
from resources.requests import TaskRequest
from resources.store.attempts import AttemptStore
from resources.store.handover import HandoverStore
from resources.store.models import DAGSTER_OWNER, Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.resources.engine.conftest import RunMaker, report, stored

ADMIN = Principal("root", Role.ADMIN)
RESULT = {"rows": 3, "bytes": 10, "files": 1, "folder": "1/x"}


@pytest.fixture
def run(task: Task, new_run: RunMaker, instance: DagsterInstance) -> DagsterRun:
    """Its run, at work."""
    run = new_run(task.run_id)
    report(instance, run, DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START)
    return run


def fail(instance: DagsterInstance, run: DagsterRun, reason: RunFailureReason) -> None:
    data = JobFailureData(error=None, failure_reason=reason)
    instance.report_run_failed(run, "failed", data)


def now_of(store: TaskStore, task: Task) -> Task:
    return store.get(task.id, ADMIN)


def all_tasks(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(tasks).order_by(tasks.c.id)))


def test_a_run_made_for_a_task_belongs_to_it(
    task: Task, new_run: RunMaker, store: TaskStore, engine: Engine
) -> None:
    run = new_run(task.run_id)

    assert len(all_tasks(engine)) == 1
    assert now_of(store, task).handed_over_at is None  # until it is submitted as well
    assert run.tags["dagster/retry_strategy"] == "ALL_STEPS"
    assert (run.tags[TASK_ID_TAG], run.tags[OWNER_TAG]) == (str(task.id), "alice")


def submit(store: TaskStore, **options: Any) -> Task:
    request = TaskRequest(task_type="bookings_export", options=options)
    return store.submit(request, owner="root", request_id="r", idempotency_key=None).task


@pytest.mark.parametrize(("priority", "tag"), [("low", "-1"), ("high", "1")])
def test_dagsters_queue_is_told_a_tasks_priority_and_so_of_its_next_attempts(
    store: TaskStore, new_run: RunMaker, instance: DagsterInstance, priority: str, tag: str
) -> None:
    task = submit(store, priority=priority)
    run = new_run(task.run_id, options={"priority": "normal"})
    report(instance, run, DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START)
    report(instance, run, DagsterEventType.RUN_FAILURE)
    again = new_run(parent=stored(instance, run), options={"priority": "normal"})

    assert (run.tags[PRIORITY_TAG], again.tags[PRIORITY_TAG]) == (tag, tag)
    after = now_of(store, task)
    assert (after.attempt, after.options, after.priority) == (2, task.options, int(tag))


def test_who_starts_a_run_in_dagster_has_no_say_in_its_priority_by_its_config(
    new_run: RunMaker, store: TaskStore, engine: Engine
) -> None:
    run = new_run(options={"priority": "high", "format": "csv"})

    (row,) = all_tasks(engine)
    assert PRIORITY_TAG not in run.tags
    assert (row.priority, row.options) == (0, {"format": "csv"})


def test_every_run_of_a_task_says_whose_it_is_and_of_which_type(
    new_run: RunMaker, task: Task
) -> None:
    for run, owner in ((new_run(task.run_id), "alice"), (new_run(), DAGSTER_OWNER)):
        assert (run.tags[OWNER_TAG], run.tags[TASK_TYPE_TAG]) == (owner, "bookings_export")


def test_a_run_that_starts_before_anybody_noted_its_hand_over_is_in_flight(
    task: Task, run: DagsterRun, store: TaskStore, engine: Engine
) -> None:
    (found,) = HandoverStore(engine).work(ends=0, waiting=0).in_flight
    assert (found.owner, found.status, found.runs) == ("alice", Status.PROCESSING, 1)


def test_each_event_moves_the_task_at_once(
    task: Task, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    run = new_run(task.run_id)
    seen = []
    for kind in (DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START):
        report(instance, run, kind)
        seen.append(now_of(store, task).status)
    AttemptStore(store._engine, run.run_id).publish(RESULT)
    report(instance, run, DagsterEventType.RUN_SUCCESS)

    done = now_of(store, task)
    assert seen == [Status.PENDING, Status.PROCESSING]
    assert done.status is Status.COMPLETED
    assert done.started_at is not None
    assert done.finished_at is not None


def test_the_run_and_its_task_change_together_or_not_at_all(
    task: Task,
    run: DagsterRun,
    store: TaskStore,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def break_it(*_args: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(projection, "announce_change", break_it)
    with pytest.raises(ConnectionError):
        report(instance, run, DagsterEventType.RUN_CANCELED)
    monkeypatch.undo()

    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.STARTED
    assert now_of(store, task).status is Status.PROCESSING


def test_success_without_a_published_result_is_a_failure(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    report(instance, run, DagsterEventType.RUN_SUCCESS)

    after = now_of(store, task)
    assert after.status is Status.FAILED
    assert after.error == failures.INTERNAL_ERROR


def test_a_lost_worker_is_tried_three_times_and_never_shown_as_failed_in_between(
    task: Task, run: DagsterRun, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    statuses = []
    for attempt in (1, 2, 3):
        fail(instance, run, RunFailureReason.UNKNOWN)
        after = now_of(store, task)
        statuses.append((after.attempt, after.status))
        if attempt < 3:
            assert after.error is None
            run = new_run(parent=run, tags={"dagster/retry_number": str(attempt)})
            report(instance, run, DagsterEventType.RUN_START)

    assert statuses == [(1, Status.PENDING), (2, Status.PENDING), (3, Status.FAILED)]
    assert now_of(store, task).error == failures.WORKER_LOST


def test_a_clean_failure_is_final_and_keeps_its_reason(
    task: Task, run: DagsterRun, store: TaskStore, engine: Engine, instance: DagsterInstance
) -> None:
    reason = {"code": "source_unavailable", "detail": "…", "retryable": True}
    with engine.begin() as connection:
        connection.execute(update(tasks).values(error=reason))

    fail(instance, run, RunFailureReason.STEP_FAILURE)

    after = now_of(store, task)
    assert (after.status, after.error) == (Status.FAILED, reason)


@pytest.mark.parametrize("end", [DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE])
def test_once_its_end_was_asked_for_a_task_ends_cancelled_and_so_does_its_run(
    task: Task,
    run: DagsterRun,
    store: TaskStore,
    instance: DagsterInstance,
    end: DagsterEventType,
) -> None:
    AttemptStore(store._engine, run.run_id).publish(RESULT)
    store.cancel(task.id, ADMIN)

    report(instance, run, end)

    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.CANCELED
    assert now_of(store, task).status is Status.CANCELLED


def test_a_finished_run_stays_as_it_is(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    instance.report_run_canceled(run)

    report(instance, run, DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_START)

    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.CANCELED
    assert now_of(store, task).status is Status.CANCELLED


def test_a_request_to_terminate_the_run_is_a_request_to_cancel_the_task(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    instance.report_run_canceling(run)

    after = now_of(store, task)
    assert after.status is Status.PROCESSING
    assert after.cancel_requested_at is not None


def test_a_run_of_a_cancelled_task_leaves_the_task_alone(
    task: Task, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    run = new_run(task.run_id)
    cancelled = store.cancel(task.id, ADMIN)

    report(instance, run, DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START)

    assert now_of(store, task) == cancelled


def test_a_retry_of_a_task_cancelled_in_between_belongs_to_no_task(
    task: Task, run: DagsterRun, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    fail(instance, run, RunFailureReason.UNKNOWN)
    cancelled = store.cancel(task.id, ADMIN)
    assert cancelled.status is Status.CANCELLED

    retry = new_run(parent=run, tags={"dagster/retry_number": "1"})
    report(instance, retry, DagsterEventType.RUN_START)

    assert now_of(store, task) == cancelled
    with pytest.raises(AttemptSuperseded):
        AttemptStore(store._engine, retry.run_id).claim()


def test_a_retry_that_comes_after_a_re_execution_by_hand_makes_no_second_task(
    task: Task,
    run: DagsterRun,
    new_run: RunMaker,
    store: TaskStore,
    engine: Engine,
    instance: DagsterInstance,
) -> None:
    fail(instance, run, RunFailureReason.UNKNOWN)
    by_hand = new_run(parent=run)

    new_run(parent=run, tags={"dagster/retry_number": "1"})

    assert len(all_tasks(engine)) == 1
    after = now_of(store, task)
    assert (after.run_id, after.attempt) == (by_hand.run_id, 2)


def test_a_failed_task_keeps_no_result_whose_files_are_swept(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    AttemptStore(store._engine, run.run_id).publish(RESULT)

    fail(instance, run, RunFailureReason.STEP_FAILURE)

    after = now_of(store, task)
    assert (after.status, after.result) == (Status.FAILED, None)


def test_a_published_task_whose_process_died_keeps_its_result_and_numbers_for_the_retry(
    task: Task, run: DagsterRun, new_run: RunMaker, store: TaskStore, instance: DagsterInstance
) -> None:
    AttemptStore(store._engine, run.run_id).publish(RESULT)
    fail(instance, run, RunFailureReason.UNKNOWN)

    retry = new_run(parent=run, tags={"dagster/retry_number": "1"})
    report(instance, retry, DagsterEventType.RUN_START)

    claimed = AttemptStore(store._engine, retry.run_id).claim()
    assert claimed.result == RESULT
    assert (claimed.processed, claimed.total) == (3, 3)


def test_a_run_that_lost_its_task_writes_nothing_any_more(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    attempt = AttemptStore(store._engine, run.run_id)
    instance.delete_run(run.run_id)
    failed = now_of(store, task)

    error = TaskFailed("storage_unavailable", "…", retryable=True)
    for write in (
        attempt.check,
        attempt.beat,
        lambda: attempt.report_progress(1, 2),
        lambda: attempt.publish(RESULT),
        lambda: attempt.record_error(error),
    ):
        with pytest.raises(AttemptSuperseded):
            write()

    assert now_of(store, task) == failed


def test_wiping_all_runs_fails_every_task_that_dagster_had(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    instance.wipe()

    after = now_of(store, task)
    assert (after.status, after.error) == (Status.FAILED, failures.RUN_DELETED)


@pytest.mark.parametrize(
    ("typed", "column", "kept"),
    [
        ({"batch_size": 10**12}, "batch_size", 1000),
        ({"filters": {"status": "a\0b"}}, "filters", {}),
        ({"filters": {"total": float("nan")}}, "filters", {}),
        ({"date_from": "x" * 100}, "date_from", "x" * 32),
    ],
)
def test_nonsense_from_the_launchpad_is_left_to_the_run_to_refuse(
    new_run: RunMaker, engine: Engine, typed: dict[str, Any], column: str, kept: object
) -> None:
    new_run(**typed)

    (row,) = all_tasks(engine)
    assert getattr(row, column) == kept


def test_deleting_the_run_of_an_open_task_fails_it(
    task: Task, run: DagsterRun, store: TaskStore, instance: DagsterInstance
) -> None:
    instance.delete_run(run.run_id)

    after = now_of(store, task)
    assert (after.status, after.error) == (Status.FAILED, failures.RUN_DELETED)


def test_a_run_that_nobody_asked_for_over_rest_is_a_task_of_dagster(
    new_run: RunMaker, engine: Engine
) -> None:
    run = new_run(batch_size=7, filters={"status": "pending"}, date_to="2024-01-01T00:00:00Z")

    (row,) = all_tasks(engine)
    assert (row.owner, row.run_id, row.status) == (DAGSTER_OWNER, run.run_id, Status.PENDING)
    assert (row.batch_size, row.filters) == (7, {"status": "pending"})
    assert row.date_to == "2024-01-01T00:00:00Z"
    assert run.tags[TASK_ID_TAG] == str(row.id)


def test_a_re_execution_of_a_completed_run_is_a_new_task_of_the_same_owner(
    task: Task, run: DagsterRun, new_run: RunMaker, engine: Engine, instance: DagsterInstance
) -> None:
    AttemptStore(engine, run.run_id).publish(RESULT)
    report(instance, run, DagsterEventType.RUN_SUCCESS)

    again = new_run(parent=run)

    first, second = all_tasks(engine)
    assert (first.run_id, first.status) == (run.run_id, Status.COMPLETED)
    assert (second.run_id, second.owner, second.status) == (again.run_id, "alice", Status.PENDING)
    assert again.tags[TASK_ID_TAG] == str(second.id)


def test_a_run_of_a_job_that_is_no_task_type_is_left_alone(
    instance: DagsterInstance, engine: Engine
) -> None:
    @job
    def something_else() -> None:
        pass

    run = instance.create_run_for_job(something_else)
    report(instance, run, DagsterEventType.RUN_START, DagsterEventType.RUN_SUCCESS)

    assert all_tasks(engine) == []
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.SUCCESS
