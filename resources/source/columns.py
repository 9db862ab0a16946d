"""Columns of the source, in terms that do not depend on the database."""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_DECIMAL_DIGITS = 38
# Of a float that has not the usual 64.
SINGLE_BITS = 32
# How a decimal is spelled where it is kept as text.
DECIMAL_TEXT = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


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
    TIME = "time"  # a time of day
    UUID = "uuid"
    BINARY = "binary"
    JSON = "json"
    ARRAY = "array"
    OPAQUE = "opaque"  # anything else, in the text form that the database gives it


TEMPORAL_KINDS = frozenset({Kind.TIMESTAMP, Kind.INSTANT, Kind.DATE})


class Storage(StrEnum):
    """How the source keeps a column's values."""

    NATIVE = "native"  # in the type that the database has for the kind
    CAST = "cast"  # in another type, from which they are converted
    ISO = "iso"  # instants as ISO 8601 texts, in any spelling
    UNIX = "unix"  # instants as whole seconds since 1970
    UNIX_MS = "unix_ms"  # instants as whole milliseconds since 1970
    LITERAL = "literal"  # in any type, which is read with the value: SQLite, for archives


# Microseconds in one unit of the numbers that instants are kept as, or converted to.
UNITS = {Storage.UNIX: 1_000_000, Storage.UNIX_MS: 1_000, Storage.ISO: 1}


class Mask(StrEnum):
    """What is exported of a value that must not leave the database as it is."""

    HASH = "hash"
    REDACT = "redact"
    LAST4 = "last4"


# Of which every value takes about as much memory as any other.
FIXED_SIZE_KINDS = frozenset(
    {
        Kind.INTEGER,
        Kind.FLOAT,
        Kind.DECIMAL,
        Kind.BOOLEAN,
        Kind.TIMESTAMP,
        Kind.INSTANT,
        Kind.DATE,
        Kind.TIME,
        Kind.UUID,
    }
)
# What has no text of its own to hash or to shorten.
UNMASKABLE_KINDS = frozenset({Kind.BINARY, Kind.ARRAY, Kind.FLOAT})
# What rows cannot be put in the order of.
UNORDERED_KINDS = frozenset({Kind.JSON, Kind.ARRAY})
# What a request can ask of these is whether they are null.
INCOMPARABLE_KINDS = frozenset({Kind.BINARY, Kind.JSON, Kind.ARRAY})


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: As in the source.
        kind: What it holds.
        bits: Size of an integer or float.
        signed: Whether an integer may be negative.
        precision: Digits of a decimal, all of them.
        scale: Digits of a decimal, those after the point.
        element: What an array holds.
        storage: How the source keeps the values.
        zone: The zone that ISO 8601 texts without an offset are meant in.
        collated: Whether a text column has an order of its own, in which different texts may be
            equal.
        mask: What is exported instead of the value; None: the value.
    """

    name: str
    kind: Kind
    bits: int = 64
    signed: bool = True
    precision: int = 0
    scale: int = 0
    element: "Column | None" = None
    storage: Storage = Storage.NATIVE
    zone: str = "UTC"
    collated: bool = False
    mask: Mask | None = None


class UnsupportedColumn(ValueError):
    """A column of a type that cannot be exported as it is; the text says what to declare."""


def decimal(name: str, precision: int | None, scale: int | None) -> Column:
    """A column of decimals of so many digits.

    A scale above the precision, or below zero (PostgreSQL has both), is written with as many
    digits as its values need.

    Raises:
        UnsupportedColumn: More digits than a file's decimal has, or any number of them.
    """
    if precision is None:
        msg = f'column "{name}" is a numeric of any number of digits'
        raise UnsupportedColumn(msg)
    scale = scale or 0
    digits = max(precision, scale) if scale >= 0 else precision - scale
    if not 1 <= digits <= MAX_DECIMAL_DIGITS:
        msg = (
            f'column "{name}" is a numeric of {digits} digits, and files have {MAX_DECIMAL_DIGITS}'
        )
        raise UnsupportedColumn(msg)
    return Column(name, Kind.DECIMAL, precision=digits, scale=max(scale, 0))
