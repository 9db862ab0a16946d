"""The table that exports are measured with, in PostgreSQL and in SQLite.

A bigint key, four integers, a status of four values, an amount, a text of 37 characters, and two
times: about 130 bytes of CSV a row.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text

from resources.settings import with_driver
from tests.conftest import temporary_database

TABLE = "bookings"

_POSTGRESQL = (
    f"""
    CREATE TABLE {TABLE} (
        id bigint PRIMARY KEY, user_id integer NOT NULL, service_id integer NOT NULL,
        status text NOT NULL, guests integer, nights integer, total numeric(10, 2), note text,
        starts_at timestamptz, created_at timestamptz
    )
    """,
    f"""
    INSERT INTO {TABLE}
    SELECT i, 1 + (i * 7919) % 100000, 1 + i % 50,
        (ARRAY['pending', 'confirmed', 'cancelled', 'completed'])[1 + i % 4], 1 + i % 6, 1 + i % 14,
        ((i * 37) % 100000) / 100.0, md5(CAST(i AS text)) || '-note',
        timestamptz '2024-01-01' + i * interval '17 seconds',
        timestamptz '2023-01-01' + i * interval '13 seconds'
    FROM generate_series(CAST(1 AS bigint), :rows) AS i
    """,
    f"VACUUM ANALYZE {TABLE}",
)
_SQLITE = (
    f"""
    CREATE TABLE {TABLE} (
        id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, service_id INTEGER NOT NULL,
        status TEXT NOT NULL, guests INTEGER, nights INTEGER, total NUMERIC(10, 2), note TEXT,
        starts_at TIMESTAMP, created_at TIMESTAMP
    )
    """,
    f"""
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :rows)
    INSERT INTO {TABLE}
    SELECT i, 1 + (i * 7919) % 100000, 1 + i % 50,
        CASE i % 4 WHEN 0 THEN 'pending' WHEN 1 THEN 'confirmed' WHEN 2 THEN 'cancelled'
            ELSE 'completed' END,
        1 + i % 6, 1 + i % 14, ((i * 37) % 100000) / 100.0,
        printf('%032x-note', abs(random())),
        datetime('2024-01-01', (i * 17) || ' seconds'),
        datetime('2023-01-01', (i * 13) || ' seconds')
    FROM n
    """,
)


@contextmanager
def postgresql_table(server: str, rows: int) -> Iterator[URL]:
    """A database of its own with the table in it; gone afterwards."""
    with temporary_database(with_driver(server)) as url:
        made = create_engine(url, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            for statement in _POSTGRESQL:
                known = {"rows": rows} if ":rows" in statement else {}
                connection.execute(text(statement), known)
        made.dispose()
        yield url


def sqlite_table(path: Path, rows: int) -> URL:
    """A file with the table in it."""
    create, fill = _SQLITE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(create)
        connection.execute(fill, {"rows": rows})
        connection.commit()
    return URL.create("sqlite", database=str(path))
