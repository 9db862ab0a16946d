"""Instants as the API writes them: RFC 3339 in UTC with ``Z``."""

import re
from datetime import UTC, datetime, timedelta

# RFC 3339, section 5.6, with at most the six fraction digits that databases keep.
_RFC3339 = re.compile(
    r"(?P<second>\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(?P<fraction>\.\d{1,6})?"
    r"(?P<offset>[Zz]|[+-]\d{2}:[0-5]\d)?",
    re.ASCII,
)
_DURATION = re.compile(r"(\d{1,5})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
ONE_SECOND = timedelta(seconds=1)


def now() -> datetime:
    """The current instant, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(instant: datetime) -> str:
    """``instant`` in UTC with ``Z``; a fraction only where there is one."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def parse_rfc3339(text: str) -> datetime:
    """The instant that ``text`` names, in UTC.

    Raises:
        ValueError: Not an RFC 3339 date-time with an offset; the message says what is wrong.
    """
    match = _RFC3339.fullmatch(text)
    if not match:
        msg = "is not an RFC 3339 date-time such as 2024-01-31T00:00:00Z"
        raise ValueError(msg)
    if not match["offset"]:
        msg = "has no offset: write Z for UTC, or one such as +02:00"
        raise ValueError(msg)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = "names a date or time that does not exist in the years 1 to 9999"
        raise ValueError(msg) from error


def parse_duration(text: str) -> timedelta:
    """The length of time that ``text`` tells, a number and a unit: ``30d``.

    Raises:
        ValueError: It is none, or no time at all.
    """
    match = _DURATION.fullmatch(text)
    if not match or int(match[1]) == 0:
        msg = f'"{text}" is no duration such as 30d, 12h or 45m'
        raise ValueError(msg)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def has_fraction(text: str) -> bool:
    """Whether the RFC 3339 ``text`` states a fraction of a second."""
    return "." in text


def normalize_rfc3339(text: str) -> str:
    """``text`` in UTC with ``Z``, its fraction (or the lack of one) kept.

    The lack matters: a bound without a fraction includes its whole second.

    Raises:
        ValueError: As `parse_rfc3339`.
    """
    instant = parse_rfc3339(text)
    whole = instant.replace(microsecond=0, tzinfo=None).isoformat()
    return f"{whole}.{instant.microsecond:06d}Z" if has_fraction(text) else f"{whole}Z"
