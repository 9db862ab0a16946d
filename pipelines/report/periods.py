"""Which window a report is on, and which one it is compared with.

Days are those of a time zone: they begin at its midnight, and may have 23 or 25 hours.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pipelines.insights.figures import Window
from pipelines.insights.zones import clock_of, to_instant
from resources.task_types.report_generation import ReportPeriod

ONE_DAY = timedelta(days=1)
_MONTHS = 12
# The longest windows, in days, that are shown by day and by week.
_MOST_DAYS = 45
_MOST_DAYS_IN_WEEKS = 371


class Bucket(StrEnum):
    """What one column of a chart over time stands for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def day_start(day: date, zone: str) -> datetime:
    """The first instant of ``day`` in ``zone``, in UTC.

    Where the clocks skip midnight, it is the instant at which they do.
    """
    return to_instant(clock_of(zone).first_instant(day))


def last_whole(period: ReportPeriod, before: datetime, zone: str) -> Window:
    """The last whole day, week (from Monday) or month in ``zone`` that ended by ``before``."""
    today = _day(before, zone)
    match period:
        case ReportPeriod.DAY:
            end = today
            first = end - ONE_DAY
            while day_start(first, zone) == day_start(end, zone):  # a day that its zone left out
                first -= ONE_DAY
        case ReportPeriod.WEEK:
            end = today - timedelta(days=today.weekday())
            first = end - timedelta(weeks=1)
        case ReportPeriod.MONTH:
            end = today.replace(day=1)
            first = _months_later(end, -1)
    return Window(day_start(first, zone), day_start(end, zone), zone)


def previous(window: Window) -> Window:
    """The window that ends where ``window`` begins, and is as long.

    Whole months are preceded by as many months, whole days by as many days, whatever hours those
    have; anything else by as many seconds.
    """
    start, end = bounds(window)
    days = whole_days(window)
    if days is None:
        return Window(start - (end - start), start, window.zone)
    first, last = days
    months = whole_months(window)
    before = _months_later(first, -months) if months else first - (last - first) - ONE_DAY
    return Window(day_start(before, window.zone), start, window.zone)


def bounds(window: Window) -> tuple[datetime, datetime]:
    """Start and end of a window that is open at neither.

    Raises:
        ValueError: It is.
    """
    if window.start is None or window.end is None:
        msg = "A report needs a window with a start and an end."
        raise ValueError(msg)
    return window.start, window.end


def whole_days(window: Window) -> tuple[date, date] | None:
    """First and last day of a window of whole days in its zone; None: it is none."""
    start, end = bounds(window)
    first, after = (_day(instant, window.zone) for instant in (start, end))
    if (day_start(first, window.zone), day_start(after, window.zone)) != (start, end):
        return None
    return first, after - ONE_DAY


def whole_months(window: Window) -> int:
    """How many calendar months of its zone a window is; 0: it is not made of whole ones."""
    days = whole_days(window)
    if days is None:
        return 0
    first, after = days[0], days[1] + ONE_DAY
    if first.day != 1 or after.day != 1:
        return 0
    return _month_number(after) - _month_number(first)


def bucket_of(window: Window) -> Bucket:
    """By what a window is shown, so that a chart of it can be read."""
    start, end = bounds(window)
    days = (end - start) / ONE_DAY
    if days <= _MOST_DAYS:
        return Bucket.DAY
    return Bucket.WEEK if days <= _MOST_DAYS_IN_WEEKS else Bucket.MONTH


def bucket_end(start: date, bucket: Bucket) -> date:
    """The day after the last one of the bucket that begins on ``start``."""
    match bucket:
        case Bucket.DAY:
            return start + ONE_DAY
        case Bucket.WEEK:
            return start + timedelta(weeks=1)
        case Bucket.MONTH:
            return _months_later(start.replace(day=1), 1)


def is_cut(start: date, bucket: Bucket, window: Window) -> bool:
    """Whether the bucket that begins on ``start`` lies in the window in part only."""
    first, end = bounds(window)
    after = bucket_end(start, bucket)
    return day_start(start, window.zone) < first or day_start(after, window.zone) > end


def _day(instant: datetime, zone: str) -> date:
    return instant.astimezone(ZoneInfo(zone)).date()


def _month_number(day: date) -> int:
    return day.year * _MONTHS + day.month - 1


def _months_later(first: date, months: int) -> date:
    """The first day of the month so many months after that of ``first``."""
    year, month = divmod(_month_number(first) + months, _MONTHS)
    return date(year, month + 1, 1)
