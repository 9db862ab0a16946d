"""PostgreSQL's specimens."""

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

from tests.support.zoo import Specimen, named_oddly

ODD_NAMES = (
    "Mixed Case",
    "select",
    "with.dot",
    "per%cent",
    "%(x)s",
    "%s",
    "co:lon",
    ":bound",
    'quo"te',
    "paren(s)",
    "back\\slash",
    "it's",
    "comma,semi;",
    "new\nline",
    "naïve ключ 列 😀",
    "[brackets] {braces}",
    "a-b+c/d*e",
    "?",
    "$1",
    "count",
    "__index_level_0__",
)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


SPECIMENS = (
    named_oddly(
        '"Sales Dept."."Order ""50%"" (new): x.y"',
        ODD_NAMES,
        _quoted,
        schema='schema = "Sales Dept."',
        before=['CREATE SCHEMA "Sales Dept."'],
    ),
    Specimen(
        "two columns that differ in case",
        [
            'CREATE TABLE "user" ("ID" int, id text, "Id" int PRIMARY KEY)',
            """INSERT INTO "user" VALUES (1, 'x', 3), (2, 'y', 2)""",
        ],
        'table = "user"\nkey = "Id"',
        'SELECT * FROM "user" ORDER BY "Id"',
        2,
    ),
    Specimen(
        "a text key",
        [
            (
                "CREATE TABLE countries (code char(3) PRIMARY KEY, label varchar(20) NOT NULL, c "
                '"char", n name)'
            ),
            (
                "INSERT INTO countries VALUES ('de', 'Deutschland', 'x', 'n'), ('ÄÖ', '', NULL, ''), "
                "('abc', ' x ', 'y', NULL)"
            ),
        ],
        'table = "countries"\nkey = "code"',
        "SELECT * FROM countries ORDER BY code",
        3,
    ),
    Specimen(
        "a UUID key",
        [
            "CREATE TABLE sessions (id uuid PRIMARY KEY, parent uuid)",
            (
                "INSERT INTO sessions VALUES ('FFFFFFFF-0000-4000-8000-000000000001', NULL), "
                "('00000000-0000-4000-8000-00000000000a', 'ffffffff-0000-4000-8000-000000000001')"
            ),
        ],
        'table = "sessions"\nkey = "id"',
        "SELECT id::text, parent::text FROM sessions ORDER BY id",
        2,
        {
            "id": [
                "00000000-0000-4000-8000-00000000000a",
                "ffffffff-0000-4000-8000-000000000001",
            ],
            "parent": ["ffffffff-0000-4000-8000-000000000001", None],
        },
    ),
    Specimen(
        "a key of three columns",
        [
            (
                "CREATE TABLE seats (hall smallint, seat_row text, number int, free bool, "
                "PRIMARY KEY (hall, seat_row, number))"
            ),
            (
                "INSERT INTO seats SELECT hall, r, n, n % 2 = 0 FROM generate_series(-1, 1) AS hall, "
                "unnest('{b,a}'::text[]) AS r, generate_series(1, 50) AS n"
            ),
        ],
        'table = "seats"\nkey = ["hall", "seat_row", "number"]',
        "SELECT * FROM seats ORDER BY hall, seat_row, number",
        300,
    ),
    Specimen(
        "integer keys to the ends",
        [
            "CREATE TABLE ledger (entry bigint PRIMARY KEY, small smallint, medium int)",
            (
                "INSERT INTO ledger VALUES (9223372036854775807, 32767, 2147483647), (0, 0, 0), "
                "(-9223372036854775808, -32768, -2147483648), (9007199254740993, NULL, NULL)"
            ),
        ],
        'table = "ledger"\nkey = "entry"',
        "SELECT * FROM ledger ORDER BY entry",
        4,
        {"entry": [-(2**63), 0, 2**53 + 1, 2**63 - 1], "small": [-(2**15), 0, None, 2**15 - 1]},
    ),
    Specimen(
        "times",
        [
            (
                "CREATE TABLE shifts (no int PRIMARY KEY, at timestamp, seen timestamptz, day date, "
                "opens time, zoned timetz, rest interval, second timestamp(0))"
            ),
            (
                "INSERT INTO shifts VALUES "
                "(1, '2024-10-27 02:30:00.000001', '2024-10-27 02:30:00+02', '2024-02-29', "
                "'23:59:59.999999', '08:00:00+05:30', '1 year 2 mons 3 days 04:05:06.7', "
                "'2024-01-01 12:00:00'), "
                "(2, '0001-01-01', '0001-01-01 00:00:00+00', '0001-01-01', '00:00:00', "
                "'24:00:00-12', '-1 day', NULL), "
                "(3, '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', '9999-12-31', "
                "'12:00', NULL, '0', NULL), (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ],
        'table = "shifts"\nkey = "no"\ndate_column = "at"\ntime_zone = "Europe/Berlin"',
        "SELECT no, at, seen, day, opens, zoned::text, rest::text, second FROM shifts ORDER BY no",
        4,
        {
            "at": [
                datetime(2024, 10, 27, 2, 30, 0, 1),
                datetime(1, 1, 1),
                datetime(9999, 12, 31, 23, 59, 59, 999_999),
                None,
            ],
            "seen": [
                datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
                datetime(1, 1, 1, tzinfo=UTC),
                datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
                None,
            ],
            "day": [date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31), None],
            "opens": [time(23, 59, 59, 999_999), time(0), time(12), None],
            "zoned": ["08:00:00+05:30", "24:00:00-12", None, None],
            "rest": ["P1Y2M3DT4H5M6.7S", "P-1D", "PT0S", None],
        },
    ),
    Specimen(
        "a date that may be missing",
        [
            "CREATE TABLE returns (id int PRIMARY KEY, returned_on date)",
            "INSERT INTO returns VALUES (1, NULL), (2, '2024-01-01')",
        ],
        'table = "returns"\nkey = "id"\ndate_column = "returned_on"',
        "SELECT * FROM returns ORDER BY id",
        2,
    ),
    Specimen(
        "enums and arrays",
        [
            "CREATE TYPE \"Mood\" AS ENUM ('so, so', 'très \"bien\"', '')",
            (
                'CREATE TABLE diaries (id int PRIMARY KEY, mood "Mood", moods "Mood"[], '
                "numbers int[], words text[], sums numeric(10, 2)[], exact numeric[], ids uuid[], "
                "seen timestamptz[], days date[], at timestamp[], flags bool[], ratios float8[], "
                "fixed char(3)[], blobs bytea[], docs jsonb[], hours time[], spans interval[])"
            ),
            (
                "INSERT INTO diaries VALUES (1, 'so, so', '{\"so, so\",\"\",NULL}', '{1,NULL,-3}', "
                "ARRAY['a', NULL, '', 'NULL', 'q\"uo\\te', 'ü'], '{1.50,-0.01}', '{1.5000,2}', "
                "'{FFFFFFFF-0000-4000-8000-000000000001}', '{2024-01-01 00:00:00+01}', "
                "'{2024-02-29,NULL}', '{2024-01-01 00:00:00.5}', '{t,f,NULL}', '{0.1,NaN,-Infinity}', "
                "'{ab,abc}', ARRAY['\\x00ff'::bytea], ARRAY['{\"a\": 1}'::jsonb], '{08:00}', "
                "'{1 day}')"
            ),
            (
                "INSERT INTO diaries VALUES (2, 'très \"bien\"', '{}', '{}', '{}', '{}', '{}', '{}', "
                "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')"
            ),
            "INSERT INTO diaries (id) VALUES (3)",
        ],
        'table = "diaries"\nkey = "id"',
        "SELECT id, mood::text, moods::text[], numbers, words, sums, exact::text[], ids::text[], "
        "seen, days, at, flags, ratios, fixed, blobs::text[], docs::text[], hours::text[], "
        "spans::text[] FROM diaries ORDER BY id",
        3,
        {
            "mood": ["so, so", 'très "bien"', None],
            "moods": [["so, so", "", None], [], None],
            "numbers": [[1, None, -3], [], None],
            "words": [["a", None, "", "NULL", 'q"uo\\te', "ü"], [], None],
            "sums": [[Decimal("1.50"), Decimal("-0.01")], [], None],
            "exact": [["1.5000", "2"], [], None],
            "ids": [["ffffffff-0000-4000-8000-000000000001"], [], None],
            "seen": [[datetime(2023, 12, 31, 23, tzinfo=UTC)], [], None],
            "days": [[date(2024, 2, 29), None], [], None],
            "at": [[datetime(2024, 1, 1, 0, 0, 0, 500_000)], [], None],
            "flags": [[True, False, None], [], None],
            "ratios": [[0.1, math.nan, -math.inf], [], None],
            "fixed": [["ab ", "abc"], [], None],
            "blobs": [["\\x00ff"], [], None],
            "hours": [["08:00:00"], [], None],
        },
    ),
    Specimen(
        "what has a text form alone",
        [
            "CREATE EXTENSION IF NOT EXISTS hstore",
            "CREATE EXTENSION IF NOT EXISTS citext",
            (
                "CREATE TABLE odds (id int PRIMARY KEY, span int4range, spans int4multirange, "
                "stay tstzrange, words tsvector, ask tsquery, host inet, net cidr, mac macaddr, "
                "three bit(3), few bit varying, price money, pairs hstore, loose citext, o oid)"
            ),
            (
                "INSERT INTO odds VALUES (1, '[1,5)', '{[1,3),[7,9)}', "
                "'[2024-01-01 00:00+00,)', to_tsvector('simple', 'the fat cat'), "
                "to_tsquery('simple', 'fat & cat'), '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', "
                "B'101', B'1', '1234.5', 'a=>1,b=>NULL', 'MiXed', 4000000000)"
            ),
            "INSERT INTO odds (id, span, spans) VALUES (2, 'empty', '{}'), (3, NULL, NULL)",
        ],
        'table = "odds"\nkey = "id"',
        "SELECT id, span::text, spans::text, stay::text, words::text, ask::text, host::text, "
        "net::text, mac::text, three::text, few::text, price::text, pairs::text, loose::text, "
        "o::text FROM odds ORDER BY id",
        3,
        {
            "span": ["[1,5)", "empty", None],
            "spans": ["{[1,3),[7,9)}", "{}", None],
            "stay": ['["2024-01-01 00:00:00+00",)', None, None],
            "words": ["'cat':3 'fat':2 'the':1", None, None],
            "host": ["10.0.0.1/8", None, None],
            "three": ["101", None, None],
            "pairs": ['"a"=>"1", "b"=>NULL', None, None],
            "o": ["4000000000", None, None],
        },
    ),
    Specimen(
        "documents and bytes",
        [
            (
                "CREATE TABLE files (id int PRIMARY KEY, meta json, more jsonb, content bytea, "
                "public bool)"
            ),
            (
                "INSERT INTO files VALUES "
                '(1, \'{"b": 1,  "a": 1.10}\', \'{"b": 1, "a": "ü\\""}\', \'\\x00ff0a\', true), '
                "(2, 'null', '[]', '', false), (3, NULL, NULL, NULL, NULL)"
            ),
        ],
        'table = "files"\nkey = "id"',
        "SELECT id, meta::text, more::text, content, public FROM files ORDER BY id",
        3,
        {
            "meta": ['{"b": 1,  "a": 1.10}', "null", None],
            "more": ['{"a": "ü\\"", "b": 1}', "[]", None],
            "content": [b"\x00\xff\n", b"", None],
            "public": [True, False, None],
        },
    ),
    Specimen(
        "numbers",
        [
            (
                "CREATE TABLE rates (id int PRIMARY KEY, r real, d float8, n numeric(10, 2), "
                "wide numeric(38, 10), whole numeric(38), any_digits numeric, tiny numeric(3, 5), "
                "rough numeric(5, -2), told numeric)"
            ),
            (
                "INSERT INTO rates VALUES "
                "(1, 0.1, 0.1, 12.5, 1234567890123456789012345678.0123456789, "
                "-99999999999999999999999999999999999999, 1e100, 0.00123, 12345.6, 1.25), "
                "(2, 'NaN', 'Infinity', 0, 0, 0, 'NaN', NULL, NULL, 1e30), "
                "(3, '-Infinity', 5e-324, NULL, NULL, NULL, 1.500, NULL, NULL, NULL)"
            ),
        ],
        """
        table = "rates"
        key = "id"
        columns.any_digits = { as = "text" }
        columns.told = { as = "decimal(38, 4)" }
        """,
        "SELECT id, r, d, n, wide, whole, any_digits::text, tiny, rough, told "
        "FROM rates ORDER BY id",
        3,
        {
            "d": [0.1, math.inf, 5e-324],
            "n": [Decimal("12.50"), Decimal(0), None],
            "wide": [Decimal("1234567890123456789012345678.0123456789"), Decimal(0), None],
            "whole": [-(10**38) + 1, 0, None],
            "any_digits": ["1" + "0" * 100, "NaN", "1.500"],
            "tiny": [Decimal("0.00123"), None, None],
            "rough": [Decimal(12300), None, None],
            "told": [Decimal("1.25"), Decimal(10**30), None],
        },
    ),
    Specimen(
        "types of one's own",
        [
            "CREATE SCHEMA types",
            'CREATE DOMAIN types."Cents" AS bigint CHECK (VALUE >= 0)',
            "CREATE DOMAIN types.price AS numeric(12, 2) NOT NULL",
            "CREATE DOMAIN types.net_price AS types.price CHECK (VALUE < 100)",
            "CREATE DOMAIN types.tags AS text[]",
            "CREATE DOMAIN types.shade AS varchar(10)",
            "CREATE TYPE types.address AS (street text, number int)",
            "CREATE TYPE types.colour AS ENUM ('red', 'green')",
            (
                'CREATE TABLE types.goods (id types."Cents" PRIMARY KEY, price types.price, '
                "net types.net_price, tags types.tags, seen types.shade[], home types.address, "
                "place point, shape polygon, doc xml, lsn pg_lsn, colour types.colour, "
                "homes types.address[], places point[], path jsonpath)"
            ),
            (
                "INSERT INTO types.goods VALUES (5, 1.5, 2.25, '{a,NULL}', '{x}', ROW('Main St.', 7), "
                "'(1.5,-2)', '((0,0),(1,1),(1,0))', '<a>1</a>', '16/B374D848', 'green', "
                "ARRAY[ROW('A', 1)::types.address], ARRAY['(1,2)'::point], '$.a')"
            ),
        ],
        """
        schema = "types"
        table = "goods"
        key = "id"
        [users.columns]
        home = { as = "text" }
        place = { as = "text" }
        shape = { as = "text" }
        doc = { as = "text" }
        lsn = { as = "text" }
        homes = { as = "text" }
        places = { as = "text" }
        path = { as = "text" }
        """,
        "SELECT id, price, net, tags::text[], seen::text[], home::text, place::text, shape::text, "
        "doc::text, lsn::text, colour::text, homes::text, places::text, path::text "
        "FROM types.goods ORDER BY id",
        1,
        {
            "id": [5],
            "price": [Decimal("1.50")],
            "net": [Decimal("2.25")],
            "tags": [["a", None]],
            "seen": [["x"]],
            "home": ['("Main St.",7)'],
            "place": ["(1.5,-2)"],
            "colour": ["green"],
            "homes": ['{"(A,1)"}'],
        },
    ),
    Specimen(
        "domains that look like something else",
        [
            "CREATE DOMAIN instant AS timestamptz(3)",
            "CREATE DOMAIN whole AS int",
            "CREATE DOMAIN opening AS time(0)",
            "CREATE DOMAIN short_texts AS varchar(5)[]",
            "CREATE TYPE suit AS ENUM ('hearts', 'spades')",
            "CREATE DOMAIN trump AS suit",
            (
                "CREATE TABLE deals (id whole PRIMARY KEY, at instant, counts whole[], opens opening, "
                "words short_texts, trump trump, ats instant[])"
            ),
            (
                "INSERT INTO deals VALUES (1, '2024-01-01 00:00+02', '{1,NULL}', '08:30', '{x,y}', "
                "'spades', '{2024-01-01 00:00+02}')"
            ),
        ],
        'table = "deals"\nkey = "id"\ndate_column = "at"',
        "SELECT id, at, counts::text[], opens, words::text[], trump::text, ats::text[] FROM deals",
        1,
        {
            "at": [datetime(2023, 12, 31, 22, tzinfo=UTC)],
            "counts": [["1", None]],
            "opens": [time(8, 30)],
            "words": [["x", "y"]],
            "trump": ["spades"],
            "ats": [["2023-12-31 22:00:00+00"]],
        },
    ),
    Specimen(
        "a view with a declared key",
        [
            "CREATE TABLE parts (id int PRIMARY KEY, price numeric(8, 2), made timestamp)",
            (
                "INSERT INTO parts SELECT i, i * 1.25, '2024-01-01'::timestamp + i * interval '1 hour' "
                "FROM generate_series(1, 40) AS i"
            ),
            (
                "CREATE VIEW \"Dear Parts\" AS SELECT id, price * 2 AS double, upper(id::text || 'x') "
                "AS \"Label\", made, (made AT TIME ZONE 'Europe/Berlin') AS at FROM parts "
                "WHERE price > 25"
            ),
        ],
        """
        table = "Dear Parts"
        key = "id"
        date_column = "made"
        columns.double = { as = "decimal(20, 4)" }
        """,
        'SELECT * FROM "Dear Parts" ORDER BY id',
        20,
    ),
    Specimen(
        "a materialized view",
        [
            (
                "CREATE MATERIALIZED VIEW part_counts AS "
                "SELECT (i % 3) AS kind, count(*) AS items FROM generate_series(1, 10) AS i GROUP BY 1"
            ),
            "CREATE UNIQUE INDEX ON part_counts (kind)",
        ],
        'table = "part_counts"\nkey = "kind"',
        "SELECT * FROM part_counts ORDER BY kind",
        3,
        {"kind": [0, 1, 2], "items": [3, 4, 3]},
    ),
    Specimen(
        "a partitioned table",
        [
            (
                "CREATE TABLE readings (sensor int, taken date, value float8, "
                "PRIMARY KEY (sensor, taken)) PARTITION BY RANGE (taken)"
            ),
            (
                "CREATE TABLE readings_1 PARTITION OF readings "
                "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
            ),
            "CREATE TABLE readings_2 PARTITION OF readings DEFAULT",
            (
                "INSERT INTO readings SELECT s, '2024-01-15'::date + d, s / 3.0 "
                "FROM generate_series(1, 3) AS s, generate_series(0, 39) AS d"
            ),
        ],
        'table = "readings"\nkey = ["sensor", "taken"]\ndate_column = "taken"',
        "SELECT * FROM readings ORDER BY sensor, taken",
        120,
    ),
    Specimen(
        "generated and identity columns",
        [
            (
                "CREATE TABLE lines (id int GENERATED ALWAYS AS IDENTITY (MINVALUE -9 START WITH -2) PRIMARY KEY, "
                "a int NOT NULL, twice int GENERATED ALWAYS AS (a * 2) STORED, dropped int)"
            ),
            "ALTER TABLE lines DROP COLUMN dropped",
            "INSERT INTO lines (a) VALUES (1), (2)",
        ],
        'table = "lines"\nkey = "id"',
        "SELECT * FROM lines ORDER BY id",
        2,
        {"id": [-2, -1], "twice": [2, 4]},
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
        ["CREATE TABLE nothing_yet (id uuid PRIMARY KEY, at timestamptz, tags text[])"],
        'table = "nothing_yet"\nkey = "id"\ndate_column = "at"',
        "SELECT * FROM nothing_yet",
        0,
    ),
)
