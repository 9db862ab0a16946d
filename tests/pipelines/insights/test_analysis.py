"""An analysis as it is published: whole, of one schema, with nothing that is nobody's to see."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from pipelines.data_analysis import run_analysis
from pipelines.insights.documents import AnalysisDocument, json_schema
from resources.errors import AttemptSuperseded
from resources.settings import PROJECT_ROOT
from resources.store.models import Principal, Role
from resources.store.tasks import TaskStore
from tests.pipelines.insights.conftest import AnalystOf
from tests.support.insights import Analyst

SHOP = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, pin TEXT, age INTEGER, at TIMESTAMP);
INSERT INTO users VALUES
    (1, 'secret@example.com', 'pin-1', 30, '2024-01-01 10:00:00'),
    (2, 'hidden@example.com', 'pin-2', NULL, '2024-02-10 10:00:00');
CREATE TABLE bookings (
    id INTEGER PRIMARY KEY, who INTEGER, state TEXT, price DECIMAL(8, 2), money TEXT, at TIMESTAMP
);
INSERT INTO bookings VALUES
    (1, 1, 'done', '10.10', 'EUR', '2024-01-31 23:30:00'),
    (2, 1, 'done', '20.20', 'EUR', '2024-02-01 00:30:00'),
    (3, 2, 'off', '7.00', 'USD', '2024-02-15 12:00:00'),
    (4, 2, 'off', '7.00', 'USD', '2024-02-15 12:00:00');
CREATE TABLE payments (
    id INTEGER PRIMARY KEY, booking INTEGER, state TEXT, amount DECIMAL(8, 2), money TEXT,
    at TIMESTAMP
);
INSERT INTO payments VALUES
    (1, 1, 'paid', '0.10', 'EUR', '2024-02-01 12:00:00'),
    (2, 1, 'paid', '0.20', 'EUR', '2024-02-02 12:00:00'),
    (3, 99, 'paid', '5.00', 'USD', '2024-02-03 12:00:00'),
    (4, 1, 'back', '0.10', 'EUR', '2024-03-03 12:00:00');
"""
DATASETS = """
[users]
table = "users"
key = "id"
date_column = "at"
leave_out = ["pin"]
columns = { email = { mask = "hash" } }

[bookings]
table = "bookings"
key = "id"
date_column = "at"
roles = { user = "who", status = "state", amount = "price", currency = "money" }
statuses = { cancelled = "off", paid = "done" }

[payments]
table = "payments"
key = "id"
date_column = "at"
roles = { booking = "booking", status = "state", amount = "amount", currency = "money" }
statuses = { paid = "paid", refunded = "back" }
"""
BARE = """
[bookings]
table = "bookings"
key = "id"

[payments]
table = "payments"
key = "id"
"""


@pytest.fixture
def analyst(analyst_of: AnalystOf) -> Analyst:
    return analyst_of(SHOP, DATASETS)


def test_what_is_published_is_of_the_schema_and_tells_the_figures(analyst: Analyst) -> None:
    made = analyst.analyse(options={"timezone": "Europe/Berlin"})

    AnalysisDocument.model_validate_json(json.dumps(made.document))
    headline = made.document["business"]["headline"]
    assert headline["revenue"] == {"EUR": "0.20", "USD": "5.00"}
    assert headline["average_booking"] == {"EUR": "15.1500"}
    assert (headline["cancellation_rate"], headline["refund_rate"]) == (0.5, 1 / 3)
    assert [
        (each["start"], each["rows"], each["growth"], each["partial"])
        for each in made.document["datasets"]["bookings"]["months"]
    ] == [
        ("2024-01-01", 0, None, True),
        ("2024-02-01", 4, None, False),
        ("2024-03-01", 0, None, True),
    ]
    assert {(each["code"], each["rows"]) for each in made.document["findings"]} == {
        ("payments_without_booking", 1),
        ("paid_bookings_without_payment", 1),
        ("duplicate_rows", 1),
    }
    assert made.left_out == {
        "services": "bookings.roles.service",
        "methods": "payments.roles.method",
        "bookings_without_service": "bookings.roles.service",
        "duplicate_rows.users": "users: columns that are not masked",
    }
    assert made.metadata["rows"] == made.document["rows"] == 10
    assert made.metadata["columns"] == 3 + 6 + 6
    assert made.metadata["findings"] == 3


def test_the_parquet_files_hold_the_columns_and_the_series(analyst: Analyst) -> None:
    made = analyst.analyse()

    columns = pyarrow.parquet.read_table(made.folder / "columns.parquet").to_pylist()
    prices = next(row for row in columns if row["column"] == "price")
    assert (prices["count"], prices["min"], prices["max"]) == (4, "7.00", "20.20")
    assert prices["top_values"] == [{"value": "7.00", "count": 2}]
    series = pyarrow.parquet.read_table(made.folder / "series.parquet").to_pylist()
    february = [
        row for row in series if str(row["start"]) == "2024-02-01" and row["period"] == "month"
    ]
    told = {
        (row["dataset"], row["measure"], row["status"], row["currency"]): str(row["value"])
        for row in february
    }
    assert told == {
        ("bookings", "rows", None, None): "3.00",
        ("bookings", "rows", "done", None): "1.00",
        ("bookings", "rows", "off", None): "2.00",
        ("payments", "rows", None, None): "3.00",
        ("payments", "rows", "paid", None): "3.00",
        ("payments", "revenue", None, "EUR"): "0.30",
        ("payments", "revenue", None, "USD"): "5.00",
        ("users", "rows", None, None): "1.00",
    }


def test_what_is_masked_or_left_out_appears_nowhere(analyst: Analyst) -> None:
    made = analyst.analyse()

    assert set(made.columns("users")) == {"id", "age", "at"}
    for file in made.folder.iterdir():
        content = file.read_bytes()
        for secret in (b"email", b"secret@", b"hidden@", b"pin-"):
            assert secret not in content, file.name
    assert [path.name for path in analyst.home.rglob("scratch/*") if path.is_dir()] == []


def test_a_window_is_told_to_the_second_and_by_the_days_of_the_zone(analyst: Analyst) -> None:
    made = analyst.analyse(
        date_from="2024-01-31T23:30:00Z",
        date_to="2024-02-01T00:30:00Z",
        options={"timezone": "Asia/Tokyo", "datasets": ["bookings"]},
    )

    bookings = made.document["datasets"]["bookings"]
    assert bookings["rows"] == 2
    assert [(day["start"], day["rows"], day["partial"]) for day in bookings["days"]] == [
        ("2024-02-01", 2, True)
    ]
    assert made.left_out["revenue"] == "payments"


def test_without_a_role_every_figure_that_needs_it_is_left_out_and_named(
    analyst_of: AnalystOf,
) -> None:
    made = analyst_of(SHOP, BARE).analyse()

    headline = made.document["business"]["headline"]
    assert headline == dict.fromkeys(headline) | {"bookings": 4}
    assert made.left_out == {
        "revenue": "payments.roles.amount",
        "average_booking": "bookings.roles.amount",
        "cancellation_rate": "bookings.statuses.cancelled",
        "refund_rate": "payments.statuses.paid",
        "new_users": "users",
        "new_bookers": "bookings.roles.user",
        "returning_bookers": "bookings.roles.user",
        "repeat_users": "bookings.roles.user",
        "periods.bookings": "bookings.date_column",
        "periods.revenue": "payments.date_column",
        "periods.new_users": "users",
        "statuses": "bookings.roles.status",
        "services": "bookings.roles.service",
        "methods": "payments.roles.method",
        "payments_without_booking": "payments.roles.booking",
        "paid_bookings_without_payment": "bookings.statuses.paid",
        "bookings_without_user": "bookings.roles.user",
        "bookings_without_service": "bookings.roles.service",
        "datasets.bookings.periods": "bookings.date_column",
        "datasets.bookings.statuses": "bookings.roles.status",
        "datasets.payments.periods": "payments.date_column",
        "datasets.payments.statuses": "payments.roles.status",
    }
    assert len(made.columns("bookings")) == 6


def test_filters_select_the_rows_of_the_one_dataset(analyst: Analyst) -> None:
    made = analyst.analyse(filters={"state": "off"}, options={"datasets": ["bookings"]})

    assert made.document["rows"] == 2
    assert made.document["business"]["headline"]["cancellation_rate"] == 1.0


def test_a_window_without_rows_is_analysed_too(analyst: Analyst) -> None:
    made = analyst.analyse(date_from="2030-01-01T00:00:00Z", date_to="2030-01-02T23:59:59Z")

    assert made.document["rows"] == 0
    assert [day["rows"] for day in made.document["datasets"]["bookings"]["days"]] == [0, 0]
    price = made.columns("bookings")["price"]
    assert (price["count"], price["min"], price["mean"], price["top_values"]) == (0, None, None, [])


def test_a_cancelled_analysis_leaves_no_file(analyst: Analyst) -> None:
    assignment = analyst.assignment()
    TaskStore(analyst.state).cancel(assignment.task.id, Principal("ann", Role.USER))

    with pytest.raises(AttemptSuperseded):
        run_analysis(assignment)

    assert analyst.files() == []


def test_the_schema_in_the_docs_is_that_of_the_files() -> None:
    documented: Any = json.loads(
        Path(PROJECT_ROOT, "docs", "tasks", "analysis.schema.json").read_text(encoding="utf-8")
    )
    assert documented == json_schema()
