"""The job of a report: from a task to its files, or to none."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey
from sqlalchemy import URL, Engine

from pipelines.assignments import Assignment
from pipelines.definitions import defs
from pipelines.report_generation import run_report
from resources.errors import AttemptSuperseded
from resources.store.models import Principal, Role
from resources.store.tasks import TaskStore
from resources.task_types.report_generation import TASK_TYPE
from tests.support.insights import Analyst

SOURCE = """
CREATE TABLE bookings (id INTEGER PRIMARY KEY, status TEXT, total DECIMAL(10, 2), at DATETIME);
CREATE TABLE payments (id INTEGER PRIMARY KEY, status TEXT, amount DECIMAL(10, 2), at DATETIME);
INSERT INTO bookings VALUES
    (1, 'open', 10, '2024-12-01 00:30:00'), (2, 'gone', 20, '2024-12-31 22:30:00'),
    (3, 'open', 30, '2024-12-31 23:30:00'), (4, 'open', 40, '2024-11-15 12:00:00');
INSERT INTO payments VALUES
    (1, 'paid', 10, '2024-12-05 00:00:00'), (2, 'back', 2.5, '2024-12-06 00:00:00'),
    (3, 'paid', 40, '2024-11-16 00:00:00');
"""
BOOKINGS = """
[bookings]
table = "bookings"
key = "id"
date_column = "at"
roles = { status = "status", amount = "total" }
statuses = { cancelled = "gone" }
"""
PAYMENTS = """
[payments]
table = "payments"
key = "id"
roles = { status = "status", amount = "amount" }
statuses = { paid = "paid", refunded = "back" }
"""
DATED = PAYMENTS.replace("roles", 'date_column = "at"\nroles', 1)
ASKED = {"period": "month", "formats": ["json", "html", "xlsx"]}
CREATED_AT = datetime(2025, 1, 20, tzinfo=UTC)


@pytest.fixture
def analyst(sqlite_engine: Engine, tmp_path: Path) -> Analyst:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SOURCE)
    url = URL.create("sqlite", database=str(path))
    return Analyst(sqlite_engine, tmp_path, url, BOOKINGS + DATED)


def assignment_of(analyst: Analyst, **options: Any) -> Assignment:
    """A report's, whose task was created in January 2025."""
    assignment = analyst.assignment(TASK_TYPE.name, options={**ASKED, **options})
    return replace(assignment, task=replace(assignment.task, created_at=CREATED_AT))


def file_of(analyst: Analyst, assignment: Assignment, name: str) -> Any:
    path = analyst.home / "results" / assignment.folder.name / name
    return json.loads(path.read_text())


def figures(document: Any) -> dict[str, tuple[Any, Any]]:
    return {each["name"]: (each["now"], each["before"]) for each in document["figures"]}


def test_the_period_is_the_last_before_the_task_was_created(analyst: Analyst) -> None:
    assignment = assignment_of(analyst)

    run_report(assignment)

    told = file_of(analyst, assignment, "report.json")
    assert told["window"]["start"] == "2024-12-01T00:00:00Z"
    assert told["window"]["end"] == "2025-01-01T00:00:00Z"
    assert figures(told)["bookings"] == (3, 1)
    assert figures(told)["revenue"] == ("7.50", "40.00")


def test_its_days_are_those_of_the_time_zone(analyst: Analyst) -> None:
    assignment = assignment_of(analyst, timezone="Europe/Berlin")

    run_report(assignment)

    # Half past eleven in the evening is next year in Berlin.
    told = file_of(analyst, assignment, "report.json")
    assert told["window"]["end"] == "2024-12-31T23:00:00Z"
    assert figures(told)["bookings"] == (2, 1)
    assert sum(point["bookings"] for point in told["points"]) == 2


def test_the_manifest_and_dagster_tell_what_was_made(analyst: Analyst) -> None:
    assignment = assignment_of(analyst)

    made = run_report(assignment)

    manifest = file_of(analyst, assignment, "manifest.json")
    assert [each["name"] for each in manifest["files"]] == [
        "report.json", "report.html", "report.xlsx",
    ]  # fmt: skip
    assert manifest["rows"] == 7
    assert manifest["compared_with"]["start"] == "2024-11-01T00:00:00Z"
    told = dict(made.metadata or {})
    assert told["bookings"] == 3
    assert told["revenue"] == 7.5
    assert told["bytes"] == sum(each["bytes"] for each in manifest["files"])
    assert {"findings", "seconds"} <= told.keys()


def test_rows_without_dates_are_told_to_be_missing_and_not_counted(analyst: Analyst) -> None:
    assignment = assignment_of(replace(analyst, datasets=BOOKINGS + PAYMENTS))

    run_report(assignment)

    told = file_of(analyst, assignment, "report.json")
    assert figures(told)["revenue"] == (None, None)
    left_out = {each["figure"]: each["missing"] for each in told["left_out"]}
    assert left_out["revenue"] == "payments.date_column"


def test_currencies_that_look_the_same_are_told_once(analyst: Analyst) -> None:
    with closing(sqlite3.connect(str(analyst.source.database))) as connection:
        connection.executescript(
            "ALTER TABLE payments ADD COLUMN money TEXT;"
            "UPDATE payments SET money = CASE id WHEN 2 THEN 'EUR ' ELSE 'EUR' END;"
        )
    named = DATED.replace('amount = "amount"', 'amount = "amount", currency = "money"')
    assignment = assignment_of(replace(analyst, datasets=BOOKINGS + named))

    run_report(assignment)

    told = file_of(analyst, assignment, "report.json")
    revenue = [each for each in told["figures"] if each["name"] == "revenue"]
    assert [(each["now"], each["before"]) for each in revenue if each["currency"] == "EUR"] == [
        ("7.50", "40.00")
    ]
    assert sum(float(each["revenue"].get("EUR", 0)) for each in told["points"]) == 7.5


def test_a_task_that_was_cancelled_leaves_nothing(analyst: Analyst) -> None:
    assignment = assignment_of(analyst)
    TaskStore(analyst.state).cancel(assignment.task.id, Principal("ann", Role.USER))

    with pytest.raises(AttemptSuperseded):
        run_report(assignment)

    assert analyst.files() == []


def test_a_report_hangs_below_the_source_and_the_analysis_and_says_so() -> None:
    graph = defs.resolve_asset_graph()
    report = graph.get(AssetKey(["insights", "report"]))

    sources = {AssetKey(["source", name]) for name in TASK_TYPE.datasets}
    assert report.parent_keys == {*sources, AssetKey(["insights", "analysis"])}
    assert "with the code of the analysis" in (report.description or "")
