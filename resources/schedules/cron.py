"""What a cron expression may be: the five fields, as every crontab knows them.

Dagster, which carries them out, takes more. What it takes beyond this is easily misread, so it is
refused here.
"""

import re
from dataclasses import dataclass
from datetime import date

SHORTHANDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,4}))?", re.ASCII)
# A year that has a 29th of February.
_LEAP_YEAR = 2024


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int:
        """The number that ``text`` is, or stands for."""
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.least
        if not text.isdecimal() or not self.least <= int(text) <= self.most:
            named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
            msg = f'the {self.name} "{text}" should be {self.least} to {self.most}{named}'
            raise ValueError(msg)
        return int(text)

    def values(self, text: str) -> set[int]:
        """All numbers in the list ``text``."""
        if "*" in text.split(",") and text != "*":
            msg = f'the {self.name} "{text}" is all there are: write *'
            raise ValueError(msg)
        return {value for item in text.split(",") for value in self._item(item)}

    def _item(self, text: str) -> range:
        match = _ITEM.fullmatch(text)
        if match is None:
            msg = (
                f'the {self.name} "{text}" should be *, a number, a range such as '
                f"{self.least}-{self.most}, a list of them, or steps such as */2"
            )
            raise ValueError(msg)
        first, last = self.least, self.most
        if match["first"]:
            first = self.value(match["first"])
            last = self.value(match["last"]) if match["last"] else first
        if match["last"] and first >= last:  # Dagster takes 3-3 for all there are
            msg = f'the {self.name} "{text}" should run from a lower to a higher one'
            raise ValueError(msg)
        if match["step"] is None:
            return range(first, last + 1)
        return range(first, last + 1, self._step(text, match, last))

    def _step(self, text: str, match: re.Match[str], last: int) -> int:
        step = int(match["step"])
        if match["first"] and not match["last"]:
            most = f"{match['first']}-{self.most}/{step}"
            msg = f'the {self.name} "{text}" takes steps from one number: write {most}'
            raise ValueError(msg)
        if not 1 <= step <= last:
            msg = f'the {self.name} "{text}" should take steps of 1 to {last}'
            raise ValueError(msg)
        return step


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


def check_cron(text: str) -> None:
    """See that ``text`` is a cron expression that names a moment.

    Raises:
        ValueError: Says which field is wrong, and what to write.
    """
    if text not in SHORTHANDS:
        expand(text)


def expand(text: str) -> list[set[int]]:
    """The values of the five fields of ``text``; Sunday is 0, 7 or both.

    Raises:
        ValueError: As `check_cron`.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        msg = (
            f'"{text}" should have five fields: minute, hour, day of the month, month, day of the '
            f'week, such as "30 6 * * mon"; or be one of {", ".join(SHORTHANDS)}'
        )
        raise ValueError(msg)
    values = [field.values(part) for field, part in zip(_FIELDS, parts, strict=True)]
    days, months = values[2], values[3]
    # With a day of the week beside it, it would come on that alone: nobody means so.
    if not any(_is_day(month, day) for month in months for day in days):
        msg = f'"{text}" names a day that never comes: none of these months has such a day'
        raise ValueError(msg)
    return values


def _is_day(month: int, day: int) -> bool:
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        return False
    return True
