"""How new the newest row is, on each kind of database, and that no table is read for it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from resources.errors import SourceUnavailable
from resources.source import newest
from resources.source.connection import snapshot
from resources.source.indexes import indexes_of
from resources.source.masking import Masking
from resources.source.newest import Newest, newest_row
from resources.source.reader import read_batches
from tests.resources.source.conftest import TABLE, Source

# A column's type, its values (the newest in the middle), what is declared of it, what is told.
CASES: dict[str, tuple[str, list[Any], dict[str, Any], datetime]] = {
    "timestamp": (
        "timestamp",
        ["2024-05-30 00:00:00", "2024-06-01 00:30:00.500000", "2024-05-31 00:00:00"],
        {"time_zone": "Europe/Berlin"},
        datetime(2024, 5, 31, 22, 30, 0, 500_000, UTC),
    ),
    "date": (
        "date",
        ["2024-05-30", "2024-06-01", "2024-05-31"],
        {},
        datetime(2024, 6, 1, tzinfo=UTC),
    ),
    "unix": (
        "bigint",
        [1_700_000_000, 1_717_200_000, 1_600_000_000],
        {"columns_": {"at": {"stored": "unix"}}},
        datetime(2024, 6, 1, tzinfo=UTC),
    ),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest, source: Source) -> tuple[dict[str, Any], datetime]:
    """What is declared of a table of three dates and a null, and when the newest is of."""
    type_, values, declared, told = request.param
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.make(f"id integer PRIMARY KEY, at {type_}", [*enumerate(values), (9, None)])
    return {"date_column": "at", **declared}, told


def found(source: Source, **declared: Any) -> datetime | None:
    with snapshot(source.engine) as connection:
        return newest_row(connection, indexes_of(connection, source.dataset(**declared)))


def test_an_index_leads_to_the_newest_row(
    source: Source, case: tuple[dict[str, Any], datetime]
) -> None:
    declared, told = case
    source.run(f"CREATE INDEX ix_at ON {TABLE} (at)")

    assert found(source, **declared) == told


def test_without_an_index_or_dates_nobody_is_asked(
    source: Source, case: tuple[dict[str, Any], datetime]
) -> None:
    declared, _ = case

    assert found(source, **declared) is None
    assert found(source, **declared | {"date_column": None}) is None


def test_it_is_seen_among_all_rows_that_go_by(
    source: Source, case: tuple[dict[str, Any], datetime]
) -> None:
    declared, told = case
    selection = source.selection(**declared)
    seen = Newest(selection.dataset)

    with snapshot(source.engine) as connection:
        for batch in read_batches(connection, selection, 1, Masking(b"k")):
            seen.see(batch)

    assert seen.instant == told


def test_an_empty_table_has_no_newest_row(source: Source) -> None:
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.make("id integer PRIMARY KEY, at timestamp")
    source.run(f"CREATE INDEX ix_at ON {TABLE} (at)")

    assert found(source, date_column="at") is None
    assert Newest(source.dataset(date_column="at")).instant is None


def test_a_query_that_takes_too_long_is_ended(
    postgresql_source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgresql_source.run(f"DROP TABLE IF EXISTS {TABLE}")
    postgresql_source.make("id integer PRIMARY KEY, at timestamp", [(1, "2024-06-01 00:00:00")])
    postgresql_source.run(f"CREATE INDEX ix_at ON {TABLE} (at)")
    monkeypatch.setattr(newest, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(newest, "_newest_query", lambda *_: select(func.pg_sleep(60)))

    with pytest.raises(SourceUnavailable):
        found(postgresql_source, date_column="at")
