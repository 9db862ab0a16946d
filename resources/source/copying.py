"""Rows of PostgreSQL by COPY: several times as fast as by its cursor.

The server writes CSV, Arrow parses it; no row passes through Python. What this way cannot carry is
told by `NotCopied`, and read by the cursor.
"""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from queue import Full, Queue
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, Select

from resources.source.arrow import arrow_type
from resources.source.columns import Column, Kind
from resources.source.connection import cancel_query
from resources.source.dialects.postgresql import COPY_TO

# How much CSV is parsed at a time: whole rows, however long the last one is.
CHUNK_BYTES = 2 * 2**20
# How many chunks may wait to be parsed; one more is being received.
WAITING_CHUNKS = 1
LOOK_SECONDS = 0.2

_TEXTS = {Kind.TEXT, Kind.JSON, Kind.OPAQUE}


class NotCopied(Exception):
    """A row that this way cannot carry; those before it were given."""


def copied_batches(
    connection: Connection, query: Select[Any], columns: Sequence[Column]
) -> Generator[Sequence[pa.Array]]:
    """The rows of ``query``, which selects ``columns`` first, as arrays of them.

    Raises:
        NotCopied: A row cannot be carried. Its transaction goes on, in the same snapshot.
        sqlalchemy.exc.DBAPIError: The source ended the query.
    """
    savepoint = connection.begin_nested()
    try:
        parser = _Parser(columns, len(query.selected_columns))
        with _Copy(connection, query) as copy:
            for chunk in copy:
                yield parser.arrays(chunk)
    except NotCopied:
        savepoint.rollback()
        raise
    savepoint.commit()


class _Copy:
    """A COPY that runs in a thread of its own; iterating gives what it sends, in whole rows."""

    def __init__(self, connection: Connection, query: Select[Any]) -> None:
        self._connection = connection
        self._query = query
        self._chunks: Queue[bytearray | None] = Queue(WAITING_CHUNKS)
        self._pending = bytearray()
        self._error: BaseException | None = None
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._unwanted.set()
        while self._thread.is_alive():
            with suppress(Exception):  # it may end by itself in this moment
                cancel_query(self._connection)
            self._thread.join(LOOK_SECONDS)

    def __iter__(self) -> Iterator[bytearray]:
        while (chunk := self._chunks.get()) is not None:
            yield chunk
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._connection.execute(self._query, execution_options={COPY_TO: self})
            if self._pending:
                self._put(self._pending)
        except BaseException as error:  # noqa: BLE001 - raised where the chunks are taken
            self._error = error
        finally:
            self._put(None)

    def write(self, data: bytes) -> int:
        """Take a row: libpq gives them one at a time. The driver calls this."""
        self._pending += data
        if len(self._pending) >= CHUNK_BYTES:
            self._put(self._pending)
            self._pending = bytearray()
        return len(data)

    def _put(self, chunk: bytearray | None) -> None:
        while not self._unwanted.is_set():
            with suppress(Full):
                self._chunks.put(chunk, timeout=LOOK_SECONDS)
                return


class _Parser:
    """Parses what the server writes into arrays of ``columns``, the first ones of ``width``."""

    def __init__(self, columns: Sequence[Column], width: int) -> None:
        self._names = [str(number) for number in range(width)]
        wanted = dict(zip(self._names, map(arrow_type, columns), strict=False))
        self._parse = pyarrow.csv.ParseOptions(
            newlines_in_values=any(each.kind in _TEXTS for each in columns),
            ignore_empty_lines=False,  # of a single column, that is a null
        )
        self._convert = pyarrow.csv.ConvertOptions(
            column_types=wanted,
            include_columns=list(wanted),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t", "1"],
            false_values=["f", "0"],
        )

    def arrays(self, rows: bytearray) -> Sequence[pa.Array]:
        """The columns of ``rows``.

        Raises:
            NotCopied: A value is not of its column's type.
        """
        read = pyarrow.csv.ReadOptions(
            column_names=self._names, use_threads=False, block_size=len(rows) + 1
        )
        try:
            table = pyarrow.csv.read_csv(pa.BufferReader(rows), read, self._parse, self._convert)
        except pa.ArrowException as error:
            raise NotCopied from error
        (batch,) = table.combine_chunks().to_batches()
        return list(batch.columns)
