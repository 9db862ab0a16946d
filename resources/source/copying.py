"""Rows of PostgreSQL by COPY: several times as fast as by its cursor.

The server writes CSV, Arrow parses it; no row passes through Python. What this way cannot carry is
told by `NotCopied`, and read by the cursor.
"""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, Select

from resources.ahead import Produced
from resources.source.arrow import arrow_type
from resources.source.columns import Column, Kind
from resources.source.connection import cancel_query
from resources.source.dialects.postgresql import COPY_TO

# How much CSV is parsed at a time: whole rows, however long the last one is.
CHUNK_BYTES = 2 * 2**20
# How many chunks may wait to be parsed; one more is being received.
WAITING_CHUNKS = 1

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
        with Produced(
            partial(_copy, connection, query),
            interrupt=partial(cancel_query, connection),
            depth=WAITING_CHUNKS,
            name="copy",
        ) as chunks:
            for chunk in chunks:
                yield parser.arrays(chunk)
    except NotCopied:
        savepoint.rollback()
        raise
    savepoint.commit()


def _copy(connection: Connection, query: Select[Any], put: Callable[[bytearray], bool]) -> None:
    """Carry out the query, and put what the server sends, in chunks of whole rows."""
    chunks = _Chunks(put)
    connection.execute(query, execution_options={COPY_TO: chunks})
    chunks.put_rest()


class _Chunks:
    """Gathers rows into chunks."""

    def __init__(self, put: Callable[[bytearray], bool]) -> None:
        self._put = put
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        """Take a row: libpq gives them one at a time. The driver calls this."""
        self._pending += data
        if len(self._pending) >= CHUNK_BYTES:
            self.put_rest()
        return len(data)

    def put_rest(self) -> None:
        """Put what was gathered, if anything."""
        if self._pending:
            self._put(self._pending)
            self._pending = bytearray()


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
