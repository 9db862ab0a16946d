"""What is told of a column equals what loops over its values make; estimates are near."""

import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.insights import profiles
from pipelines.insights.profiles import QUANTILES, Profile
from tests.pipelines.insights.conftest import AnalystOf
from tests.support.insights import Analyst

TABLE = "CREATE TABLE bookings (id INTEGER PRIMARY KEY, n INTEGER, d DECIMAL(9, 2), f REAL, t TEXT)"
DATASETS = '[bookings]\ntable = "bookings"\nkey = "id"\n'
COLUMNS = ("id", "n", "d", "f", "t")
SCALE = Decimal("0.0001")
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**62), 2**62) | st.integers(0, 3),
        st.none() | st.decimals(-9_999_999, 9_999_999, places=2),
        st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.5, 1.5]),
        st.none() | st.sampled_from(["a", "b", "", "ä", "a" * 300]),
    ),
    max_size=30,
)


def fill(analyst: Analyst, rows: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(str(analyst.source.database))) as connection:
        connection.execute("DELETE FROM bookings")
        written = [
            (number, n, None if d is None else str(d), f, t)
            for number, (n, d, f, t) in enumerate(rows, 1)
        ]
        connection.executemany("INSERT INTO bookings VALUES (?, ?, ?, ?, ?)", written)
        connection.commit()


def profiled(analyst: Analyst) -> dict[str, Profile]:
    with analyst.workspace(names=["bookings"]) as workspace:
        found = list(profiles.profiles(workspace.duck, workspace.loaded["bookings"]))
    return {each.name: each for each in found if isinstance(each, Profile)}


def in_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return f"{value[:199]}…" if isinstance(value, str) and len(value) > 200 else value


def assert_equal(profile: Profile, values: list[Any]) -> None:
    there = sorted(value for value in values if value is not None)
    assert (profile.count, profile.nulls) == (len(there), len(values) - len(there))
    assert (profile.distinct, profile.approximate) == (len(set(there)), [])
    if not there:
        assert [profile.min, profile.max, profile.mean, profile.quantiles] == [None] * 4
        return
    assert (profile.min, profile.max) == (in_json(there[0]), in_json(there[-1]))
    repeated = {in_json(value): n for value, n in Counter(there).items() if n > 1}
    assert {each.value: each.count for each in profile.top_values or ()} == repeated
    if isinstance(there[0], str):
        assert (profile.mean, profile.quantiles) == (None, None)
        return
    mean = sum(there) / len(there)
    if isinstance(there[0], Decimal):
        assert profile.mean == f"{mean.quantize(SCALE)}"
    else:
        assert profile.mean == pytest.approx(mean, rel=1e-9, abs=1e-6)
    assert profile.quantiles == {
        name: in_json(there[max(1, ceil(share * len(there))) - 1])
        for name, share in QUANTILES.items()
    }


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=ROWS)
def test_columns_of_few_rows_are_told_exactly(
    analyst_of: AnalystOf, rows: list[tuple[Any, ...]]
) -> None:
    analyst = analyst_of(f"DROP TABLE IF EXISTS bookings; {TABLE};", DATASETS)
    fill(analyst, rows)

    told = profiled(analyst)

    for index, name in enumerate(COLUMNS[1:]):
        assert_equal(told[name], [row[index] for row in rows])


def test_estimates_of_many_rows_are_near_and_said_to_be_estimates(
    analyst_of: AnalystOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "EXACT_ROWS", 0)
    monkeypatch.setattr(profiles, "COUNTED_VALUES", 1_000)
    count = 20_000
    analyst = analyst_of(
        f"{TABLE}; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) "
        "INSERT INTO bookings SELECT i, i % 500, i / 100.0, i * 0.5, "
        "CASE WHEN i % 10 < 3 THEN 'often' WHEN i % 10 = 3 THEN 'at times' ELSE 't' || i END "
        "FROM n;",
        DATASETS,
    )

    told = profiled(analyst)

    assert told["n"].approximate == ["distinct", "quantiles"]
    assert told["n"].distinct == pytest.approx(500, rel=0.15)
    assert told["f"].distinct == pytest.approx(count, rel=0.15)
    quantiles = told["d"].quantiles or {}
    for name, share in QUANTILES.items():
        assert float(quantiles[name]) == pytest.approx(count * share / 100, abs=count / 100 * 0.02)
    assert told["d"].mean == "100.0050"
    assert told["t"].approximate == ["distinct", "top_values"]
    assert [(each.value, each.count) for each in told["t"].top_values or ()] == [
        ("often", 6_000),
        ("at times", 2_000),
    ]


def test_what_is_beyond_all_numbers_is_told_apart(analyst_of: AnalystOf) -> None:
    analyst = analyst_of(TABLE, DATASETS)
    fill(analyst, [(1, None, float("inf"), None), (2, None, 2.0, None), (None, None, None, None)])

    told = profiled(analyst)["f"]

    assert (told.count, told.nulls, told.not_finite) == (2, 1, 1)
    assert (told.min, told.max, told.mean, told.distinct) == (2.0, 2.0, 2.0, 1)
