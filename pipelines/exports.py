"""Exports: from a selection of the source to published files.

A row's way: source cursor → Arrow batch → pandas frame → part → checkpoint → manifest → task.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InvalidRequestError

from pipelines.journal import Journal
from pipelines.parts import PartWriter
from pipelines.publishing import manifest_of, publish, writing_result
from pipelines.run_control import Progress, RunControl
from pipelines.stoppable import stoppable
from resources.ahead import Ahead
from resources.errors import (
    AttemptInterrupted,
    SourceAway,
    SourceUnavailable,
    TaskFailed,
    Unavailable,
)
from resources.requests import TaskRequest
from resources.results import AttemptFolder
from resources.source.columns import Mask
from resources.source.connection import cancel_query, snapshot
from resources.source.indexes import indexes_of
from resources.source.masking import Masking
from resources.source.newest import Newest, newest_row
from resources.source.query import Selection
from resources.source.reader import arrow_schema, check_spelling, read_batches
from resources.store.attempts import AttemptStore
from resources.task_types.export_options import Consistency, ExportOptions
from resources.timestamps import now, to_rfc3339

# Small batches are carried together: a frame costs about a millisecond however few rows it has.
FRAME_ROWS = 10_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """What an export came to.

    Attributes:
        manifest: What was published.
        newest: The date of the newest row of the dataset, whatever was selected; None: there is
            none, or only reading the whole table would tell.
        seconds: How long it took.
    """

    manifest: dict[str, Any]
    newest: datetime | None
    seconds: float


class CountMismatch(TaskFailed):
    """Other rows were written than the source counts. Nothing was published."""

    def __init__(self, written: int, counted: int) -> None:
        """See the class."""
        super().__init__(
            "count_mismatch",
            f"{written} rows were written, but the source counts {counted} in the same snapshot. "
            "Nothing was published.",
            retryable=True,
        )
        self.written = written
        self.counted = counted


@dataclass(frozen=True)
class Export:
    """One export, ready to run.

    Running it again, in another folder, gives the same files of the source as it is then; where
    the request allows it, those that an earlier attempt has finished are taken over.

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
        with writing_result(self.folder, keeps_after=self._is_to_go_on_after):
            journal = self._begin()
            sees_all = self._sees_all(journal)
            newest = self._look_around(for_newest=not sees_all)
            manifest = self._write_files(journal)
            self.folder.write_manifest(manifest)
        publish(manifest, self.folder, self.attempt)
        newest = self._seen.instant if sees_all else newest
        return Exported(manifest, newest, time.monotonic() - started)

    @cached_property
    def _options(self) -> ExportOptions:
        return ExportOptions.model_validate(self.request.options)

    @cached_property
    def _seen(self) -> Newest:
        return Newest(self.selection.dataset)

    def _sees_all(self, journal: Journal) -> bool:
        """Whether every row's date goes by, so that nobody need be asked for the newest."""
        selection = self.selection
        dates = selection.dataset.date_column
        return dates in selection.columns and selection.is_whole and not journal.rows

    @property
    def _resumes(self) -> bool:
        return self._options.consistency is Consistency.RESUME

    def _begin(self) -> Journal:
        """Make the folder, with what there is in it already."""
        if not self._resumes:
            self.folder.create()
            return Journal(self.folder)
        columns = self.selection.dataset.columns
        key = [columns[name] for name in self.selection.dataset.key]
        journal = Journal(self.folder, self._origin(), key)
        journal.go_on(self.control.raise_if_stopped)
        return journal

    def _origin(self) -> str:
        """A digest of what the rows are of and how they are masked; not of the mask's key alone."""
        mask = self.masking.apply(Mask.HASH, pa.array([""]))[0].as_py()
        known = (self.selection.dataset.identity(), self._described(), mask)
        return hashlib.sha256(repr(known).encode()).hexdigest()

    def _is_to_go_on_after(self, error: BaseException) -> bool:
        """Whether another attempt may go on after what is finished: this one was stopped."""
        return self._resumes and isinstance(error, Unavailable | AttemptInterrupted)

    def _look_around(self, *, for_newest: bool) -> datetime | None:
        """Tell which indexes are missing; returns when the newest row is of, where that is wanted.

        In a transaction apart: a refusal would end it.
        """
        selection, newest = self.selection, None
        of_window = selection.date_from is not None or selection.date_to is not None
        slow: list[str] = []
        try:
            with self._source() as connection:
                indexes = indexes_of(connection, selection.dataset)
                slow = indexes.slow_reads(of_window=of_window)
                if for_newest:
                    newest = newest_row(connection, indexes)
        except SourceAway:
            raise  # nor would it answer what comes next
        except (SourceUnavailable, InvalidRequestError):
            pass  # it need not tell
        for each in slow:
            self.warn(f"{selection.dataset.name}: {each}")
        return newest

    def _write_files(self, journal: Journal) -> dict[str, Any]:
        rest = replace(self._carried(), after=journal.last_key)
        schema, besides = self._schemas(rest)
        writer = PartWriter(self.folder, schema, self._options, journal, besides)
        done = journal.rows
        try:
            with self._source() as connection:
                total = done + self._count(connection, rest)
                journal.taken_at = to_rfc3339(now())  # the snapshot is that of the first query
                progress = Progress(self.attempt, total)
                progress.advance(done)
                frames = self._frames(connection, rest, total - done)
                with Ahead(frames, partial(cancel_query, connection)) as ahead:
                    for frame in ahead:
                        writer.write(frame)
                        progress.advance(len(frame))
            files = writer.close()
        finally:
            writer.abandon()
        if journal.rows != total:
            raise CountMismatch(journal.rows - done, total - done)
        return manifest_of(
            self.request,
            files,
            rows=total,
            snapshots=journal.snapshots(),
            schema=self._described(),
            spreadsheet_safe=self._options.spreadsheet_safe,
        )

    def _carried(self) -> Selection:
        """What is read: where another attempt may go on, the key too, whatever is exported."""
        if not self._resumes:
            return self.selection
        columns = self.selection.dataset.columns
        besides = [columns[name] for name in self.selection.read_names if name in columns]
        return replace(self.selection, columns=besides)

    def _schemas(self, carried: Selection) -> tuple[pa.Schema, list[pa.Field]]:
        """What the files hold, and what is read besides."""
        fields = list(arrow_schema(carried.columns))
        exported = len(self.selection.columns)
        return pa.schema(fields[:exported]), fields[exported:]

    def _described(self) -> list[dict[str, str]]:
        """The columns as the manifest tells them: what is masked is said."""
        return [
            {"name": field.name, "type": str(field.type)}
            | ({"mask": column.mask.value} if column.mask else {})
            for field, column in zip(
                arrow_schema(self.selection.columns), self.selection.columns, strict=True
            )
        ]

    def _source(self) -> AbstractContextManager[Connection]:
        """The source's snapshot; a query in it ends when the run must stop."""
        return stoppable(snapshot(self.source), self.control)

    def _count(self, connection: Connection, selection: Selection) -> int:
        check_spelling(connection, selection)
        return int(connection.scalar(selection.count_query()))

    def _frames(
        self, connection: Connection, selection: Selection, count: int
    ) -> Iterator[pd.DataFrame]:
        rows = frame_rows(self.request.batch_size)
        for batch in read_batches(connection, selection, rows, self.masking, count):
            self.control.raise_if_stopped()
            self._seen.see(batch)
            yield to_frame(batch)


def frame_rows(batch_size: int) -> int:
    """How many rows a frame carries: whole batches, of about `FRAME_ROWS` rows together."""
    return batch_size * max(1, FRAME_ROWS // batch_size)


def to_frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """``batch`` as a pandas frame whose columns keep their Arrow types."""
    frame: pd.DataFrame = batch.to_pandas(types_mapper=pd.ArrowDtype, use_threads=False)
    return frame
