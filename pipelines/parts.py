"""Writes frames into a result's files, part by part."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
import pyarrow as pa

from pipelines.csv_files import CsvEncoder
from pipelines.journal import Journal
from pipelines.parquet_files import ParquetEncoder
from resources.errors import TaskFailed
from resources.results import AttemptFolder, HashingFile, ResultFile
from resources.task_types.export_options import Compression, ExportOptions, FileFormat

PART_ROWS = 1_000_000
PART_BYTES = 256 * 2**20
MEDIA_TYPES = {
    FileFormat.PARQUET: "application/vnd.apache.parquet",
    FileFormat.CSV: "text/csv; charset=utf-8",
}


class _Encoder(Protocol):
    """What the writers of Parquet and CSV have in common."""

    @property
    def buffered_bytes(self) -> int: ...

    def write_batch(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class _Abandoned(Exception):
    """Tells an open file that it will not become whole."""


@dataclass
class _OpenPart:
    name: str
    file: HashingFile
    encoder: _Encoder
    closing: ExitStack
    rows: int = 0
    last_row: pa.RecordBatch | None = None

    @property
    def bytes(self) -> int:
        """About what it will have: what is buffered counts as it is, before its compression."""
        return self.file.tell() + self.encoder.buffered_bytes


class PartWriter:
    """Writes frames of one schema; starts a new file when one is full.

    A result without rows has one file: the format's header alone.
    """

    def __init__(
        self,
        folder: AttemptFolder,
        schema: pa.Schema,
        options: ExportOptions,
        journal: Journal,
        besides: Sequence[pa.Field] = (),
    ) -> None:
        """See the class.

        Args:
            folder: Where the files go.
            schema: What they hold.
            options: Their format.
            journal: Where each is noted when it is finished; goes on after those that are.
            besides: What frames hold besides, for the journal alone.
        """
        self._folder = folder
        self._schema = schema
        self._options = options
        self._journal = journal
        self._given = pa.schema([*schema, *besides])
        self._open: _OpenPart | None = None

    def write(self, frame: pd.DataFrame) -> None:
        """Append the rows of ``frame``.

        Raises:
            TaskFailed: The storage does not take them (``storage_unavailable``).
        """
        # In this thread: starting others takes longer than what they would have to do.
        batch = pa.RecordBatch.from_pandas(
            frame, schema=self._given, preserve_index=False, nthreads=1
        )
        for piece in self._pieces(batch):
            part = self._open or self._begin()
            part.encoder.write_batch(piece.select(self._schema.names))
            part.rows += piece.num_rows
            part.last_row = piece.slice(piece.num_rows - 1)
            if part.rows >= PART_ROWS or part.bytes >= PART_BYTES:
                self._finish(part)

    def _pieces(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """``batch``, cut where a part is full."""
        start = 0
        while start < batch.num_rows:
            room = PART_ROWS - (self._open.rows if self._open else 0)
            piece = batch.slice(start, room)
            start += piece.num_rows
            yield piece

    def close(self) -> list[ResultFile]:
        """Finish the last file; returns all of them."""
        if self._open is not None or not self._journal.parts:
            self._finish(self._open or self._begin())
        return [part.file for part in self._journal.parts]

    def abandon(self) -> None:
        """Let go of the file that is being written; it stays unfinished."""
        if self._open is not None:
            part, self._open = self._open, None
            with suppress(_Abandoned, TaskFailed), part.closing:
                part.encoder.close()  # else it writes when it is collected
                raise _Abandoned

    def _begin(self) -> _OpenPart:
        name = f"{self._journal.stem}-{len(self._journal.parts) + 1:05d}{_suffix(self._options)}"
        closing = ExitStack()
        file = closing.enter_context(self._folder.writing(name))
        part = _OpenPart(name, file, _encoder(file, self._schema, self._options), closing)
        self._open = part
        return part

    def _finish(self, part: _OpenPart) -> None:
        part.encoder.close()
        part.closing.close()
        self._open = None
        file = ResultFile(
            name=part.name,
            rows=part.rows,
            bytes=part.file.tell(),
            sha256=part.file.sha256,
            media_type=_media_type(self._options),
        )
        self._journal.note(file, part.last_row)


def _is_csv_gz(options: ExportOptions) -> bool:
    return options.format is FileFormat.CSV and options.file_compression is Compression.GZIP


def _suffix(options: ExportOptions) -> str:
    return ".csv.gz" if _is_csv_gz(options) else f".{options.format}"


def _media_type(options: ExportOptions) -> str:
    return "application/gzip" if _is_csv_gz(options) else MEDIA_TYPES[options.format]


def _encoder(file: HashingFile, schema: pa.Schema, options: ExportOptions) -> _Encoder:
    sink = pa.PythonFile(file, mode="w")
    encoder: _Encoder
    match options.format:
        case FileFormat.PARQUET:
            encoder = ParquetEncoder(sink, schema, options.file_compression.value)
        case FileFormat.CSV:
            encoder = CsvEncoder(
                sink,
                schema,
                gzipped=_is_csv_gz(options),
                spreadsheet_safe=options.spreadsheet_safe,
            )
    return encoder
