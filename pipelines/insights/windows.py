"""Windows as requests have them, as the source reads them, and as DuckDB does."""

from datetime import UTC, datetime, timedelta

from pipelines.insights.figures import Window
from resources.requests import TaskRequest
from resources.source.moments import MICROSECOND, to_microseconds
from resources.timestamps import ONE_SECOND, has_fraction, parse_rfc3339

_LAST = datetime.max.replace(tzinfo=UTC)


def requested_window(request: TaskRequest, zone: str) -> Window:
    """The window of a request: a ``date_to`` without a fraction includes its whole second."""
    start = None if request.date_from is None else parse_rfc3339(request.date_from)
    return Window(start, None if request.date_to is None else _after(request.date_to), zone)


def _after(date_to: str) -> datetime | None:
    """The first instant after ``date_to``; None: there is none in the years 1 to 9999."""
    last = parse_rfc3339(date_to)
    step: timedelta = MICROSECOND if has_fraction(date_to) else ONE_SECOND
    return None if last > _LAST - step else last + step


def bounds(window: Window) -> tuple[str | None, str | None]:
    """The window as a selection has it: RFC 3339, both ends inclusive."""
    return _spelled(window.start), _spelled(window.end and window.end - MICROSECOND)


def _spelled(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    plain = instant.astimezone(UTC).replace(tzinfo=None)
    return f"{plain.isoformat(timespec='microseconds')}Z"


def within(window: Window, at: str) -> str:
    """SQL for whether a row's instant lies in the window; without any bounds, every row's does."""
    conditions = []
    if window.start is not None:
        conditions.append(f"{at} >= {to_microseconds(window.start)}")
    if window.end is not None:
        conditions.append(f"{at} < {to_microseconds(window.end)}")
    return " AND ".join(conditions) or "true"
