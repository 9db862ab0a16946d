"""Windows of dates that move with the clock: ``yesterday``, ``last_week``, ``-7d``.

A window is told by the calendar of the schedule's zone and by the time its tick was due, whatever
the time at which that is carried out: a tick that comes late, or is repeated, has the same one.
Windows of ticks that follow one another neither overlap nor leave anything out.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from resources.timestamps import ONE_SECOND, to_rfc3339

_LATEST = re.compile(r"-(?P<number>[1-9]\d{0,3})(?P<unit>[dh])", re.ASCII)
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """From ``date_from`` to ``date_to``, both RFC 3339 and inclusive.

    ``date_to`` is the window's last second; without a fraction it includes all of it.
    """

    date_from: str
    date_to: str


def _yesterday(today: date) -> tuple[date, date]:
    return today - ONE_DAY, today


def _last_week(today: date) -> tuple[date, date]:
    monday = today - timedelta(days=today.weekday())
    return monday - timedelta(days=7), monday


def _last_month(today: date) -> tuple[date, date]:
    first = today.replace(day=1)
    return (first - ONE_DAY).replace(day=1), first


_BY_CALENDAR: Mapping[str, Callable[[date], tuple[date, date]]] = {
    "yesterday": _yesterday,
    "last_week": _last_week,
    "last_month": _last_month,
}
NAMES = tuple(_BY_CALENDAR)


def check_window(text: str) -> None:
    """See that ``text`` is a window.

    Raises:
        ValueError: Says what to write.
    """
    if text not in _BY_CALENDAR and not _LATEST.fullmatch(text):
        msg = (
            f'"{text}" should be one of {", ".join(NAMES)}, or the last whole days or hours, '
            "such as -7d or -12h"
        )
        raise ValueError(msg)


def window_at(text: str, tick: datetime, zone: tzinfo) -> Window | None:
    """The window ``text`` at the time ``tick``, by the calendar of ``zone``.

    Returns:
        None where there is no time in it: a day that a zone has left out.

    Raises:
        ValueError: As `check_window`.
    """
    check_window(text)
    local = tick.astimezone(zone)
    match = _LATEST.fullmatch(text)
    if match is None:
        first, end = _BY_CALENDAR[text](local.date())
        return _between(_start_of(first, zone), _start_of(end, zone))
    number = int(match["number"])
    if match["unit"] == "d":
        first = local.date() - timedelta(days=number)
        return _between(_start_of(first, zone), _start_of(local.date(), zone))
    hour = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return _between(hour - timedelta(hours=number), hour)


def _start_of(day: date, zone: tzinfo) -> datetime:
    """The first instant of ``day``; where its midnight is left out, what follows at once."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _between(start: datetime, end: datetime) -> Window | None:
    if start >= end:
        return None
    return Window(to_rfc3339(start), to_rfc3339(end - ONE_SECOND))
