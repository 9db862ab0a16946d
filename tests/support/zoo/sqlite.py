"""SQLite's specimens."""

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

from tests.support.zoo import Specimen, named_oddly
from tests.support.zoo.postgresql import ODD_NAMES


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


SPECIMENS = (
    named_oddly('"Order ""50%"" (new): x.y"', ODD_NAMES, _quoted),
    Specimen(
        "a text key, without a row id",
        [
            "CREATE TABLE countries (code TEXT PRIMARY KEY, label VARCHAR(20)) WITHOUT ROWID",
            "INSERT INTO countries VALUES ('de', 'Deutschland'), ('Ä', ''), ('', ' x ')",
        ],
        'table = "countries"\nkey = "code"',
        "SELECT * FROM countries ORDER BY code",
        3,
    ),
    Specimen(
        "integer keys to the ends",
        [
            (
                "CREATE TABLE ledger (entry INTEGER PRIMARY KEY, amount DECIMAL(12, 2), ok BOOLEAN, "
                "ratio REAL, raw BLOB, doc JSON)"
            ),
            (
                "INSERT INTO ledger VALUES (9223372036854775807, 12.5, 1, 9e999, x'00ff', "
                "'{\"a\": 1}'), (-9223372036854775808, '0.10', 0, 5e-324, x'', '1'), "
                "(9007199254740993, NULL, NULL, NULL, NULL, NULL), (7, 3, 1, 2, x'41', '[]')"
            ),
        ],
        'table = "ledger"\nkey = "entry"',
        "SELECT * FROM ledger ORDER BY entry",
        4,
        {
            "entry": [-(2**63), 7, 2**53 + 1, 2**63 - 1],
            "amount": [Decimal("0.10"), Decimal(3), None, Decimal("12.50")],
            "ok": [False, True, None, True],
            "ratio": [5e-324, 2.0, None, math.inf],
            "raw": [b"", b"A", None, b"\x00\xff"],
        },
    ),
    Specimen(
        "times, as they are usually stored",
        [
            (
                "CREATE TABLE shifts (no INTEGER PRIMARY KEY, at DATETIME, day DATE, opens TIME, "
                "seen TIMESTAMPTZ, iso TEXT, unix INTEGER, ms INTEGER)"
            ),
            (
                "INSERT INTO shifts VALUES (1, '2024-10-27 02:30:00.000001', '2024-02-29', "
                "'23:59:59.5', '2024-10-27T02:30:00+02:00', '2024-07-01T12:00:00', 1704067200, "
                "1704067200123), (2, '0001-01-01 00:00:00', '0001-01-01', '00:00:00', "
                "'2024-01-01 00:00:00Z', '2024-01-01', -1, -1), "
                "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ],
        """
        table = "shifts"
        key = "no"
        date_column = "at"
        time_zone = "Europe/Berlin"
        columns.iso = { stored = "iso" }
        columns.unix = { stored = "unix" }
        columns.ms = { stored = "unix_ms" }
        """,
        "SELECT no, at, day, opens, '2024-10-27 00:30:00+00:00', '2024-07-01 10:00:00+00:00', "
        "'2024-01-01 00:00:00+00:00', '2024-01-01 00:00:00.123+00:00' FROM shifts WHERE no = 1 "
        "UNION ALL SELECT no, at, day, opens, '2024-01-01 00:00:00+00:00', "
        "'2023-12-31 23:00:00+00:00', '1969-12-31 23:59:59+00:00', "
        "'1969-12-31 23:59:59.999+00:00' FROM shifts WHERE no = 2 "
        "UNION ALL SELECT * FROM shifts WHERE no = 3",
        3,
        {
            "at": [datetime(2024, 10, 27, 2, 30, 0, 1), datetime(1, 1, 1), None],
            "day": [date(2024, 2, 29), date(1, 1, 1), None],
            "opens": [time(23, 59, 59, 500_000), time(0), None],
            "seen": [
                datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
                datetime(2024, 1, 1, tzinfo=UTC),
                None,
            ],
            # Berlin is two hours ahead in July, and one in January.
            "iso": [
                datetime(2024, 7, 1, 10, tzinfo=UTC),
                datetime(2023, 12, 31, 23, tzinfo=UTC),
                None,
            ],
        },
    ),
    Specimen(
        "columns without a type, and a view",
        [
            "CREATE TABLE loose (id INTEGER PRIMARY KEY, anything, amount NUMERIC, n STRING)",
            (
                "INSERT INTO loose VALUES (1, 'text', 1.5, '12'), (2, 7, '2.25', 13), "
                "(3, NULL, NULL, NULL)"
            ),
            (
                'CREATE VIEW "loose view" AS SELECT id * 10 AS id, anything, amount, n, '
                "length(anything) AS size, upper(anything) AS loud FROM loose"
            ),
        ],
        """
        table = "loose view"
        key = "id"
        [users.columns]
        id = { as = "integer" }
        anything = { as = "text" }
        amount = { as = "decimal(10, 2)" }
        n = { as = "integer" }
        size = { as = "integer" }
        loud = { as = "text" }
        """,
        "SELECT id, CAST(anything AS TEXT), amount, CAST(n AS INTEGER), size, loud "
        'FROM "loose view" ORDER BY id',
        3,
        {
            "id": [10, 20, 30],
            "anything": ["text", "7", None],
            "amount": [Decimal("1.50"), Decimal("2.25"), None],
            "n": [12, 13, None],
            "loud": ["TEXT", "7", None],
        },
    ),
    Specimen(
        "generated columns",
        [
            (
                "CREATE TABLE lines (id INTEGER PRIMARY KEY, a INT, twice INT AS (a * 2) STORED, "
                "thrice INT AS (a * 3) VIRTUAL)"
            ),
            "INSERT INTO lines (id, a) VALUES (-5, 1), (-7, 2)",
        ],
        'table = "lines"\nkey = "id"',
        "SELECT * FROM lines ORDER BY id",
        2,
        {"id": [-7, -5], "twice": [4, 2], "thrice": [6, 3]},
    ),
    Specimen(
        "a composite key, exact types",
        [
            (
                "CREATE TABLE seats (hall INT NOT NULL, seat TEXT NOT NULL, free ANY, size INT, "
                "PRIMARY KEY (hall, seat)) STRICT"
            ),
            "INSERT INTO seats VALUES (2, 'a', 'x', 1), (1, 'b', NULL, 2), (1, 'a', 'y', NULL)",
        ],
        'table = "seats"\nkey = ["hall", "seat"]\ncolumns.free = { as = "text" }',
        "SELECT * FROM seats ORDER BY hall, seat",
        3,
    ),
    Specimen(
        "300 columns",
        [
            "CREATE TABLE wide (" + ", ".join(f"c{i} int" for i in range(299)) + ", k int UNIQUE)",
            "INSERT INTO wide VALUES (" + ", ".join(str(i) for i in range(300)) + ")",
        ],
        'table = "wide"\nkey = "k"',
        "SELECT * FROM wide",
        1,
        {"c298": [298], "k": [299]},
    ),
    Specimen(
        "an empty table",
        ["CREATE TABLE nothing_yet (id UUID PRIMARY KEY, at TIMESTAMP WITH TIME ZONE)"],
        'table = "nothing_yet"\nkey = "id"\ndate_column = "at"',
        "SELECT * FROM nothing_yet",
        0,
    ),
)
