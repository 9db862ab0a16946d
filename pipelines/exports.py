"""Exports: from a selection of the source to published files.

A row's way: source cursor → Arrow batch → pandas frame → part → checkpoint → manifest → task.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InvalidRequestError

from pipelines.ahead import Ahead
from pipelines.parts import PartWriter
from pipelines.run_control import Progress, RunControl, patiently
from resources.errors import AttemptSuperseded, SourceAway, SourceUnavailable, TaskFailed
from resources.requests import TaskRequest
from resources.results import AttemptFolder
from resources.source.connection import cancel_query, snapshot
from resources.source.indexes import slow_reads
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import arrow_schema, check_spelling, read_batches
from resources.store.attempts import AttemptStore
from resources.task_types.export_options import ExportOptions
from resources.timestamps import now, to_rfc3339

# Small batches are carried together: a frame costs about a millisecond however few rows it has.
FRAME_ROWS = 10_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """What an export came to: the manifest, and how long it took."""

    manifest: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Export:
    """One export, ready to run.

    Running it again, in another folder, gives the same files of the source as it is then.

    Attributes:
        warn: Takes what an operator should know: which index is missing.
    """

    request: TaskRequest
    selection: Selection
    source: Engine
    masking: Masking
    folder: AttemptFolder
    attempt: AttemptStore
    control: RunControl
    warn: Callable[[str], None] = _logger.warning

    def run(self) -> Exported:
        """Read, write, and publish the result.

        Raises:
            TaskFailed: The storage or a value does not allow it.
            SourceUnavailable: The source does not answer, or refuses the query.
            AttemptSuperseded: The task was cancelled or given to another run.
        """
        started = time.monotonic()
        self.folder.create()
        try:
            self._warn_of_slow_reads()
            manifest = self._write_files()
            self.folder.write_manifest(manifest)
        except BaseException:
            self.folder.discard()
            raise
        self._publish(manifest)
        self.folder.remove_other_attempts()
        return Exported(manifest, time.monotonic() - started)

    def _warn_of_slow_reads(self) -> None:
        """Tell which indexes are missing, in a transaction apart: a refusal would end it."""
        selection = self.selection
        of_window = selection.date_from is not None or selection.date_to is not None
        try:
            with self._source() as connection:
                slow = slow_reads(connection, selection.dataset, of_window=of_window)
        except SourceAway:
            raise  # nor would it answer what comes next
        except (SourceUnavailable, InvalidRequestError):
            return  # it need not tell
        for each in slow:
            self.warn(f"{selection.dataset.name}: {each}")

    def _publish(self, manifest: dict[str, Any]) -> None:
        """Publish; the files go only where it is certain that they are not published."""
        result = _result(manifest, self.folder)
        try:
            patiently(lambda: self.attempt.publish(result))
        except AttemptSuperseded:
            self.folder.discard()
            raise

    def _write_files(self) -> dict[str, Any]:
        schema = arrow_schema(self.selection.columns)
        options = ExportOptions.model_validate(self.request.options)
        writer = PartWriter(self.folder, schema, options)
        try:
            with self._source() as connection:
                total = self._count(connection)
                taken_at = now()  # the snapshot is that of the first query
                progress = Progress(self.attempt, total)
                progress.advance(0)
                frames = self._frames(connection, total)
                with Ahead(frames, lambda: cancel_query(connection)) as ahead:
                    for frame in ahead:
                        writer.write(frame)
                        progress.advance(len(frame))
            files = writer.close()
        finally:
            writer.abandon()
        if writer.rows != total:
            raise _count_mismatch(writer.rows, total)
        return {
            "rows": total,
            "bytes": sum(file.bytes for file in files),
            "files": [asdict(file) for file in files],
            "schema": self._described(schema),
            "spreadsheet_safe": options.spreadsheet_safe,
            "filters": self.request.filters,
            "date_from": self.request.date_from,
            "date_to": self.request.date_to,
            "snapshots": [{"taken_at": to_rfc3339(taken_at), "rows": total}],
        }

    def _described(self, schema: pa.Schema) -> list[dict[str, str]]:
        """The columns as the manifest tells them: what is masked is said."""
        return [
            {"name": field.name, "type": str(field.type)}
            | ({"mask": column.mask.value} if column.mask else {})
            for field, column in zip(schema, self.selection.columns, strict=True)
        ]

    @contextmanager
    def _source(self) -> Iterator[Connection]:
        """The source's snapshot; a query in it ends when the run must stop."""
        try:
            with (
                snapshot(self.source) as connection,
                self.control.interruptible(lambda: cancel_query(connection)),
            ):
                yield connection
        except SourceUnavailable:
            self.control.raise_if_stopped()  # the query may have been cancelled
            raise

    def _count(self, connection: Connection) -> int:
        check_spelling(connection, self.selection)
        return int(connection.scalar(self.selection.count_query()))

    def _frames(self, connection: Connection, total: int) -> Iterator[pd.DataFrame]:
        rows = frame_rows(self.request.batch_size)
        for batch in read_batches(connection, self.selection, rows, self.masking, total):
            self.control.raise_if_stopped()
            yield to_frame(batch)


def frame_rows(batch_size: int) -> int:
    """How many rows a frame carries: whole batches, of about `FRAME_ROWS` rows together."""
    return batch_size * max(1, FRAME_ROWS // batch_size)


def to_frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """``batch`` as a pandas frame whose columns keep their Arrow types."""
    frame: pd.DataFrame = batch.to_pandas(types_mapper=pd.ArrowDtype, use_threads=False)
    return frame


def _result(manifest: dict[str, Any], folder: AttemptFolder) -> dict[str, Any]:
    return {
        "rows": manifest["rows"],
        "bytes": manifest["bytes"],
        "files": len(manifest["files"]),
        "folder": folder.name,
    }


def _count_mismatch(written: int, counted: int) -> TaskFailed:
    return TaskFailed(
        "count_mismatch",
        f"{written} rows were written, but the source counts {counted} in the same snapshot. "
        "Nothing was published.",
        retryable=True,
    )
