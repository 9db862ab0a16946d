"""Rows of the source as Arrow batches of one fixed schema, in flat memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from resources.errors import TaskFailed
from resources.source.arrow import NOT_REPRESENTABLE, arrow_type, to_array
from resources.source.columns import Column
from resources.source.copying import NotCopied, copied_batches
from resources.source.masking import Masking
from resources.source.query import Selection


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of every batch and file of ``columns``, whatever values they hold."""
    return pa.schema(
        [
            pa.field(column.name, pa.string() if column.mask else arrow_type(column))
            for column in columns
        ]
    )


def read_batches(
    connection: Connection, selection: Selection, batch_rows: int, masking: Masking
) -> Iterator[pa.RecordBatch]:
    """The rows of ``selection``, at most ``batch_rows`` at a time, in key order, masked.

    Raises:
        TaskFailed: A value is not of its column's type (``value_not_representable``).
        sqlalchemy.exc.DBAPIError: The source ended the query.
    """
    done = 0
    if selection.dataset.dialect.can_copy(selection.columns):
        try:
            for batch in _copied(connection, selection, masking):
                for start in range(0, batch.num_rows, batch_rows):
                    yield batch.slice(start, batch_rows)
                done += batch.num_rows
        except NotCopied:
            pass  # the cursor tells of the row that is no good, or reads it
        else:
            return
    yield from _fetched(connection, selection, batch_rows, masking, done)


def _copied(
    connection: Connection, selection: Selection, masking: Masking
) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(selection.columns)
    for arrays in copied_batches(connection, selection.rows_query(), selection.columns):
        masked = [
            masking.apply(column.mask, array) if column.mask else array
            for column, array in zip(selection.columns, arrays, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(masked, schema=schema)


def _fetched(
    connection: Connection, selection: Selection, batch_rows: int, masking: Masking, skip: int
) -> Iterator[pa.RecordBatch]:
    """The rows after the first ``skip`` ones, by the driver's cursor."""
    schema = arrow_schema(selection.columns)
    options = {"stream_results": True, "yield_per": batch_rows}
    with connection.execute(selection.rows_query(), execution_options=options) as result:
        try:
            for rows in result.partitions(batch_rows):
                wanted, skip = rows[skip:], max(0, skip - len(rows))
                if wanted:
                    arrays = list(_arrays(wanted, selection, masking))
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
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


def _arrays(rows: Sequence[Any], selection: Selection, masking: Masking) -> Iterator[pa.Array]:
    dialect = selection.dataset.dialect.name
    for column, cells in zip(selection.columns, zip(*rows, strict=True), strict=False):
        array = _array(column, cells, dialect)
        if array is None:
            raise _not_representable(column, cells, rows, selection)
        yield masking.apply(column.mask, array) if column.mask else array


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
