"""Rows of PostgreSQL by COPY: several times as fast as by its cursor.

The server writes CSV, Arrow parses it; no row passes through Python. What this way cannot carry is
told by `NotCopied`, and read by the cursor.
"""

import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from io import BufferedReader, FileIO
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, Select

from resources.processes import widen_pipe
from resources.source.arrow import arrow_type
from resources.source.columns import Column, Kind
from resources.source.connection import cancel_query
from resources.source.dialects.postgresql import COPY_TO

# What Arrow parses at a time: a row that is longer cannot be copied.
BLOCK_BYTES = 4 * 2**20
# What is handed over to it at a time.
WRITE_BYTES = 2**18
CANCEL_EVERY_SECONDS = 0.2

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
        with _Copy(connection, query) as copy:
            yield from copy.batches(columns)
    except NotCopied:
        savepoint.rollback()
        raise
    savepoint.commit()


class _Copy:
    """A COPY that runs in a thread of its own, and what it sends."""

    def __init__(self, connection: Connection, query: Select[Any]) -> None:
        self._connection = connection
        self._query = query
        self._width = len(query.selected_columns)
        reading, self._writing = os.pipe()
        widen_pipe(self._writing)
        self._received = BufferedReader(FileIO(reading), BLOCK_BYTES)
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
        self._received.close()  # a write that waits ends by it
        while self._thread.is_alive():
            with suppress(Exception):  # it may end by itself in this moment
                cancel_query(self._connection)
            self._thread.join(CANCEL_EVERY_SECONDS)

    def batches(self, columns: Sequence[Column]) -> Iterator[Sequence[pa.Array]]:
        """What was sent, as arrays of ``columns``."""
        if self._received.peek(1):
            try:
                with _parser(self._received, columns, self._width) as parser:
                    for batch in parser:
                        yield batch.columns
            except pa.ArrowException as error:
                self._end()  # where the source failed, that is why
                raise NotCopied from error
        self._end()

    def _end(self) -> None:
        """Raise what ended the COPY, unless there is more to come, which nobody wants."""
        if not self._received.peek(1):
            self._thread.join()
            if self._error is not None:
                raise self._error

    def _run(self) -> None:
        try:
            self._connection.execute(self._query, execution_options={COPY_TO: self})
            self._flush()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        finally:
            os.close(self._writing)

    def write(self, data: bytes) -> int:
        """Take a row; the driver calls this."""
        self._pending += data
        if len(self._pending) >= WRITE_BYTES:
            self._flush()
        return len(data)

    def _flush(self) -> None:
        data, self._pending = memoryview(self._pending), bytearray()
        with suppress(BrokenPipeError):  # nobody wants the rest
            while data and not self._unwanted.is_set():
                data = data[os.write(self._writing, data) :]


def _parser(received: Any, columns: Sequence[Column], width: int) -> Any:
    """Parses what the server writes into arrays of ``columns``, the first ones of ``width``."""
    names = [str(number) for number in range(width)]
    wanted = dict(zip(names, map(arrow_type, columns), strict=False))
    return pyarrow.csv.open_csv(
        received,
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, use_threads=False, block_size=BLOCK_BYTES
        ),
        parse_options=pyarrow.csv.ParseOptions(
            newlines_in_values=any(each.kind in _TEXTS for each in columns),
            ignore_empty_lines=False,  # of a single column, that is a null
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=wanted,
            include_columns=list(wanted),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t", "1"],
            false_values=["f", "0"],
        ),
    )
