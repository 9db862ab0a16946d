"""From the figures of a window and of the one before it to what a report says. Pure."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from pipelines.insights.figures import Business, Finding, Headline, Period, Share, Window
from pipelines.insights.shares import MOST_SHARES, OTHERS
from pipelines.report.model import SCHEMA, Figure, Point, Report, Row, Span, Unit, Value
from pipelines.report.periods import Bucket, bounds, bucket_of, is_cut
from resources.task_types.report_generation import ReportPeriod

# In the order in which they are told.
_COUNTS = ("bookings", "new_users", "new_bookers", "returning_bookers", "repeat_users")
_MONEY = ("revenue", "average_booking")
_RATES = ("cancellation_rate", "refund_rate")
# The longest name that is told whole: a column may hold a whole letter.
MOST_CHARACTERS = 120
# What may not stand in a text that is shown: controls, lone surrogates, and what turns the
# direction of what follows.
_UNFIT = {"Cc", "Cs"}
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Origin:
    """Where a report comes from.

    Attributes:
        task: The task that makes it.
        period: What it was asked for.
        made_at: When it is made.
        snapshot_at: As of when the source was read.
    """

    task: int
    period: ReportPeriod | None
    made_at: datetime
    snapshot_at: datetime


def report_of(current: Business, before: Business, origin: Origin) -> Report:
    """What there is to say of ``current``, compared with the period ``before``."""
    bucket = bucket_of(current.window)
    return Report(
        schema=SCHEMA,
        task=origin.task,
        period=origin.period,
        window=_span(current.window),
        before=_span(before.window),
        made_at=origin.made_at,
        snapshot_at=origin.snapshot_at,
        is_empty=_is_empty(current),
        currencies=[shown(each) for each in _currencies(current, before)],
        figures=list(_figures(current, before)),
        bucket=bucket,
        points=_points(current, before, bucket, origin.snapshot_at),
        statuses=_rows(current.statuses),
        services=_rows(current.services),
        methods=_rows(current.methods),
        findings=[_finding(each) for each in current.findings],
        left_out=list(current.left_out),
    )


def shown(text: str) -> str:
    """``text`` of the source as it can be shown anywhere: one line, not endless, nothing hidden."""
    fit = (_fit(each) for each in text[: 4 * MOST_CHARACTERS])
    line = " ".join("".join(fit).split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"


def _fit(character: str) -> str:
    if character.isspace():
        return " "
    if character in _TURNING:
        return ""
    return "\ufffd" if unicodedata.category(character) in _UNFIT else character


def _span(window: Window) -> Span:
    return Span(*bounds(window), window.zone)


def _finding(finding: Finding) -> Finding:
    return replace(finding, column=None if finding.column is None else shown(finding.column))


def _is_empty(business: Business) -> bool:
    headline = business.headline
    happened = (
        headline.bookings,
        headline.new_users,
        *(headline.revenue or {}).values(),
        *(each.count for each in (*business.statuses, *business.services, *business.methods)),
    )
    return not any(happened)


def _currencies(*businesses: Business) -> list[str]:
    known: set[str] = set()
    for business in businesses:
        headline = business.headline
        known.update(headline.revenue or {}, headline.average_booking or {})
    for share in (*businesses[0].services, *businesses[0].methods, *businesses[0].statuses):
        known.update(share.amounts or {})
    return sorted(known)


def _figures(current: Business, before: Business) -> Iterator[Figure]:
    now, then = current.headline, before.headline
    currencies = _currencies(current, before)
    yield _plain(_COUNTS[0], Unit.COUNT, now, then)
    for name in _MONEY:
        for currency in currencies:
            values = _amount(now, name, currency), _amount(then, name, currency)
            yield _compared(name, Unit.MONEY, shown(currency), *values)
        if getattr(now, name) is None:
            yield Figure(name, Unit.MONEY, None, None, None, None)
    for name in _RATES:
        yield _plain(name, Unit.RATE, now, then)
    for name in _COUNTS[1:]:
        yield _plain(name, Unit.COUNT, now, then)


def _plain(name: str, unit: Unit, now: Headline, then: Headline) -> Figure:
    return _compared(name, unit, None, getattr(now, name), getattr(then, name))


def _amount(headline: Headline, name: str, currency: str) -> Decimal | None:
    """What the headline tells in a currency; of revenue, where nothing was paid, nothing."""
    amounts: Mapping[str, Decimal] | None = getattr(headline, name)
    if amounts is None:
        return None
    return amounts.get(currency, Decimal(0) if name == "revenue" else None)


def _compared(
    name: str, unit: Unit, currency: str | None, now: Value | None, before: Value | None
) -> Figure:
    change: float | None = None
    if now is not None and before is not None:
        difference = float(now) - float(before)
        if unit is Unit.RATE:
            change = difference
        elif before:
            change = difference / abs(float(before))
    return Figure(name, unit, currency, now, before, change)


def _points(
    current: Business, before: Business, bucket: Bucket, snapshot_at: datetime
) -> list[Point]:
    points = list(_window_points(current, bucket, snapshot_at))
    if len(points) != 1:
        return points
    # One column says nothing: the period before stands beside it.
    is_over = bounds(current.window)[1] <= snapshot_at
    return [_as_point(before), replace(points[0], is_cut=not is_over)]


def _as_point(business: Business) -> Point:
    """A window of at most a day as one point."""
    headline = business.headline
    start = bounds(business.window)[0].astimezone(ZoneInfo(business.window.zone)).date()
    revenue = _shown_amounts(headline.revenue)
    return Point(start, True, False, headline.bookings, headline.new_users, revenue)  # noqa: FBT003


def _window_points(business: Business, bucket: Bucket, snapshot_at: datetime) -> Iterator[Point]:
    # What had not happened by then is told as little as what lies outside of the window.
    told = replace(business.window, end=min(bounds(business.window)[1], snapshot_at))
    for period in _periods(business, bucket):
        yield Point(
            start=period.start,
            is_before=False,
            is_cut=is_cut(period.start, bucket, told),
            bookings=period.bookings,
            new_users=period.new_users,
            revenue=_shown_amounts(period.revenue),
        )


def _periods(business: Business, bucket: Bucket) -> Sequence[Period]:
    match bucket:
        case Bucket.DAY:
            return business.days
        case Bucket.WEEK:
            return business.weeks
        case Bucket.MONTH:
            return business.months


def _rows(shares: Sequence[Share]) -> list[Row]:
    total = sum(each.count for each in shares)
    return [
        Row(
            name=shown(each.name) if each.name else None,
            is_rest=(index, each.name) == (MOST_SHARES, OTHERS),
            count=each.count,
            share=each.count / total if total else 0.0,
            amounts=_shown_amounts(each.amounts),
        )
        for index, each in enumerate(shares)
    ]


def _shown_amounts(amounts: Mapping[str, Decimal] | None) -> Mapping[str, Decimal] | None:
    return None if amounts is None else {shown(name): value for name, value in amounts.items()}
