"""How columns of each kind are measured: what is asked of them, and how the answers are written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.insights.loaded import is_amount
from pipelines.insights.values import to_scale
from pipelines.insights.zones import to_instant
from resources.source.columns import Column, Kind
from resources.source.moments import FIRST, LAST
from resources.timestamps import to_rfc3339

# How much is told of a text.
MOST_CHARACTERS = 200

Value = bool | int | float | str
_DAY = timedelta(days=1)
_EPOCH_DAY = to_instant(0).date()


@dataclass(frozen=True)
class Measure:
    """How the values of one column are measured.

    Attributes:
        value: SQL for a value, of the column's SQL that stands for ``{}``.
        write: Writes what comes of it, for JSON.
        has_order: Whether the least and the greatest tell something.
        has_quantiles: Whether quantiles do.
        has_mean: Whether a mean does.
        has_top: Whether the most frequent values do.
        usable: SQL for whether a value can be measured, beside being there.
    """

    value: str
    write: Callable[[Any], Value]
    has_order: bool = True
    has_quantiles: bool = False
    has_mean: bool = False
    has_top: bool = True
    usable: str = "true"


def _text(value: str) -> str:
    return value if len(value) <= MOST_CHARACTERS else f"{value[: MOST_CHARACTERS - 1]}…"


# Of what cannot be measured as it is.
AS_TEXT = Measure("CAST({} AS VARCHAR)", _text)


def _decimal_writer(scale: int) -> Callable[[Any], str]:
    def write(value: Decimal | float) -> str:
        decimal = value if isinstance(value, Decimal) else to_scale(Decimal(repr(value)), scale)
        return f"{decimal:f}"

    return write


def _timestamp(microseconds: float) -> str:
    return _near(microseconds).replace(tzinfo=None).isoformat()


def _instant(microseconds: float) -> str:
    return to_rfc3339(_near(microseconds))


def _near(microseconds: float) -> datetime:
    """The instant; estimates at the end of the year 9999 may lie a little beyond it."""
    return to_instant(min(max(round(microseconds), FIRST), LAST))


def _date(days: float) -> str:
    return (_EPOCH_DAY + _DAY * round(days)).isoformat()


_DAYS = "CAST(epoch_us(CAST({} AS TIMESTAMP)) // 86400000000 AS BIGINT)"
_DOCUMENT = Measure("CAST({} AS VARCHAR)", _text, has_order=False)
_MEASURES = {
    Kind.INTEGER: Measure("{}", int, has_quantiles=True, has_mean=True),
    Kind.FLOAT: Measure("{}", float, has_quantiles=True, has_mean=True, usable="isfinite({})"),
    Kind.TIMESTAMP: Measure("epoch_us({})", _timestamp, has_quantiles=True),
    Kind.INSTANT: Measure("epoch_us({})", _instant, has_quantiles=True),
    Kind.DATE: Measure(_DAYS, _date, has_quantiles=True),
    Kind.BOOLEAN: Measure("{}", bool, has_order=False),
    Kind.BINARY: Measure("{}", str, has_order=False, has_top=False),
    Kind.ARRAY: _DOCUMENT,
    Kind.JSON: _DOCUMENT,
}


def measure_of(column: Column) -> Measure:
    """How the column is measured: as a text, where its kind has no way of its own."""
    if column.kind is Kind.DECIMAL:
        write = _decimal_writer(column.scale)
        return Measure("{}", write, has_quantiles=True, has_mean=is_amount(column))
    return _MEASURES.get(column.kind, AS_TEXT)
