"""``filters``: from the JSON of a request to typed conditions.

A field stands for its value (equals), a list (any of), null (is null), or an object of operators.
As in SQL, a row without a value meets no condition but "is null".
"""

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from resources.errors import FieldError
from resources.source.columns import INCOMPARABLE_KINDS, SINGLE_BITS, Column, Kind
from resources.timestamps import parse_rfc3339

MAX_LIST_LENGTH = 1_000
MAX_TEXT_LENGTH = 10_000
MAX_DECIMAL_DIGITS = 76
_TIME_OF_DAY = re.compile(r"\d{2}:\d{2}:\d{2}(\.\d{1,6})?", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Operator(StrEnum):
    """How a column is compared."""

    EQ = "eq"
    ANY_OF = "any_of"
    IS_NULL = "is_null"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    NE = "ne"
    LIKE = "like"


# Those that a request may name; the others it writes as a value, a list or null.
NAMED_OPERATORS = frozenset({"gt", "gte", "lt", "lte", "ne", "like"})


@dataclass(frozen=True)
class Condition:
    """One comparison of one column; ``value`` is of the column's type, a tuple for ANY_OF."""

    column: Column
    operator: Operator
    value: Any = None


class _UnusableValue(ValueError):
    """A value that is not of the column's type; the text says what would be."""


def parse_filters(
    filters: Mapping[str, Any], columns: Mapping[str, Column]
) -> tuple[list[Condition], list[FieldError]]:
    """The conditions that ``filters`` state on ``columns``, and what is wrong with them."""
    conditions: list[Condition] = []
    errors: list[FieldError] = []
    for field, stated in filters.items():
        pointer = f"/filters/{_escaped(field)}"
        column = columns.get(field)
        if column is None or column.mask is not None:
            errors.append(_unusable_field(pointer, column))
            continue
        for where, operator, value in _comparisons(pointer, stated):
            try:
                conditions.append(_condition(column, operator, value))
            except _UnusableValue as error:
                errors.append(FieldError(where, "invalid_value", str(error)))
    return conditions, errors


def _unusable_field(pointer: str, column: Column | None) -> FieldError:
    if column is None:
        return FieldError(pointer, "unknown_filter_field", "The dataset has no such column.")
    detail = "The column is masked: what it holds cannot be asked for."
    return FieldError(pointer, "masked_filter_field", detail)


def _escaped(field: str) -> str:
    return field.replace("~", "~0").replace("/", "~1")


def _comparisons(pointer: str, stated: Any) -> Iterator[tuple[str, str, Any]]:
    """Each comparison that one field states: where it stands, the operator, the raw value."""
    match stated:
        case None:
            yield pointer, Operator.IS_NULL, None
        case list():
            yield pointer, Operator.ANY_OF, stated
        case dict():
            if not stated:
                yield pointer, "", None
            for operator, value in stated.items():
                known = operator if operator in NAMED_OPERATORS else ""
                yield f"{pointer}/{_escaped(operator)}", known, value
        case _:
            yield pointer, Operator.EQ, stated


def _condition(column: Column, operator: str, value: Any) -> Condition:
    match operator:
        case Operator.IS_NULL:
            return Condition(column, Operator.IS_NULL)
        case _ if column.kind in INCOMPARABLE_KINDS:
            msg = "The column can be asked for null alone, and for nothing else."
            raise _UnusableValue(msg)
        case Operator.ANY_OF if isinstance(value, list):
            return Condition(column, Operator.ANY_OF, _any_of(column, value))
        case Operator.LIKE if column.kind not in {Kind.TEXT, Kind.OPAQUE}:
            msg = "like compares texts, and the column holds none."
            raise _UnusableValue(msg)
        case "gt" | "gte" | "lt" | "lte" if column.kind is Kind.OPAQUE:
            msg = "The column has no order: compare with a value, a list, ne or like."
            raise _UnusableValue(msg)
        case Operator.EQ:
            return Condition(column, Operator.EQ, typed_value(column, value))
        case _ if operator in NAMED_OPERATORS:
            return Condition(column, Operator(operator), typed_value(column, value))
    msg = "Compare with one of: gt, gte, lt, lte, ne, like."
    raise _UnusableValue(msg)


def _any_of(column: Column, values: list[Any]) -> tuple[Any, ...]:
    if not 1 <= len(values) <= MAX_LIST_LENGTH:
        msg = f"A list has 1 to {MAX_LIST_LENGTH} values."
        raise _UnusableValue(msg)
    return tuple(None if value is None else typed_value(column, value) for value in values)


def typed_value(column: Column, value: Any) -> Any:
    """The JSON ``value`` as a value of ``column``.

    Raises:
        ValueError: It is not one; the message says what would be.
    """
    return _READERS[column.kind](column, value)


def _integer(column: Column, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        msg = "The column holds integers."
        raise _UnusableValue(msg)
    least = -(2 ** (column.bits - 1)) if column.signed else 0
    if not least <= value < least + 2**column.bits:
        signed = "" if column.signed else ", none below zero"
        msg = f"The column holds integers of {column.bits} bits{signed}."
        raise _UnusableValue(msg)
    return value


def _float(column: Column, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = "The column holds numbers."
        raise _UnusableValue(msg)
    try:
        number = float(value)
        if column.bits == SINGLE_BITS:  # it holds another 0.1 than 64 bits do
            (number,) = struct.unpack("f", struct.pack("f", number))
    except OverflowError as error:
        msg = "The number is too large."
        raise _UnusableValue(msg) from error
    if not math.isfinite(number):
        msg = "The column holds numbers."
        raise _UnusableValue(msg)
    return number


def _decimal(_column: Column, value: Any) -> Decimal:
    msg = 'The column holds decimals: a number, or a text such as "12.50".'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _UnusableValue(msg)
    try:
        # str first: the decimal that was written, not the binary float next to it
        number = Decimal(str(value))
    except (InvalidOperation, ValueError) as error:
        raise _UnusableValue(msg) from error
    if not number.is_finite() or _digits(number) > MAX_DECIMAL_DIGITS:
        raise _UnusableValue(msg)
    return number


def _digits(number: Decimal) -> int:
    """How many digits it has, or its exponent where that is more."""
    return max(len(number.as_tuple().digits), abs(number.adjusted()))


def _text(_column: Column, value: Any) -> str:
    if not isinstance(value, str):
        msg = "The column holds texts."
        raise _UnusableValue(msg)
    if len(value) > MAX_TEXT_LENGTH or "\0" in value or not _is_unicode(value):
        msg = f"A text has at most {MAX_TEXT_LENGTH} characters, no NUL and no lone surrogates."
        raise _UnusableValue(msg)
    return value


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _boolean(_column: Column, value: Any) -> bool:
    if not isinstance(value, bool):
        msg = "The column holds true or false."
        raise _UnusableValue(msg)
    return value


def _instant(_column: Column, value: Any) -> datetime:
    if not isinstance(value, str):
        msg = "The column holds times: a text such as 2024-01-31T00:00:00Z."
        raise _UnusableValue(msg)
    try:
        return parse_rfc3339(value).astimezone(UTC)
    except ValueError as error:
        msg = f"The value {error}."
        raise _UnusableValue(msg) from error


def _date(_column: Column, value: Any) -> date:
    msg = "The column holds dates: a text such as 2024-01-31."
    if not isinstance(value, str):
        raise _UnusableValue(msg)
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise _UnusableValue(msg) from error
    if day.isoformat() != value:  # ISO 8601 knows other spellings
        raise _UnusableValue(msg)
    return day


def _time(_column: Column, value: Any) -> time:
    msg = "The column holds times of day: a text such as 09:30:00."
    if not isinstance(value, str) or not _TIME_OF_DAY.fullmatch(value):
        raise _UnusableValue(msg)
    try:
        return time.fromisoformat(value)
    except ValueError as error:
        raise _UnusableValue(msg) from error


def _uuid(_column: Column, value: Any) -> str:
    msg = "The column holds UUIDs: a text such as 6f2c1e0a-0000-4000-8000-000000000000."
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise _UnusableValue(msg)
    return value.lower()


_READERS: Mapping[Kind, Callable[[Column, Any], Any]] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: _text,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _instant,
    Kind.INSTANT: _instant,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.UUID: _uuid,
    Kind.OPAQUE: _text,
}
