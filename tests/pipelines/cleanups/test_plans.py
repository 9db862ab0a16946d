"""A dry run tells what a cleanup would do, and changes nothing."""

import json
from typing import Any

import pytest

from resources.errors import InvalidRequest, TaskFailed
from tests.support.cleanups import Cleaner
from tests.support.shops import SECRET, Shop

UNPAID: dict[str, Any] = {"filters": {"id": [1, 2, 4, 5]}, "options": {"dataset": "bookings"}}
PAID: dict[str, Any] = {"filters": {"id": [0, 1, 3]}, "options": {"dataset": "bookings"}}
CASCADED: dict[str, Any] = {
    "filters": {"id": [0, 1, 3]},
    "options": {"dataset": "bookings", "cascade": ["payments", "notes"]},
}


ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
NOT_MYSQL = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def deleting(body: dict[str, Any], plan_hash: str, **options: Any) -> dict[str, Any]:
    """The request that deletes what ``body`` has planned."""
    told = {**body["options"], "dry_run": False, "plan_hash": plan_hash, **options}
    return {**body, "options": told}


def test_a_dry_run_tells_what_would_go_and_changes_nothing(cleaning: Cleaner, shop: Shop) -> None:
    before = shop.dump()

    plan = cleaning.plan(**CASCADED)

    assert plan["tables"] == [
        {"table": "bookings", "rows": 3},
        {"table": "payments", "rows": 2},
        {"table": "notes", "rows": 4},
    ]
    assert plan["rows"] == 9
    assert plan["keys"] == [{"id": 0}, {"id": 1}, {"id": 3}]
    assert [(each["table"], each["columns"], each["rows"]) for each in plan["references"]] == [
        ("payments", ["booking_id"], 2),
        ("notes", ["payment_id"], 4),
    ]
    assert plan["plan_hash"].startswith("3.2.4-")
    assert shop.dump() == before
    assert cleaning.files("archives") == []


@NOT_MYSQL
def test_a_dry_run_tells_of_rows_that_refer_and_would_stay(cleaning: Cleaner, shop: Shop) -> None:
    plan = cleaning.plan(**PAID)

    assert plan["tables"] == [{"table": "bookings", "rows": 3}]
    (reference,) = plan["references"]
    assert reference == {
        "table": "payments",
        "columns": ["booking_id"],
        "refers_to": "bookings",
        "rows": 2,
        "cascade": False,
    }


@ON_SQLITE
def test_no_more_keys_are_told_than_a_sample(cleaning: Cleaner) -> None:
    plan = cleaning.plan(filters={"id": {"gte": 0}}, options={"dataset": "bookings"})

    assert plan["keys"] == [{"id": number} for number in range(20)]
    assert plan["rows"] == 60


@NOT_MYSQL
def test_a_window_chooses_rows_too(cleaning: Cleaner) -> None:
    window = {"date_from": "2024-01-02T00:00:00Z", "date_to": "2024-01-02T23:59:59Z"}

    plan = cleaning.plan(**window, options={"dataset": "bookings"})

    assert plan["keys"] == [{"id": 1}, {"id": 29}, {"id": 57}]


@NOT_MYSQL
def test_masked_and_left_out_values_stand_nowhere(cleaning: Cleaner) -> None:
    _, manifest = cleaning.clean(**CASCADED)
    users = cleaning.plan(filters={"id": 2}, options={"dataset": "users"})
    _, cleaned = cleaning.clean(**deleting(CASCADED, manifest["plan"]["plan_hash"]))

    assert users["keys"] == []  # its key is masked
    assert users["rows"] == 1
    assert SECRET not in json.dumps([manifest, users, cleaned])
    for path in cleaning.files("results"):
        assert SECRET.encode() not in path.read_bytes()


@ON_SQLITE
def test_the_same_rows_have_the_same_plan_and_others_another_one(cleaning: Cleaner) -> None:
    first, again = cleaning.plan(**PAID), cleaning.plan(**PAID)
    other = cleaning.plan(filters={"id": [0, 1, 4]}, options={"dataset": "bookings"})

    assert first["plan_hash"] == again["plan_hash"] != other["plan_hash"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/options/dataset", "required"),
        ({"options": {"dataset": "bookings"}}, "/filters", "selection_required"),
        ({"options": {"dataset": "orders"}}, "/options/dataset", "invalid_value"),
        ({**PAID, "options": {"dataset": "results"}}, "/filters", "invalid_value"),
        (deleting(PAID, "") | {}, "/options/plan_hash", "string_pattern_mismatch"),
        (
            {**PAID, "options": {"dataset": "bookings", "dry_run": False}},
            "/options/plan_hash",
            "plan_hash_required",
        ),
        (
            deleting(PAID, f"1-{'0' * 64}", dry_run=True),
            "/options/plan_hash",
            "invalid_value",
        ),
        # Digits, but of another script.
        (
            deleting(PAID, f"\u0661-{'0' * 64}"),
            "/options/plan_hash",
            "string_pattern_mismatch",
        ),
        (
            {**PAID, "options": {"dataset": "bookings", "cascade": ["notes", "a\0b"]}},
            "/options/cascade/1",
            "string_pattern_mismatch",
        ),
        (
            {**PAID, "options": {"dataset": "services"}},
            "/options/dataset",
            "undeclared_dataset",
        ),
        (
            {**PAID, "options": {"dataset": "bookings", "cascade": ["notes", "notes"]}},
            "/options/cascade",
            "duplicate_table",
        ),
        (
            {"filters": {"email": "x"}, "options": {"dataset": "bookings"}},
            "/filters/email",
            "masked_filter_field",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_post(
    cleaning: Cleaner, body: dict[str, Any], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        cleaning.submit(**body)

    assert [(each.pointer, each.code) for each in raised.value.errors] == [(pointer, code)]


@ON_SQLITE
@pytest.mark.parametrize("cascade", [["orders"], ["payments", "orders"], ["notes"], ["users"]])
def test_a_table_that_does_not_lead_to_the_dataset_cannot_be_cascaded_to(
    cleaning: Cleaner, cascade: list[str]
) -> None:
    with pytest.raises(TaskFailed) as raised:
        cleaning.plan(filters={"id": 1}, options={"dataset": "bookings", "cascade": cascade})

    assert raised.value.code == "unknown_table"
    assert f": {cascade[-1]}." in raised.value.detail


@NOT_MYSQL
def test_tables_that_refer_to_each_other_in_a_circle_are_refused(
    cleaning: Cleaner, shop: Shop
) -> None:
    if shop.engine.dialect.name == "sqlite":
        shop.execute(
            "ALTER TABLE bookings ADD COLUMN last_payment INTEGER REFERENCES payments (id)"
        )
    else:
        shop.execute(
            "ALTER TABLE bookings ADD COLUMN last_payment INTEGER",
            "ALTER TABLE bookings ADD FOREIGN KEY (last_payment) REFERENCES payments (id)",
        )

    with pytest.raises(TaskFailed, match="bookings → payments → bookings") as raised:
        cleaning.plan(**CASCADED)

    assert raised.value.code == "circular_references"


@NOT_MYSQL
def test_a_view_cannot_be_cleaned_up(cleaning: Cleaner, shop: Shop) -> None:
    shop.execute("ALTER TABLE users RENAME TO people", "CREATE VIEW users AS SELECT * FROM people")
    try:
        with pytest.raises(TaskFailed, match="is a view") as raised:
            cleaning.plan(filters={"id": 1}, options={"dataset": "users"})
    finally:
        shop.execute("DROP VIEW users")

    assert raised.value.code == "not_archivable"
