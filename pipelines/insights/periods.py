"""A window by day, by week and by month."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pipelines.insights.calendar import (
    Calendar,
    Unit,
    calendar_of,
    is_beyond_years,
    start_of,
)
from pipelines.insights.facts import BOOKINGS, PAYMENTS, USERS
from pipelines.insights.figures import LeftOut, Period, Window
from pipelines.insights.loaded import AT
from pipelines.insights.shares import REVENUE, REVENUE_NEEDS
from pipelines.insights.values import plus
from pipelines.insights.workspace import Workspace

# What is said to be missing where a window is too long, and where no day of it can be told.
SHORTER = "a shorter window"
NEARER = "a window in the years 2 to 9998"
_NEEDS: Mapping[str, Sequence[str]] = {
    "periods.bookings": ["bookings.date_column"],
    "periods.revenue": ["payments.date_column", *REVENUE_NEEDS],
    "periods.new_users": ["users.date_column"],
}

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True)
class Periods:
    """The window by its periods, and what of them cannot be told."""

    days: Sequence[Period]
    weeks: Sequence[Period]
    months: Sequence[Period]
    left_out: Sequence[LeftOut]


def periods(workspace: Workspace, window: Window) -> Periods:
    """The window by day, week and month; a window that is open and without rows has none."""
    missing = {figure: workspace.needs.missing(*needs) for figure, needs in _NEEDS.items()}
    left = [LeftOut(figure, each) for figure, each in missing.items() if each is not None]
    if all(missing.values()):
        return Periods([], [], [], left)
    calendar = calendar_of(workspace, window)
    if calendar is None:
        return Periods([], [], [], [*left, *_untold(window)])
    series = _Series(workspace, calendar, missing)
    days, weeks, months = (series.periods(unit) for unit in Unit)
    return Periods(days, weeks, months, left if days else [*left, LeftOut("days", SHORTER)])


def _untold(window: Window) -> Iterator[LeftOut]:
    """Why a window has no calendar; one that is open may just have no rows."""
    if is_beyond_years(window):
        yield LeftOut("periods", NEARER)
    elif window.start is not None and window.end is not None:
        yield LeftOut("periods", SHORTER)


class _Series:
    """What happened on each day."""

    def __init__(
        self, workspace: Workspace, calendar: Calendar, missing: Mapping[str, str | None]
    ) -> None:
        self._duck = workspace.duck
        self._calendar = calendar
        self._bookings = None if missing["periods.bookings"] else self._counts(BOOKINGS)
        self._users = None if missing["periods.new_users"] else self._counts(USERS)
        self._revenue = None if missing["periods.revenue"] else self._amounts()

    def _counts(self, table: str) -> dict[date, int]:
        day, within = self._calendar.day(AT), self._calendar.within(AT)
        return dict(
            self._duck.rows(f"SELECT {day}, count(*) FROM {table} WHERE {within} GROUP BY 1")
        )

    def _amounts(self) -> list[tuple[date, str, Decimal]]:
        day, within = self._calendar.day(AT), self._calendar.within(AT)
        return [
            (at, currency, amount)
            for at, currency, amount in self._duck.rows(
                f"SELECT {day}, currency, sum({REVENUE}) FROM {PAYMENTS} "
                f"WHERE {within} AND {REVENUE} IS NOT NULL GROUP BY 1, 2 ORDER BY 2"
            )
        ]

    def periods(self, unit: Unit) -> list[Period]:
        """Each period of that length."""
        bookings, users = (_summed(each, unit) for each in (self._bookings, self._users))
        revenue = self._revenue_by(unit)
        return [
            Period(
                start=start,
                bookings=None if bookings is None else bookings.get(start, 0),
                revenue=None if revenue is None else revenue.get(start, {}),
                new_users=None if users is None else users.get(start, 0),
            )
            for start in self._calendar.starts(unit)
        ]

    def _revenue_by(self, unit: Unit) -> dict[date, Amounts] | None:
        if self._revenue is None:
            return None
        summed: defaultdict[date, dict[str, Decimal]] = defaultdict(dict)
        for day, currency, amount in self._revenue:
            of = summed[start_of(day, unit)]
            of[currency] = plus(of.get(currency, Decimal(0)), amount)
        return dict(summed)


def _summed(counts: Mapping[date, int] | None, unit: Unit) -> dict[date, int] | None:
    if counts is None:
        return None
    summed: defaultdict[date, int] = defaultdict(int)
    for day, count in counts.items():
        summed[start_of(day, unit)] += count
    return dict(summed)
