"""Retention: removes expired results, and forgets tasks and runs that ended long ago.

Whatever it is stopped at, what it has removed is gone and the rest is found again: running it again
goes on. What cleanups have archived is never touched.
"""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from dagster import DagsterInstance, MaterializeResult

from pipelines.assignments import Assignment
from pipelines.publishing import manifest_of, publish, store_json, writing_result
from pipelines.run_control import Progress
from resources.engine.forgetting import count_runs, forget_runs
from resources.errors import TaskFailed, Unavailable
from resources.results import ResultStore
from resources.results.factory import result_store
from resources.store.models import Task
from resources.store.retention import RetentionStore
from resources.timestamps import now, to_rfc3339

FILE = "retention.json"


@dataclass(frozen=True)
class Removed:
    """What was removed; in a dry run, what would be.

    Attributes:
        results: Expired results.
        bytes: What they took.
        runs: Dagster's runs.
        tasks: Tasks.
    """

    results: int = 0
    bytes: int = 0
    runs: int = 0
    tasks: int = 0


def run_retention(assignment: Assignment, *, dry_run: bool) -> MaterializeResult[Any]:
    """Remove what is past its time, or count it, and publish what came of it.

    Raises:
        TaskFailed: The result storage does not let go of something (``storage_unavailable``); all
            else is gone.
        AttemptSuperseded: The task was cancelled or given to another run.
    """
    started = time.monotonic()
    settings = assignment.settings
    at = now()
    store = RetentionStore(
        assignment.attempt.engine, at - settings.result_retention, at - settings.kept_for
    )
    retention = _Retention(assignment, store, result_store(settings), DagsterInstance.get())
    found = retention.found()
    removed = found if dry_run else retention.remove(found)
    _publish(assignment, removed, to_rfc3339(at), dry_run=dry_run)
    seconds = round(time.monotonic() - started, 3)
    return MaterializeResult(metadata={**asdict(removed), "dry run": dry_run, "seconds": seconds})


@dataclass(frozen=True)
class _Retention:
    assignment: Assignment
    store: RetentionStore
    results: ResultStore
    instance: DagsterInstance

    def found(self) -> Removed:
        """What there is to remove."""
        outdated = self.store.outdated()
        runs = count_runs(self.instance, self.store.old)
        return Removed(outdated.results, outdated.bytes, runs, outdated.tasks)

    def remove(self, found: Removed) -> Removed:
        """Remove it: files before the runs that made them, and tasks last, which lead to both."""
        total = found.results + found.runs + found.tasks
        progress = Progress(self.assignment.attempt, total)
        removed, stayed = self._remove_results(progress)
        runs = self._forget_runs(progress)
        tasks = self._forget_tasks(progress)
        if stayed:
            raise _not_removed(f"{stayed} expired results")
        return replace(removed, runs=runs, tasks=tasks)

    def _remove_results(self, progress: Progress) -> tuple[Removed, int]:
        """What was removed, and how many results stayed though they were to go."""
        removed, stayed = Removed(), 0
        last: Task | None = None
        while expired := self.store.expired_results(self.assignment.request.batch_size, last):
            gone = [task for task in expired if self._is_removed(task, progress)]
            self.store.mark_removed(gone)
            size = sum(int((task.result or {}).get("bytes", 0)) for task in gone)
            removed = replace(
                removed, results=removed.results + len(gone), bytes=removed.bytes + size
            )
            stayed += len(expired) - len(gone)
            last = expired[-1]
        return removed, stayed

    def _is_removed(self, task: Task, progress: Progress) -> bool:
        self.assignment.control.raise_if_stopped()
        progress.advance(1)
        try:
            gone = [folder.discard() for folder in self.results.attempts(task.id)]
        except Unavailable as error:
            raise _not_removed("Some expired results") from error
        return all(gone)

    def _forget_runs(self, progress: Progress) -> int:
        forgotten = 0
        for _ in forget_runs(self.instance, self.store.old, self.store.kept):
            forgotten += 1
            progress.advance(1)
            self.assignment.control.raise_if_stopped()
        return forgotten

    def _forget_tasks(self, progress: Progress) -> int:
        forgotten = 0
        while some := self.store.forget(self.assignment.request.batch_size):
            forgotten += some
            progress.advance(some)
            self.assignment.control.raise_if_stopped()
        return forgotten


def _not_removed(what: str) -> TaskFailed:
    return TaskFailed(
        "storage_unavailable",
        f"{what} could not be removed. The operator finds the reason in the log; what is left is "
        "removed the next time.",
        retryable=True,
    )


def _publish(assignment: Assignment, removed: Removed, at: str, *, dry_run: bool) -> None:
    told = {"dry_run": dry_run, **asdict(removed)}
    folder = assignment.folder
    rows = removed.results + removed.runs + removed.tasks
    with writing_result(folder):
        folder.create()
        file = store_json(folder, FILE, told, rows=1)
        snapshots = [{"taken_at": at, "rows": rows, "files": [FILE]}]
        manifest = manifest_of(
            assignment.request, [file], rows=rows, snapshots=snapshots, retention=told
        )
        folder.write_manifest(manifest)
    publish(manifest, folder, assignment.attempt)
