"""How much falls to each status, each service, each payment method."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipelines.insights.duck import Duck
from pipelines.insights.facts import BOOKINGS, PAYMENTS, SERVICES
from pipelines.insights.figures import LeftOut, Share, Window
from pipelines.insights.workspace import Workspace

# What a payment brings: null where it is neither paid nor a refund. A refund may be written with a
# sign or without one.
REVENUE = "CASE WHEN paid THEN amount WHEN refunded THEN -abs(amount) END"
# How many shares are told by name; one more, named "", has all others.
MOST_SHARES = 20
OTHERS = ""
REVENUE_NEEDS = ("payments.roles.amount", "payments.statuses.paid")
TOP_SHARES = "top_shares"


@dataclass(frozen=True)
class Shares:
    """The shares of one kind, and what of them cannot be told."""

    shares: Sequence[Share]
    left_out: Sequence[LeftOut] = ()


def statuses(workspace: Workspace, window: Window) -> Shares:
    """Bookings by status."""
    if missing := workspace.needs.missing("bookings.roles.status"):
        return Shares([], [LeftOut("statuses", missing)])
    no_amounts = workspace.needs.missing("bookings.roles.amount")
    within = workspace.within("bookings", window)
    rows = f"SELECT status AS key, currency, amount FROM {BOOKINGS} WHERE {within}"
    left = [LeftOut("statuses.amounts", no_amounts)] if no_amounts else []
    return Shares(shares_of(workspace.duck, rows, None if no_amounts else rows), left)


def methods(workspace: Workspace, window: Window) -> Shares:
    """Payments and revenue by payment method."""
    if missing := workspace.needs.missing("payments.roles.method"):
        return Shares([], [LeftOut("methods", missing)])
    no_amounts = workspace.needs.missing(*REVENUE_NEEDS)
    rows = (
        f"SELECT method AS key, currency, {REVENUE} AS amount FROM {PAYMENTS} "
        f"WHERE {workspace.within('payments', window)}"
    )
    left = [LeftOut("methods.amounts", no_amounts)] if no_amounts else []
    return Shares(shares_of(workspace.duck, rows, None if no_amounts else rows), left)


def services(workspace: Workspace, window: Window) -> Shares:
    """Bookings and revenue by service; revenue falls to the service of the payment's booking."""
    needs = workspace.needs
    if missing := needs.missing("bookings.roles.service"):
        return Shares([], [LeftOut("services", missing)])
    no_amounts = needs.missing(*REVENUE_NEEDS) or needs.missing_link("payments", "booking")
    rows = f"SELECT service AS key FROM {BOOKINGS} WHERE {workspace.within('bookings', window)}"
    amounts = (
        f"SELECT service AS key, currency, {REVENUE} AS amount FROM {PAYMENTS} "
        f"WHERE {workspace.within('payments', window)} AND {REVENUE} IS NOT NULL"
    )
    left = [LeftOut("services.amounts", no_amounts)] if no_amounts else []
    told = shares_of(workspace.duck, rows, None if no_amounts else amounts, SERVICES)
    return Shares(told, left)


def shares_of(
    duck: Duck, rows: str, amounts: str | None = None, labels: str | None = None
) -> list[Share]:
    """The shares of ``rows``, the most frequent first, and what of ``amounts`` falls to each.

    Args:
        duck: Where the rows are.
        rows: SQL for the rows that are counted, with their ``key``, a text.
        amounts: SQL for what is summed: ``key``, ``currency`` and ``amount``; None: nothing is.
        labels: A table that has the ``label`` of each ``key``; None: keys are their own.
    """
    counted = f"SELECT key, 1 AS n FROM ({rows})"
    if amounts is not None:  # of what no row is counted, amounts are told too
        counted += f" UNION ALL SELECT key, 0 FROM ({amounts}) WHERE amount IS NOT NULL"
    label, joined = "g.key", ""
    if labels is not None:
        label, joined = "coalesce(s.label, g.key)", f"LEFT JOIN {labels} s ON s.key = g.key"
    duck.run(
        f"CREATE OR REPLACE TABLE {TOP_SHARES} AS SELECT g.key, {label} AS label, g.n FROM "
        f"(SELECT key, sum(n)::BIGINT AS n FROM ({counted}) GROUP BY key) g {joined} "
        f"ORDER BY n DESC, label, g.key LIMIT {MOST_SHARES}"
    )
    told = duck.rows(f"SELECT key, label, n FROM {TOP_SHARES} ORDER BY n DESC, label, key")
    others, count = duck.row(
        f"SELECT count(*), coalesce(sum(c.n), 0) FROM ({counted}) c "
        f"LEFT JOIN {TOP_SHARES} t ON t.key IS NOT DISTINCT FROM c.key WHERE t.n IS NULL"
    )
    by_key = None if amounts is None else _amounts(duck, amounts)
    shares = [
        Share(label, n, None if by_key is None else by_key.get((True, key), {}))
        for key, label, n in told
    ]
    if others:
        rest = None if by_key is None else by_key.get((False, None), {})
        shares.append(Share(OTHERS, int(count), rest))
    return shares


def _amounts(duck: Duck, amounts: str) -> dict[tuple[bool, str | None], dict[str, Decimal]]:
    """Amounts by currency of each key that is told, and of all others together."""
    rows = duck.rows(
        f"SELECT t.n IS NOT NULL, t.key, a.currency, sum(a.amount) FROM ({amounts}) a "
        f"LEFT JOIN {TOP_SHARES} t ON t.key IS NOT DISTINCT FROM a.key "
        "WHERE a.amount IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 3"
    )
    summed: defaultdict[tuple[bool, str | None], dict[str, Decimal]] = defaultdict(dict)
    for is_told, key, currency, amount in rows:
        summed[is_told, key][currency] = amount
    return dict(summed)
