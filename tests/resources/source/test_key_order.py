"""Rows come in the order of the key from its index: the source sorts nothing where there is one."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.sql import ClauseElement

from resources.source.connection import snapshot
from tests.resources.source.conftest import TABLE, Source

# So many that reading all of them in another order, and sorting them, is no bargain.
ROWS = 12_000
COLUMNS = "id integer NOT NULL, part integer NOT NULL, note text"
# What a plan has in it where rows are sorted.
SORTS = {
    "postgresql": "Sort",
    "mysql": "Using filesort",
    "sqlite": "USE TEMP B-TREE FOR ORDER BY",
}
EXPLAIN = {"postgresql": "EXPLAIN", "mysql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}
ANALYZE = {"postgresql": "ANALYZE", "mysql": "ANALYZE TABLE", "sqlite": "ANALYZE"}
KEYS = [["id"], ["part", "id"]]


def filled(source: Source, key: str) -> None:
    """Make the table with so many rows, in no order, and let the source count them."""
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.make(COLUMNS + key)
    # 7919 is prime to their number: each id comes once.
    source.add([(i * 7919 % ROWS, i % 7, f"note {i}") for i in range(ROWS)])
    with source.writer.connect() as connection:
        connection.execute(text(f"{ANALYZE[source.dialect]} {TABLE}"))
        connection.commit()


def plan(connection: Connection, query: ClauseElement) -> str:
    """How the source would carry out the query, as it tells."""
    compiled = query.compile(connection)
    asked = f"{EXPLAIN[connection.dialect.name]} {compiled}"
    rows = connection.exec_driver_sql(asked, compiled.params or ())
    return "\n".join(str(tuple(row)) for row in rows)


def sorts(source: Source, key: list[str]) -> bool:
    """Whether the export's own query has rows sorted."""
    selection = source.selection(key=key)
    with snapshot(source.engine) as connection:
        return SORTS[source.dialect] in plan(connection, selection.rows_query())


@pytest.mark.parametrize("key", KEYS, ids=", ".join)
def test_rows_in_the_order_of_a_key_that_has_an_index_are_not_sorted(
    source: Source, key: list[str]
) -> None:
    filled(source, f", PRIMARY KEY ({', '.join(key)})")

    assert not sorts(source, key)


@pytest.mark.parametrize("key", KEYS, ids=", ".join)
def test_rows_in_the_order_of_a_key_without_an_index_are_sorted(
    source: Source, key: list[str]
) -> None:
    filled(source, "")

    assert sorts(source, key)
