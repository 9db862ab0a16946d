"""Dagster's scheduler on this service's storage: a task for each tick, and never two."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_representation.external import RemoteSchedule
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from sqlalchemy import Engine, select

from resources.engine.dispatcher import has_future
from resources.engine.storage import state_engine
from resources.settings import load_settings
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.schedules import look

REPORTS = Principal("reports", Role.USER)
FIRST_LOOK = datetime(2024, 5, 14, 12, tzinfo=UTC)
# At 02:30 in Berlin, and somewhat late.
TICK = datetime(2024, 5, 15, 0, 30, tzinfo=UTC)
LATE = timedelta(seconds=20)


def schedule(context: WorkspaceProcessContext, name: str = "nightly") -> RemoteSchedule:
    (location,) = context.create_request_context().code_locations
    (repository,) = location.get_repositories().values()
    return repository.get_schedule(name)


def switch_off(context: WorkspaceProcessContext) -> None:
    """As somebody does in the UI."""
    nightly = schedule(context)
    origin = nightly.get_remote_origin_id()
    context.instance.stop_schedule(origin, nightly.selector_id, nightly)


def ticks(context: WorkspaceProcessContext) -> Sequence[InstigatorTick]:
    """The newest first."""
    nightly = schedule(context)
    return context.instance.get_ticks(nightly.get_remote_origin_id(), nightly.selector_id)


def runs(context: WorkspaceProcessContext) -> list[DagsterRun]:
    """The oldest first."""
    return [*reversed(context.instance.get_runs())]


def tasks_of(engine: Engine) -> list[Task]:
    with engine.connect() as connection:
        return [
            Task.from_row(row) for row in connection.execute(select(tasks).order_by(tasks.c.id))
        ]


def assert_done_once(context: WorkspaceProcessContext) -> Task:
    """There is one run, which waits in the queue, one task, and the tick is a success."""
    (run,) = runs(context)
    (task,) = tasks_of(state_engine())
    (tick,) = ticks(context)
    assert (run.status, tick.status) == (DagsterRunStatus.QUEUED, TickStatus.SUCCESS)
    assert tick.run_ids == [run.run_id] == [task.run_id]
    return task


def dates_of(engine: Engine) -> list[tuple[str | None, str | None]]:
    return [(task.date_from, task.date_to) for task in tasks_of(engine)]


def test_a_tick_becomes_a_task_of_the_schedules_owner(
    workspace_context: WorkspaceProcessContext, store: TaskStore
) -> None:
    look(workspace_context, FIRST_LOOK)
    assert runs(workspace_context) == []

    look(workspace_context, TICK - timedelta(seconds=1))
    assert runs(workspace_context) == []
    for late in range(3):  # the daemon may look again, or be another
        look(workspace_context, TICK + late * LATE)

    task = assert_done_once(workspace_context)
    assert task == store.get(task.id, REPORTS)
    assert (task.owner, task.status, task.task_type) == (
        "reports",
        Status.PENDING,
        "bookings_export",
    )
    assert (task.date_from, task.date_to) == ("2024-05-13T22:00:00Z", "2024-05-14T21:59:59Z")
    assert (task.filters, task.options) == ({"status": "pending"}, {"format": "csv"})
    (run,) = runs(workspace_context)
    told = {name: run.tags[name] for name in run.tags if name.startswith("workers/")}
    assert told == {
        "workers/task_id": str(task.id),
        "workers/owner": "reports",
        "workers/task_type": "bookings_export",
        "workers/dataset": "bookings",
    }
    assert run.tags["dagster/schedule_name"] == "nightly"
    assert run.tags["dagster/priority"] == "-1"


def test_of_the_ticks_that_were_missed_the_last_one_is_made_up_for(
    workspace_context: WorkspaceProcessContext, engine: Engine
) -> None:
    look(workspace_context, FIRST_LOOK)
    look(workspace_context, TICK)

    look(workspace_context, TICK + timedelta(days=4, hours=9))  # four ticks, and nobody there

    assert dates_of(engine) == [
        ("2024-05-13T22:00:00Z", "2024-05-14T21:59:59Z"),
        ("2024-05-17T22:00:00Z", "2024-05-18T21:59:59Z"),
    ]


def test_a_schedule_makes_up_for_nothing_that_was_before_it(
    workspace_context: WorkspaceProcessContext, engine: Engine
) -> None:
    look(workspace_context, TICK + timedelta(minutes=5))
    look(workspace_context, TICK + timedelta(hours=5))

    assert dates_of(engine) == []


def test_a_tick_in_the_hour_that_is_left_out_comes_when_it_is_over(
    workspace_context: WorkspaceProcessContext, engine: Engine
) -> None:
    look(workspace_context, datetime(2024, 3, 30, 12, tzinfo=UTC))

    look(workspace_context, datetime(2024, 3, 31, 0, 59, tzinfo=UTC))
    assert dates_of(engine) == []
    look(workspace_context, datetime(2024, 3, 31, 1, 0, tzinfo=UTC))  # 03:00, right after 01:59
    look(workspace_context, datetime(2024, 3, 31, 1, 31, tzinfo=UTC))
    look(workspace_context, datetime(2024, 4, 1, 0, 30, tzinfo=UTC))

    assert dates_of(engine) == [
        ("2024-03-29T23:00:00Z", "2024-03-30T22:59:59Z"),
        ("2024-03-30T23:00:00Z", "2024-03-31T21:59:59Z"),  # 23 hours
    ]


def test_a_tick_in_the_hour_that_is_doubled_comes_once(
    workspace_context: WorkspaceProcessContext, engine: Engine
) -> None:
    look(workspace_context, datetime(2024, 10, 26, 12, tzinfo=UTC))

    look(workspace_context, datetime(2024, 10, 27, 0, 31, tzinfo=UTC))  # 02:31 for the first time
    assert dates_of(engine) == []
    look(workspace_context, datetime(2024, 10, 27, 1, 31, tzinfo=UTC))  # and for the second
    look(workspace_context, datetime(2024, 10, 28, 1, 30, tzinfo=UTC))

    assert dates_of(engine) == [
        ("2024-10-25T22:00:00Z", "2024-10-26T21:59:59Z"),
        ("2024-10-26T22:00:00Z", "2024-10-27T22:59:59Z"),  # 25 hours
    ]


POINTS = ("TICK_CREATED", "TICK_HELD", "RUN_CREATED", "RUN_LAUNCHED", "RUN_ADDED", "TICK_SUCCESS")


@pytest.mark.parametrize("breaks", [signal.SIGINT, OSError("The disk is full.")], ids=repr)
def test_a_tick_that_breaks_anywhere_is_done_all_the_same_and_once(
    workspace_context: WorkspaceProcessContext, engine: Engine, breaks: Any
) -> None:
    look(workspace_context, FIRST_LOOK)
    for number, point in enumerate(POINTS[breaks is not signal.SIGINT :], start=1):
        due = TICK + timedelta(days=number)
        with suppress(KeyboardInterrupt):
            look(workspace_context, due, {point: breaks})
        assert ticks(workspace_context)[0].status != TickStatus.SUCCESS

        look(workspace_context, due + LATE)

        newest = ticks(workspace_context)[0]
        assert (newest.status, len(newest.run_ids)) == (TickStatus.SUCCESS, 1)
        assert len(ticks(workspace_context)) == number
        assert len(tasks_of(engine)) == number
        assert {run.status for run in runs(workspace_context)} == {DagsterRunStatus.QUEUED}


def test_a_scheduler_killed_between_creating_and_submitting_makes_no_second_task(
    workspace_context: WorkspaceProcessContext,
    code_server: GrpcServerTarget,
    store: TaskStore,
    tmp_path: Path,
) -> None:
    look(workspace_context, FIRST_LOOK)
    command = [sys.executable, "-m", "tests.support.schedules", str(code_server.socket)]
    killed = subprocess.run(
        [*command, str(TICK.timestamp()), "RUN_CREATED"],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path / "home")},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    (run,) = runs(workspace_context)
    assert run.status == DagsterRunStatus.NOT_STARTED

    look(workspace_context, TICK + LATE)

    assert assert_done_once(workspace_context).run_id == run.run_id


def test_a_run_that_the_queue_did_not_take_is_made_again(
    workspace_context: WorkspaceProcessContext, store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any) -> None:
        raise OSError("The database is away.")

    look(workspace_context, FIRST_LOOK)
    with monkeypatch.context() as patch:
        patch.setattr(workspace_context.instance.run_coordinator, "submit_run", refuse)
        look(workspace_context, TICK)
    assert ticks(workspace_context)[0].status == TickStatus.SUCCESS  # Dagster does not come back
    (task,) = tasks_of(state_engine())
    assert task.status is Status.PENDING

    assert has_future(workspace_context, task)

    again = store.get(task.id, REPORTS)
    (run,) = [each for each in runs(workspace_context) if each.run_id == again.run_id]
    assert (again.attempt, again.status, run.status) == (
        2,
        Status.PENDING,
        DagsterRunStatus.QUEUED,
    )


def test_a_run_that_nobody_submits_any_more_is_queued_all_the_same(
    workspace_context: WorkspaceProcessContext,
) -> None:
    look(workspace_context, FIRST_LOOK)
    with suppress(KeyboardInterrupt):
        look(workspace_context, TICK, {"RUN_CREATED": signal.SIGINT})
    switch_off(workspace_context)
    (task,) = tasks_of(state_engine())

    for _ in range(2):
        assert has_future(workspace_context, task)

    (run,) = runs(workspace_context)
    assert (run.run_id, run.status) == (task.run_id, DagsterRunStatus.QUEUED)
    assert len(tasks_of(state_engine())) == 1


def test_what_is_switched_in_the_ui_stays_so_in_another_process(
    workspace_context: WorkspaceProcessContext, code_server: GrpcServerTarget, engine: Engine
) -> None:
    instance = workspace_context.instance
    look(workspace_context, FIRST_LOOK)
    switch_off(workspace_context)
    with freeze_time(FIRST_LOOK):
        instance.start_schedule(schedule(workspace_context, "users_export"))

    with (
        DagsterInstance.from_config(str(load_settings().home)) as another,
        WorkspaceProcessContext(another, code_server) as context,
    ):
        look(context, TICK)
        look(context, datetime(2025, 1, 1, 12, tzinfo=UTC))

    (task,) = tasks_of(engine)
    assert (task.task_type, task.owner) == ("users_export", "o'brien & sons, über")


def test_what_is_switched_while_the_scheduler_looks_stays_so(
    workspace_context: WorkspaceProcessContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = workspace_context.instance
    look(workspace_context, FIRST_LOOK)
    read = instance.all_instigator_state

    def read_and_be_late(**kind: Any) -> Any:
        states = read(**kind)
        switch_off(workspace_context)
        return states

    monkeypatch.setattr(instance, "all_instigator_state", read_and_be_late)
    look(workspace_context, FIRST_LOOK + timedelta(hours=2))  # it notes each hour that it looked

    (state,) = read()
    assert not state.is_running


def test_a_schedule_that_is_switched_on_again_makes_up_for_nothing(
    workspace_context: WorkspaceProcessContext, engine: Engine
) -> None:
    instance = workspace_context.instance
    look(workspace_context, FIRST_LOOK)
    switch_off(workspace_context)

    with freeze_time(TICK + timedelta(days=3, hours=1)):
        instance.start_schedule(schedule(workspace_context))
    look(workspace_context, TICK + timedelta(days=3, hours=2))

    assert dates_of(engine) == []


def test_old_ticks_are_removed(workspace_context: WorkspaceProcessContext) -> None:
    look(workspace_context, FIRST_LOOK)
    times = [TICK + timedelta(days=days) for days in (0, 1, 90, 91)]

    for at in times:
        look(workspace_context, at)

    kept = [datetime.fromtimestamp(tick.timestamp, UTC) for tick in ticks(workspace_context)]
    assert kept == [times[3], times[2], times[1]]


def test_the_instance_is_the_services(workspace_context: WorkspaceProcessContext) -> None:
    """What is shown here is shown of the configuration that ships."""
    scheduler: Any = workspace_context.instance.scheduler

    assert scheduler.max_tick_retries == 60
    assert state_engine().dialect.name in {"sqlite", "postgresql"}
