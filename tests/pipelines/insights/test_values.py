"""Trouble with a value ends a run with a code and words, and without the value."""

import decimal
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel

from pipelines import data_analysis, report_generation
from pipelines.assignments import Assignment
from resources.errors import TaskFailed
from resources.task_types import data_analysis as analyses
from resources.task_types import report_generation as reports
from tests.pipelines.insights.conftest import AnalystOf
from tests.support.insights import Analyst

BOOKINGS = (
    "CREATE TABLE bookings (id INTEGER PRIMARY KEY, at TIMESTAMP);"
    "INSERT INTO bookings VALUES (4711, '2024-01-01 12:00:00');"
)
DATASETS = '[bookings]\ntable = "bookings"\nkey = "id"\ndate_column = "at"\n'
SECRET = "4711"


class _Document(BaseModel):
    number: bool


TROUBLES: dict[str, Callable[[], object]] = {
    "overflow": lambda: float(10**400 + int(SECRET)),
    "decimal": lambda: decimal.Decimal("1e40").quantize(decimal.Decimal("0.01")),
    "arrow": lambda: pa.scalar(f"x{SECRET}").cast(pa.int64()),
    "text": lambda: int(f"x{SECRET}"),
    "document": lambda: _Document.model_validate({"number": SECRET}),
}


@pytest.fixture
def analyst(analyst_of: AnalystOf) -> Analyst:
    return analyst_of(BOOKINGS, DATASETS)


@pytest.fixture(params=["analysis", "report"])
def make(request: pytest.FixtureRequest, analyst: Analyst) -> Callable[[Any], object]:
    """Has a run meet what its argument does where figures are made of the rows."""
    monkeypatch = request.getfixturevalue("monkeypatch")

    def analyse(trouble: Any) -> object:
        monkeypatch.setattr(data_analysis, "analyse", trouble)
        return data_analysis.run_analysis(analyst.assignment(analyses.TASK_TYPE.name))

    def report(trouble: Any) -> object:
        monkeypatch.setattr(report_generation, "business_figures", trouble)
        asked: Assignment = analyst.assignment(
            reports.TASK_TYPE.name,
            date_from="2024-01-01T00:00:00Z",
            date_to="2024-01-31T23:59:59Z",
        )
        return report_generation.run_report(asked)

    return analyse if request.param == "analysis" else report


def assert_told(analyst: Analyst, failure: pytest.ExceptionInfo[TaskFailed]) -> None:
    assert failure.value.code == "value_not_measurable"
    assert not failure.value.retryable
    assert "shorter window" in failure.value.detail
    assert SECRET not in str(failure.value)
    assert failure.value.__suppress_context__  # else Dagster would tell of the first error too
    assert analyst.files() == []


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_no_library_can_hold_fails_the_task(
    analyst: Analyst,
    make: Callable[[Any], object],
    trouble: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TaskFailed) as failure:
        make(lambda *_: TROUBLES[trouble]())

    assert_told(analyst, failure)
    assert "A value cannot be reckoned with" in caplog.text
    assert SECRET not in caplog.text


def test_what_duckdb_cannot_reckon_with_fails_the_task(
    analyst: Analyst, make: Callable[[Any], object]
) -> None:
    with pytest.raises(TaskFailed) as failure:
        make(
            lambda loaded, *_: loaded.duck.rows(
                "SELECT CAST('no number ' || c0 AS INTEGER) FROM bookings"
            )
        )

    assert_told(analyst, failure)
