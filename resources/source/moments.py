"""Points in time as sources keep them: on a wall clock, as ISO 8601 texts, as Unix time."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
_FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)

# A date, and a time of day where there is one; no more digits than a microsecond has.
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?",
    re.ASCII | re.IGNORECASE,
)


def to_microseconds(instant: datetime) -> int:
    """Microseconds from 1970 to ``instant``."""
    return (instant - EPOCH) // MICROSECOND


# The years 1 to 9999.
FIRST = to_microseconds(_FIRST_INSTANT)
LAST = to_microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))


def iso_to_microseconds(text: str, zone: ZoneInfo) -> int:
    """Microseconds from 1970 to the instant ``text``; without an offset it is meant in ``zone``.

    Raises:
        ValueError: It is no ISO 8601 time of the years 1 to 9999.
    """
    if not _ISO.fullmatch(text):
        msg = "no ISO 8601 date or time"
        raise ValueError(msg)
    moment = datetime.fromisoformat(text.upper().replace(" ", "T", 1).replace(" ", ""))
    return in_range(to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=zone)))


def in_range(microseconds: int) -> int:
    """``microseconds`` from 1970, where that is in the years 1 to 9999.

    Raises:
        ValueError: It is not.
    """
    if not FIRST <= microseconds <= LAST:
        msg = "beyond the years 1 to 9999"
        raise ValueError(msg)
    return microseconds


def wall_clock(instant: datetime, zone: ZoneInfo) -> datetime | None:
    """The time without a zone that means ``instant`` in ``zone``; None: none does.

    When clocks are set back an hour passes twice. A time in it means its first passing (PEP 495),
    so that an instant of the second has no such time.
    """
    local = _local(instant, zone)
    return None if local.fold else local.replace(tzinfo=None)


def first_wall_clock(instant: datetime, zone: ZoneInfo) -> datetime:
    """The first time without a zone that means ``instant`` in ``zone``, or later.

    A row is at or after the instant if its time is not less than this, and before it if it is:
    so windows that touch share no row and miss none. Times that a clock skips when it is set
    forward count as the moment in which it is.
    """
    local = _local(instant, zone)
    if local.fold:
        before = local.replace(fold=0).utcoffset() or timedelta()
        return (_set_back_at(instant, zone) + before).replace(tzinfo=None)
    if instant == _FIRST_INSTANT:
        return local.replace(tzinfo=None)
    # Later than this only where the clock is set forward at this very instant.
    unskipped = _local(instant - MICROSECOND, zone).replace(tzinfo=None) + MICROSECOND
    return min(local.replace(tzinfo=None), unskipped)


def _local(instant: datetime, zone: ZoneInfo) -> datetime:
    """``instant`` in ``zone``; kept inside the years 1 to 9999."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant


def _set_back_at(instant: datetime, zone: ZoneInfo) -> datetime:
    """When the clocks were set back, of an instant in an hour that passes for the second time."""
    local = instant.astimezone(zone)
    first, second = (local.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    late = instant.replace(microsecond=0)
    early = late - (first - second)
    while late - early > SECOND:
        middle = early + (late - early) // SECOND // 2 * SECOND
        if middle.astimezone(zone).fold:
            late = middle
        else:
            early = middle
    return late
