"""Nothing is left of a run that is forgotten."""

import sqlite3
import sys
from collections.abc import Collection
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from sqlalchemy import Engine, inspect, text

from resources.engine.forgetting import count_runs, forget_runs
from resources.engine.names import TASK_ID_TAG
from resources.settings import load_settings
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.resources.engine.conftest import RunMaker, report, stored

LATER = timedelta(minutes=1)
EXPECTED = {"tasks", "asset_keys"}


def ended(new_run: RunMaker, instance: DagsterInstance, *kinds: DagsterEventType) -> DagsterRun:
    run = new_run(tags={"a": "tag"})
    report(instance, run, *kinds)
    return stored(instance, run)


def cancelled(new_run: RunMaker, instance: DagsterInstance) -> DagsterRun:
    return ended(new_run, instance, DagsterEventType.RUN_START, DagsterEventType.RUN_CANCELED)


def forget(instance: DagsterInstance, before: datetime, kept: Collection[int] = ()) -> list[str]:
    """The runs that are gone, where the tasks ``kept`` are."""
    return list(forget_runs(instance, before, lambda tasks: {*tasks} & {*kept}))


def mentions(engine: Engine, run_id: str) -> list[str]:
    """The tables of the state databases that have the run's id in a row.

    But for the tasks', and that of the assets, which tells each one's last run.
    """
    if engine.dialect.name == "sqlite":
        found = []
        for path in load_settings().state_folder.rglob("*.db"):
            if path.stem == run_id:
                found.append(path.name)
            found += _mentions_in_file(path, run_id)
        return [name for name in found if name not in EXPECTED]
    found = []
    with engine.connect() as connection:
        for name in inspect(engine).get_table_names():
            like = text(f'SELECT count(*) FROM "{name}" AS t WHERE t::text LIKE :id')
            if connection.scalar(like, {"id": f"%{run_id}%"}):
                found.append(name)
    return [name for name in found if name not in EXPECTED]


def _mentions_in_file(path: Path, run_id: str) -> list[str]:
    found = []
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in names.fetchall():
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
            found += [name for row in rows if run_id in str(row)]
    return found


def evaluate_check(instance: DagsterInstance, run: DagsterRun) -> None:
    """As a run tells of a check of its asset."""
    evaluation = AssetCheckEvaluation(
        check_name="rows", asset_key=AssetKey("x"), passed=True, metadata={}
    )
    event = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION.value,
        job_name=run.job_name,
        event_specific_data=evaluation,
    )
    instance.report_dagster_event(event, run_id=run.run_id)


def test_nothing_is_left_of_a_run(
    new_run: RunMaker, instance: DagsterInstance, engine: Engine
) -> None:
    run = cancelled(new_run, instance)
    evaluate_check(instance, run)
    with instance.compute_log_manager.capture_logs([run.run_id, "compute_logs", "step"]):
        sys.stdout.write("printed")
    folder = load_settings().home / "storage" / run.run_id
    assert folder.is_dir()
    assert {"runs", "run_tags"} <= set(mentions(engine, run.run_id))

    assert forget(instance, now() + LATER) == [run.run_id]

    assert mentions(engine, run.run_id) == []
    assert not folder.exists()
    assert instance.get_run_by_id(run.run_id) is None


def test_the_task_of_a_forgotten_run_is_as_it_was(
    new_run: RunMaker, instance: DagsterInstance, store: TaskStore, engine: Engine
) -> None:
    cancelled(new_run, instance)
    before = _tasks(engine)

    forget(instance, now() + LATER)

    assert _tasks(engine) == before


def _tasks(engine: Engine) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT * FROM tasks ORDER BY id"))]


def test_only_what_ended_before_is_forgotten_the_oldest_first(
    new_run: RunMaker, instance: DagsterInstance
) -> None:
    alive = new_run(status=DagsterRunStatus.NOT_STARTED)
    runs = [cancelled(new_run, instance).run_id for _ in range(3)]

    assert (count_runs(instance, now() - LATER), forget(instance, now() - LATER)) == (0, [])
    assert count_runs(instance, now() + LATER) == 3
    assert forget(instance, now() + LATER) == runs

    assert [run.run_id for run in instance.get_runs()] == [alive.run_id]


def test_the_runs_of_a_task_that_is_kept_stay_all_of_them(
    new_run: RunMaker, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.engine.forgetting.RUNS_AT_A_TIME", 2)
    runs = [cancelled(new_run, instance) for _ in range(5)]
    of_tasks = [int(run.tags[TASK_ID_TAG]) for run in runs]
    kept = {of_tasks[0], of_tasks[3]}

    gone = forget(instance, now() + LATER, kept)

    assert gone == [
        run.run_id for run, task in zip(runs, of_tasks, strict=True) if task not in kept
    ]
    assert {run.run_id for run in instance.get_runs()} == {runs[0].run_id, runs[3].run_id}


def test_another_process_makes_the_file_of_a_run_anew_that_was_forgotten(
    new_run: RunMaker, instance: DagsterInstance
) -> None:
    run = cancelled(new_run, instance)
    with DagsterInstance.from_config(str(load_settings().home)) as other:
        assert other.all_logs(run.run_id)
        forget(instance, now() + LATER)

        assert other.all_logs(run.run_id) == []


def test_what_is_left_of_a_run_whose_forgetting_was_interrupted_goes_the_next_time(
    new_run: RunMaker, instance: DagsterInstance, engine: Engine
) -> None:
    run = cancelled(new_run, instance)
    instance.event_log_storage.delete_events(run.run_id)  # and then the process died

    assert forget(instance, now() + LATER) == [run.run_id]
    assert mentions(engine, run.run_id) == []
