"""A run and its task are written in one transaction: wherever it breaks, neither has changed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable, SnapshotsTable
from dagster._core.storage.tags import RETRY_NUMBER_TAG
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from resources.engine.storage import _ProjectingRunStorage
from resources.requests import TaskRequest
from resources.store.attempts import AttemptStore
from resources.store.models import Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.resources.engine.conftest import RunMaker
from tests.support.breaks import assert_one_transaction, methods_that_use

RESULT = {"rows": 3, "bytes": 10, "files": 1, "folder": "1/x"}
TABLES = (tasks, SnapshotsTable, RunsTable, RunTagsTable)

Write = Callable[[], object]


@dataclass(frozen=True)
class Dagster:
    """Dagster, and what it takes to have it do something with a task."""

    instance: DagsterInstance
    engine: Engine
    new_run: RunMaker

    @property
    def runs(self) -> RunStorage:
        """Where it stores runs."""
        return self.instance.run_storage

    def task(self) -> Task:
        """A task that waits to be handed over."""
        store, request = TaskStore(self.engine), TaskRequest(task_type="bookings_export")
        return store.submit(request, owner="alice", request_id="r", idempotency_key=None).task

    def run(self) -> DagsterRun:
        """The run of a task, not started yet."""
        return self.new_run(self.task().run_id)

    def run_at_work(self) -> DagsterRun:
        """The run of a task that is being processed."""
        run = self.run()
        self.event(run, DagsterEventType.RUN_START)()
        return run

    def event(
        self, run: DagsterRun, kind: DagsterEventType, data: JobFailureData | None = None
    ) -> Write:
        """Storing that something happened to the run."""
        event = DagsterEvent(kind.value, run.job_name, event_specific_data=data)
        return partial(self.runs.handle_run_event, run.run_id, event)

    def adding(self, run_id: str | None = None, **fields: Any) -> Write:
        """Storing a new run, and nothing else of what Dagster does with one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.runs, "add_run", lambda run: run)
            run = self.new_run(run_id, **fields)
        return partial(self.runs.add_run, run)


@pytest.fixture
def dagster(instance: DagsterInstance, engine: Engine, new_run: RunMaker) -> Dagster:
    return Dagster(instance, engine, new_run)


def add_retry(dagster: Dagster) -> Write:
    run = dagster.run_at_work()
    failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNKNOWN)
    dagster.event(run, DagsterEventType.RUN_FAILURE, failure)()
    return dagster.adding(parent=run, tags={RETRY_NUMBER_TAG: "1"})


def succeed(dagster: Dagster) -> Write:
    run = dagster.run_at_work()
    AttemptStore(dagster.engine, run.run_id).publish(RESULT)
    return dagster.event(run, DagsterEventType.RUN_SUCCESS)


def fail(dagster: Dagster, reason: RunFailureReason) -> Write:
    data = JobFailureData(error=None, failure_reason=reason)
    return dagster.event(dagster.run_at_work(), DagsterEventType.RUN_FAILURE, data)


# Each method that writes, and in which case: prepares a run, and returns the write.
WRITES: dict[str, Callable[[Dagster], Write]] = {
    "add_run, of a task": lambda dagster: dagster.adding(dagster.task().run_id),
    "add_run, a retry": add_retry,
    "add_run, of nobody": lambda dagster: dagster.adding(),
    "handle_run_event, start": lambda dagster: dagster.event(
        dagster.run(), DagsterEventType.RUN_START
    ),
    "handle_run_event, success": succeed,
    "handle_run_event, failure": lambda dagster: fail(dagster, RunFailureReason.STEP_FAILURE),
    "handle_run_event, lost worker": lambda dagster: fail(dagster, RunFailureReason.UNKNOWN),
    "handle_run_event, cancelled": lambda dagster: dagster.event(
        dagster.run_at_work(), DagsterEventType.RUN_CANCELED
    ),
    "delete_run": lambda dagster: partial(dagster.runs.delete_run, dagster.run_at_work().run_id),
    "wipe": lambda dagster: dagster.runs.wipe,
}


def test_no_writing_method_is_forgotten_here() -> None:
    writing = methods_that_use(_ProjectingRunStorage, "_transaction")

    assert {name.split(",")[0] for name in WRITES} == writing


@pytest.mark.parametrize("prepare", WRITES.values(), ids=WRITES)
def test_change_of_a_run_that_breaks_leaves_run_and_task_and_can_be_made_again(
    dagster: Dagster,
    engine: Engine,
    prepare: Callable[[Dagster], Write],
    subtests: pytest.Subtests,
) -> None:
    dagster.run_at_work()  # another one; and the job's snapshot, which is no part of a run's row
    write = prepare(dagster)

    assert_one_transaction(engine, TABLES, write, DBAPIError, subtests)
