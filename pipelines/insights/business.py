"""The figures of a business: every one of `figures`, of a window that was loaded."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from pipelines.insights.facts import BOOKINGS, PAYMENTS, USERS
from pipelines.insights.figures import Business, Headline, LeftOut, Window
from pipelines.insights.findings import findings
from pipelines.insights.loaded import AT
from pipelines.insights.periods import periods
from pipelines.insights.shares import REVENUE, methods, services, statuses
from pipelines.insights.values import mean
from pipelines.insights.windows import within
from pipelines.insights.workspace import Workspace
from resources.source.moments import to_microseconds

# What each figure of `Headline` needs; those that follow references come with `_LINKS`.
_NEEDS: Mapping[str, Sequence[str]] = {
    "bookings": ["bookings"],
    "revenue": ["payments.roles.amount", "payments.statuses.paid"],
    "average_booking": ["bookings.roles.amount", "bookings.statuses.cancelled"],
    "cancellation_rate": ["bookings.statuses.cancelled"],
    "refund_rate": ["payments.statuses.paid", "payments.statuses.refunded"],
    "new_users": ["users.date_column"],
    "new_bookers": ["bookings.roles.user", "users.date_column"],
    "returning_bookers": ["bookings.roles.user", "users.date_column"],
    "repeat_users": ["bookings.roles.user"],
}
_LINKS = dict.fromkeys(("new_bookers", "returning_bookers"), ("bookings", "user"))


def business_figures(workspace: Workspace, window: Window) -> Business:
    """The figures of ``window``, which lies in what was loaded.

    Raises:
        AttemptSuperseded: The run must stop.
        TaskFailed: There is no room to work in (``storage_unavailable``), or a value is beyond
            what can be reckoned with (``value_not_measurable``).
    """
    headline = _Headline(workspace, window)
    told = periods(workspace, window)
    shares = (
        statuses(workspace, window),
        services(workspace, window),
        methods(workspace, window),
    )
    found = findings(workspace, window)
    missing = [
        *headline.left_out(),
        *told.left_out,
        *(left for each in shares for left in each.left_out),
        *found.left_out,
    ]
    return Business(
        window=window,
        headline=headline.figures(),
        days=told.days,
        weeks=told.weeks,
        months=told.months,
        statuses=shares[0].shares,
        services=shares[1].shares,
        methods=shares[2].shares,
        findings=found.findings,
        left_out=missing,
    )


class _Headline:
    """The window in a few figures."""

    def __init__(self, workspace: Workspace, window: Window) -> None:
        self._workspace = workspace
        self._duck = workspace.duck
        self._window = window
        self._bookings_within = workspace.within("bookings", window)
        self._payments_within = workspace.within("payments", window)

    def left_out(self) -> Iterator[LeftOut]:
        """Which figures cannot be told."""
        for figure in _NEEDS:
            if (missing := self._missing(figure)) is not None:
                yield LeftOut(figure, missing)

    def _missing(self, figure: str) -> str | None:
        needs = self._workspace.needs
        link = needs.missing_link(*_LINKS[figure]) if figure in _LINKS else None
        return needs.missing(*_NEEDS[figure]) or link

    def _can(self, figure: str) -> bool:
        return self._missing(figure) is None

    def figures(self) -> Headline:
        """The figures; None for each that is left out, or has nothing to be a share of."""
        new, returning = self._bookers()
        return Headline(
            bookings=self._count(BOOKINGS, "bookings"),
            revenue=self._revenue() if self._can("revenue") else None,
            average_booking=self._average() if self._can("average_booking") else None,
            cancellation_rate=self._cancellation_rate(),
            refund_rate=self._refund_rate(),
            new_users=self._count(USERS, "new_users"),
            new_bookers=new if self._can("new_bookers") else None,
            returning_bookers=returning if self._can("returning_bookers") else None,
            repeat_users=self._repeat_users() if self._can("repeat_users") else None,
        )

    def _count(self, table: str, figure: str) -> int | None:
        if not self._can(figure):
            return None
        inside = self._bookings_within
        if table == USERS:
            inside = f"{self._workspace.within('users', self._window)} AND {AT} IS NOT NULL"
        (count,) = self._duck.row(f"SELECT count(*) FROM {table} WHERE {inside}")
        return int(count)

    def _revenue(self) -> dict[str, Decimal]:
        return dict(
            self._duck.rows(
                f"SELECT currency, sum({REVENUE}) FROM {PAYMENTS} "
                f"WHERE {self._payments_within} AND {REVENUE} IS NOT NULL GROUP BY 1 ORDER BY 1"
            )
        )

    def _average(self) -> dict[str, Decimal]:
        found = self._duck.rows(
            f"SELECT currency, sum(amount), count(amount) FROM {BOOKINGS} "
            f"WHERE {self._bookings_within} AND NOT cancelled AND amount IS NOT NULL "
            "GROUP BY 1 ORDER BY 1"
        )
        scale = self._workspace.loaded["bookings"].scale()
        return {currency: mean(total, count, scale) for currency, total, count in found}

    def _cancellation_rate(self) -> float | None:
        if not self._can("cancellation_rate"):
            return None
        return rate(
            self._duck.row(
                f"SELECT count(*) FILTER (cancelled), count(*) FROM {BOOKINGS} "
                f"WHERE {self._bookings_within}"
            )
        )

    def _refund_rate(self) -> float | None:
        if not self._can("refund_rate"):
            return None
        return rate(
            self._duck.row(
                f"SELECT count(*) FILTER (refunded), count(*) FILTER (paid) "
                f"FROM {PAYMENTS} WHERE {self._payments_within}"
            )
        )

    def _bookers(self) -> tuple[int, int]:
        """How many bookers have an account made in the window, and how many an older one."""
        if not self._can("new_bookers"):
            return 0, 0
        start = self._window.start
        is_older = "false" if start is None else f"user_at < {to_microseconds(start)}"
        new, returning = self._duck.row(
            f"SELECT count(DISTINCT booker) FILTER ({within(self._window, 'user_at')} "
            f"AND user_at IS NOT NULL), count(DISTINCT booker) FILTER ({is_older}) "
            f"FROM {BOOKINGS} WHERE {self._bookings_within}"
        )
        return int(new), int(returning)

    def _repeat_users(self) -> int:
        (count,) = self._duck.row(
            f"SELECT count(*) FROM (SELECT booker FROM {BOOKINGS} "
            f"WHERE {self._bookings_within} AND booker IS NOT NULL GROUP BY 1 HAVING count(*) > 1)"
        )
        return int(count)


def rate(counts: tuple[int, int]) -> float | None:
    """The share of the first in the second; None: there is nothing to have a share in."""
    some, all_ = counts
    return some / all_ if all_ else None
