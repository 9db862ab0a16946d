"""The tables that exports are measured with, in PostgreSQL and in SQLite.

One of usual rows: a bigint key, four integers, a status of four values, an amount, a text of 37
characters, and two times: about 130 bytes of CSV a row. One of wide rows: a key and 200 texts of
2 000 characters.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text

from resources.settings import with_driver
from tests.conftest import temporary_database

TABLE = "bookings"
WIDE_COLUMNS = 200
# Different in each cell, and in length 2 000: 62 times 32 hexadecimal digits, and 16 more.
_WIDE_TEXT = "substr({hex}, 1, 2000)"

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
    """A database of its own with the usual table in it; gone afterwards."""
    with _postgresql(server, _POSTGRESQL, rows) as url:
        yield url


@contextmanager
def postgresql_wide(server: str, rows: int) -> Iterator[URL]:
    """A database of its own with the wide table in it; gone afterwards."""
    text_of = "repeat(md5(CAST(i * 1000 + {n} AS text)), 63)"
    statements = (_wide_table(), _wide_rows(text_of, "generate_series(1, :rows) AS n(i)"))
    with _postgresql(server, statements, rows) as url:
        yield url


@contextmanager
def _postgresql(server: str, statements: Sequence[str], rows: int) -> Iterator[URL]:
    with temporary_database(with_driver(server)) as url:
        made = create_engine(url, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            for statement in statements:
                known = {"rows": rows} if ":rows" in statement else {}
                connection.execute(text(statement), known)
        made.dispose()
        yield url


def sqlite_table(path: Path, rows: int) -> URL:
    """A file with the usual table in it."""
    return _sqlite(path, _SQLITE, rows)


def sqlite_wide(path: Path, rows: int) -> URL:
    """A file with the wide table in it."""
    numbers = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :rows) "
    numbers += "SELECT i FROM n)"
    text_of = "hex(randomblob(1000))"
    return _sqlite(path, (_wide_table(), _wide_rows(text_of, numbers)), rows)


def _sqlite(path: Path, statements: tuple[str, str], rows: int) -> URL:
    create, fill = statements
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(create)
        connection.execute(fill, {"rows": rows})
        connection.commit()
    return URL.create("sqlite", database=str(path))


def _wide_table() -> str:
    columns = ", ".join(f"c{n} text" for n in range(WIDE_COLUMNS))
    return f"CREATE TABLE {TABLE} (id integer PRIMARY KEY, {columns})"


def _wide_rows(text_of: str, numbers: str) -> str:
    texts = ", ".join(_WIDE_TEXT.format(hex=text_of.format(n=n)) for n in range(WIDE_COLUMNS))
    return f"INSERT INTO {TABLE} SELECT i, {texts} FROM {numbers}"
