"""Events that are of no use alone are written with the next one, in their order, or not at all."""

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
)
from dagster._core.events import EngineEventData
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from resources.engine.event_batches import HELD
from resources.engine.storage import state_engine
from tests.resources.engine.conftest import RunMaker

FIRST, SECOND = DagsterEventType.RESOURCE_INIT_STARTED, DagsterEventType.RESOURCE_INIT_SUCCESS
NEXT = DagsterEventType.ENGINE_EVENT


@pytest.fixture(autouse=True)
def _on_postgresql(backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("in SQLite each event is stored by itself")


def report(instance: DagsterInstance, run: DagsterRun, *kinds: DagsterEventType) -> None:
    for kind in kinds:
        told = DagsterEvent(kind.value, run.job_name, event_specific_data=EngineEventData())
        instance.report_dagster_event(told, run_id=run.run_id)


def kinds(instance: DagsterInstance, run_id: str) -> list[str]:
    entries = instance.all_logs(run_id)
    return [each.dagster_event.event_type_value for each in entries if each.dagster_event]


def test_what_is_held_is_written_with_the_next_event_in_one_transaction(
    instance: DagsterInstance, new_run: RunMaker
) -> None:
    run = new_run()
    commits: list[object] = []
    event.listen(state_engine(), "commit", commits.append)

    report(instance, run, FIRST, SECOND)
    before = kinds(instance, run.run_id)
    report(instance, run, NEXT)

    assert not {FIRST.value, SECOND.value} & set(before)
    written = kinds(instance, run.run_id)
    assert written[-3:] == [FIRST.value, SECOND.value, NEXT.value]
    assert DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED in {
        DagsterEventType(each) for each in written
    }
    assert len(commits) == 1


def test_what_cannot_be_written_keeps_no_later_event_from_it(
    instance: DagsterInstance, new_run: RunMaker
) -> None:
    run = new_run()

    def refuse(connection: object, *_: object) -> None:
        raise DBAPIError("", {}, Exception())

    report(instance, run, FIRST)
    event.listen(state_engine(), "commit", refuse)
    with pytest.raises(DBAPIError):
        report(instance, run, NEXT)
    event.remove(state_engine(), "commit", refuse)
    report(instance, run, NEXT)

    assert [kind for kind in kinds(instance, run.run_id) if not kind.endswith("_PLANNED")] == [
        NEXT.value
    ]


def test_a_runs_end_is_never_held() -> None:
    ends = {
        DagsterEventType.RUN_SUCCESS,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELED,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.ASSET_MATERIALIZATION,  # which the checks' own target is looked up in
    }

    assert not ends & HELD


def test_the_result_of_a_check_that_is_told_without_a_run_waits_for_nothing(
    instance: DagsterInstance,
) -> None:
    evaluation = AssetCheckEvaluation(
        check_name="rows", asset_key=AssetKey("x"), passed=True, metadata={}
    )
    instance.report_runless_asset_event(evaluation)

    with state_engine().connect() as connection:
        kinds_ = connection.scalars(text("SELECT dagster_event_type FROM event_logs")).all()
    assert kinds_ == [DagsterEventType.ASSET_CHECK_EVALUATION.value]
