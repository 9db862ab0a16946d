"""The figures of a business in a window, as analyses tell and reports show them.

What a figure needs and the source lacks leaves it None, and `Business.left_out` says why. Amounts
are decimals by currency, in the currency's unit; currencies are never added up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True)
class Window:
    """From ``start`` on, before ``end``: instants; None is open. Days are those of ``zone``."""

    start: datetime | None
    end: datetime | None
    zone: str


@dataclass(frozen=True)
class Headline:
    """The window in a few figures; rates are between 0 and 1.

    Attributes:
        bookings: Bookings made in the window.
        revenue: What was paid in the window less what was refunded in it, by currency.
        average_booking: The mean amount of bookings that were not cancelled, by currency.
        cancellation_rate: Of the bookings made in the window, the share that is cancelled.
        refund_rate: Refunds of the window for each payment of it.
        new_users: Users whose account was made in the window.
        new_bookers: Users who booked in the window and whose account was made in it.
        returning_bookers: Users who booked in the window and whose account is older.
        repeat_users: Users who booked more than once in the window.
    """

    bookings: int | None
    revenue: Mapping[str, Decimal] | None
    average_booking: Mapping[str, Decimal] | None
    cancellation_rate: float | None
    refund_rate: float | None
    new_users: int | None
    new_bookers: int | None
    returning_bookers: int | None
    repeat_users: int | None


@dataclass(frozen=True)
class Period:
    """A day, week (from Monday) or month, by its first day; periods without rows are told too."""

    start: date
    bookings: int | None
    revenue: Mapping[str, Decimal] | None
    new_users: int | None


@dataclass(frozen=True)
class Share:
    """One value of a kind (a status, a service, a payment method), and how much falls to it.

    Attributes:
        name: The value; None: the rows that have none.
        count: Bookings, or payments.
        amounts: Their amounts, by currency; for services and methods, their revenue.
    """

    name: str | None
    count: int
    amounts: Mapping[str, Decimal] | None


@dataclass(frozen=True)
class Finding:
    """Something about the data that somebody should look at.

    Attributes:
        code: What, stable and in snake_case: ``payments_without_booking``,
            ``paid_bookings_without_payment``, ``duplicate_rows``, ``negative_amounts``,
            ``dates_in_future``, ``missing_values`` ...
        dataset: Where.
        column: In which column; None: in none alone.
        rows: How many rows.
    """

    code: str
    dataset: str
    column: str | None
    rows: int


@dataclass(frozen=True)
class LeftOut:
    """A figure that cannot be told, and what is missing: ``payments.roles.amount``."""

    figure: str
    missing: str


@dataclass(frozen=True)
class Business:
    """All figures of one window.

    Attributes:
        days: The window by day; likewise ``weeks`` and ``months``.
        statuses: Bookings by status, the most frequent first.
        services: Bookings and revenue by service, most bookings first; at most twenty,
            then one named "" for all others.
        methods: Payments and revenue by payment method, likewise.
    """

    window: Window
    headline: Headline
    days: Sequence[Period]
    weeks: Sequence[Period]
    months: Sequence[Period]
    statuses: Sequence[Share]
    services: Sequence[Share]
    methods: Sequence[Share]
    findings: Sequence[Finding]
    left_out: Sequence[LeftOut]
