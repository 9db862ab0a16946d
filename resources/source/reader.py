"""Rows of the source as Arrow batches of one fixed schema, in flat memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from resources.errors import TaskFailed
from resources.source import streaming
from resources.source.arrow import NOT_REPRESENTABLE, arrow_type, to_array
from resources.source.batches import gathered
from resources.source.columns import FIXED_SIZE_KINDS, Column, Kind
from resources.source.copying import NotCopied, copied_batches
from resources.source.masking import Masking
from resources.source.query import Selection

# What is held in memory of rows while they are read: as Python's objects, or as Arrow's arrays.
FETCHED_BYTES = 8 * 2**20
STREAMED_BYTES = 16 * 2**20
# What a cell is taken for: values of a fixed size, texts, and documents and bytes.
SHORT_BYTES = 64
TEXT_BYTES = 4 * 2**10
DOCUMENT_BYTES = 64 * 2**10
_DOCUMENTS = {Kind.JSON, Kind.BINARY, Kind.ARRAY}


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of every batch and file of ``columns``, whatever values they hold."""
    return pa.schema(
        [
            pa.field(column.name, pa.string() if column.mask else arrow_type(column))
            for column in columns
        ]
    )


def read_batches(
    connection: Connection,
    selection: Selection,
    batch_rows: int,
    masking: Masking,
    expected_rows: int = 0,
) -> Iterator[pa.RecordBatch]:
    """The rows of ``selection``, at most ``batch_rows`` at a time, in key order, masked.

    Batches of wide rows have fewer of them, so that each fits into some mebibytes.

    Args:
        connection: In the snapshot.
        selection: What to read.
        batch_rows: The most rows of a batch.
        masking: What masked columns are exported as.
        expected_rows: About how many rows there are: few are not worth every way of reading.

    Raises:
        TaskFailed: A value is not of its column's type (``value_not_representable``).
        SourceUnavailable: The query was cancelled.
        sqlalchemy.exc.DBAPIError: The source ended the query.
    """
    masked = _Masked(selection.columns, masking)
    done = 0
    try:
        with closing(_fast_way(connection, selection, batch_rows, expected_rows)) as fast:
            for batch in gathered(map(masked, fast), batch_rows):
                for start in range(0, batch.num_rows, batch_rows):
                    yield batch.slice(start, batch_rows)
                done += batch.num_rows
    except NotCopied:
        pass  # and forgotten: why may quote a value, in whatever fails next
    else:
        return
    # The cursor tells of the row that is no good, or reads it.
    steps = _step_rows(selection.columns, batch_rows, FETCHED_BYTES)
    with closing(_fetched(connection, selection, steps, done)) as fetched:
        yield from gathered(map(masked, fetched), batch_rows)


def _fast_way(
    connection: Connection, selection: Selection, batch_rows: int, expected_rows: int
) -> Generator[Sequence[pa.Array]]:
    """The rows as arrays of their columns, without the driver's cursor.

    Raises:
        NotCopied: They cannot be had so, all of them or the rest.
    """
    query, columns = selection.rows_query(), selection.columns
    dialect = selection.dataset.dialect
    if not dialect.has_fast_way(columns):
        raise NotCopied
    if dialect.name == "sqlite":
        if expected_rows < streaming.FROM_ROWS:
            raise NotCopied
        steps = _step_rows(columns, batch_rows, STREAMED_BYTES)
        return streaming.streamed_batches(connection, query, columns, steps, batch_rows)
    return copied_batches(connection, query, columns)


def _step_rows(columns: Sequence[Column], batch_rows: int, most_bytes: int) -> int:
    """How many rows are read at a time, such that they most likely fit into so many bytes."""
    return max(1, min(batch_rows, most_bytes // sum(map(_cell_bytes, columns))))


def _cell_bytes(column: Column) -> int:
    if column.kind in FIXED_SIZE_KINDS:
        return SHORT_BYTES
    return DOCUMENT_BYTES if column.kind in _DOCUMENTS else TEXT_BYTES


class _Masked:
    """Makes batches of one schema of the columns' arrays, masked where that is declared."""

    def __init__(self, columns: Sequence[Column], masking: Masking) -> None:
        self._columns = columns
        self._masking = masking
        self._schema = arrow_schema(columns)

    def __call__(self, arrays: Sequence[pa.Array]) -> pa.RecordBatch:
        """The batch of ``arrays``, one for each column."""
        masked = [
            self._masking.apply(column.mask, array) if column.mask else array
            for column, array in zip(self._columns, arrays, strict=True)
        ]
        return pa.RecordBatch.from_arrays(masked, schema=self._schema)


def _fetched(
    connection: Connection, selection: Selection, step_rows: int, skip: int
) -> Generator[Sequence[pa.Array]]:
    """The rows after the first ``skip`` ones as arrays of their columns, by the driver's cursor."""
    options = {"stream_results": True, "yield_per": step_rows}
    with connection.execute(selection.rows_query(), execution_options=options) as result:
        try:
            while rows := result.fetchmany(step_rows):
                wanted, skip = rows[skip:], max(0, skip - len(rows))
                if wanted:
                    arrays = list(_arrays(wanted, selection))
                    yield arrays
                    # Rows that are wider than they were taken for are read fewer at a time.
                    row_bytes = max(1, sum(each.nbytes for each in arrays) // len(wanted))
                    step_rows = max(1, min(step_rows, FETCHED_BYTES // row_bytes))
        except BaseException:
            selection.dataset.dialect.end_stream(connection)
            raise


def check_spelling(connection: Connection, selection: Selection) -> None:
    """Make sure that conditions on SQLite's times, which are texts, select what they say.

    Raises:
        TaskFailed: A time is spelled such that it cannot be compared
            (``value_not_representable``).
    """
    query = selection.misspelled_query()
    row = None if query is None else connection.execute(query).first()
    if row is not None:
        raise _unusable_time(selection, row)


def _unusable_time(selection: Selection, row: Sequence[Any]) -> TaskFailed:
    key = _key_of(selection, selection.dataset.key, row)
    return TaskFailed(
        "value_not_representable",
        f"{f'The row with {key}' if key else 'A row'} holds a time in another spelling than its "
        "column is declared with, so that it cannot be compared. Correct the row, or have the "
        "column declared as it is stored.",
        retryable=False,
    )


def _key_of(selection: Selection, names: Sequence[str], row: Sequence[Any]) -> str:
    """The row's key in words; what is masked or left out of the dataset nobody may see."""
    return ", ".join(
        f"{name} = {row[names.index(name)]}"
        for name in selection.dataset.key
        if selection.dataset.tells(name)
    )


def _arrays(rows: Sequence[Any], selection: Selection) -> Iterator[pa.Array]:
    dialect = selection.dataset.dialect.name
    for column, cells in zip(selection.columns, zip(*rows, strict=True), strict=False):
        array = _array(column, cells, dialect)
        if array is None:
            raise _not_representable(column, cells, rows, selection)
        yield array


def _array(column: Column, cells: Sequence[Any], dialect: str) -> pa.Array | None:
    """The cells as an array; None: one of them is not of the column's type.

    Why not is not told: it would quote the cell, in the run's log and in Dagster's.
    """
    try:
        return to_array(column, cells, dialect)
    except NOT_REPRESENTABLE:
        return None


def _not_representable(
    column: Column, cells: Sequence[Any], rows: Sequence[Any], selection: Selection
) -> TaskFailed:
    dialect = selection.dataset.dialect.name
    row = rows[next(i for i, cell in enumerate(cells) if _array(column, [cell], dialect) is None)]
    key = _key_of(selection, selection.read_names, row)
    return TaskFailed(
        "value_not_representable",
        f'Column "{column.name}" is exported as {column.kind}, but '
        f"{f'the row with {key}' if key else 'a row'} holds a value that is none. "
        "Correct the row, leave the column out, or have it declared to be read as text.",
        retryable=False,
    )
