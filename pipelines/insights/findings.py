"""What somebody should look at: rows that refer to nothing, that repeat, that cannot be right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.insights.facts import BOOKINGS, PAYMENTS
from pipelines.insights.figures import Finding, LeftOut, Window
from pipelines.insights.loaded import AT, Loaded
from pipelines.insights.workspace import Workspace
from resources.source.columns import Column, Kind
from resources.source.dataset import Dataset
from resources.source.moments import to_microseconds


@dataclass(frozen=True)
class Findings:
    """What was found, and what could not be looked for."""

    findings: Sequence[Finding]
    left_out: Sequence[LeftOut]


def findings(workspace: Workspace, window: Window) -> Findings:
    """What is found among the rows of ``window``; findings of no rows are not told."""
    found: list[Finding | LeftOut] = [*_references(workspace, window)]
    for loaded in workspace.loaded.values():
        found += _duplicates(workspace, window, loaded)
        found += _values(workspace, window, loaded)
    return Findings(
        [each for each in found if isinstance(each, Finding) and each.rows],
        [each for each in found if isinstance(each, LeftOut)],
    )


def _references(workspace: Workspace, window: Window) -> Iterator[Finding | LeftOut]:
    """Rows that refer to what the whole source does not have."""
    needs = workspace.needs
    paid = needs.missing("bookings.statuses.paid", "payments.statuses.paid")
    of_payments = needs.missing_link("payments", "booking")
    looked_for = (
        ("payments_without_booking", "payments", "booking", of_payments),
        ("paid_bookings_without_payment", "bookings", None, paid or of_payments),
        ("bookings_without_user", "bookings", "user", needs.missing_link("bookings", "user")),
        (
            "bookings_without_service",
            "bookings",
            "service",
            needs.missing_link("bookings", "service"),
        ),
    )
    for code, dataset, role, missing in looked_for:
        if missing:
            yield LeftOut(code, missing)
            continue
        table, condition = _CONDITIONS[code]
        within = workspace.within(dataset, window)
        (rows,) = workspace.duck.row(f"SELECT count(*) FROM {table} WHERE {within} AND {condition}")
        column = role and workspace.loaded[dataset].dataset.roles[role].name
        yield Finding(code, dataset, column, rows)


_CONDITIONS = {
    "payments_without_booking": (PAYMENTS, "refers AND NOT has_booking"),
    "paid_bookings_without_payment": (BOOKINGS, "claims_paid AND NOT is_paid_for"),
    "bookings_without_user": (BOOKINGS, "booker IS NOT NULL AND NOT has_user"),
    "bookings_without_service": (BOOKINGS, "NOT has_service"),
}


def _duplicates(
    workspace: Workspace, window: Window, loaded: Loaded
) -> Iterator[Finding | LeftOut]:
    """Rows that repeat another one in all but the key."""
    dataset = loaded.dataset
    compared = [loaded.sql(each) for each in loaded.columns if each.name not in dataset.key]
    if (which := _not_comparable(dataset)) or not compared:
        missing = f"{dataset.name}: {which or 'columns beside the key'}"
        yield LeftOut(f"duplicate_rows.{dataset.name}", missing)
        return
    (rows,) = workspace.duck.row(
        f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM "
        f"(SELECT hash({', '.join(compared)}) AS h FROM {dataset.name} "
        f"WHERE {workspace.within(loaded.dataset.name, window)}) GROUP BY h HAVING n > 1)"
    )
    yield Finding("duplicate_rows", dataset.name, None, int(rows))


def _not_comparable(dataset: Dataset) -> str | None:
    """Which columns are needed to tell rows apart, and not seen; None: all are."""
    if any(each.mask and each.name not in dataset.key for each in dataset.columns.values()):
        return "columns that are not masked"
    if dataset.left_out - set(dataset.key):
        return "columns that are not left out"
    return None


def _values(workspace: Workspace, window: Window, loaded: Loaded) -> Iterator[Finding]:
    """Values that are missing, or out of range; all in one query."""
    checks = list(_checks(workspace, loaded))
    if not checks:
        return
    counts = ", ".join(f"count(*) FILTER ({condition})" for _, _, condition in checks)
    name = loaded.dataset.name
    within = workspace.within(name, window)
    found = workspace.duck.row(f"SELECT {counts} FROM {name} WHERE {within}")
    for (code, column, _), rows in zip(checks, found, strict=True):
        yield Finding(code, loaded.dataset.name, column.name, rows)


def _checks(workspace: Workspace, loaded: Loaded) -> Iterator[tuple[str, Column, str]]:
    dataset = loaded.dataset
    amount, dates = dataset.roles.get("amount"), dataset.date_column
    if amount is not None and workspace.needs.has(f"{dataset.name}.roles.amount"):
        # A refund may be written with a sign.
        yield (
            "negative_amounts",
            amount,
            f"{loaded.amount()} < 0 AND NOT {loaded.means('refunded')}",
        )
    if dates is not None:
        yield "dates_in_future", dates, f"{AT} > {to_microseconds(workspace.taken_at)}"
        yield "dates_before_1970", dates, f"{AT} < 0"
    needed = [*dataset.roles.values(), *([dates] if dates else [])]
    for column in {each.name: each for each in needed}.values():
        yield "missing_values", column, _is_missing(column, loaded.sql(column))


def _is_missing(column: Column, name: str) -> str:
    blank = f" OR trim({name}) = ''" if column.kind is Kind.TEXT else ""
    return f"({name} IS NULL{blank})"
