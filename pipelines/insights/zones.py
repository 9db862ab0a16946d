"""Time zones for many values at once: wall clocks to instants, and instants to local days.

Instants are whole microseconds since 1970, so that nothing but Python's own time zones is asked.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from resources.source.columns import Kind
from resources.source.moments import to_microseconds

MICROSECONDS = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Clocks are known to have been set between these: before there were no zones, and nobody knows
# what is to come. Later instants have the last one's offset.
FIRST_YEAR, LAST_YEAR = 1840, 2200
# No zone has ever set its clocks twice within three days.
_STEP = timedelta(days=2)
_SECOND = timedelta(seconds=1)


def to_instant(microseconds: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True)
class Clock:
    """The clocks of a zone: ``offsets[0]`` at first, ``offsets[i + 1]`` from ``changes[i]`` on.

    Attributes:
        changes: The instants at which the offset changes, in microseconds since 1970.
        offsets: What is added to an instant, in microseconds.
    """

    changes: Sequence[int]
    offsets: Sequence[int]

    def instants(self, walls: Any) -> Any:
        """The instants that times without a zone mean; both numpy arrays of microseconds.

        A time that passes twice means its first passing (PEP 495), one that is skipped the moment
        of the change: as conditions on the source have it (`resources.source.moments`).
        """
        offsets = np.array(self.offsets, np.int64)
        if not self.changes:
            return walls - offsets[0]
        changes = np.array(self.changes, np.int64)
        segments = np.searchsorted(changes + offsets[:-1], walls, side="right")
        first = np.concatenate(([np.iinfo(np.int64).min], changes))
        return np.maximum(walls - offsets[segments], first[segments])

    def first_instant(self, day: date) -> int:
        """The first instant of a day, or of the next one where it was skipped."""
        wall = to_microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))
        return int(self.instants(np.array([wall], np.int64))[0])

    def day(self, instant: int) -> date:
        """The day in which an instant is."""
        offset = self.offsets[bisect_right(self.changes, instant)]
        return to_instant(instant + offset).date()

    def day_sql(self, at: str, first: int, last: int) -> str:
        """SQL for the day of the instants ``at``, which lie between ``first`` and ``last``."""
        begin, end = bisect_right(self.changes, first), bisect_right(self.changes, last)
        changes, offsets = self.changes[begin:end], self.offsets[begin : end + 1]
        return f"CAST(make_timestamp({at} + {_offset_sql(at, changes, offsets)}) AS DATE)"


def _offset_sql(at: str, changes: Sequence[int], offsets: Sequence[int]) -> str:
    """A search by halves: few comparisons for each row, however many changes there are."""
    if not changes:
        return str(offsets[0])
    middle = len(changes) // 2
    before = _offset_sql(at, changes[:middle], offsets[: middle + 1])
    after = _offset_sql(at, changes[middle + 1 :], offsets[middle + 1 :])
    return f"(CASE WHEN {at} < {changes[middle]} THEN {before} ELSE {after} END)"


def instants(dates: pa.Array, kind: Kind, zone: str) -> pa.Array:
    """What is in a date column as microseconds since 1970; ``zone`` is that of the dataset."""
    micros = dates.cast(pa.timestamp("us")) if kind is Kind.DATE else dates
    micros = micros.cast(pa.int64())
    if kind is Kind.INSTANT:
        return micros
    walls = micros.fill_null(0).to_numpy()
    unknown = dates.is_null().to_numpy(zero_copy_only=False)
    return pa.array(clock_of(zone).instants(walls), pa.int64(), mask=unknown)


@lru_cache(maxsize=8)
def clock_of(zone: str) -> Clock:
    """The clocks of the zone of that IANA name."""
    of = ZoneInfo(zone)
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (FIRST_YEAR, LAST_YEAR))
    steps = [begin + _STEP * step for step in range((end - begin) // _STEP + 1)]
    changes: list[int] = []
    offsets = [_offset(begin, of)]
    for early, late in pairwise(steps):
        if _offset(late, of) != offsets[-1]:
            changes.append(_change(early, late, of))
            offsets.append(_offset(late, of))
    return Clock(changes, offsets)


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    return (instant.astimezone(zone).utcoffset() or timedelta()) // MICROSECONDS


def _change(early: datetime, late: datetime, zone: ZoneInfo) -> int:
    """When the offset changes; it is that of ``early`` before."""
    before = _offset(early, zone)
    while late - early > _SECOND:
        middle = early + (late - early) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == before:
            early = middle
        else:
            late = middle
    return to_microseconds(late)
