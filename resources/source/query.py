"""What a task selects, as SQL. Every value is bound; none becomes text of the statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, bindparam, column, func, not_, or_, select

from resources.source.catalog import Dataset
from resources.source.columns import Column, Kind
from resources.source.connection import as_text, like
from resources.source.filters import Condition, Operator
from resources.timestamps import ONE_SECOND, has_fraction, parse_rfc3339

_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
_GREATEST_SQLITE_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Selection:
    """Which rows and columns of a dataset a task is about.

    Attributes:
        dataset: The dataset.
        columns: The columns to read, in this order.
        conditions: What the rows must meet, all of it.
        date_from: First instant of the window, RFC 3339, inclusive; None: open.
        date_to: Last instant of the window, RFC 3339, inclusive; None: open. Without a
            fraction of a second it includes its whole second.
    """

    dataset: Dataset
    columns: Sequence[Column]
    conditions: Sequence[Condition]
    date_from: str | None
    date_to: str | None

    def count_query(self, dialect: str) -> Select[Any]:
        """How many rows there are."""
        return select(func.count()).select_from(self.dataset.table).where(*self._where(dialect))

    @property
    def read_names(self) -> list[str]:
        """The columns a query reads: those of `columns`, then what the key has besides."""
        names = [each.name for each in self.columns]
        return names + [name for name in self.dataset.key if name not in names]

    def rows_query(self, dialect: str) -> Select[Any]:
        """The rows, in the order of the key: the columns `read_names`."""
        read: list[ColumnElement[Any]] = [column(name) for name in self.read_names]
        return (
            select(*read)
            .select_from(self.dataset.table)
            .where(*self._where(dialect))
            .order_by(*(column(name) for name in self.dataset.key))
        )

    def misspelled_query(self, dialect: str) -> Select[Any] | None:
        """The key of a row whose time the conditions cannot be compared with; None: none can be.

        Only SQLite keeps times as texts, and so in any spelling.
        """
        times = {
            each.name: each
            for each in (*(condition.column for condition in self.conditions), *self._dates())
            if dialect == "sqlite" and each.kind in _SPELLINGS
        }
        if not times:
            return None
        key: list[ColumnElement[Any]] = [column(name) for name in self.dataset.key]
        wrong = or_(*(_is_misspelled(each) for each in times.values()))
        return select(*key).select_from(self.dataset.table).where(wrong).limit(1)

    def _dates(self) -> list[Column]:
        """The date column, where there is a window on it."""
        dates = self.dataset.date_column
        bounded = self.date_from is not None or self.date_to is not None
        return [dates] if dates is not None and bounded else []

    def _where(self, dialect: str) -> list[ColumnElement[bool]]:
        spelling = _Spelling(dialect, self.dataset.zone)
        return [
            *(_comparison(each, spelling) for each in self.conditions),
            *self._window(spelling),
        ]

    def _window(self, spelling: "_Spelling") -> list[ColumnElement[bool]]:
        dates = self.dataset.date_column
        if dates is None:
            return []
        bounds: list[ColumnElement[bool]] = []
        if self.date_from is not None:
            bounds.append(_since(dates, parse_rfc3339(self.date_from), spelling))
        if self.date_to is not None:
            bounds.append(_until(dates, self.date_to, spelling))
        return bounds


def _since(dates: Column, first: datetime, spelling: "_Spelling") -> ColumnElement[bool]:
    if dates.kind is not Kind.DATE:
        return _column(dates) >= _bound(spelling.first(dates, first))
    # A date stands for its midnight: a window that opens later in the day leaves it out.
    local = _in_zone(first, spelling.zone)
    if local.time() == time.min:
        return _column(dates) >= _bound(spelling.first(dates, local.date()))
    return _column(dates) > _bound(spelling.last(dates, local.date()))


def _until(dates: Column, date_to: str, spelling: "_Spelling") -> ColumnElement[bool]:
    last = parse_rfc3339(date_to)
    if dates.kind is Kind.DATE:
        return _column(dates) <= _bound(spelling.last(dates, _in_zone(last, spelling.zone).date()))
    if has_fraction(date_to):
        return _column(dates) <= _bound(spelling.last(dates, last))
    if last > _LAST_INSTANT - ONE_SECOND:
        return _column(dates) <= _bound(spelling.last(dates, _LAST_INSTANT))
    return _column(dates) < _bound(spelling.first(dates, last + ONE_SECOND))


def _comparison(condition: Condition, spelling: "_Spelling") -> ColumnElement[bool]:
    of, value = condition.column, condition.value
    compared = spelling.column(of)
    match condition.operator:
        case Operator.IS_NULL:
            return compared.is_(None)
        case Operator.EQ:
            return _equals(of, value, spelling)
        case Operator.NE:
            return not_(_equals(of, value, spelling))
        case Operator.ANY_OF:
            return _any_of(of, value, spelling)
        case Operator.LIKE:
            return like(spelling.dialect, compared, value)
        case Operator.GT:
            return compared > _bound(spelling.last(of, value))
        case Operator.GTE:
            return compared >= _bound(spelling.first(of, value))
        case Operator.LT:
            return compared < _bound(spelling.first(of, value))
        case Operator.LTE:
            return compared <= _bound(spelling.last(of, value))


def _equals(of: Column, value: Any, spelling: "_Spelling") -> ColumnElement[bool]:
    first, last = spelling.first(of, value), spelling.last(of, value)
    if first == last:
        return spelling.column(of) == _bound(first)
    return spelling.column(of).between(_bound(first), _bound(last))


def _any_of(of: Column, values: Sequence[Any], spelling: "_Spelling") -> ColumnElement[bool]:
    # IN: SQLite refuses an OR of a thousand comparisons.
    spelled = [each for value in values if value is not None for each in spelling.all(of, value)]
    matches = spelling.column(of).in_(spelled)
    return or_(matches, spelling.column(of).is_(None)) if None in values else matches


_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIME = f"{_DATE} [0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
# As GLOB patterns, each with and without a fraction of up to so many digits.
_SPELLINGS = {
    Kind.DATE: [_DATE],
    Kind.TIMESTAMP: [
        _TIME + fraction for fraction in ("", *("." + "[0-9]" * n for n in range(1, 7)))
    ],
}


def _is_misspelled(of: Column) -> ColumnElement[bool]:
    known = or_(*(_column(of).op("GLOB")(pattern) for pattern in _SPELLINGS[of.kind]))
    return and_(_column(of).is_not(None), not_(known))


def _column(of: Column) -> ColumnElement[Any]:
    return column(of.name)


def _bound(value: Any) -> ColumnElement[Any]:
    return bindparam(None, value, unique=True)


def _in_zone(instant: datetime, zone: ZoneInfo) -> datetime:
    """``instant`` on the wall clock of ``zone``; kept inside the years 1 to 9999."""
    try:
        return instant.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return instant.replace(tzinfo=None)


@dataclass(frozen=True)
class _Spelling:
    """Values as the source writes them.

    SQLite has no times, it compares texts by character: "2024-01-01 00:00:00" and
    "2024-01-01 00:00:00.000000" are one time in two texts. `first` is the least text of a time
    and `last` the greatest, so that each comparison holds for every spelling between them.
    In the other databases, and for other kinds, the two are the same.
    """

    dialect: str
    zone: ZoneInfo

    def first(self, of: Column, value: Any) -> Any:
        """The least spelling of ``value``: for ``>=`` and ``<``."""
        spelled = self._spell(of, value)
        if self._is_time_text(of):
            return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled
        return spelled

    def last(self, of: Column, value: Any) -> Any:
        """The greatest spelling of ``value``: for ``<=`` and ``>``."""
        return self._spell(of, value)

    def all(self, of: Column, value: Any) -> list[Any]:
        """Every spelling of ``value``."""
        first, last = self.first(of, value), self.last(of, value)
        if first == last:
            return [first]
        return [last[:length] for length in range(len(first), len(last) + 1)]

    def column(self, of: Column) -> ColumnElement[Any]:
        """The column, in a form that compares with its spelled values."""
        return as_text(self.dialect, of.name) if of.kind is Kind.TEXT else _column(of)

    def _is_time_text(self, of: Column) -> bool:
        return self.dialect == "sqlite" and of.kind is Kind.TIMESTAMP

    def _spell(self, of: Column, value: Any) -> Any:
        if of.kind is Kind.TIMESTAMP:
            value = _in_zone(value, self.zone)
        return _sqlite_value(value) if self.dialect == "sqlite" else value


def _sqlite_value(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat(sep=" ", timespec="microseconds")
        case date():
            return value.isoformat()
        case bool():
            return int(value)
        case Decimal():
            whole = value == value.to_integral_value() and abs(value) <= _GREATEST_SQLITE_INTEGER
            return int(value) if whole else float(value)
    return value
