"""Rows of the source as Arrow batches of one fixed schema, in flat memory."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection

from resources.errors import TaskFailed
from resources.source.columns import Column, Kind
from resources.source.query import Selection

# A double keeps 15 decimal digits; more of them are the binary fraction's own.
DOUBLE_DIGITS = 15

# By their size in bits.
_INTEGERS = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_FLOATS = {32: pa.float32(), 64: pa.float64()}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type that holds every value of ``column``."""
    match column.kind:
        case Kind.INTEGER:
            return _INTEGERS[column.bits]
        case Kind.FLOAT:
            return _FLOATS[column.bits]
        case Kind.DECIMAL:
            return pa.decimal128(column.precision, column.scale)
        case Kind.TEXT:
            return pa.string()
        case Kind.BOOLEAN:
            return pa.bool_()
        case Kind.TIMESTAMP:
            return pa.timestamp("us")
        case Kind.INSTANT:
            return pa.timestamp("us", tz="UTC")
        case Kind.DATE:
            return pa.date32()


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of every batch and file of ``columns``, whatever values they hold."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def read_batches(
    connection: Connection, selection: Selection, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of ``selection``, at most ``batch_rows`` at a time, in key order.

    Raises:
        TaskFailed: A value is not of its column's type (``value_not_representable``).
        sqlalchemy.exc.DBAPIError: The source ended the query.
    """
    dialect = connection.dialect.name
    streaming = connection.execution_options(stream_results=True, yield_per=batch_rows)
    with streaming.execute(selection.rows_query(dialect)) as result:
        for rows in result.partitions(batch_rows):
            yield _to_batch(rows, selection, dialect)


def _to_batch(rows: Sequence[Any], selection: Selection, dialect: str) -> pa.RecordBatch:
    values = list(zip(*rows, strict=True))
    arrays = []
    for column, cells in zip(selection.columns, values, strict=False):
        convert = _converter(column, dialect)
        try:
            arrays.append(convert(cells))
        except (pa.ArrowException, ValueError, TypeError, ArithmeticError) as error:
            raise _not_representable(column, cells, convert, rows, selection) from error
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(selection.columns))


_Converter = Callable[[Sequence[Any]], pa.Array]


def _converter(column: Column, dialect: str) -> _Converter:
    """What makes an Arrow array of a column's cells as the driver gave them."""
    target = arrow_type(column)
    if dialect == "sqlite":
        match column.kind:
            case Kind.TIMESTAMP | Kind.DATE:
                return lambda cells: pa.array(cells, pa.string()).cast(target)
            case Kind.BOOLEAN:
                return lambda cells: pa.array([_sqlite_bool(cell) for cell in cells], target)
            case Kind.DECIMAL:
                return lambda cells: pa.array([_sqlite_decimal(cell) for cell in cells], target)
    return lambda cells: pa.array(cells, target)


def _sqlite_bool(cell: Any) -> bool | None:
    if cell not in {0, 1, None}:
        msg = "neither 0 nor 1"
        raise ValueError(msg)
    return None if cell is None else bool(cell)


def _sqlite_decimal(cell: Any) -> Decimal | None:
    if cell is None:
        return None
    return Decimal(f"{cell:.{DOUBLE_DIGITS}g}" if isinstance(cell, float) else cell)


def _not_representable(
    column: Column,
    cells: Sequence[Any],
    convert: _Converter,
    rows: Sequence[Any],
    selection: Selection,
) -> TaskFailed:
    row = rows[next(index for index, cell in enumerate(cells) if not _converts(convert, cell))]
    names = selection.read_names
    key = ", ".join(f"{name} = {row[names.index(name)]}" for name in selection.dataset.key)
    return TaskFailed(
        "value_not_representable",
        f'Column "{column.name}" is declared as {column.kind}, but the row with {key} holds a '
        "value that is none. Correct the row, or leave the column out.",
        retryable=False,
    )


def _converts(convert: _Converter, cell: Any) -> bool:
    try:
        convert([cell])
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
        return False
    return True
