"""The figures of a business equal those that loops over all rows make."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, create_engine, text

from pipelines.insights.business import business_figures
from pipelines.insights.figures import Business, Period, Window
from tests.support.insights import ALL, Analyst, utc
from tests.support.shop import DATASETS, ROWS, TABLES, Reckoned, Rows

EXAMPLES = 10
WINDOWS = st.sampled_from(
    [
        (utc(2024, 3, 1), utc(2024, 4, 1)),
        (utc(2024, 3, 31, 0, 30), utc(2024, 3, 31, 1, 10)),
        (utc(2024, 10, 27, 0), utc(2024, 10, 27, 1)),
        (utc(2024, 6, 1), utc(2024, 12, 1)),
        (None, utc(2024, 7, 1)),
        (utc(2024, 6, 30, 21, 59), None),
        (None, None),
    ]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(
    request: pytest.FixtureRequest, analysts_state: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Analyst]]:
    """The shop's own way to its tables, and an analyst of them."""
    folder: Path = tmp_path_factory.mktemp("shop")
    url = URL.create("sqlite", database=str(folder / "source.sqlite"))
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_source")
    writer = create_engine(url)
    with writer.begin() as connection:
        for statement in TABLES:
            connection.execute(text(statement))
    yield writer, Analyst(analysts_state, folder, url, DATASETS)
    writer.dispose()


def by_period(told: list[Period]) -> dict[date, tuple[Any, ...]]:
    """Those in which anything happened."""
    return {
        each.start: (each.bookings, each.revenue, each.new_users)
        for each in told
        if each.bookings or each.revenue or each.new_users
    }


def expected_periods(reckoned: Reckoned, first_day: Any) -> dict[date, tuple[Any, ...]]:
    merged: defaultdict[date, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for day, rows in reckoned.by_day().items():
        for name, some in rows.items():
            merged[first_day(day)][name] += some
    told = {
        start: (
            len(rows["bookings"]),
            Reckoned.revenue(rows["payments"]),
            len(rows["users"]),
        )
        for start, rows in merged.items()
    }
    return {start: each for start, each in told.items() if any(each)}


def assert_equal(figures: Business, reckoned: Reckoned, taken_at: datetime) -> None:
    assert asdict(figures.headline) == reckoned.headline()
    for told, first_day in (
        (figures.days, lambda day: day),
        (figures.weeks, lambda day: day - timedelta(days=day.weekday())),
        (figures.months, lambda day: day.replace(day=1)),
    ):
        assert by_period(list(told)) == expected_periods(reckoned, first_day)
    found = {(each.code, each.dataset, each.column): each.rows for each in figures.findings}
    assert found == reckoned.findings(taken_at)
    names = {str(each.id): each.name for each in reckoned.rows.services}
    counts, revenue = reckoned.services(), reckoned.service_revenue()
    assert sorted(
        (str(each.name), each.count, each.amounts) for each in figures.services
    ) == sorted(
        (str(names.get(str(key)) or key), counts[key], revenue.get(key, {}))
        for key in counts.keys() | revenue.keys()
    )
    assert sum(each.count for each in figures.statuses) == figures.headline.bookings
    by_method: defaultdict[Any, list[Any]] = defaultdict(list)
    for payment in reckoned.inside(reckoned.rows.payments):
        by_method[payment.method].append(payment)
    assert {each.name: (each.count, each.amounts) for each in figures.methods} == {
        method: (len(some), Reckoned.revenue(some)) for method, some in by_method.items()
    }
    assert figures.left_out == []


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=ROWS, bounds=WINDOWS, zone=ZONES)
def test_figures_equal_those_of_loops_over_all_rows(
    shop: tuple[Engine, Analyst],
    rows: Rows,
    bounds: tuple[datetime | None, datetime | None],
    zone: str,
) -> None:
    writer, analyst = shop
    rows.put_into(writer)
    start, end = bounds
    windows = [Window(start, end, zone)]
    loaded = windows[0]
    if start is not None and end is not None:  # as a report has it, with the period before
        before = start - (end - start)
        windows.append(Window(before, start, zone))
        loaded = Window(before, end, zone)

    with analyst.workspace(loaded) as workspace:
        for window in windows:
            figures = business_figures(workspace, window)
            reckoned = Reckoned(rows, window.start, window.end, zone)
            assert_equal(figures, reckoned, workspace.taken_at)

    assert [path for path in analyst.files() if "results" not in path.parts] == []


def test_a_window_without_rows_has_figures_of_nothing(shop: tuple[Engine, Analyst]) -> None:
    writer, analyst = shop
    Rows([], [], [], []).put_into(writer)
    window = Window(utc(2024, 1, 1), utc(2024, 1, 3), "UTC")
    for asked in (window, ALL):
        with analyst.workspace(asked) as workspace:
            figures = business_figures(workspace, asked)
        assert figures.headline.bookings == 0
        assert figures.headline.revenue == figures.headline.average_booking == {}
        assert figures.headline.cancellation_rate is figures.headline.refund_rate is None
        assert [each.bookings for each in figures.days] == ([0, 0] if asked is window else [])
        assert (figures.services, figures.findings, figures.left_out) == ([], [], [])
