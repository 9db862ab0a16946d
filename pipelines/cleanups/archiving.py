"""Before a row is deleted: all that are to go, in Parquet files, read back and counted."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from pipelines.assignments import Assignment
from pipelines.cleanups.plans import Plan, make_plan, planned_counts
from pipelines.cleanups.reading import reading, selection_of
from pipelines.cleanups.writing import check_rights
from pipelines.exports import frame_rows, to_frame
from pipelines.journal import Journal
from pipelines.parts import PartWriter
from pipelines.run_control import patiently
from resources.archives.store import Archive, ArchiveStore
from resources.archives.tables import RawTable, not_archivable
from resources.errors import ArchiveDamaged, ArchiveNotFound, TaskFailed, Unavailable
from resources.results import AttemptFolder, ResultFile
from resources.source.masking import Masking, load_masking
from resources.source.reader import arrow_schema, read_batches
from resources.task_types.data_cleanup import DataCleanupOptions
from resources.task_types.export_options import ExportOptions
from resources.timestamps import now, to_rfc3339

# A run may go on with what an earlier one of this version has archived.
VERSION = 1
# A fenced write tells that the run is alive at least so often, whatever is read.
CHECK_SECONDS = 5.0


def archive_of(assignment: Assignment, store: ArchiveStore) -> Archive:
    """The task's archive: what an earlier attempt has made of it, or a new one.

    Raises:
        TaskFailed: The plan does not hold, rows cannot be archived, or the storage does not work.
        SourceUnavailable: The source does not answer, or refuses a query.
        AttemptSuperseded: The run must stop; what it has written is gone.
    """
    task = assignment.task
    archive = _chosen(store, task.id)
    if archive is None:
        _make(assignment, store)
        archive = _chosen(store, task.id)
        assert archive is not None  # noqa: S101 - one was chosen, by this run or another
    if archive.manifest.get("origin") != _origin(assignment):
        raise TaskFailed(
            "archive_of_another_task",
            "Under this task's number there is an archive of another request, or of another "
            "service that keeps its archives in the same place. Nothing was deleted by this run.",
            retryable=False,
        )
    patiently(assignment.attempt.check)
    store.remove_others(task.id, archive)
    return archive


def _chosen(store: ArchiveStore, task_id: int) -> Archive | None:
    with archive_failures():
        try:
            return store.archive(task_id)
        except ArchiveNotFound:
            return None


@contextmanager
def archive_failures() -> Iterator[None]:
    """What goes wrong while an archive is read fails the task."""
    try:
        yield
    except ArchiveDamaged as error:
        raise TaskFailed(
            "archive_damaged", f"{error} Tell the operator.", retryable=False
        ) from None
    except Unavailable as error:
        raise TaskFailed("storage_unavailable", str(error), retryable=True) from None


def _origin(assignment: Assignment) -> dict[str, Any]:
    """What an archive is of: another attempt at the same task has the same."""
    request, task = assignment.request, assignment.task
    return {
        "task": task.id,
        "created_at": to_rfc3339(task.created_at),
        "filters": request.filters,
        "date_from": request.date_from,
        "date_to": request.date_to,
        "options": request.options,
    }


def _make(assignment: Assignment, store: ArchiveStore) -> None:
    """Archive everything, and have that be the task's archive."""
    folder = store.folder(assignment.task.id, assignment.attempt.run_id)
    try:
        folder.discard()  # what this very run left when it lost the source
        folder.create()
        manifest = _write(assignment, folder)
        with archive_failures():
            store.unwritten(folder, manifest).check(assignment.control.raise_if_stopped)
        folder.write_manifest(manifest)
        assignment.control.raise_if_stopped()
        patiently(assignment.attempt.check)
    except BaseException:
        folder.discard()
        raise
    store.choose(assignment.task.id, assignment.attempt.run_id)


def _write(assignment: Assignment, folder: AttemptFolder) -> dict[str, Any]:
    selection = selection_of(assignment)
    key = load_masking(assignment.settings).key
    with reading(assignment) as connection:
        taken_at = to_rfc3339(now())
        plan = make_plan(connection, assignment.request, selection, key)
        planned = planned_counts(plan, assignment.request, selection.dataset, key)
        _refuse_drift(plan, planned, assignment)
        plan.refuse_references()
        for table in plan.tables:
            table.forms.prepare(connection)
        assignment.attempt.report_progress(0, plan.rows)
        tables = [
            table.document()
            | {
                "planned": planned[index],
                "rows": plan.counts[index],
                "files": [
                    asdict(file)
                    for file in _Archiver(assignment, folder, connection, plan).write(index)
                ],
            }
            for index, table in enumerate(plan.tables)
        ]
    # Not before: SQLite lets nobody write while somebody reads.
    check_rights(assignment, plan.tables)
    return {
        "version": VERSION,
        "origin": _origin(assignment),
        "database": selection.dataset.dialect.name,
        "dataset": selection.dataset.name,
        "taken_at": taken_at,
        "tables": tables,
    }


def _refuse_drift(plan: Plan, planned: Sequence[int], assignment: Assignment) -> None:
    tolerance = DataCleanupOptions.model_validate(assignment.request.options).tolerance
    drifted = [
        f"{table.name}: {rows} planned, {found} found"
        for table, rows, found in zip(plan.tables, planned, plan.counts, strict=True)
        if abs(rows - found) > tolerance
    ]
    if drifted:
        raise TaskFailed(
            "plan_drifted",
            f"There are other rows than were planned ({'; '.join(drifted)}). Make a new plan with "
            "a dry run. Nothing was deleted.",
            retryable=False,
        )


class _Archiver:
    """Writes the rows of a plan's tables, as they are in one snapshot."""

    def __init__(
        self, assignment: Assignment, folder: AttemptFolder, connection: Connection, plan: Plan
    ) -> None:
        self._assignment = assignment
        self._folder = folder
        self._connection = connection
        self._plan = plan

    def write(self, index: int) -> list[ResultFile]:
        """The rows of one table, in the order of its key."""
        table, expected = self._plan.tables[index], self._plan.counts[index]
        journal = Journal(self._folder, stem=f"table-{index + 1:03d}-part")
        writer = PartWriter(
            self._folder,
            arrow_schema(table.columns),
            ExportOptions(),
            journal,
        )
        try:
            for batch in self._batches(table, expected):
                writer.write(to_frame(batch))
            files = writer.close()
        finally:
            writer.abandon()
        if journal.rows != expected:
            raise TaskFailed(
                "count_mismatch",
                f"{journal.rows} rows of {table.name} were archived, but the source counts "
                f"{expected} in the same snapshot. Nothing was deleted.",
                retryable=True,
            )
        return files

    def _batches(self, table: RawTable, expected: int) -> Iterator[pa.RecordBatch]:
        rows = frame_rows(self._assignment.request.batch_size)
        selection = table.rows(self._plan.doomed.conditions[table.name])
        keys = _Keys(table)
        checked_at = time.monotonic()
        for batch in read_batches(self._connection, selection, rows, Masking(b""), expected):
            self._assignment.control.raise_if_stopped()
            if time.monotonic() - checked_at > CHECK_SECONDS:
                self._assignment.attempt.report_progress(0, self._plan.rows)
                checked_at = time.monotonic()
            keys.check(batch)
            _refuse_lost(table, batch)
            yield batch


def _refuse_lost(table: RawTable, batch: pa.RecordBatch) -> None:
    for column, array in zip(table.columns, batch.columns, strict=True):
        if table.forms.is_lost(array):
            raise not_archivable(
                f'The column "{column.name}" of {table.name} holds a text that is no text in the '
                "database's own encoding."
            )


class _Keys:
    """Makes sure that each row is told from all others by its key."""

    def __init__(self, table: RawTable) -> None:
        self._table = table
        self._last: tuple[Any, ...] | None = None

    def check(self, batch: pa.RecordBatch) -> None:
        """See the class; rows come in the order of the key."""
        columns = [batch.column(name) for name in self._table.key]
        if any(each.null_count for each in columns):
            raise not_archivable(f'The key of "{self._table.name}" is null in some rows.')
        keys = list(zip(*(each.to_pylist() for each in columns), strict=True))
        known = keys if self._last is None else [self._last, *keys]
        if len(set(known)) < len(known):
            raise not_archivable(f'The key of "{self._table.name}" does not tell its rows apart.')
        self._last = keys[-1] if keys else self._last
