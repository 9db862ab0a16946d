"""Source databases for the tests of the whole service, on each kind of database."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, MetaData, Table, create_engine, insert, select, text

from resources.demo_source import create_demo_source

BOOKINGS = 3_000

# Beside the real bookings the view has made-up ones, which a filter on their status selects: "big"
# ones, so many that they take long to write; "slow" ones, whose very first query takes minutes; a
# "broken" one, with a value that is not of its column's type; a "refused" one, whose value the
# database fails to compute; and a "formula", as a spreadsheet would take it.
BIG_ROWS = 3_000_000
# They take minutes, however fast exports are: what asks for them so has ten rows in each frame of
# a service whose environment has these constants (see `tests.support.crashes`), and a frame costs
# about a millisecond.
BIG: dict[str, Any] = {"filters": {"status": "big"}, "batch_size": 10}
FRAMES_OF_ONE_BATCH: dict[str, int] = {"pipelines.exports.FRAME_ROWS": 1}
TOTAL = "9.5"
_MADE_UP = (
    "SELECT {start} + i, 1, 1, '{status}', {time}, 1, CAST({total} AS NUMERIC(10, 2)), 'EUR', "
    "NULL, {time}, {time} FROM {rows}"
)
FORMULA = "=1+1"
_FORMULA = (
    "SELECT 97, 1, 1, 'formula', NULL, 1, CAST(-1 AS NUMERIC(10, 2)), 'EUR', "
    f"'{FORMULA}', NULL, NULL"
)
_SQLITE_ROWS = (
    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) "
    "SELECT i FROM n)"
)

DATASETS = """
[bookings]
table = "bookings_view"
key = "id"
date_column = "created_at"
statuses = { cancelled = "cancelled" }

[bookings.roles]
user = "user_id"
service = "service_id"
status = "status"
amount = "total"
currency = "currency"

[payments]
table = "payments"
key = "id"
date_column = "created_at"
statuses = { paid = "paid", refunded = "refunded" }

# Without the booking: it would be looked for among the view's made-up rows, which takes minutes.
[payments.roles]
status = "status"
amount = "amount"
currency = "currency"
method = "method"

[users]
table = "users"
key = "id"
date_column = "created_at"
columns = { email = { mask = "hash" }, phone = { mask = "last4" } }

[services]
table = "services"
key = "id"
date_column = "created_at"
leave_out = ["active"]
"""


def make_sqlite_source(path: Path) -> URL:
    """The demo source, and the view on it."""
    create_demo_source(path, bookings=BOOKINGS)
    time = "'2023-01-01 00:00:00'"
    big = _MADE_UP.format(
        start=1_000_000,
        status="big",
        time=time,
        total=TOTAL,
        rows=_SQLITE_ROWS.format(count=BIG_ROWS),
    )
    slow = _MADE_UP.format(
        start=100_000_000,
        status="slow",
        time=time,
        total=TOTAL,
        rows=_SQLITE_ROWS.format(count=3_000_000_000),
    )
    refused = _MADE_UP.format(
        start=98,
        status="refused",
        time=time,
        total="abs(-9223372036854775807 - i)",
        rows=_SQLITE_ROWS.format(count=1),
    )
    broken = "SELECT 99, 1, 1, 'broken', NULL, 'many', 1, 'EUR', NULL, NULL, NULL"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(_view(big, slow, refused, broken))
        connection.commit()
    return URL.create("sqlite", database=str(path))


def make_postgres_source(url: URL, demo_source: Path) -> None:
    """The same tables and the same view in PostgreSQL, in an empty database."""
    time = "TIMESTAMP '2023-01-01 00:00:00'"
    big = _MADE_UP.format(
        start=1_000_000,
        status="big",
        time=time,
        total=TOTAL,
        rows=f"generate_series(1::bigint, {BIG_ROWS}) AS i",
    )
    slow = _MADE_UP.format(
        start=100_000_000,
        status="slow",
        time=time,
        total=TOTAL,
        rows="generate_series(1, 600) AS i, LATERAL (SELECT pg_sleep(1) WHERE i > 0) AS s",
    )
    refused = _MADE_UP.format(
        start=98,
        status="refused",
        time=time,
        total="1 / (i - i)",
        rows="generate_series(1, 1) AS i",
    )
    nan = "CAST('NaN' AS NUMERIC(10, 2))"
    broken = f"SELECT 99, 1, 1, 'broken', NULL, 1, {nan}, 'EUR', NULL, NULL, NULL"
    lite = create_engine(URL.create("sqlite", database=str(demo_source)))
    post = create_engine(url)
    metadata = MetaData()
    metadata.reflect(lite, only=["users", "services", "bookings", "payments"])
    with lite.connect() as old, post.begin() as new:
        metadata.create_all(new)
        for table in metadata.sorted_tables:
            _copy(table, old, new)
        new.execute(text(_view(big, slow, refused, broken)))
    lite.dispose()
    post.dispose()


def queries_on(source: URL) -> list[str]:
    """What is being asked of the view in a source on a server; a file is asked by runs alone."""
    if source.get_backend_name() == "sqlite":
        return []
    running = text(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%bookings_view%'"
    )
    engine = create_engine(source)
    with engine.connect() as connection:
        found = list(connection.scalars(running))
    engine.dispose()
    return found


def _copy(table: Table, old: Connection, new: Connection) -> None:
    rows = [dict(row._mapping) for row in old.execute(select(table))]
    new.execute(insert(table), rows)


def _view(*made_up: str) -> str:
    selects = ["SELECT * FROM bookings", _FORMULA, *made_up]
    return "CREATE VIEW bookings_view AS " + " UNION ALL ".join(selects)
