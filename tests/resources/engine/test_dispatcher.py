"""Handing over and stopping can be done twice, or half and then again."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.workspace.context import BaseWorkspaceRequestContext, WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from sqlalchemy import Engine, update

from resources.engine.dispatcher import (
    MAX_REFUSALS,
    CodeLocationAway,
    Dispatcher,
    hand_over,
    has_future,
    stop_run,
)
from resources.engine.failures import INTERNAL_ERROR
from resources.engine.lookahead import Limits
from resources.engine.names import parameters_of
from resources.errors import TaskNotCancellable
from resources.requests import TaskRequest
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.support.outages import moved_away
from tests.support.results import local_results

ALICE = Principal("alice", Role.USER)
LIMITS = Limits(slots=2, owner_slots=1, type_slots={})


@pytest.fixture
def workspace(workspace_context: WorkspaceProcessContext) -> BaseWorkspaceRequestContext:
    return workspace_context.create_request_context()


@pytest.fixture
def task(store: TaskStore) -> Task:
    request = TaskRequest(task_type="bookings_export", filters={"status": "pending"})
    return store.submit(request, owner="alice", request_id="r-1", idempotency_key=None).task


@contextmanager
def dying_before_submission(instance: DagsterInstance) -> Iterator[None]:
    """What is done inside dies once the run is created and before it is submitted."""

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance, "submit_run", die)
        with pytest.raises(KeyboardInterrupt):
            yield


def state_of(instance: DagsterInstance, task: Task) -> DagsterRunStatus:
    run = instance.get_run_by_id(task.run_id)
    assert run is not None
    return run.status


def test_a_task_is_handed_over_once_however_often_it_is_tried(
    instance: DagsterInstance,
    workspace: BaseWorkspaceRequestContext,
    task: Task,
) -> None:
    with dying_before_submission(instance):
        hand_over(instance, workspace, task)
    assert state_of(instance, task) == DagsterRunStatus.NOT_STARTED

    for _ in range(2):
        hand_over(instance, workspace, task)

    (run,) = instance.get_runs()
    assert (run.run_id, run.status) == (task.run_id, DagsterRunStatus.QUEUED)
    assert run.tags["workers/task_id"] == str(task.id)
    assert run.tags["workers/request_id"] == "r-1"
    assert run.tags["dagster/retry_strategy"] == "ALL_STEPS"
    assert parameters_of(run, "bookings_export")["filters"] == {"status": "pending"}


def test_a_retry_that_dagster_forgot_is_made_after_all_and_once(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    store: TaskStore,
    task: Task,
) -> None:
    hand_over(instance, workspace_context.create_request_context(), task)
    run = instance.get_run_by_id(task.run_id)
    assert run is not None
    instance.report_run_failed(run, "its process died")
    assert store.get(task.id, ALICE).status is Status.PENDING

    for _ in range(2):
        assert has_future(workspace_context, task)

    (retry,) = [each for each in instance.get_runs() if each.run_id != task.run_id]
    after = store.get(task.id, ALICE)
    assert (after.run_id, after.attempt, after.status) == (retry.run_id, 2, Status.PENDING)
    assert retry.status == DagsterRunStatus.QUEUED


def test_nothing_comes_of_a_retry_of_a_run_whose_first_one_was_deleted(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    store: TaskStore,
    task: Task,
) -> None:
    hand_over(instance, workspace_context.create_request_context(), task)
    first = instance.get_run_by_id(task.run_id)
    assert first is not None
    instance.report_run_failed(first)
    assert has_future(workspace_context, task)
    second = store.get(task.id, ALICE)
    run = instance.get_run_by_id(second.run_id)
    assert run is not None
    instance.report_run_failed(run)
    instance.delete_run(first.run_id)

    assert not has_future(workspace_context, second)


def test_without_its_code_location_a_task_waits(instance: DagsterInstance, task: Task) -> None:
    with (
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
        pytest.raises(CodeLocationAway),
    ):
        hand_over(instance, context.create_request_context(), task)

    assert instance.get_runs() == []


def test_a_queued_run_is_stopped_and_stopping_it_again_changes_nothing(
    instance: DagsterInstance, workspace: BaseWorkspaceRequestContext, store: TaskStore, task: Task
) -> None:
    assert stop_run(instance, task)  # no run yet, so nothing is left of it
    hand_over(instance, workspace, task)
    cancelled = store.cancel(task.id, ALICE)

    assert not stop_run(instance, cancelled)
    assert stop_run(instance, cancelled)

    assert state_of(instance, task) == DagsterRunStatus.CANCELED
    assert store.get(task.id, ALICE) == cancelled


@pytest.fixture
def dispatcher(engine: Engine, tmp_path: Path) -> Dispatcher:
    return Dispatcher(engine, local_results(tmp_path / "results"), LIMITS, lambda: None)


def test_what_died_between_creating_and_submitting_is_submitted_by_the_next_pass(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    task: Task,
) -> None:
    with dying_before_submission(instance):
        dispatcher._pass(workspace_context)

    dispatcher._pass(workspace_context)

    assert state_of(instance, task) == DagsterRunStatus.QUEUED


def test_a_task_that_is_cancelled_while_others_are_handed_over_gets_no_run(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = TaskRequest(task_type="bookings_export")
    later = store.submit(request, owner="alice", request_id="r", idempotency_key=None).task

    def cancel_the_later(*given: Any) -> None:
        with suppress(TaskNotCancellable):
            store.cancel(later.id, ALICE)
        hand_over(*given)

    monkeypatch.setattr("resources.engine.dispatcher.hand_over", cancel_the_later)
    dispatcher._pass(workspace_context)

    (run,) = instance.get_runs()
    assert run.run_id == task.run_id


def test_an_owner_at_its_limit_with_many_tasks_in_front_holds_up_nobody(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    engine: Engine,
) -> None:
    request = TaskRequest(task_type="bookings_export")
    owners = ["alice"] * (2 + dispatcher._front) + ["bob"]
    *of_alice, of_bob = (
        store.submit(request, owner=owner, request_id="r", idempotency_key=None).task
        for owner in owners
    )
    with engine.begin() as connection:
        has = tasks.c.id.in_([task.id for task in of_alice[:2]])
        connection.execute(update(tasks).where(has).values(handed_over_at=now()))
        last = tasks.c.id == of_bob.id
        connection.execute(update(tasks).where(last).values(turn=len(owners)))

    dispatcher._pass(workspace_context)

    (run,) = instance.get_runs()
    assert run.run_id == of_bob.run_id


def test_dagster_gets_of_each_owner_one_task_more_than_may_run(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
) -> None:
    request = TaskRequest(task_type="bookings_export")
    owners = ["alice"] * 5 + ["bob"]
    submitted = [
        store.submit(request, owner=owner, request_id="r", idempotency_key=None).task
        for owner in owners
    ]

    for _ in range(2):
        dispatcher._pass(workspace_context)

    runs = [run.run_id for run in instance.get_runs()]
    assert sorted(runs) == sorted(submitted[place].run_id for place in (0, 1, 5))


def test_a_task_that_dagster_refuses_holds_up_no_other_and_fails_in_the_end(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    engine: Engine,
    task: Task,
) -> None:
    with engine.begin() as connection:
        connection.execute(update(tasks).values(task_type="unheard_of"))
    request = TaskRequest(task_type="bookings_export")
    good = store.submit(request, owner="alice", request_id="r", idempotency_key=None).task

    dispatcher._pass(workspace_context)
    assert state_of(instance, good) == DagsterRunStatus.QUEUED
    assert store.get(task.id, ALICE).status is Status.PENDING
    for _ in range(MAX_REFUSALS - 1):
        dispatcher._pass(workspace_context)

    refused = store.get(task.id, ALICE)
    assert (refused.status, refused.error) == (Status.FAILED, INTERNAL_ERROR)


def test_results_that_cannot_be_removed_hold_up_nothing_and_are_tried_again(
    instance: DagsterInstance,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resources.engine.dispatcher.SWEEP_AGAIN_SECONDS", 0)
    request = TaskRequest(task_type="bookings_export")
    bad = store.submit(request, owner="bob", request_id="r", idempotency_key=None).task
    store.cancel(bad.id, Principal("bob", Role.USER))
    folder = tmp_path / "results" / str(bad.id)
    folder.write_text("a file where a folder should be")

    dispatcher._pass(workspace_context)
    assert state_of(instance, task) == DagsterRunStatus.QUEUED

    folder.unlink()
    (folder / bad.run_id).mkdir(parents=True)
    dispatcher._pass(workspace_context)
    assert not folder.exists()


def test_results_that_are_away_as_a_whole_are_not_taken_for_removed(
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resources.engine.dispatcher.SWEEP_AGAIN_SECONDS", 0)
    folder = tmp_path / "results" / str(task.id)
    (folder / task.run_id).mkdir(parents=True)
    store.cancel(task.id, ALICE)

    with moved_away(tmp_path / "results"):
        dispatcher._pass(workspace_context)
    dispatcher._pass(workspace_context)

    assert not folder.exists()


def test_results_that_are_away_are_not_asked_for_at_once_again_and_hold_up_no_stop(
    instance: DagsterInstance,
    workspace: BaseWorkspaceRequestContext,
    workspace_context: WorkspaceProcessContext,
    dispatcher: Dispatcher,
    store: TaskStore,
    task: Task,
    tmp_path: Path,
) -> None:
    request = TaskRequest(task_type="bookings_export")
    later = store.submit(request, owner="alice", request_id="r", idempotency_key=None).task
    for each in (task, later):
        hand_over(instance, workspace, each)
        store.cancel(each.id, ALICE)

    with moved_away(tmp_path / "results"):
        for _ in range(2):  # asked to end, and seen to have ended
            dispatcher._pass(workspace_context)

    assert {state_of(instance, each) for each in (task, later)} == {DagsterRunStatus.CANCELED}
