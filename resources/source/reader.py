"""Rows of the source as Arrow batches of one fixed schema, in flat memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from types import NoneType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from resources.errors import TaskFailed
from resources.source.columns import Column, Kind
from resources.source.query import Selection

# A double keeps 15 decimal digits; more of them are the binary fraction's own.
DOUBLE_DIGITS = 15

# How SQLite's times are spelled.
TIME_TEXTS = {
    Kind.TIMESTAMP: r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?$",
    Kind.DATE: r"^\d{4}-\d{2}-\d{2}$",
}

# SQLite keeps in a column what it is given, of whatever type.
_SQLITE_TYPES: Mapping[Kind, Set[type]] = {
    Kind.INTEGER: {int, NoneType},
    Kind.FLOAT: {float, int, NoneType},
    Kind.DECIMAL: {float, int, NoneType},
    Kind.TEXT: {str, NoneType},
    Kind.BOOLEAN: {int, NoneType},
    Kind.TIMESTAMP: {str, NoneType},
    Kind.DATE: {str, NoneType},
}

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


def check_spelling(connection: Connection, selection: Selection) -> None:
    """Make sure that conditions on SQLite's times, which are texts, select what they say.

    Raises:
        TaskFailed: A time is spelled such that it cannot be compared
            (``value_not_representable``).
    """
    query = selection.misspelled_query(connection.dialect.name)
    row = None if query is None else connection.execute(query).first()
    if row is not None:
        raise _unusable_time(selection, row)


def _unusable_time(selection: Selection, row: Sequence[Any]) -> TaskFailed:
    key = _key_of(selection, selection.dataset.key, row)
    return TaskFailed(
        "value_not_representable",
        f"{f'The row with {key}' if key else 'A row'} holds a time that is not spelled "
        '"YYYY-MM-DD HH:MM:SS", so that it cannot be compared. Correct the row.',
        retryable=False,
    )


def _key_of(selection: Selection, names: Sequence[str], row: Sequence[Any]) -> str:
    """The row's key in words; a part that is left out of the dataset nobody may see."""
    return ", ".join(
        f"{name} = {row[names.index(name)]}"
        for name in selection.dataset.key
        if name in selection.dataset.columns
    )


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
    if dialect == "sqlite":
        return lambda cells: _sqlite_array(column, cells)
    return lambda cells: pa.array(cells, arrow_type(column))


def _sqlite_array(column: Column, cells: Sequence[Any]) -> pa.Array:
    if not {type(cell) for cell in cells} <= _SQLITE_TYPES[column.kind]:
        msg = "stored as another type than the declared one"
        raise ValueError(msg)
    target = arrow_type(column)
    match column.kind:
        case Kind.TIMESTAMP | Kind.DATE:
            return _times(pa.array(cells, pa.string()), target, TIME_TEXTS[column.kind])
        case Kind.BOOLEAN:
            return pa.array([_sqlite_bool(cell) for cell in cells], target)
        case Kind.DECIMAL:
            return pa.array([_sqlite_decimal(cell, column.scale) for cell in cells], target)
    return pa.array(cells, target)


def _times(texts: pa.Array, target: pa.DataType, spelling: str) -> pa.Array:
    # The cast would take other spellings too, with which conditions cannot be compared.
    if not pc.all(pc.match_substring_regex(texts, spelling), min_count=0).as_py():
        msg = "a time in another spelling"
        raise ValueError(msg)
    return texts.cast(target)


def _sqlite_bool(cell: Any) -> bool | None:
    if cell not in {0, 1, None}:
        msg = "neither 0 nor 1"
        raise ValueError(msg)
    return None if cell is None else bool(cell)


def _sqlite_decimal(cell: float | None, scale: int) -> Decimal | None:
    if not isinstance(cell, float):
        return None if cell is None else Decimal(cell)
    written = repr(cell)  # the shortest text of this double
    fraction = written.partition(".")[2]
    if len(fraction) <= scale and "e" not in fraction:
        return Decimal(written)
    rounded = Decimal(f"{cell:.{scale}f}")
    if rounded != Decimal(f"{cell:.{DOUBLE_DIGITS}g}"):
        msg = f"more than {scale} digits after the point"
        raise ValueError(msg)
    return rounded


def _not_representable(
    column: Column,
    cells: Sequence[Any],
    convert: _Converter,
    rows: Sequence[Any],
    selection: Selection,
) -> TaskFailed:
    row = rows[next(index for index, cell in enumerate(cells) if not _converts(convert, cell))]
    key = _key_of(selection, selection.read_names, row)
    return TaskFailed(
        "value_not_representable",
        f'Column "{column.name}" is declared as {column.kind}, but '
        f"{f'the row with {key}' if key else 'a row'} holds a value that is none. "
        "Correct the row, or leave the column out.",
        retryable=False,
    )


def _converts(convert: _Converter, cell: Any) -> bool:
    try:
        convert([cell])
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError):
        return False
    return True
