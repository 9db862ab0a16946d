"""``report.json``: complete, exact, and as its schema says."""

import json
from datetime import date

import pytest

from pipelines.report.document import schema, to_document
from resources.settings import PROJECT_ROOT
from tests.support.businesses import (
    DECEMBER,
    business,
    empty_business,
    hostile_business,
    report,
    window,
)

OF = window(*DECEMBER)
SCHEMA = PROJECT_ROOT / "docs" / "tasks" / "report.schema.json"


def test_the_documented_schema_is_the_one_in_use() -> None:
    assert json.loads(SCHEMA.read_text()) == schema(), (
        "write it anew: python -c 'import json; from pipelines.report.document import schema; "
        "print(json.dumps(schema(), indent=1))' > docs/tasks/report.schema.json"
    )


def test_it_holds_all_that_the_report_says() -> None:
    made = report(business(OF))

    told = json.loads(to_document(made))

    assert told.keys() == set(schema()["properties"])
    assert told["schema"] == "workers.report/1"
    assert told["window"] == {
        "start": "2025-12-01T00:00:00Z", "end": "2026-01-01T00:00:00Z", "zone": "UTC",
    }  # fmt: skip
    assert told["before"]["start"] == "2025-11-01T00:00:00Z"
    assert told["snapshot_at"] == "2026-01-02T03:04:05Z"
    assert len(told["points"]) == 31
    assert len(told["services"]) == 21
    assert [each["code"] for each in told["findings"]] == [
        "payments_without_booking", "missing_values", "something_new",
    ]  # fmt: skip


def test_amounts_are_exact() -> None:
    made = report(business(OF))
    told = json.loads(to_document(made))

    revenue = next(each for each in told["figures"] if each["name"] == "revenue")
    assert revenue["now"] == str(made.figure("revenue", "EUR").now)
    assert told["points"][0]["revenue"]["EUR"] == str((made.points[0].revenue or {})["EUR"])
    rate = next(each for each in told["figures"] if each["name"] == "cancellation_rate")
    assert rate["now"] == 0.1234


@pytest.mark.parametrize(
    "made",
    [
        report(empty_business(OF)),
        report(hostile_business(OF)),
        report(business(window(date(2016, 1, 3), date(2026, 1, 1)))),
    ],
    ids=["empty", "hostile", "years"],
)
def test_whatever_it_is_about_its_structure_is_the_same(made: object) -> None:
    told = json.loads(to_document(made))  # type: ignore[arg-type]

    assert told.keys() == set(schema()["properties"])
    for point in told["points"]:
        assert point.keys() == set(schema()["$defs"]["Point"]["properties"])
