"""What the launcher starts, and what it refuses to."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun
from dagster import DagsterRunStatus as RunStatus
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext, WorkerStatus
from sqlalchemy import Engine, update

from pipelines.definitions import defs
from resources.errors import Unavailable
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.resources.engine.conftest import RunMaker, stored

ALICE = Principal("alice", Role.USER)
RETRY = {"dagster/retry_number": "1"}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the runs whose process the stock launcher would have started."""
    ids: list[str] = []
    monkeypatch.setattr(
        DefaultRunLauncher,
        "launch_run",
        lambda _self, context: ids.append(context.dagster_run.run_id),
    )
    return ids


Launch = Callable[[DagsterRun], RunStatus]


@pytest.fixture
def launch(instance: DagsterInstance, launched: list[str]) -> Launch:
    """Launches a run as the queue does; its state afterwards."""

    def launch(run: DagsterRun) -> RunStatus:
        kind = DagsterEventType.PIPELINE_STARTING.value
        starting = DagsterEvent(event_type_value=kind, job_name=run.job_name)
        instance.report_dagster_event(starting, run_id=run.run_id)
        instance.run_launcher.launch_run(
            LaunchRunContext(dagster_run=stored(instance, run), workspace=None)
        )
        return stored(instance, run).status

    return launch


def test_the_run_of_a_pending_task_is_launched(
    launch: Launch, launched: list[str], new_run: RunMaker, task: Task
) -> None:
    assert launch(new_run(task.run_id)) == RunStatus.STARTING

    assert launched == [task.run_id]


def test_the_run_of_a_cancelled_task_is_not_launched_but_ends_as_cancelled(
    launch: Launch, launched: list[str], new_run: RunMaker, task: Task, store: TaskStore
) -> None:
    run = new_run(task.run_id)
    cancelled = store.cancel(task.id, ALICE)

    assert launch(run) == RunStatus.CANCELED

    assert launched == []
    assert store.get(task.id, ALICE) == cancelled


def test_a_retry_that_belongs_to_no_task_is_not_launched(
    launch: Launch,
    launched: list[str],
    new_run: RunMaker,
    task: Task,
    store: TaskStore,
    instance: DagsterInstance,
) -> None:
    first = new_run(task.run_id)
    instance.report_run_failed(first, "its process died")
    store.cancel(task.id, ALICE)
    late = new_run(parent=stored(instance, first), tags=RETRY)

    assert launch(late) == RunStatus.CANCELED

    assert launched == []
    assert store.get(task.id, ALICE).status is Status.CANCELLED


def test_a_run_that_lost_its_task_to_its_retry_is_not_launched(
    launch: Launch,
    launched: list[str],
    new_run: RunMaker,
    task: Task,
    instance: DagsterInstance,
) -> None:
    first = new_run(task.run_id)
    retry = new_run(parent=first, tags=RETRY)

    assert launch(first) == RunStatus.CANCELED
    assert launch(retry) == RunStatus.STARTING

    assert launched == [retry.run_id]


@pytest.mark.parametrize("end", [RunStatus.CANCELED, RunStatus.FAILURE])
def test_a_run_that_is_finished_already_is_not_launched_and_stays_as_it_is(
    launch: Launch,
    launched: list[str],
    new_run: RunMaker,
    task: Task,
    instance: DagsterInstance,
    end: RunStatus,
) -> None:
    run = new_run(task.run_id, tags={"dagster/max_retries": "0"})
    reports: dict[RunStatus, Callable[[DagsterRun], Any]] = {
        RunStatus.CANCELED: instance.report_run_canceled,
        RunStatus.FAILURE: instance.report_run_failed,
    }
    reports[end](run)
    events = len(instance.all_logs(run.run_id))

    assert launch(run) == end

    assert launched == []
    assert len(instance.all_logs(run.run_id)) == events + 1  # that of the queue


def test_a_run_that_is_no_task_is_launched(
    launch: Launch, launched: list[str], instance: DagsterInstance
) -> None:
    several = {AssetKey(["exports", "bookings"]), AssetKey(["exports", "users"])}
    job = defs.resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job, asset_selection=several)

    assert launch(run) == RunStatus.STARTING

    assert launched == [run.run_id]


def test_without_the_task_database_a_run_is_launched_for_it_finds_out_by_itself(
    launch: Launch,
    launched: list[str],
    new_run: RunMaker,
    task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_run: DagsterRun) -> None:
        raise Unavailable

    monkeypatch.setattr("resources.engine.launcher._task_row", away)

    assert launch(new_run(task.run_id)) == RunStatus.STARTING

    assert launched == [task.run_id]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The launcher's time, which stands still until a test moves it."""
    time = [now()]
    monkeypatch.setattr("resources.engine.launcher.now", lambda: time[0])
    return time


@pytest.fixture
def look(
    instance: DagsterInstance, new_run: RunMaker, task: Task, clock: list[datetime]
) -> Callable[[float], WorkerStatus]:
    """How a run that has begun seems to be, so many seconds after the last look."""
    run = new_run(task.run_id)
    for kind in (DagsterEventType.PIPELINE_STARTING, DagsterEventType.RUN_START):
        event = DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
        instance.report_dagster_event(event, run_id=run.run_id)

    def look(seconds: float) -> WorkerStatus:
        clock[0] += timedelta(seconds=seconds)
        return instance.run_launcher.check_run_worker_health(run).status

    return look


def test_a_run_that_was_not_heard_of_at_two_looks_is_lost(
    look: Callable[[float], WorkerStatus],
) -> None:
    seen = [look(seconds) for seconds in (0, 14, 5, 5)]

    assert seen == [WorkerStatus.RUNNING] * 3 + [WorkerStatus.FAILED]


def test_a_run_that_is_heard_of_again_after_an_outage_is_not_lost(
    look: Callable[[float], WorkerStatus], engine: Engine, task: Task, clock: list[datetime]
) -> None:
    assert look(3600) is WorkerStatus.RUNNING  # every heartbeat is old now
    with engine.begin() as connection:
        connection.execute(update(tasks).values(heartbeat_at=clock[0]))

    assert [look(5) for _ in range(2)] == [WorkerStatus.RUNNING] * 2


def test_a_run_without_a_task_has_no_heartbeat_to_go_by(instance: DagsterInstance) -> None:
    run = instance.create_run_for_job(defs.resolve_implicit_global_asset_job_def())

    health = instance.run_launcher.check_run_worker_health(run)

    assert health.status is WorkerStatus.RUNNING
