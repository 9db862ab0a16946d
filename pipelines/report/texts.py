"""How a report says things in one language: texts, numbers, money, dates."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import (
    format_compact_decimal,
    format_currency,
    format_decimal,
    format_percent,
    get_currency_precision,
    get_currency_symbol,
)

from pipelines.insights.figures import Finding, LeftOut
from pipelines.insights.periods import SHORTER
from pipelines.report.model import Figure, Row, Span, Unit, Value
from pipelines.report.periods import Bucket, whole_days, whole_months
from pipelines.report.words import PLURALS, WORDS
from resources.task_types.report_generation import ReportLocale
from resources.timestamps import to_rfc3339

# From here on amounts are shown without their cents where there is little room.
_LARGE_AMOUNT = 10_000
_MINUS = "\N{MINUS SIGN}"
_SECONDS_OF_MINUTE = 60
# What is missing of the columns of a dataset, as `pipelines.insights.findings` says it.
_COLUMNS = {
    "columns that are not masked": "unmasked",
    "columns that are not left out": "whole",
    "columns beside the key": "columns",
}
_CODE_LENGTH = 3  # of ISO 4217
# CLDR's percent patterns, with one digit after the point.
_PERCENT = {ReportLocale.EN: "#,##0.0%", ReportLocale.RU: "#,##0.0\N{NO-BREAK SPACE}%"}


class Texts:
    """The texts of one language."""

    def __init__(self, locale: ReportLocale) -> None:
        self.language = locale.value
        self._key = locale
        self._locale = Locale.parse(locale.value)
        self._words = WORDS[locale]
        self._plurals = PLURALS[locale]

    def say(self, key: str, **values: Any) -> str:
        """The text ``key``, with ``values`` in it."""
        return self._words[key].format_map(values)

    def say_known(self, group: str, name: str) -> str:
        """The text for ``name`` of ``group``; ``name`` itself where there is none."""
        return self._words.get(f"{group}.{name}", name)

    # --- Numbers ---

    def number(self, value: Decimal | float) -> str:
        """A count, or a value on an axis."""
        return _signed(str(format_decimal(value, locale=self._locale)))

    def compact(self, value: float) -> str:
        """A value on an axis, short: 12.5K."""
        text = format_compact_decimal(value, locale=self._locale, fraction_digits=1)
        return _signed(str(text))

    def percent(self, share: float) -> str:
        """A share of a whole: 0.125 is 12.5%."""
        return _signed(str(format_percent(share, _PERCENT[self._key], locale=self._locale)))

    def money(self, amount: Decimal, currency: str, *, short: bool = False) -> str:
        """An amount; ``short``: without the cents where it is large."""
        if not is_code(currency):  # whatever it is, it does not tell how amounts are written
            number = _signed(str(format_decimal(amount, "#,##0.00", locale=self._locale)))
            return f"{number}\N{NO-BREAK SPACE}{currency}" if currency else number
        pattern = str(self._locale.currency_formats["standard"].pattern)
        symbol = get_currency_symbol(currency, locale=self._locale)
        if pattern.startswith("¤") and symbol[-1].isalpha():
            pattern = pattern.replace("¤", "¤\N{NO-BREAK SPACE}")
        is_whole = short and abs(amount) >= _LARGE_AMOUNT
        if is_whole:
            pattern = pattern.replace(".00", "")
        text = format_currency(
            amount, currency, pattern, locale=self._locale, currency_digits=not is_whole
        )
        return _signed(str(text))

    def value(self, value: Value | None, unit: Unit, currency: str | None, *, short: bool) -> str:
        """A figure's value."""
        if value is None:
            return self.say("unknown")
        match unit:
            case Unit.MONEY:
                return self.money(Decimal(value), currency or "", short=short)
            case Unit.RATE:
                return self.percent(float(value))
            case Unit.COUNT:
                return self.number(value)

    def change(self, figure: Figure) -> str:
        """How a figure changed, with its sign; empty where that cannot be told."""
        if figure.change is None:
            return ""
        percent = round(figure.change * 100, 1)
        if percent == 0:
            return self.say("same")
        if figure.unit is not Unit.RATE:
            text = self.percent(figure.change)
            return text if percent < 0 else f"+{text}"
        number = format_decimal(percent, format="+0.0;-0.0", locale=self._locale)
        return self.say("points", change=_signed(str(number)))

    # --- Dates ---

    def day(self, day: date) -> str:
        """A day in full."""
        return str(format_date(day, self.say("date.day"), locale=self._locale))

    def start(self, day: date, bucket: Bucket) -> str:
        """The day, week or month that begins on ``day``, in full."""
        pattern = "date.month" if bucket is Bucket.MONTH else "date.day"
        return str(format_date(day, self.say(pattern), locale=self._locale))

    def short_start(self, day: date, bucket: Bucket) -> str:
        """The same, where there is little room."""
        pattern = "date.short_month" if bucket is Bucket.MONTH else "date.short"
        return str(format_date(day, self.say(pattern), locale=self._locale))

    def moment(self, instant: datetime, zone: str) -> str:
        """An instant in ``zone``, with its offset from UTC."""
        local = instant.astimezone(ZoneInfo(zone))
        text = format_datetime(local, self.say("date.moment"), locale=self._locale)
        return f"{text} ({_offset(local)})"

    def span(self, span: Span) -> str:
        """A window in few words: its months, its days, or its two ends."""
        window = span.as_window()
        days = whole_days(window)
        if days is None:
            return self._moments(span)
        first, last = days
        if months := whole_months(window):
            ends = [self.start(day, Bucket.MONTH) for day in days]
            return ends[0] if months == 1 else self.say("date.range", first=ends[0], last=ends[1])
        if first == last:
            return self.day(first)
        if (first.year, first.month) == (last.year, last.month):
            return self.say("date.range_in_month", first=first.day, last=self.day(last))
        if first.year == last.year:
            beginning = format_date(first, self.say("date.day_of_year"), locale=self._locale)
            return self.say("date.range", first=beginning, last=self.day(last))
        return self.say("date.range", first=self.day(first), last=self.day(last))

    def _moments(self, span: Span) -> str:
        """A window that begins or ends in the middle of a day."""
        start, end = (each.astimezone(ZoneInfo(span.zone)) for each in (span.start, span.end))
        is_to_the_minute = start.second == end.second == start.microsecond == end.microsecond == 0
        pattern = "HH:mm" if is_to_the_minute else "HH:mm:ss"
        first, last = (format_datetime(each, pattern, locale=self._locale) for each in (start, end))
        if start.date() == end.date():
            times = self.say("date.range_in_month", first=first, last=last)
            return f"{self.day(start.date())}, {times}"
        return self.say(
            "date.range",
            first=f"{self.day(start.date())}, {first}",
            last=f"{self.day(end.date())}, {last}",
        )

    def exact_span(self, span: Span) -> str:
        """A window by its two instants, in its zone."""
        start, end = (self.moment(each, span.zone) for each in (span.start, span.end))
        return self.say("about.from_to", start=start, end=end)

    def exact_span_utc(self, span: Span) -> str:
        """The same in UTC, as machines write it."""
        start, end = to_rfc3339(span.start), to_rfc3339(span.end)
        return self.say("about.from_to", start=start, end=end)

    # --- Sentences ---

    def row_name(self, row: Row) -> str:
        """What a row of a table is about."""
        if row.is_rest:
            return self.say("rest")
        return self.say("none") if row.name is None else row.name

    def finding(self, finding: Finding) -> str:
        """A finding in a sentence."""
        key = f"finding.{finding.code}"
        forms: Mapping[str, str] = self._plurals.get(key, self._plurals["finding.other"])
        return forms[self._locale.plural_form(finding.rows)].format_map(
            {
                "n": self.number(finding.rows),
                "dataset": self.say_known("dataset", finding.dataset),
                "column": finding.column or "",
                "code": finding.code,
            }
        )

    def left_out(self, left_out: LeftOut) -> str:
        """Why a figure cannot be told."""
        name = self.say_known("figure", left_out.figure)
        return self.say("left_out", figure=name, missing=self.missing(left_out.missing))

    def missing(self, missing: str) -> str:
        """What a figure lacks, of what `pipelines.insights` says is missing."""
        if missing == SHORTER:
            return self.say("missing.shorter")
        name, _, which = missing.partition(": ")
        if which in _COLUMNS:
            dataset = self.say_known("dataset", name)
            return self.say(f"missing.{_COLUMNS[which]}", dataset=dataset)
        return self.say("missing.declared", name=missing)


def is_code(currency: str) -> bool:
    """Whether ``currency`` looks like a code of ISO 4217, and may stand in a number format."""
    return (
        len(currency) == _CODE_LENGTH
        and currency.isascii()
        and currency.isalpha()
        and currency.isupper()
    )


def currency_digits(currency: str) -> int:
    """How many digits amounts of ``currency`` have after the point."""
    return int(get_currency_precision(currency)) if is_code(currency) else 2


def _signed(number: str) -> str:
    """``number`` with a minus that is as wide as a plus."""
    return number.replace("-", _MINUS)


def _offset(local: datetime) -> str:
    offset = local.utcoffset()
    seconds = 0 if offset is None else round(offset.total_seconds())
    if seconds == 0:
        return "UTC"
    hours, minutes = divmod(abs(seconds) // _SECONDS_OF_MINUTE, 60)
    sign = "+" if seconds > 0 else _MINUS
    return f"UTC{sign}{hours}" + (f":{minutes:02d}" if minutes else "")
