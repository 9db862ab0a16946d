"""What a task selects, as SQL. Every value is bound; none becomes text of the statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, column, false, func, not_, or_, select, tuple_

from resources.source.columns import Column, Kind
from resources.source.dataset import Dataset
from resources.source.dialects.base import bound, bound_list, quoted
from resources.source.filters import Condition, Operator
from resources.source.moments import MICROSECOND, first_wall_clock, wall_clock
from resources.timestamps import ONE_SECOND, has_fraction, parse_rfc3339

_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


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
        after: The key after which the rows begin; None: at the first. Only of a dataset whose
            order can be gone on in (`Dataset.is_resumable`).
    """

    dataset: Dataset
    columns: Sequence[Column]
    conditions: Sequence[Condition]
    date_from: str | None
    date_to: str | None
    after: Sequence[Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it selects every row."""
        return not self.conditions and (self.date_from, self.date_to, self.after) == (None,) * 3

    def count_query(self) -> Select[Any]:
        """How many rows there are."""
        return select(func.count()).select_from(self.dataset.table).where(*self.where())

    @property
    def read_names(self) -> list[str]:
        """The columns a query reads: those of `columns`, then what the key has besides."""
        names = [each.name for each in self.columns]
        return names + [name for name in self.dataset.key if name not in names]

    def rows_query(self) -> Select[Any]:
        """The rows, in the order of the key: the columns `read_names`."""
        besides = self.read_names[len(self.columns) :]
        return (
            select(
                *(self.dataset.dialect.selected(each) for each in self.columns),
                *(column(quoted(name)) for name in besides),
            )
            .select_from(self.dataset.table)
            .where(*self.where())
            .order_by(*self._key())
        )

    def misspelled_query(self) -> Select[Any] | None:
        """The key of a row whose time the conditions cannot be compared with; None: none can be.

        Only SQLite keeps times as texts, and so in any spelling.
        """
        compared = {each.column.name: each.column for each in self.conditions}
        compared |= {each.name: each for each in self._dates()}
        wrong = [self.dataset.dialect.misspelled(each) for each in compared.values()]
        possible = [each for each in wrong if each is not None]
        if not possible:
            return None
        return select(*self._key()).select_from(self.dataset.table).where(or_(*possible)).limit(1)

    def _key(self) -> list[ColumnElement[Any]]:
        # With the table's name: where a value is converted, the result has a column of that name
        # too, and ORDER BY would take that.
        return [self.dataset.table.c[name] for name in self.dataset.key]

    def _dates(self) -> list[Column]:
        """The date column, where there is a window on it."""
        dates = self.dataset.date_column
        bounded = self.date_from is not None or self.date_to is not None
        return [dates] if dates is not None and bounded else []

    def where(self) -> list[ColumnElement[bool]]:
        """What a row must meet, all of it."""
        comparison = _Comparison(self.dataset)
        where = [comparison.of(condition) for condition in self.conditions]
        for dates in self._dates():
            if self.date_from is not None:
                where.append(comparison.at_or_after(dates, parse_rfc3339(self.date_from)))
            if self.date_to is not None:
                where.append(comparison.before(dates, _end(self.date_to)))
        if self.after is not None:
            where.append(self._comes_after(self.after))
        return where

    def _comes_after(self, last: Sequence[Any]) -> ColumnElement[bool]:
        """Whether a row's key comes after ``last``, in the order of `rows_query`."""
        columns, spelled = self.dataset.columns, self.dataset.dialect.spelled
        values = [
            bound(spelled(columns[name], value))
            for name, value in zip(self.dataset.key, last, strict=True)
        ]
        key = self._key()
        return key[0] > values[0] if len(key) == 1 else tuple_(*key) > tuple_(*values)


def _end(date_to: str) -> datetime | None:
    """The first instant after the window; None: there is none in the years 1 to 9999."""
    return _later(parse_rfc3339(date_to), MICROSECOND if has_fraction(date_to) else ONE_SECOND)


def _later(instant: datetime, by: timedelta) -> datetime | None:
    return None if instant > _LAST_INSTANT - by else instant + by


@dataclass(frozen=True)
class _Comparison:
    """Conditions on a dataset's columns, as SQL."""

    dataset: Dataset

    def of(self, condition: Condition) -> ColumnElement[bool]:
        """What the condition says."""
        of, value = condition.column, condition.value
        dialect = self.dataset.dialect
        match condition.operator:
            case Operator.IS_NULL:
                return dialect.compared(of).is_(None)
            case Operator.EQ:
                return self._is_one_of(of, [value])
            case Operator.NE:
                return and_(self._is_known(of), not_(self._is_one_of(of, [value])))
            case Operator.ANY_OF:
                return self._is_one_of(of, value)
            case Operator.LIKE:
                return dialect.like(of, value)
        if of.kind in {Kind.TIMESTAMP, Kind.INSTANT}:
            return self._moment(of, condition.operator, value)
        return self._order(of, condition.operator, value)

    def _order(self, of: Column, operator: Operator, value: Any) -> ColumnElement[bool]:
        dialect = self.dataset.dialect
        compared = dialect.compared(of)
        match operator:
            case Operator.GT:
                return compared > bound(dialect.greatest(of, value))
            case Operator.GTE:
                return compared >= bound(dialect.least(of, value))
            case Operator.LT:
                return compared < bound(dialect.least(of, value))
            case _:
                return compared <= bound(dialect.greatest(of, value))

    def _moment(self, of: Column, operator: Operator, value: datetime) -> ColumnElement[bool]:
        match operator:
            case Operator.GT:
                return self.at_or_after(of, _later(value, MICROSECOND))
            case Operator.GTE:
                return self.at_or_after(of, value)
            case Operator.LT:
                return self.before(of, value)
            case _:
                return self.before(of, _later(value, MICROSECOND))

    def at_or_after(self, of: Column, instant: datetime | None) -> ColumnElement[bool]:
        """Whether the moment is not before ``instant``; None: an instant after all others."""
        if instant is None:
            return false()
        if of.kind is Kind.DATE:
            first = first_wall_clock(instant, self.dataset.zone)
            # A date stands for its midnight: what begins later in the day leaves it out.
            begins = Operator.GTE if first.time() == time.min else Operator.GT
            return self._order(of, begins, first.date())
        return self._order(of, Operator.GTE, self._first(of, instant))

    def before(self, of: Column, instant: datetime | None) -> ColumnElement[bool]:
        """Whether the moment is before ``instant``; None: an instant after all others."""
        if instant is None:
            return self._is_known(of)
        if of.kind is Kind.DATE:
            first = first_wall_clock(instant, self.dataset.zone)
            ends = Operator.LT if first.time() == time.min else Operator.LTE
            return self._order(of, ends, first.date())
        return self._order(of, Operator.LT, self._first(of, instant))

    def _first(self, of: Column, instant: datetime) -> datetime:
        zone = self.dataset.zone
        return first_wall_clock(instant, zone) if of.kind is Kind.TIMESTAMP else instant

    def _is_known(self, of: Column) -> ColumnElement[bool]:
        return self.dataset.dialect.compared(of).is_not(None)

    def _is_one_of(self, of: Column, values: Sequence[Any]) -> ColumnElement[bool]:
        # IN: SQLite refuses an OR of a thousand comparisons.
        dialect = self.dataset.dialect
        known = [self._meant(of, value) for value in values if value is not None]
        spelled = [
            each for value in known if value is not None for each in dialect.every(of, value)
        ]
        matches = dialect.compared(of).in_(bound_list(spelled))
        return or_(matches, dialect.compared(of).is_(None)) if None in values else matches

    def _meant(self, of: Column, value: Any) -> Any:
        """The value as the column may have it; None: it cannot."""
        return wall_clock(value, self.dataset.zone) if of.kind is Kind.TIMESTAMP else value
