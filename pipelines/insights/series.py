"""How many rows each dataset has of each day, week and month, and how that grew."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from pipelines.insights.calendar import Calendar, Unit, start_of
from pipelines.insights.duck import Duck
from pipelines.insights.figures import Share
from pipelines.insights.loaded import AT, Loaded
from pipelines.insights.shares import OTHERS, TOP_SHARES, shares_of


@dataclass(frozen=True)
class RowsOf:
    """The rows of one period.

    Attributes:
        start: Its first day.
        rows: How many.
        growth: How many more than in the period before, as a share of those; None: it is the
            first, there were none before, or one of the two is not told as a whole.
        is_partial: Whether the window begins or ends within the period, or the period was not
            over when the source was read.
    """

    start: date
    rows: int
    growth: float | None
    is_partial: bool


@dataclass(frozen=True)
class Series:
    """The rows of one dataset: by period, by status, and by both.

    Attributes:
        periods: By the length of the periods; periods without rows are told too.
        statuses: By status, the most frequent first; None: no column has the role.
        by_status: By the periods' length, their first day, and the status, where there are any.
    """

    periods: Mapping[Unit, Sequence[RowsOf]]
    statuses: Sequence[Share] | None
    by_status: Mapping[tuple[Unit, date, str | None], int]


def series_of(duck: Duck, loaded: Loaded, calendar: Calendar | None) -> Series:
    """The series of a dataset that was loaded, of all rows of it."""
    statuses = None
    if loaded.role("status") is not None:
        rows = f"SELECT {loaded.text('status')} AS key FROM {loaded.dataset.name}"
        statuses = shares_of(duck, rows)
    if calendar is None or loaded.dataset.date_column is None:
        return Series({}, statuses, {})
    by_day = _by_day(duck, loaded, calendar)
    by_status: Counter[tuple[Unit, date, str | None]] = Counter()
    for (day, status), count in by_day.items():
        for unit in Unit:
            by_status[unit, start_of(day, unit), status] += count
    periods = {unit: list(_periods(by_day, calendar, unit)) for unit in Unit}
    return Series(periods, statuses, by_status if statuses is not None else {})


def _by_day(duck: Duck, loaded: Loaded, calendar: Calendar) -> dict[tuple[date, str | None], int]:
    """How many rows there are by day and status; of a status beyond those told, by none's name."""
    day, within = calendar.day(AT), calendar.within(AT)
    name = loaded.dataset.name
    if loaded.role("status") is None:
        query = f"SELECT {day}, NULL, count(*) FROM {name} WHERE {within} GROUP BY 1"
    else:
        status = loaded.text("status")
        query = (
            f"SELECT {day}, CASE WHEN t.n IS NULL THEN '{OTHERS}' ELSE t.key END, count(*) "
            f"FROM {name} LEFT JOIN {TOP_SHARES} t ON t.key IS NOT DISTINCT FROM {status} "
            f"WHERE {within} GROUP BY 1, 2"
        )
    return {(day, status): count for day, status, count in duck.rows(query)}


def _periods(
    by_day: Mapping[tuple[date, str | None], int], calendar: Calendar, unit: Unit
) -> Iterator[RowsOf]:
    counts: Counter[date] = Counter()
    for (day, _), count in by_day.items():
        counts[start_of(day, unit)] += count
    starts = calendar.starts(unit)
    whole = {start: calendar.is_whole(start, unit) for start in starts}
    for before, start in pairwise([None, *starts]):
        growth = None
        if before is not None and start is not None and whole[before] and whole[start]:
            growth = _growth(counts[before], counts[start])
        assert start is not None  # noqa: S101 - only the first of all is
        yield RowsOf(start, counts[start], growth, not whole[start])


def _growth(before: int, now: int) -> float | None:
    return (now - before) / before if before else None
