"""Windows, amounts and currencies at the edges of what can be reckoned with and told."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from pipelines.insights import profiles, workspace
from pipelines.insights.business import business_figures
from pipelines.insights.periods import NEARER, SHORTER
from pipelines.report.content import shown
from tests.pipelines.insights.conftest import AnalystOf
from tests.support.businesses import HOSTILE_NAMES
from tests.support.insights import ALL, Analyst

BOOKINGS = """
CREATE TABLE bookings (id INTEGER PRIMARY KEY, state TEXT, price {price}, money TEXT, at TIMESTAMP);
"""
PAYMENTS = """
CREATE TABLE payments (id INTEGER PRIMARY KEY, state TEXT, price {price}, money TEXT, at TIMESTAMP);
"""
DATASETS = """
[bookings]
table = "bookings"
key = "id"
date_column = "at"
roles = { status = "state", amount = "price", currency = "money" }
statuses = { cancelled = "off" }

[payments]
table = "payments"
key = "id"
date_column = "at"
roles = { status = "state", amount = "price", currency = "money" }
statuses = { paid = "paid", refunded = "back" }
"""


def insert(analyst: Analyst, table: str, rows: Sequence[tuple[str, str | None, str]]) -> None:
    """Rows of a price, a currency and a date, all paid."""
    with closing(sqlite3.connect(str(analyst.source.database))) as connection:
        connection.executemany(f"INSERT INTO {table} VALUES (NULL, 'paid', ?, ?, ?)", rows)
        connection.commit()


def shop(analyst_of: AnalystOf, price: str = "DECIMAL(8, 2)") -> Analyst:
    return analyst_of((BOOKINGS + PAYMENTS).format(price=price), DATASETS)


@pytest.mark.parametrize(
    ("zone", "date_from", "date_to", "missing"),
    [
        ("America/New_York", "0001-01-01T00:00:00Z", "2024-01-01T00:00:00Z", SHORTER),
        ("Asia/Tokyo", "2024-01-01T00:00:00Z", "9999-12-31T20:00:00Z", SHORTER),
        ("America/New_York", "0001-01-01T00:00:00Z", "0001-01-09T00:00:00Z", NEARER),
        ("Asia/Tokyo", "9999-12-24T00:00:00Z", "9999-12-31T20:00:00Z", NEARER),
        ("America/New_York", "0001-12-20T00:00:00Z", "0002-01-09T00:00:00Z", None),
        ("Asia/Tokyo", "9998-12-24T00:00:00Z", "9999-01-02T20:00:00Z", None),
    ],
)
def test_windows_at_the_ends_of_time_are_analysed(
    analyst_of: AnalystOf, zone: str, date_from: str, date_to: str, missing: str | None
) -> None:
    analyst = shop(analyst_of)
    insert(
        analyst,
        "bookings",
        [("1", None, f"{date_from[:10]} 12:00:00"), ("1", None, "9998-12-30 12:00:00")],
    )

    made = analyst.analyse(date_from=date_from, date_to=date_to, options={"timezone": zone})

    assert made.left_out.get("periods") == missing
    assert made.document["rows"] in (1, 2)
    days = made.document["datasets"]["bookings"]["days"]
    assert bool(days) == (missing is None)


def test_periods_that_were_not_over_are_partial_and_have_no_growth(
    analyst_of: AnalystOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "now", lambda: datetime(2023, 11, 27, tzinfo=UTC))
    analyst = shop(analyst_of)
    dates = ("2023-09-05", "2023-10-05", "2023-10-06", "2023-11-05")
    insert(analyst, "bookings", [("1", None, f"{date} 12:00:00") for date in dates])

    made = analyst.analyse(date_from="2023-09-01T00:00:00Z", date_to="2024-01-31T23:59:59Z")

    months = made.document["datasets"]["bookings"]["months"]
    assert [(each["start"], each["growth"], each["partial"]) for each in months] == [
        ("2023-09-01", None, False),
        ("2023-10-01", 1.0, False),
        ("2023-11-01", None, True),
        ("2023-12-01", None, True),
        ("2024-01-01", None, True),
    ]
    days = made.document["datasets"]["bookings"]["days"]
    assert next(each["start"] for each in days if each["partial"]) == "2023-11-27"


# --- Amounts ---


def test_amounts_of_many_digits_have_a_mean_of_every_digit(analyst_of: AnalystOf) -> None:
    analyst = shop(analyst_of, "DECIMAL(28, 18)")
    rows = [("1234567890.5", None, "2024-01-01 12:00:00"), ("1", None, "2024-01-02 12:00:00")]
    insert(analyst, "bookings", rows)

    made = analyst.analyse()

    mean = "617283945.75000000000000000000"
    assert made.columns("bookings")["price"]["mean"] == mean
    assert made.document["business"]["headline"]["average_booking"] == {"": mean}


def test_estimates_of_amounts_of_many_digits_are_told(
    analyst_of: AnalystOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "EXACT_ROWS", 0)
    analyst = shop(analyst_of, "DECIMAL(28, 18)")
    insert(analyst, "bookings", [("1234567890.5", None, "2024-01-01 12:00:00")])

    price = analyst.analyse().columns("bookings")["price"]

    assert price["kind"] == "decimal"
    assert float(price["quantiles"]["p50"]) == 1234567890.5


def test_revenue_of_a_month_is_the_sum_of_every_digit(analyst_of: AnalystOf) -> None:
    analyst = shop(analyst_of, "DECIMAL(28, 18)")
    prices = ("9000000000.5", "9000000000.5", "0.000000000000000001")
    rows = [(price, "X", f"2024-01-0{day} 12:00:00") for day, price in enumerate(prices, 1)]
    insert(analyst, "payments", rows)

    business = analyst.analyse().document["business"]

    total = "18000000001.000000000000000001"
    assert business["headline"]["revenue"] == {"X": total}
    assert [each["revenue"] for each in business["months"]] == [{"X": total}]


def test_amounts_that_cannot_be_summed_do_not_narrow_the_counts(analyst_of: AnalystOf) -> None:
    analyst = shop(analyst_of, "DECIMAL(38, 37)")
    insert(analyst, "payments", [("1", None, "2024-01-01 12:00:00")] * 20)

    made = analyst.analyse()

    assert made.left_out["revenue"] == "payments.roles.amount"
    assert made.document["datasets"]["payments"]["months"][0]["rows"] == 20


def test_estimates_of_dates_stay_in_the_years_that_there_are(
    analyst_of: AnalystOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "EXACT_ROWS", 0)
    analyst = shop(analyst_of)
    insert(analyst, "bookings", [("1", None, "9999-12-31 23:59:59.999999")] * 3)

    at = analyst.analyse().columns("bookings")["at"]

    assert at["max"] == "9999-12-31T23:59:59.999999"
    assert set(at["quantiles"].values()) == {"9999-12-31T23:59:59.999999"}


# --- Currencies ---


def test_currencies_that_look_the_same_are_one(analyst_of: AnalystOf) -> None:
    analyst = shop(analyst_of)
    names = ("EUR", "EUR ", "\u202eEUR", "\t EUR\u00a0")
    rows = [(str(price), name, "2024-01-01 12:00:00") for price, name in enumerate(names, 1)]
    for table in ("bookings", "payments"):
        insert(analyst, table, [*rows, ("100", " ", rows[0][2]), ("100", None, rows[0][2])])

    with analyst.workspace() as loaded:
        figures = business_figures(loaded, ALL)

    totals = {"EUR": Decimal(10), "": Decimal(200)}
    assert figures.headline.revenue == totals
    assert figures.headline.average_booking == {"EUR": Decimal("2.5"), "": Decimal(100)}
    assert figures.months[0].revenue == totals
    assert figures.statuses[0].amounts == totals


def test_currencies_are_told_as_they_are_shown(analyst_of: AnalystOf) -> None:
    names = [*HOSTILE_NAMES, "a\x1cb\x85 c\u2003", "\x7f", "x" * 119 + " yz", "d\u2067 \u2068 e"]
    analyst = shop(analyst_of)
    insert(analyst, "payments", [("1", name, "2024-01-01 12:00:00") for name in names])

    with analyst.workspace(names=["payments"]) as loaded:
        told = list(business_figures(loaded, ALL).headline.revenue or {})

    assert [shown(name) for name in told] == told
    # Of one that is too long, its last characters may differ.
    assert {name[:110] for name in told} == {shown(name)[:110] for name in names}


# --- Columns that are left out ---


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [("money", "bookings: columns that are not left out"), ("id", None)],
)
def test_rows_are_not_told_to_repeat_where_columns_are_not_seen(
    analyst_of: AnalystOf, left_out: str, missing: str | None
) -> None:
    declared: Any = f'[bookings]\ntable = "bookings"\nkey = "id"\nleave_out = ["{left_out}"]\n'
    analyst = analyst_of(BOOKINGS.format(price="DECIMAL(8, 2)"), declared)
    at = "2024-01-01 12:00:00"
    rows = [("1", "EUR", at), ("1", "USD", at), ("2", "USD", at), ("2", "USD", at)]
    insert(analyst, "bookings", rows)

    made = analyst.analyse()

    assert made.left_out.get("duplicate_rows.bookings") == missing
    found = [each["rows"] for each in made.document["findings"] if each["code"] == "duplicate_rows"]
    assert found == ([] if missing else [1])
