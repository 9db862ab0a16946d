"""Columns of the source, in types that do not depend on the database."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import types as sql

MAX_DECIMAL_DIGITS = 38


class Kind(StrEnum):
    """What kind of values a column holds."""

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"  # a date and time of day, without a zone
    INSTANT = "instant"  # a point in time: a timestamp with a zone
    DATE = "date"


TEMPORAL_KINDS = frozenset({Kind.TIMESTAMP, Kind.INSTANT, Kind.DATE})


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: As in the source.
        kind: What it holds.
        bits: Size of an integer or float.
        precision: Digits of a decimal, all of them.
        scale: Digits of a decimal, those after the point.
    """

    name: str
    kind: Kind
    bits: int = 64
    precision: int = 0
    scale: int = 0


class UnsupportedColumn(ValueError):
    """A column of a type that cannot be exported as it is."""


def column_from_type(name: str, declared: sql.TypeEngine[Any], dialect: str) -> Column:
    """The column ``name`` that the database declares as ``declared``.

    Raises:
        UnsupportedColumn: The type has no counterpart here.
    """
    match declared:
        case sql.Boolean():
            return Column(name, Kind.BOOLEAN)
        case sql.Integer():
            return Column(name, Kind.INTEGER, bits=_integer_bits(declared, dialect))
        case sql.Float() | sql.Double():
            return Column(name, Kind.FLOAT, bits=_float_bits(declared, dialect))
        case sql.Numeric():
            return _decimal(name, declared)
        case sql.DateTime():
            return Column(name, Kind.INSTANT if declared.timezone else Kind.TIMESTAMP)
        case sql.Date():
            return Column(name, Kind.DATE)
        case sql.String():
            return Column(name, Kind.TEXT)
    msg = f'column "{name}" has the type {declared!r}, which cannot be exported'
    raise UnsupportedColumn(msg)


def _integer_bits(declared: sql.Integer, dialect: str) -> int:
    if dialect == "sqlite":
        return 64  # whatever the declaration says
    if isinstance(declared, sql.SmallInteger):
        return 16
    return 64 if isinstance(declared, sql.BigInteger) else 32


def _float_bits(declared: sql.TypeEngine[Any], dialect: str) -> int:
    return 32 if isinstance(declared, sql.REAL) and dialect != "sqlite" else 64


def _decimal(name: str, declared: sql.Numeric[Any]) -> Column:
    precision, scale = declared.precision, declared.scale or 0
    if precision is None or precision > MAX_DECIMAL_DIGITS or not 0 <= scale <= precision:
        msg = (
            f'column "{name}" is a numeric without a precision of 1 to {MAX_DECIMAL_DIGITS} digits'
        )
        raise UnsupportedColumn(msg)
    return Column(name, Kind.DECIMAL, precision=precision, scale=scale)
