"""The specimens of MySQL and MariaDB.

``{other}`` stands for the name of another database on the same server.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from tests.support.zoo import Specimen, named_oddly
from tests.support.zoo.postgresql import ODD_NAMES


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


# Its names have no character beyond the basic plane, and no blank at their end. SQLAlchemy does
# not read those with a line's end: they are refused.
NAMES = (
    *(name.replace(" 😀", "") for name in ODD_NAMES if "\n" not in name),
    "back`tick",
    "`both`",
)

SPECIMENS = (
    named_oddly(
        '`{other}`.`Order "50%" (new): x.y`',
        NAMES,
        _quoted,
        text="varchar(20)",
        schema='schema = "{other}"',
    ),
    Specimen(
        "integers to the ends",
        [
            (
                "CREATE TABLE ledger (entry BIGINT UNSIGNED PRIMARY KEY, t TINYINT, tu TINYINT "
                "UNSIGNED, s SMALLINT, m MEDIUMINT UNSIGNED, i INT UNSIGNED, b BIGINT, ok BOOL, "
                "z INT(6) ZEROFILL)"
            ),
            (
                "INSERT INTO ledger VALUES (18446744073709551615, 127, 255, 32767, 16777215, "
                "4294967295, 9223372036854775807, true, 42), (9223372036854775808, -128, 0, -32768, "
                "0, 0, -9223372036854775808, false, 0), (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
                "NULL)"
            ),
        ],
        'table = "ledger"\nkey = "entry"\ncolumns.ok = { as = "boolean" }',
        "SELECT * FROM ledger ORDER BY entry",
        3,
        {
            "entry": [1, 2**63, 2**64 - 1],
            "b": [None, -(2**63), 2**63 - 1],
            "ok": [None, False, True],
            "z": [None, 0, 42],
        },
    ),
    Specimen(
        "numbers",
        [
            (
                "CREATE TABLE rates (id INT AUTO_INCREMENT PRIMARY KEY, f FLOAT, d DOUBLE, "
                "n DECIMAL(10, 2), wide DECIMAL(38, 10), huge DECIMAL(65, 30), u DECIMAL(5, 2) "
                "UNSIGNED, ft FLOAT, df DOUBLE)"
            ),
            (
                "INSERT INTO rates VALUES (1, 16777217, 0.1, 12.5, "
                "1234567890123456789012345678.0123456789, "
                "12345678901234567890123456789012345.012345678901234567890123456789, 1.5, 16777216, "
                "0.1), (2, 0.1, 1.7976931348623157e308, -0.01, 0, 0, 0, 0.1, 1e300), "
                "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ],
        """
        table = "rates"
        key = "id"
        [users.columns]
        huge = { as = "text" }
        ft = { as = "text" }
        df = { as = "text" }
        """,
        "SELECT id, f * 1e0, d, n, wide, CAST(huge AS CHAR), u, CAST(ft * 1e0 AS CHAR), "
        "CAST(df AS CHAR) FROM rates ORDER BY id",
        3,
        {
            "d": [0.1, 1.7976931348623157e308, None],
            "f": [16777216.0, 0.10000000149011612, None],
            "wide": [Decimal("1234567890123456789012345678.0123456789"), Decimal(0), None],
            "huge": [
                "12345678901234567890123456789012345.012345678901234567890123456789",
                "0.000000000000000000000000000000",
                None,
            ],
        },
    ),
    Specimen(
        "times",
        [
            "SET time_zone = '+00:00'",
            (
                "CREATE TABLE shifts (no INT PRIMARY KEY, at DATETIME(6), seen TIMESTAMP(6) NULL, "
                "day DATE, opens TIME(6), y YEAR, plain DATETIME)"
            ),
            (
                "INSERT INTO shifts VALUES (1, '2024-10-27 02:30:00.000001', "
                "'2024-10-27 00:30:00.5', '2024-02-29', '23:59:59.999999', 2155, "
                "'9999-12-31 23:59:59'), (2, '1000-01-01', '1970-01-01 00:00:01', '1000-01-01', "
                "'00:00:00', 1901, '0001-01-01'), (3, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ],
        'table = "shifts"\nkey = "no"\ndate_column = "at"\ntime_zone = "Europe/Berlin"',
        "SELECT * FROM shifts ORDER BY no",
        3,
        {
            "at": [datetime(2024, 10, 27, 2, 30, 0, 1), datetime(1000, 1, 1), None],
            "seen": [
                datetime(2024, 10, 27, 0, 30, 0, 500_000, UTC),
                datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
                None,
            ],
            "day": [date(2024, 2, 29), date(1000, 1, 1), None],
            "opens": [time(23, 59, 59, 999_999), time(0), None],
            "y": [2155, 1901, None],
            "plain": [datetime(9999, 12, 31, 23, 59, 59), datetime(1, 1, 1), None],
        },
    ),
    Specimen(
        "texts, sets, documents, bytes",
        [
            (
                "CREATE TABLE files (code VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin "
                "PRIMARY KEY, note TEXT CHARACTER SET utf8mb4, old TEXT CHARACTER SET latin1, "
                "size ENUM('S', 'it''s, \"L\"'), extras SET('a', 'b c'), doc JSON, raw VARBINARY(9), "
                "big LONGBLOB, fixed BINARY(3), bits BIT(10), one BIT(1), padded CHAR(5))"
            ),
            (
                "INSERT INTO files VALUES ('é', '😀\\n\"', 'ÿ€', 'it''s, \"L\"', 'a,b c', "
                "'{{\"a\":  1}}', x'00FF', x'', 'ab', b'1000000001', b'1', 'x  '), "
                "('a', '', '', 'S', '', '[]', '', NULL, NULL, NULL, NULL, ''), "
                "('z', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ],
        'table = "files"\nkey = "code"',
        "SELECT * FROM files ORDER BY code",
        3,
        {
            "code": ["a", "z", "é"],
            "note": ["", None, '😀\n"'],
            "old": ["", None, "ÿ€"],
            "size": ["S", None, 'it\'s, "L"'],
            "extras": ["", None, "a,b c"],
            "doc": ["[]", None, '{"a":  1}'],
            "raw": [b"", None, b"\x00\xff"],
            "fixed": [None, None, b"ab\x00"],
            "bits": [None, None, b"\x02\x01"],
        },
    ),
    Specimen(
        "MariaDB's own types",
        [
            "CREATE TABLE hosts (id UUID PRIMARY KEY, six INET6, four INET4)",
            (
                "INSERT INTO hosts VALUES ('00000000-0000-4000-8000-00000000000a', '2001:db8::1', "
                "'10.0.0.1'), ('FFFFFFFF-0000-4000-8000-000000000001', NULL, NULL)"
            ),
        ],
        """
        table = "hosts"
        key = "id"
        columns.six = { as = "text" }
        columns.four = { as = "text" }
        """,
        "SELECT * FROM hosts ORDER BY id",
        2,
        {
            # MariaDB compares the last part first.
            "id": ["ffffffff-0000-4000-8000-000000000001", "00000000-0000-4000-8000-00000000000a"],
            "six": [None, "2001:db8::1"],
            "four": [None, "10.0.0.1"],
        },
    ),
    Specimen(
        "shapes, and texts kept as bytes",
        [
            "CREATE TABLE places (id INT PRIMARY KEY, at POINT, way LINESTRING, title VARBINARY(20))",
            (
                "INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1.5 -2)'), "
                "ST_GeomFromText('LINESTRING(0 0,1 1)'), 'é'), (2, NULL, NULL, NULL)"
            ),
        ],
        """
        table = "places"
        key = "id"
        columns.at = { as = "text" }
        columns.way = { as = "text" }
        columns.title = { as = "text" }
        """,
        "SELECT id, ST_AsText(at), ST_AsText(way), CONVERT(title USING utf8mb4) FROM places ORDER BY id",
        2,
        {
            "at": ["POINT(1.5 -2)", None],
            "way": ["LINESTRING(0 0,1 1)", None],
            "title": ["é", None],
        },
    ),
    Specimen(
        "a view, generated columns",
        [
            (
                "CREATE TABLE parts (id INT NOT NULL, sub INT NOT NULL, price DECIMAL(8, 2), "
                "twice DECIMAL(9, 2) AS (price * 2) STORED, thrice DECIMAL(9, 2) AS (price * 3) "
                "VIRTUAL, PRIMARY KEY (id, sub)) PARTITION BY HASH (id) PARTITIONS 3"
            ),
            (
                "INSERT INTO parts (id, sub, price) SELECT seq, CAST(seq AS INT) % 7 - 3, seq * 1.25 "
                "FROM seq_1_to_40"
            ),
            (
                "CREATE VIEW `dear parts %` AS SELECT id, sub, price, twice, thrice, "
                "concat('n', id) AS `La``bel`, sub > 0 AS up FROM parts WHERE price > 25"
            ),
        ],
        'table = "dear parts %"\nkey = ["id", "sub"]\ncolumns.up = { as = "boolean" }',
        "SELECT * FROM `dear parts %` ORDER BY id, sub",
        20,
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
        ["CREATE TABLE nothing_yet (id BINARY(16) PRIMARY KEY, at TIMESTAMP)"],
        'table = "nothing_yet"\nkey = "id"\ndate_column = "at"',
        "SELECT * FROM nothing_yet",
        0,
    ),
)
