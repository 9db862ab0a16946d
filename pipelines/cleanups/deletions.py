"""A cleanup that deletes: what is archived, as it is archived, and nothing else."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from dagster import MaterializeResult
from sqlalchemy import Connection, Engine

from pipelines.assignments import Assignment
from pipelines.cleanups.archiving import archive_failures, archive_of
from pipelines.cleanups.plans import rows_referenced
from pipelines.cleanups.reading import reading
from pipelines.cleanups.writing import writer, writing
from pipelines.publishing import manifest_of, publish, store_json, writing_result
from pipelines.run_control import patiently
from resources.archives.references import Reference, references
from resources.archives.rows import NotToldApart, Row, Rows, pieces, rows_of
from resources.archives.store import Archive, ArchivedTable, archive_store
from resources.archives.tables import RawTable, TableName, raw_table
from resources.errors import TaskFailed
from resources.timestamps import now, to_rfc3339

REPORT_FILE = "cleanup.json"


def run_deletion(assignment: Assignment) -> MaterializeResult[Any]:
    """Archive what was planned, delete it, and publish how much that was.

    Running it again, as another attempt at the task, goes on: what is archived stays as it is,
    and rows that are gone count as deleted.
    """
    started = time.monotonic()
    store = archive_store(assignment.settings)
    archive = archive_of(assignment, store)
    deletion = Deletion(assignment, archive)
    try:
        deletion.run()
    finally:
        with suppress(TaskFailed):  # it is gone, whoever can read of it
            store.note(archive, assignment.attempt.run_id, deletion.told())
    return _published(assignment, archive, deletion, started)


def _published(
    assignment: Assignment, archive: Archive, deletion: "Deletion", started: float
) -> MaterializeResult[Any]:
    told, folder = deletion.told(), assignment.folder
    with writing_result(folder):
        folder.create()
        file = store_json(folder, REPORT_FILE, told)
        manifest = manifest_of(
            assignment.request,
            [file],
            rows=archive.rows,
            snapshots=[
                {"taken_at": archive.manifest["taken_at"], "rows": archive.rows, "files": []}
            ],
            cleanup=told,
        )
        folder.write_manifest(manifest)
    publish(manifest, folder, assignment.attempt)
    return MaterializeResult(
        metadata={
            "planned": sum(each["planned"] for each in told["tables"]),
            "archived": archive.rows,
            "deleted": sum(each["deleted"] for each in told["tables"]),
            "bytes": sum(file.bytes for each in archive.tables for file in each.files),
            "seconds": round(time.monotonic() - started, 3),
        }
    )


@dataclass
class _Done:
    """How far the rows of one table are."""

    archived: ArchivedTable
    deleted: int = 0
    changed: int = 0


@dataclass
class Deletion:
    """Deletes what is in an archive.

    Attributes:
        is_over: Whether all of it is gone.
    """

    assignment: Assignment
    archive: Archive
    is_over: bool = False
    _done: list[_Done] = field(init=False)

    def __post_init__(self) -> None:
        self._done = [_Done(each) for each in self.archive.tables]

    def told(self) -> dict[str, Any]:
        """What became of the rows, table by table, as far as this run knows."""
        return {
            "dataset": self.archive.manifest["dataset"],
            "state": "deleted" if self.is_over else "stopped",
            "at": to_rfc3339(now()),
            "tables": [
                {
                    "table": str(_name(each.archived)),
                    "planned": each.archived.document["planned"],
                    "archived": each.archived.rows,
                    "deleted": each.deleted,
                    "changed": each.changed,
                }
                for each in self._done
            ],
        }

    def run(self) -> None:
        """Delete everything, children before parents.

        Raises:
            TaskFailed: Rows have changed since (``plan_drifted``), or are referred to
                (``rows_referenced``); they, and what comes after them, are left.
            SourceUnavailable: The source does not answer, or refuses to delete.
            AttemptSuperseded: The run must stop.
        """
        with reading(self.assignment) as connection:
            known = references(connection)
            tables = [_table(connection, each.archived) for each in self._done]
        with writer(self.assignment) as engine:
            for done, table in reversed(list(zip(self._done, tables, strict=True))):
                to_it = [each for each in known if each.parent == table.name]
                self._delete(engine, done, table, to_it)
                if done.changed:
                    raise _drifted(done, table)
        self.is_over = True

    def _delete(
        self, engine: Engine, done: _Done, table: RawTable, to_it: Sequence[Reference]
    ) -> None:
        """Delete the rows of one table, a batch in each transaction."""
        size = self.assignment.request.batch_size
        for batch in self._batches(done.archived, size):
            self.fence()
            rows = rows_of(batch.columns)
            try:
                with writing(self.assignment, engine, table) as connection:
                    changed = Batch.on(connection, table, to_it).delete(rows)
            except NotToldApart:
                raise _not_told_apart(table) from None
            done.changed += changed
            done.deleted += len(rows) - changed

    def _batches(self, archived: ArchivedTable, size: int) -> Iterator[pa.RecordBatch]:
        with archive_failures():  # what is raised where the rows go is not raised in here
            yield from self.archive.batches(archived, size)

    def fence(self) -> None:
        """Make sure that the task is still this run's, and tell how far it is."""
        self.assignment.control.raise_if_stopped()
        processed = sum(each.deleted for each in self._done)
        attempt = self.assignment.attempt
        patiently(lambda: attempt.report_progress(processed, self.archive.rows))


class Batch:
    """Deletes rows that are as they were archived, within one transaction."""

    def __init__(self, rows: Rows, to_it: Sequence[Reference]) -> None:
        self._rows = rows
        self._to_it = to_it

    @classmethod
    def on(cls, connection: Connection, table: RawTable, to_it: Sequence[Reference]) -> "Batch":
        """Rows of ``table``, to which ``to_it`` may refer, in the connection's transaction."""
        return cls(Rows.on(connection, table), to_it)

    def delete(self, archived: Sequence[Row]) -> int:
        """Delete those of ``archived`` that are there unchanged; how many have changed."""
        rows, same, changed = self._rows, list[Row](), 0
        for piece in pieces(archived, rows.at_once()):
            by_key = {rows.key_of(row): row for row in piece}
            found = rows.found(list(by_key))
            unchanged = [key for key, row in found.items() if row == by_key[key]]
            changed += len(found) - len(unchanged)
            same += unchanged
        for keys in pieces(same, rows.looked_for_at_once()):
            self._refuse_referenced(keys)
        for keys in pieces(same, rows.at_once()):
            self._delete(keys)
        return changed

    def _delete(self, keys: Sequence[Row]) -> None:
        gone = self._rows.delete(keys)
        if gone < len(keys):
            raise _kept(self._rows.table, len(keys) - gone)
        if gone > len(keys):
            raise NotToldApart

    def _refuse_referenced(self, keys: Sequence[Row]) -> None:
        """The rows are locked: nobody can refer to them any more who does not yet."""
        tables = {
            str(each.child): None for each in self._to_it if self._rows.referred_by(each, keys)
        }
        if tables:
            raise rows_referenced(list(tables))


def _name(archived: ArchivedTable) -> TableName:
    return TableName(archived.document["schema"], archived.document["name"])


def _table(connection: Connection, archived: ArchivedTable) -> RawTable:
    """The table as it is now, which must be as it was archived."""
    name = _name(archived)
    name = TableName.of(connection, name.schema or None, name.name)
    table = raw_table(connection, name, archived.document["key"])
    told = table.document()
    if any(told[each] != archived.document[each] for each in told):
        raise TaskFailed(
            "plan_drifted",
            f"The columns of {table.name} are others than those that were archived. What was "
            "deleted before is in the archive.",
            retryable=False,
        )
    return table


def _not_told_apart(table: RawTable) -> TaskFailed:
    return TaskFailed(
        "plan_drifted",
        f"The key of {table.name} does not tell its rows apart any more. What was deleted before "
        "is in the archive.",
        retryable=False,
    )


def _kept(table: RawTable, rows: int) -> TaskFailed:
    return TaskFailed(
        "rows_kept",
        f"The source database kept {rows} rows of {table.name} that were to be deleted: a trigger "
        "or a rule of the table has it keep them. What was deleted before is in the archive.",
        retryable=False,
    )


def _drifted(done: _Done, table: RawTable) -> TaskFailed:
    return TaskFailed(
        "plan_drifted",
        f"{done.changed} rows of {table.name} have changed since they were archived, and were not "
        f"deleted; {done.deleted} of {done.archived.rows} are deleted. Make a new plan for the "
        "rest with a dry run.",
        retryable=False,
    )
