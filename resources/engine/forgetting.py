"""Removes Dagster's runs that ended long ago, with their events and what they printed."""

from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from resources.engine.names import TASK_ID_TAG

_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
RUNS_AT_A_TIME = 100


def count_runs(instance: DagsterInstance, ended_before: datetime) -> int:
    """How many runs ended before that instant."""
    return instance.get_runs_count(_ended(ended_before))


def forget_runs(
    instance: DagsterInstance,
    ended_before: datetime,
    kept: Callable[[Collection[int]], Collection[int]],
) -> Iterator[str]:
    """Remove the runs that ended before that instant; yields the id of each that is gone.

    Runs of a task that is kept stay, all of them: Dagster tells by the earlier ones whether there
    is to be a retry.

    Args:
        instance: Dagster.
        ended_before: The instant.
        kept: Of the ids of some tasks those that are kept.
    """
    skipped = 0
    while True:
        records = instance.get_run_records(
            _ended(ended_before), limit=skipped + RUNS_AT_A_TIME, ascending=True
        )[skipped:]
        if not records:
            return
        runs = [record.dagster_run for record in records]
        stay = kept({task for run in runs if (task := _task_of(run)) is not None})
        for run in runs:
            if _task_of(run) in stay:
                skipped += 1
            else:
                _forget(instance, run.run_id)
                yield run.run_id


def _task_of(run: DagsterRun) -> int | None:
    number = run.tags.get(TASK_ID_TAG, "")
    return int(number) if number.isdecimal() else None


def _forget(instance: DagsterInstance, run_id: str) -> None:
    """What a crash leaves of a run goes first, so that the run itself is found again."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.event_log_storage.delete_events(run_id)
    instance.run_storage.delete_run(run_id)


def _ended(before: datetime) -> RunsFilter:
    return RunsFilter(statuses=_ENDED, updated_before=before)
