"""A shop's rows as plain values, in any database, and its figures in plain Python.

Nothing of the product is used for the figures.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from sqlalchemy import Engine, text

ZONE = "Europe/Berlin"
DATASETS = f"""
[bookings]
table = "bookings"
key = "id"
date_column = "at"
time_zone = "{ZONE}"
roles = {{ user = "who", service = "what", status = "status", amount = "total", currency = "currency" }}
statuses = {{ cancelled = ["cancelled", "no show"], paid = "done" }}

[payments]
table = "payments"
key = "id"
date_column = "at"
time_zone = "{ZONE}"
roles = {{ booking = "booking", status = "status", amount = "amount", currency = "currency", method = "method" }}
statuses = {{ paid = ["paid", "settled"], refunded = "refunded" }}

[users]
table = "users"
key = "id"
date_column = "at"
time_zone = "{ZONE}"

[services]
table = "services"
key = "id"
roles = {{ name = "name" }}
"""  # noqa: E501
TABLES = (
    """CREATE TABLE bookings (id integer NOT NULL PRIMARY KEY, who integer, what integer,
    status varchar(20), total decimal(10, 2), currency varchar(3), at timestamp)""",
    """CREATE TABLE payments (id integer NOT NULL PRIMARY KEY, booking integer, status varchar(20),
    amount decimal(10, 2), currency varchar(3), method varchar(20), at timestamp)""",
    "CREATE TABLE users (id integer NOT NULL PRIMARY KEY, at timestamp)",
    "CREATE TABLE services (id integer NOT NULL PRIMARY KEY, name varchar(20))",
)
NAMES = ("bookings", "payments", "users", "services")
CANCELLED, DONE = ("cancelled", "no show"), "done"
PAID, REFUNDED = ("paid", "settled"), "refunded"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Booking(NamedTuple):
    """A row of bookings."""

    id: int
    who: int | None
    what: int | None
    status: str | None
    total: Decimal | None
    currency: str | None
    at: datetime | None


class Payment(NamedTuple):
    """A row of payments."""

    id: int
    booking: int | None
    status: str | None
    amount: Decimal | None
    currency: str | None
    method: str | None
    at: datetime | None


class User(NamedTuple):
    """A row of users."""

    id: int
    at: datetime | None


class Service(NamedTuple):
    """A row of services."""

    id: int
    name: str | None


@dataclass(frozen=True)
class Rows:
    """Everything the shop has."""

    bookings: Sequence[Booking]
    payments: Sequence[Payment]
    users: Sequence[User]
    services: Sequence[Service]

    def put_into(self, engine: Engine) -> None:
        """Replace what the tables hold."""
        with engine.begin() as connection:
            for name in NAMES:
                connection.execute(text(f"DELETE FROM {name}"))
                rows = [_as_written(row) for row in getattr(self, name)]
                if rows:
                    values = ", ".join(f":{column}" for column in rows[0])
                    connection.execute(text(f"INSERT INTO {name} VALUES ({values})"), rows)


def _as_written(row: Any) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Decimal | datetime) else value
        for name, value in row._asdict().items()
    }


# Around the days on which clocks are set, and far away.
_NEAR = [datetime(2024, 3, 31, 2), datetime(2024, 10, 27, 2, 30), datetime(2024, 6, 30, 23, 59)]  # noqa: DTZ001
_MOMENTS = st.none() | st.builds(
    lambda near, minutes: near + timedelta(minutes=minutes),
    st.sampled_from(_NEAR),
    st.integers(-90, 90) | st.integers(-60_000, 60_000),
)
_AMOUNTS = st.none() | st.decimals(Decimal("-9.99"), Decimal("99999.99"), places=2)
_CURRENCIES = st.sampled_from(["EUR", "USD", None])
_IDS = st.none() | st.integers(1, 12)


def _numbered(kind: Any, *columns: Any, most: int) -> Any:
    rows = st.lists(st.tuples(*columns), max_size=most)
    return rows.map(lambda some: [kind(number, *row) for number, row in enumerate(some, 1)])


ROWS = st.builds(
    Rows,
    _numbered(
        Booking,
        _IDS,
        _IDS,
        st.sampled_from(["done", "open", "cancelled", "no show", None]),
        _AMOUNTS,
        _CURRENCIES,
        _MOMENTS,
        most=12,
    ),
    _numbered(
        Payment,
        _IDS,
        st.sampled_from(["paid", "settled", "refunded", "failed", None]),
        _AMOUNTS,
        _CURRENCIES,
        st.sampled_from(["card", "cash", None]),
        _MOMENTS,
        most=14,
    ),
    _numbered(User, _MOMENTS, most=8),
    _numbered(Service, st.sampled_from(["cut", "colour", "wash", None]), most=6),
)


def instant(wall: datetime | None, zone: str = ZONE) -> datetime | None:
    """What a time without a zone means: its first passing; the change, where it is skipped."""
    if wall is None:
        return None
    of = ZoneInfo(zone)
    found = wall.replace(tzinfo=of).astimezone(UTC)
    if found.astimezone(of).replace(tzinfo=None) != wall:
        after = found.astimezone(of).utcoffset()
        minute = timedelta(minutes=1)
        found = found.replace(second=0, microsecond=0)
        while (found - minute).astimezone(of).utcoffset() == after:
            found -= minute
    return found


@dataclass(frozen=True)
class Reckoned:
    """The figures of a window, by loops over all rows."""

    rows: Rows
    start: datetime | None
    end: datetime | None
    zone: str

    def inside(self, some: Iterable[Any]) -> list[Any]:
        """Those of the rows that lie in the window."""
        return [row for row in some if self.holds(row.at)]

    def holds(self, wall: datetime | None) -> bool:
        """Whether a time lies in the window."""
        at = instant(wall)
        if at is None:
            return self.start is None and self.end is None
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)

    def day(self, wall: datetime | None) -> date | None:
        """The day of a time, in the window's zone."""
        at = instant(wall)
        return None if at is None else at.astimezone(ZoneInfo(self.zone)).date()

    def headline(self) -> dict[str, Any]:
        """As `figures.Headline`."""
        bookings, payments = self.inside(self.rows.bookings), self.inside(self.rows.payments)
        made = {user.id: instant(user.at) for user in self.rows.users}
        bookers = {row.who for row in bookings if row.who is not None}
        dated = {who: at for who in bookers if (at := made.get(who)) is not None}
        new = {who for who, at in dated.items() if self._has(at)}
        older = {who for who, at in dated.items() if self.start is not None and at < self.start}
        counts = Counter(row.who for row in bookings if row.who is not None)
        paid = [row for row in payments if row.status in PAID]
        refunds = [row for row in payments if row.status == REFUNDED]
        return {
            "bookings": len(bookings),
            "revenue": self.revenue(payments),
            "average_booking": self._averages(bookings),
            "cancellation_rate": _rate([b for b in bookings if b.status in CANCELLED], bookings),
            "refund_rate": _rate(refunds, paid),
            "new_users": sum(1 for user in self.rows.users if user.at and self.holds(user.at)),
            "new_bookers": len(new),
            "returning_bookers": len(older),
            "repeat_users": sum(1 for count in counts.values() if count > 1),
        }

    def _has(self, at: datetime) -> bool:
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)

    @staticmethod
    def revenue(payments: Iterable[Payment]) -> dict[str, Decimal]:
        """By currency."""
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in payments:
            if row.amount is None or row.status not in (*PAID, REFUNDED):
                continue
            sums[row.currency or ""] += -abs(row.amount) if row.status == REFUNDED else row.amount
        return dict(sums)

    @staticmethod
    def _averages(bookings: Iterable[Booking]) -> dict[str, Decimal]:
        totals: defaultdict[str, list[Decimal]] = defaultdict(list)
        for row in bookings:
            if row.total is not None and row.status not in CANCELLED:
                totals[row.currency or ""].append(row.total)
        return {
            currency: (sum(some, Decimal(0)) / len(some)).quantize(Decimal("0.0001"))
            for currency, some in totals.items()
        }

    def by_day(self) -> dict[date, dict[str, Any]]:
        """What happened on each day on which anything did."""
        days: defaultdict[date, dict[str, Any]] = defaultdict(dict)
        for name in ("bookings", "payments", "users"):
            by_day: defaultdict[date, list[Any]] = defaultdict(list)
            for row in self.inside(getattr(self.rows, name)):
                if (day := self.day(row.at)) is not None:
                    by_day[day].append(row)
            for day, rows in by_day.items():
                days[day][name] = rows
        return dict(days)

    def services(self) -> Counter[str | None]:
        """How many bookings each service has, by its key as text."""
        return Counter(
            None if b.what is None else str(b.what) for b in self.inside(self.rows.bookings)
        )

    def service_revenue(self) -> dict[str | None, dict[str, Decimal]]:
        """What each brought, by its name; the bookings of payments may lie anywhere."""
        booked = {row.id: row.what for row in self.rows.bookings}
        payments: defaultdict[int | None, list[Payment]] = defaultdict(list)
        for row in self.inside(self.rows.payments):
            payments[booked.get(row.booking)].append(row)
        return {
            None if key is None else str(key): revenue
            for key, some in payments.items()
            if (revenue := self.revenue(some))
        }

    def findings(self, taken_at: datetime) -> dict[tuple[str, str, str | None], int]:
        """How many rows are amiss, by code, dataset and column."""
        bookings, payments = self.inside(self.rows.bookings), self.inside(self.rows.payments)
        users = self.inside(self.rows.users)
        known = {name: {row.id for row in getattr(self.rows, name)} for name in NAMES}
        paying = {p.booking for p in self.rows.payments if p.status in (*PAID, REFUNDED)}
        found: dict[tuple[str, str, str | None], int] = {
            ("payments_without_booking", "payments", "booking"): sum(
                p.booking is not None and p.booking not in known["bookings"] for p in payments
            ),
            ("paid_bookings_without_payment", "bookings", None): sum(
                b.status == DONE and b.id not in paying for b in bookings
            ),
            ("bookings_without_user", "bookings", "who"): sum(
                b.who is not None and b.who not in known["users"] for b in bookings
            ),
            ("bookings_without_service", "bookings", "what"): sum(
                b.what is not None and b.what not in known["services"] for b in bookings
            ),
            ("negative_amounts", "bookings", "total"): sum(
                b.total is not None and b.total < 0 for b in bookings
            ),
            ("negative_amounts", "payments", "amount"): sum(
                p.amount is not None and p.amount < 0 and p.status != REFUNDED for p in payments
            ),
        }
        for name, rows in (("bookings", bookings), ("payments", payments), ("users", users)):
            found["duplicate_rows", name, None] = len(rows) - len({row[1:] for row in rows})
            for column in rows[0]._fields[1:] if rows else ():
                missing = sum(getattr(row, column) is None for row in rows)
                found["missing_values", name, column] = missing
        services = self.rows.services
        found["duplicate_rows", "services", None] = len(services) - len({s.name for s in services})
        found["missing_values", "services", "name"] = sum(s.name is None for s in services)
        return {finding: count for finding, count in found.items() if count}


def _rate(some: Sequence[Any], all_: Sequence[Any]) -> float | None:
    return len(some) / len(all_) if all_ else None
