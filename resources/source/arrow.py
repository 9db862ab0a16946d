"""Cells of the source as Arrow arrays: one type for each column, and exact values."""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.source.columns import DECIMAL_TEXT, UNITS, Column, Kind, Storage
from resources.source.moments import in_range, iso_to_microseconds

# A double keeps 15 decimal digits; more of them are the binary fraction's own.
DOUBLE_DIGITS = 15
DAY = timedelta(days=1)
# Up to which powers of ten are exact in a double.
EXACT_POWER_OF_TEN = 22

# How SQLite's times are spelled.
TIME_TEXTS = {
    Kind.TIMESTAMP: r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d{1,6})?$",
    Kind.DATE: r"^\d{4}-\d{2}-\d{2}$",
    Kind.TIME: r"^\d{2}:\d{2}:\d{2}(\.\d{1,6})?$",
}
_USUAL_LENGTH, _BLANK_AT = len("2024-01-31 01:02:03"), len("2024-01-31")
_INTEGER_TEXT = re.compile(r"[+-]?\d+", re.ASCII)
_FLOAT_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

# SQLite keeps in a column what it is given, of whatever type.
_SQLITE_TYPES: Mapping[Kind, Set[type]] = {
    Kind.INTEGER: {int, NoneType},
    Kind.FLOAT: {float, int, NoneType},
    Kind.DECIMAL: {float, int, str, NoneType},
    Kind.TEXT: {str, NoneType},
    Kind.JSON: {str, int, float, NoneType},
    Kind.BOOLEAN: {int, NoneType},
    Kind.BINARY: {bytes, NoneType},
    Kind.TIMESTAMP: {str, NoneType},
    Kind.DATE: {str, NoneType},
    Kind.TIME: {str, NoneType},
}
# Of a column that is read as something else than is declared, texts may stand for numbers too.
_SQLITE_CONVERTED: Mapping[Kind, Set[type]] = {
    Kind.TEXT: {str, int, float, NoneType},
    Kind.INTEGER: {int, str, NoneType},
    Kind.FLOAT: {float, int, str, NoneType},
}

# By their size in bits, whether signed.
_INTEGERS = {
    (8, True): pa.int8(),
    (16, True): pa.int16(),
    (32, True): pa.int32(),
    (64, True): pa.int64(),
    (8, False): pa.uint8(),
    (16, False): pa.uint16(),
    (32, False): pa.uint32(),
    (64, False): pa.uint64(),
}
_TYPES = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.BINARY: pa.binary(),
}
_FLOATS = {32: pa.float32(), 64: pa.float64()}
_MIDNIGHT = datetime(1, 1, 1, tzinfo=UTC)

# What a cell raises that is not of its column's type.
NOT_REPRESENTABLE = (pa.ArrowException, ValueError, TypeError, ArithmeticError)

Cells = Sequence[Any]


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type that holds every value of ``column``, before any mask."""
    match column.kind:
        case Kind.INTEGER:
            return _INTEGERS[column.bits, column.signed]
        case Kind.FLOAT:
            return _FLOATS[column.bits]
        case Kind.DECIMAL:
            return pa.decimal128(column.precision, column.scale)
        case Kind.ARRAY if column.element is not None:
            return pa.list_(arrow_type(column.element))
    return _TYPES.get(column.kind, pa.string())


def to_array(column: Column, cells: Cells, dialect: str) -> pa.Array:
    """The cells of a column, as the driver of ``dialect`` gave them, as an array.

    Raises:
        pyarrow.ArrowException, ValueError, TypeError, ArithmeticError: One of them is not of the
            column's type, or a file cannot hold it.
    """
    if column.storage is Storage.ISO:
        return _from_iso(cells, ZoneInfo(column.zone))
    if column.storage in UNITS:
        return _from_unix(cells, UNITS[column.storage])
    if dialect == "sqlite":
        return _sqlite_array(column, cells)
    prepare = _PREPARATIONS.get((dialect, column.kind, column.storage))
    return pa.array(cells if prepare is None else _each(prepare, cells), arrow_type(column))


def _each(convert: Callable[[Any], Any], cells: Cells) -> list[Any]:
    return [None if cell is None else convert(cell) for cell in cells]


def _boolean(cell: Any) -> bool:
    if cell not in {0, 1}:
        msg = "neither 0 nor 1"
        raise ValueError(msg)
    return bool(cell)


def _time_of_day(cell: timedelta) -> time:
    """A time of day; MySQL's TIME goes below zero and up to 838 hours."""
    if not timedelta(0) <= cell < DAY:
        msg = "no time of day"
        raise ValueError(msg)
    moment = _MIDNIGHT + cell
    return moment.time()


# What a driver gives that Arrow does not take as it is.
_PREPARATIONS: Mapping[tuple[str, Kind, Storage], Callable[[Any], Any]] = {
    ("postgresql", Kind.BINARY, Storage.NATIVE): bytes,
    ("postgresql", Kind.BOOLEAN, Storage.CAST): _boolean,
    ("postgresql", Kind.UUID, Storage.NATIVE): str,
    ("mysql", Kind.BOOLEAN, Storage.CAST): _boolean,
    ("mysql", Kind.TIME, Storage.NATIVE): _time_of_day,
}


def _from_unix(cells: Cells, unit: int) -> pa.Array:
    if not {type(cell) for cell in cells} <= {int, NoneType}:
        msg = "no whole number"
        raise ValueError(msg)
    return _instants(_each(lambda cell: in_range(cell * unit), cells))


def _from_iso(cells: Cells, zone: ZoneInfo) -> pa.Array:
    return _instants(_each(lambda cell: iso_to_microseconds(cell, zone), cells))


def _instants(microseconds: Cells) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(_TYPES[Kind.INSTANT])


def _sqlite_array(column: Column, cells: Cells) -> pa.Array:
    allowed = _SQLITE_TYPES[column.kind]
    if column.storage is Storage.CAST:
        allowed = _SQLITE_CONVERTED.get(column.kind, allowed)
    if not {type(cell) for cell in cells} <= allowed:
        msg = "stored as another type than the declared one"
        raise ValueError(msg)
    target = arrow_type(column)
    match column.kind:
        case Kind.TIMESTAMP | Kind.DATE | Kind.TIME:
            return times(pa.array(cells, pa.string()), column)
        case Kind.BOOLEAN:
            return pa.array(_each(_boolean, cells), target)
        case Kind.DECIMAL:
            return _plain_decimals(cells, column) or pa.array(
                _each(lambda cell: _sqlite_decimal(cell, column.scale), cells), target
            )
        case Kind.TEXT | Kind.JSON if allowed - {str, NoneType}:
            return pa.array(_each(str, cells), target)
        case Kind.INTEGER | Kind.FLOAT if str in allowed:
            parse = _parse_integer if column.kind is Kind.INTEGER else _parse_float
            return pa.array(_each(parse, cells), target)
    return pa.array(cells, target)


def _parse_integer(cell: int | str) -> int:
    return int(_spelled_as(_INTEGER_TEXT, cell))


def _parse_float(cell: float | str) -> float:
    return float(_spelled_as(_FLOAT_TEXT, cell))


def _spelled_as(spelling: re.Pattern[str], cell: float | str) -> float | str:
    """The cell; a text among them is spelled so. Python would take "1_000" too."""
    if isinstance(cell, str) and not spelling.fullmatch(cell):
        msg = "a text that is no number"
        raise ValueError(msg)
    return cell


def times(texts: pa.Array, column: Column) -> pa.Array:
    """SQLite's times, dates or times of day of their texts.

    Raises:
        pyarrow.ArrowException, ValueError: One of them is none, or is spelled in another way.
    """
    # The cast would take other spellings too, with which conditions cannot be compared.
    if not (_are_usual_timestamps(texts) or _match(texts, TIME_TEXTS[column.kind])):
        msg = "a time in another spelling"
        raise ValueError(msg)
    target = arrow_type(column)
    if pa.types.is_time(target):  # Arrow has no cast from texts to these
        return pa.array(_each(time.fromisoformat, texts.to_pylist()), target)
    return texts.cast(target)


def _match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py())


def _are_usual_timestamps(texts: pa.StringArray) -> bool:
    """Whether all are as long as ``YYYY-MM-DD HH:MM:SS``, and have its blank.

    Of such, the cast to timestamps takes no others. This is ten times as fast as a pattern.
    """
    lengths = pc.min_max(pc.binary_length(texts))
    if not lengths["min"].as_py() == lengths["max"].as_py() == _USUAL_LENGTH:
        return False
    _, offsets, values = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(values, np.uint8)[ends[0] : ends[-1]]
    return bool((characters.reshape(-1, _USUAL_LENGTH)[:, _BLANK_AT] == ord(" ")).all())


def _plain_decimals(cells: Cells, column: Column) -> pa.Array | None:
    """As `plain_decimals`, of cells; None also where one of them is no double."""
    if str in {type(cell) for cell in cells}:
        return None
    try:
        doubles = pa.array(cells, pa.float64())
    except pa.ArrowInvalid:  # a whole number that is none of them
        return None
    return plain_decimals(doubles, column)


def plain_decimals(doubles: pa.DoubleArray, column: Column) -> pa.Array | None:
    """Numbers each of which is the double nearest to a decimal of the column; None: one is not.

    Of fifteen digits no two are nearest to the same double. A whole number over a power of ten is
    divided with correct rounding while both are exact (IEEE 754), so the quotient tells. So many at
    a time this is ten times as fast as one by one.
    """
    if column.scale > EXACT_POWER_OF_TEN:
        return None
    known = doubles.is_valid().to_numpy(zero_copy_only=False)
    numbers = doubles.fill_null(0).to_numpy()
    unit = 10.0**column.scale
    most = 10.0 ** min(DOUBLE_DIGITS, column.precision) - 1
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is none of them
        units = np.rint(numbers * unit)
        plain = (np.abs(units) <= most) & (units / unit == numbers)
    if not plain.all():
        return None
    # Arrow keeps a decimal as an integer of 128 bits: the lower half, and the sign's half.
    halves = np.empty((len(units), 2), np.int64)
    halves[:, 0] = units
    halves[:, 1] = halves[:, 0] >> 63
    valid = pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(arrow_type(column), len(units), [valid, pa.py_buffer(halves)])


def _sqlite_decimal(cell: float | str, scale: int) -> Decimal:
    if isinstance(cell, str):
        if not DECIMAL_TEXT.fullmatch(cell):
            msg = "a text that is no decimal"
            raise ValueError(msg)
        return Decimal(cell)
    if isinstance(cell, int):
        return Decimal(cell)
    written = repr(cell)  # the shortest text of this double
    fraction = written.removesuffix(".0").partition(".")[2]
    if len(fraction) <= scale and "e" not in fraction:
        return Decimal(written)
    rounded = Decimal(f"{cell:.{scale}f}")
    if rounded != Decimal(f"{cell:.{DOUBLE_DIGITS}g}"):
        msg = f"more than {scale} digits after the point"
        raise ValueError(msg)
    return rounded
