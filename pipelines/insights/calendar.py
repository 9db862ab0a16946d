"""Days, weeks and months of a window, as the clocks of its zone have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from enum import StrEnum

from pipelines.insights.figures import Window
from pipelines.insights.loaded import AT
from pipelines.insights.workspace import Workspace
from pipelines.insights.zones import MICROSECONDS, Clock, clock_of
from resources.source.moments import to_microseconds

# The longest window that is told by periods, and by days: a hundred years, and ten.
MOST_DAYS = 36_525
MOST_TOLD_DAYS = 3_660
# No window of so many days is longer, whatever its zone: its first and its last day may be cut.
_LONGEST = timedelta(days=MOST_DAYS + 1) // MICROSECONDS
_DAY = timedelta(days=1)
# Days of a zone, and the periods around them, are told between these: at the ends of what dates
# can be, neither need be a date.
_FIRST, _LAST = (
    to_microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (MINYEAR + 1, MAXYEAR)
)


class Unit(StrEnum):
    """How long a period is."""

    DAY = "day"
    WEEK = "week"  # from Monday
    MONTH = "month"


def start_of(day: date, unit: Unit) -> date:
    """The first day of the period that ``day`` is in."""
    match unit:
        case Unit.DAY:
            return day
        case Unit.WEEK:
            return day - _DAY * day.weekday()
        case Unit.MONTH:
            return day.replace(day=1)


def _after(start: date, unit: Unit) -> date:
    match unit:
        case Unit.DAY:
            return start + _DAY
        case Unit.WEEK:
            return start + _DAY * 7
        case Unit.MONTH:
            return (start + _DAY * 31).replace(day=1)


@dataclass(frozen=True)
class Calendar:
    """The periods from the instant ``begin`` up to ``end``, in microseconds since 1970.

    What is after ``taken_at``, when the source was read, has not happened yet.
    """

    clock: Clock
    begin: int
    end: int
    taken_at: int

    @property
    def first(self) -> date:
        """The first day."""
        return self.clock.day(self.begin)

    @property
    def last(self) -> date:
        """The last day."""
        return self.clock.day(self.end - 1)

    def starts(self, unit: Unit) -> Sequence[date]:
        """The first day of each period; none of days, where they would be too many."""
        if unit is Unit.DAY and (self.last - self.first).days >= MOST_TOLD_DAYS:
            return []
        starts = []
        start = start_of(self.first, unit)
        while start <= self.last:
            starts.append(start)
            start = _after(start, unit)
        return starts

    def is_whole(self, start: date, unit: Unit) -> bool:
        """Whether all of the period is told, and not a part of it, and it was over."""
        begin, end = (self.clock.first_instant(day) for day in (start, _after(start, unit)))
        return self.begin <= begin and end <= min(self.end, self.taken_at)

    def day(self, at: str) -> str:
        """SQL for the day of the instants ``at``, of rows that are `within` the calendar."""
        return self.clock.day_sql(at, self.begin, self.end)

    def within(self, at: str) -> str:
        """SQL for whether the instant ``at`` lies in the calendar."""
        return f"{at} >= {self.begin} AND {at} < {self.end}"


def calendar_of(workspace: Workspace, window: Window) -> Calendar | None:
    """The calendar of ``window``; None: it is too long, too far away, or open and without a row.

    Where the window is open, it begins with the first row since 1970, and ends with the last one
    before the moment as of which the source was read.
    """
    begin, end = (
        None if bound is None else to_microseconds(bound) for bound in (window.start, window.end)
    )
    if begin is None or end is None:
        first, last = _range(workspace)
        begin = first if begin is None else begin
        end = last if end is None else end
    if begin is None or end is None or end - begin > _LONGEST:
        return None
    begin, end = max(begin, _FIRST), min(end, _LAST)
    if end <= begin:
        return None
    clock = clock_of(window.zone)
    if (clock.day(end - 1) - clock.day(begin)).days >= MOST_DAYS:
        return None
    return Calendar(clock, begin, end, to_microseconds(workspace.taken_at))


def is_beyond_years(window: Window) -> bool:
    """Whether no day of ``window`` can be told, for it lies at an end of what dates can be."""
    ends_before = window.end is not None and to_microseconds(window.end) <= _FIRST
    return ends_before or (window.start is not None and to_microseconds(window.start) >= _LAST)


def _range(workspace: Workspace) -> tuple[int | None, int | None]:
    """From the first plausible instant of a row to just after the last."""
    taken_at = to_microseconds(workspace.taken_at)
    found = [
        workspace.duck.row(
            f"SELECT min({AT}), max({AT}) + 1 FROM {name} WHERE {AT} BETWEEN 0 AND {taken_at}"
        )
        for name in workspace.loaded
    ]
    firsts, lasts = (
        [each for each in some if each is not None] for some in zip(*found, strict=True)
    )
    return min(firsts, default=None), max(lasts, default=None)
