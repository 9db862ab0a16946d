"""What a report says, in no language yet. `report.json` is this, written down.

Amounts are decimals (texts in JSON), rates lie between 0 and 1, instants are in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from pipelines.insights.figures import Finding, LeftOut, Window
from pipelines.report.periods import Bucket
from resources.task_types.report_generation import ReportPeriod

SCHEMA = "workers.report/1"

Value = int | Decimal | float


class Unit(StrEnum):
    """What a figure counts in."""

    COUNT = "count"
    MONEY = "money"
    RATE = "rate"


@dataclass(frozen=True)
class Span:
    """From ``start`` on, before ``end``, both in UTC; days are those of ``zone``."""

    start: datetime
    end: datetime
    zone: str

    def as_window(self) -> Window:
        """The window that it is."""
        return Window(self.start, self.end, self.zone)


@dataclass(frozen=True)
class Figure:
    """One headline figure.

    Attributes:
        name: Which, as in `pipelines.insights.figures.Headline`.
        unit: What it is counted in.
        currency: Of money: its currency.
        now: Its value in the window; None: it cannot be told.
        before: Its value in the period before.
        change: From the one to the other: relative to ``before`` for counts and money, the
            difference for rates; None: there is nothing to compare.
    """

    name: str
    unit: Unit
    currency: str | None
    now: Value | None
    before: Value | None
    change: float | None


@dataclass(frozen=True)
class Point:
    """One day, week or month.

    Attributes:
        start: Its first day.
        is_before: Whether it is the whole period before, which stands beside a single point.
        is_cut: Whether it lies in the window in part only, and others do not, or it was not over
            when the source was read.
        bookings: Bookings made in it.
        new_users: Accounts made in it.
        revenue: By currency.
    """

    start: date
    is_before: bool
    is_cut: bool
    bookings: int | None
    new_users: int | None
    revenue: Mapping[str, Decimal] | None


@dataclass(frozen=True)
class Row:
    """One value of a kind, and how much falls to it.

    Attributes:
        name: The value; None: the rows that have none, or those of all other values.
        is_rest: Whether this is all others.
        count: Bookings, or payments.
        share: Of all of its kind.
        amounts: By currency.
    """

    name: str | None
    is_rest: bool
    count: int
    share: float
    amounts: Mapping[str, Decimal] | None


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        schema: Name and version of this structure.
        task: The task that made it.
        period: What was asked for; None: two dates.
        window: What it is on.
        before: What that is compared with.
        made_at: When it was made.
        snapshot_at: As of when the source was read.
        is_empty: Whether nothing happened in the window.
        currencies: Those that amounts are in, in the order of their codes.
        figures: The headline.
        bucket: What a point is.
        points: The window over time.
        statuses: Bookings by status.
        services: Bookings and revenue by service.
        methods: Payments and revenue by payment method.
        findings: What about the data somebody should look at.
        left_out: What cannot be told, and what is missing.
    """

    schema: str
    task: int
    period: ReportPeriod | None
    window: Span
    before: Span
    made_at: datetime
    snapshot_at: datetime
    is_empty: bool
    currencies: Sequence[str]
    figures: Sequence[Figure]
    bucket: Bucket
    points: Sequence[Point]
    statuses: Sequence[Row]
    services: Sequence[Row]
    methods: Sequence[Row]
    findings: Sequence[Finding]
    left_out: Sequence[LeftOut]

    @property
    def is_single(self) -> bool:
        """Whether the window is a single point, beside which the period before stands."""
        return any(point.is_before for point in self.points)

    def figure(self, name: str, currency: str | None = None) -> Figure:
        """The figure of that name, and of that currency.

        Raises:
            KeyError: There is none.
        """
        for each in self.figures:
            if (each.name, each.currency) == (name, currency):
                return each
        raise KeyError(name)
