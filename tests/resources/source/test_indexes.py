"""What is told of indexes that are missing, and what they are good for."""

import pytest

from resources.source.connection import snapshot
from resources.source.indexes import slow_reads
from tests.resources.source.conftest import TABLE, Source

COLUMNS = "id integer NOT NULL, part integer NOT NULL, at timestamp"
NO_KEY = "no index has the key (id), so that every export sorts the whole table: make one on (id)"
NO_DATES = (
    'no index begins with the date column "at", so that every export of a window reads the whole '
    "table: make one on (at)"
)


def told(source: Source, *, of_window: bool = True, **declared: object) -> list[str]:
    dataset = source.dataset(**{"date_column": "at", **declared})
    with snapshot(source.engine) as connection:
        return slow_reads(connection, dataset, of_window=of_window)


def indexed(source: Source, *indexes: str) -> None:
    """Make the table anew with an index on each of ``indexes``."""
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.make(COLUMNS)
    for number, columns in enumerate(indexes):
        source.run(f"CREATE INDEX ix_{number} ON {TABLE} ({columns})")


def test_a_table_without_indexes_is_slow_to_order_and_in_windows(source: Source) -> None:
    indexed(source)

    assert told(source) == [NO_KEY, NO_DATES]
    assert told(source, of_window=False) == [NO_KEY]
    assert told(source, date_column=None) == [NO_KEY]


def test_a_primary_key_and_an_index_on_the_dates_leave_nothing_to_tell(source: Source) -> None:
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.make(COLUMNS.replace("id integer NOT NULL", "id integer PRIMARY KEY"))
    assert told(source) == [NO_DATES]

    source.run(f"CREATE INDEX ix_at ON {TABLE} (at, id)")

    assert told(source) == []


@pytest.mark.parametrize(
    ("index", "serves"),
    [("id, part", True), ("id", True), ("part, id", False), ("part", False), ("at, id", False)],
)
def test_a_key_of_two_columns_wants_an_index_that_begins_as_it_does(
    source: Source, index: str, serves: bool
) -> None:
    indexed(source, index, "at")

    assert (told(source, key=["id", "part"]) == []) == serves


def test_nothing_is_told_of_a_view(source: Source) -> None:
    indexed(source)
    source.run("DROP VIEW IF EXISTS facts_seen")
    source.run(f"CREATE VIEW facts_seen AS SELECT * FROM {TABLE}")
    try:
        assert told(source, table="facts_seen") == []
    finally:
        source.run("DROP VIEW facts_seen")
