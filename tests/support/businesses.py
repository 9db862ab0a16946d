"""Businesses made up for tests of reports: plausible, empty, hostile."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from pipelines.insights.figures import (
    Business,
    Finding,
    Headline,
    LeftOut,
    Period,
    Share,
    Window,
)
from pipelines.report.content import Origin, report_of
from pipelines.report.model import Report
from pipelines.report.periods import Bucket, bounds, bucket_end, day_start, previous
from resources.task_types.report_generation import ReportPeriod

DECEMBER = (date(2025, 12, 1), date(2026, 1, 1))
READ_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil.example";"x")',
    "مساج تايلاندي كامل للجسم مع زيوت",
    "👩\u200d👩\u200d👧\u200d👦" * 30,
    "\u202egnp.exe",
    "Donaudampfschifffahrtsgesellschaftskapitän" * 20,
    "two\r\nlines\tand\x00a NUL",
    "{n} {currency.__class__} %(x)s &amp;",
    "https://evil.example/?a=1&b=2",
    "@SUM(A1)",
)
HOSTILE_CURRENCIES = ("<b>", '"]+cmd', "EUR")


def window(first: date, after: date, zone: str = "UTC") -> Window:
    """From the beginning of ``first`` to that of ``after``."""
    start, end = (day_start(day, zone) for day in (first, after))
    return Window(start, end, zone)


def business(of: Window, *, currencies: Sequence[str] = ("EUR", "RUB"), scale: int = 1) -> Business:
    """A business with something in everything; ``scale`` makes it larger."""
    days = list(_periods(of, Bucket.DAY, currencies, scale))
    bookings = sum(each.bookings or 0 for each in days)
    revenue = {
        currency: sum(((each.revenue or {})[currency] for each in days), Decimal(0))
        for currency in currencies
    }
    names = ("completed", "confirmed", "cancelled", "pending")
    return Business(
        window=of,
        headline=Headline(
            bookings=bookings,
            revenue=revenue,
            average_booking={each: Decimal("81.37") for each in currencies},
            cancellation_rate=0.1234,
            refund_rate=0.05 * scale,
            new_users=31 * scale,
            new_bookers=17 * scale,
            returning_bookers=44,
            repeat_users=9,
        ),
        days=days,
        weeks=list(_periods(of, Bucket.WEEK, currencies, scale * 7)),
        months=list(_periods(of, Bucket.MONTH, currencies, scale * 30)),
        statuses=shares(names, currencies),
        services=shares([*(f"Service {number}" for number in range(20)), ""], currencies),
        methods=shares(["card", "bank_transfer", "cash", None], currencies),
        findings=[
            Finding("payments_without_booking", "payments", None, 1),
            Finding("missing_values", "bookings", "user_id", 1_204),
            Finding("something_new", "users", None, 3),
        ],
        left_out=[LeftOut("repeat_users", "bookings.roles.user")],
    )


def shares(names: Sequence[str | None], currencies: Sequence[str]) -> list[Share]:
    """One share for each name, the first the largest."""
    return [
        Share(name, 10 * (len(names) - index), {each: Decimal("99.90") for each in currencies})
        for index, name in enumerate(names)
    ]


def _periods(of: Window, bucket: Bucket, currencies: Sequence[str], scale: int) -> Iterator[Period]:
    start, end = (each.astimezone(ZoneInfo(of.zone)) for each in bounds(of))
    day = start.date()
    if bucket is Bucket.WEEK:
        day -= timedelta(days=day.weekday())
    if bucket is Bucket.MONTH:
        day = day.replace(day=1)
    while day_start(day, of.zone) < end:
        count = scale * (40 + day.toordinal() * 7 % 25)
        revenue = {each: Decimal(count) * Decimal("61.83") for each in currencies}
        yield Period(day, count, revenue, count // 9)
        day = bucket_end(day, bucket)


def empty_business(of: Window) -> Business:
    """One in which nothing happened."""
    full = business(of, currencies=())
    nothing = Headline(0, {}, {}, None, None, 0, 0, 0, 0)
    return replace(
        full,
        headline=nothing,
        days=[Period(each.start, 0, {}, 0) for each in full.days],
        weeks=[Period(each.start, 0, {}, 0) for each in full.weeks],
        months=[Period(each.start, 0, {}, 0) for each in full.months],
        statuses=[],
        services=[],
        methods=[],
        findings=[],
        left_out=[],
    )


def unknown_business(of: Window) -> Business:
    """One of whose source nothing is declared but the bookings."""
    full = business(of, currencies=())
    unknown = Headline(full.headline.bookings, *[None] * 8)
    return replace(
        full,
        headline=unknown,
        days=[Period(each.start, each.bookings, None, None) for each in full.days],
        statuses=[],
        services=[],
        methods=[],
        findings=[],
        left_out=[LeftOut("revenue", "payments.roles.amount")],
    )


def hostile_business(of: Window) -> Business:
    """One whose names and currencies mean harm."""
    full = business(of, currencies=HOSTILE_CURRENCIES)
    named = shares(HOSTILE_NAMES, HOSTILE_CURRENCIES)
    return replace(
        full,
        statuses=named,
        services=named,
        methods=named,
        findings=[Finding("missing_values", "bookings", name, 5) for name in HOSTILE_NAMES],
        left_out=[LeftOut("<i>", "<u>")],
    )


def report(of: Business, before: Business | None = None, **origin: object) -> Report:
    """The report on ``of``, compared with a business of the window before."""
    told = {
        "task": 12,
        "period": ReportPeriod.MONTH,
        "made_at": READ_AT + timedelta(seconds=2),
        "snapshot_at": READ_AT,
        **origin,
    }
    earlier = before or business(previous(of.window), scale=2)
    return report_of(of, earlier, Origin(**told))  # type: ignore[arg-type]
