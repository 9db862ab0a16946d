"""What is archived, deleted and put back is what was there, to the last bit of every value."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, text

from resources.archives.forms.sqlite import LOST, SQLiteForms, to_literal_of_utf16
from resources.errors import TaskFailed
from tests.support.archives import archived, delete_archived, put_back
from tests.support.shops import Shop, shop_at

EXAMPLES = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # what fails is told as it is: shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# --- SQLite: any value in a column of any type ---

BYTES = st.binary(max_size=8)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "1", "1.50", "1e3", "a\0b", "'", "X00", " 7", "inf", "😀"]
)
ANY_VALUE = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.sampled_from([-0.0, 1.0, 0.1, 2.0**53, 1e300, 5e-324])
    | ANY_TEXT
    | BYTES
)
SQLITE_COLUMNS = "a INTEGER, b REAL, c NUMERIC, d TEXT, e BLOB, f, g DECIMAL(10, 2), h BOOLEAN"
SQLITE_ROWS = st.lists(st.tuples(*[ANY_VALUE] * 8, BYTES), max_size=25)


def sqlite_dump(path: Path) -> list[Any]:
    """Every cell with its type, texts as their bytes; floats by their bits, as Python spells."""
    cells = ", ".join(
        f"typeof({name}), CASE WHEN typeof({name}) = 'text' THEN CAST({name} AS BLOB) "
        f"ELSE {name} END"
        for name in "abcdefghi"
    )
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT id, {cells} FROM odd ORDER BY id").fetchall()
    return [tuple(map(repr, row)) for row in rows]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
@EXAMPLES
@given(rows=SQLITE_ROWS)
def test_any_value_comes_back_in_sqlite(
    tmp_path: Path, encoding: str, rows: list[tuple[Any, ...]]
) -> None:
    path = tmp_path / "odd.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute(f"CREATE TABLE odd (id INTEGER PRIMARY KEY, {SQLITE_COLUMNS}, i)")
        connection.executemany(
            # The last is a text of any bytes.
            f"INSERT INTO odd VALUES (?, {', '.join('?' * 8)}, CAST(? AS TEXT))",
            [(number, *row) for number, row in enumerate(rows)],
        )
        connection.commit()
    before = sqlite_dump(path)
    url = URL.create("sqlite", database=str(path))

    archive, table = archived(url, tmp_path / "archives", "odd")
    assert delete_archived(url, archive, table) == 0
    assert sqlite_dump(path) == []
    assert put_back(url, archive)

    assert sqlite_dump(path) == before


@EXAMPLES
@given(
    keys=st.lists(ANY_TEXT | BYTES | st.integers().filter(lambda n: abs(n) < 2**63), unique_by=repr)
)
def test_rows_are_found_by_keys_of_any_value_in_sqlite(tmp_path: Path, keys: list[Any]) -> None:
    path = tmp_path / "keys.sqlite"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE odd (k, l TEXT, PRIMARY KEY (k, l)) WITHOUT ROWID")
        connection.executemany("INSERT INTO odd VALUES (?, 'x')", [(key,) for key in keys])
        connection.commit()
    url = URL.create("sqlite", database=str(path))

    archive, table = archived(url, tmp_path / "archives", "odd")
    assert delete_archived(url, archive, table) == 0

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM odd").fetchall() == []
    assert put_back(url, archive)


# --- PostgreSQL: every type, as the database itself writes its values ---

POSTGRES_TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'Happy');
CREATE TYPE pair AS (one integer, other text);
CREATE DOMAIN short AS varchar(8) CHECK (value <> 'never');
CREATE TABLE odd (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a numeric, b numeric(12, 2), c real, d double precision, e timestamptz, f timestamp(3), g date,
    h time, i timetz, j interval, k uuid, l bytea, m json, n jsonb, o text, p varchar(8),
    q char(8), r boolean, s integer[], t text[], u mood, v pair, w short, x int4range, y inet,
    z bit(3), aa numeric[], ab mood[], ac timestamptz[], ad xml, ae smallint, af "char",
    ag integer GENERATED ALWAYS AS (ae + 1) STORED
)
"""
PLAIN_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
) | st.sampled_from(["", " ", "NULL", "null", "\\N", '"', "{}", "a,b", "\n", "😀"])
# ("" is the text that is cast to the column's type.)
POSTGRES_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "a": st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "0.000", f"{'9' * 60}.{'1' * 40}"]),
    "b": st.decimals(-9_999_999, 9_999_999, places=2).map(str) | st.just("NaN"),
    "c": st.floats(width=32).map(repr),
    "d": st.floats().map(repr),
    "e": st.datetimes().map(str) | st.sampled_from(["infinity", "-infinity", "0044-03-15 BC"]),
    "f": st.datetimes().map(str) | st.sampled_from(["infinity", "294276-01-01"]),
    "g": st.dates().map(str) | st.sampled_from(["infinity", "0044-03-15 BC"]),
    "h": st.times().map(str) | st.just("24:00:00"),
    "i": st.times().map(lambda each: f"{each}+05:30"),
    "j": st.sampled_from(
        ["1 year -2 days", "-00:00:00.000001", "P1Y2M3DT4H5M6S", "178000000 years"]
    ),
    "k": st.uuids().map(str),
    "l": BYTES.map(lambda each: "\\x" + each.hex()),
    "m": st.sampled_from(['{"a":  1, "a": 2}', "null", "[1.50]", ' "x" ']),
    "n": st.sampled_from(['{"a":  1, "b": 1.50}', "null", '"\\u00e9"', "[1e400]"]),
    "o": PLAIN_TEXT,
    "p": PLAIN_TEXT,
    "q": PLAIN_TEXT,
    "r": st.booleans().map(str),
    "s": st.sampled_from(["{}", "{1,NULL,3}", "[0:1]={7,8}", "{{1,2},{3,4}}"]),
    "t": st.sampled_from(["{}", '{"a,b",NULL,"NULL",""}', '{"\\"\\\\"}']),
    "u": st.sampled_from(["sad", "it's ok", "Happy"]),
    "v": st.sampled_from(["(,)", '(1,"a,b")', '(,"")']),
    "w": PLAIN_TEXT,
    "x": st.sampled_from(["empty", "[1,5)", "(,7)", "(,)"]),
    "y": st.sampled_from(["10.0.0.1/8", "::1"]),
    "z": st.sampled_from(["000", "101"]),
    "aa": st.sampled_from(["{NaN,1.50}", "{}"]),
    "ab": st.sampled_from(['{sad,"it\'s ok"}', "{NULL}"]),
    "ac": st.sampled_from(['{infinity,"2024-01-01 00:00:00+02"}']),
    "ad": st.sampled_from(["<a>&amp;</a>", ""]),
    "ae": st.integers(-(2**15), 2**15 - 2),
    "af": st.sampled_from(["x", ""]),
}
POSTGRES_ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | each for name, each in POSTGRES_VALUES.items()}),
    max_size=15,
)


@pytest.fixture
def postgres_types(postgres_source: URL) -> Iterator[Shop]:
    shop = shop_at(postgres_source)
    shop.clear()
    shop.execute(*POSTGRES_TYPES.split(";"))
    yield shop
    shop.clear()
    shop.execute("DROP DOMAIN short", "DROP TYPE pair", "DROP TYPE mood")
    shop.engine.dispose()


def postgres_dump(shop: Shop, table: str = "odd") -> Sequence[Any]:
    with shop.engine.connect() as connection:
        connection.exec_driver_sql("SET extra_float_digits = 3")
        return connection.exec_driver_sql(f"SELECT o::text FROM {table} o ORDER BY 1").all()


@EXAMPLES
@given(rows=POSTGRES_ROWS)
def test_any_value_comes_back_in_postgresql(
    postgres_types: Shop, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    shop = postgres_types
    shop.execute("TRUNCATE odd")
    columns = list(POSTGRES_VALUES)
    with shop.engine.begin() as connection:
        types: dict[str, str] = dict(
            connection.execute(
                text(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
                    "WHERE attrelid = 'odd'::regclass AND attnum > 0"
                )
            ).all()
        )
        cells = ", ".join(f"CAST(CAST(:{name} AS text) AS {types[name]})" for name in columns)
        for row in rows:
            connection.execute(
                text(f"INSERT INTO odd ({', '.join(columns)}) VALUES ({cells})"), row
            )
    before = postgres_dump(shop)

    archive, table = archived(shop.url, tmp_path / "archives", "odd")
    assert delete_archived(shop.url, archive, table) == 0
    assert postgres_dump(shop) == []
    assert put_back(shop.url, archive)

    assert postgres_dump(shop) == before


PARTITIONED = """
CREATE TABLE odd (id integer PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF odd FOR VALUES FROM (0) TO (9);
CREATE TABLE high PARTITION OF odd FOR VALUES FROM (9) TO (99)
"""


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("made", "table", "why"),
    [
        ("CREATE TABLE odd (id integer)", "odd", "no primary key"),
        (
            "CREATE TABLE odd (id integer PRIMARY KEY); CREATE TABLE heir () INHERITS (odd)",
            "odd",
            "inherit from it",
        ),
        (
            PARTITIONED,
            "low",
            "a part of another",
        ),
        ("CREATE TABLE other (id integer)", "odd", "is not there"),
    ],
)
def test_tables_that_cannot_come_back_are_refused(
    bare: Shop, tmp_path: Path, made: str, table: str, why: str
) -> None:
    bare.execute(*made.split(";"))

    with pytest.raises(TaskFailed, match=why) as raised:
        archived(bare.url, tmp_path / "archives", table)

    assert raised.value.code == "not_archivable"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_partitioned_table_comes_back(bare: Shop, tmp_path: Path) -> None:
    bare.execute(
        *PARTITIONED.split(";"),
        "INSERT INTO odd SELECT i, 'x' || i FROM generate_series(1, 50) i",
    )
    before = postgres_dump(bare)

    archive, table = archived(bare.url, tmp_path / "archives", "odd")
    assert delete_archived(bare.url, archive, table) == 0
    assert postgres_dump(bare) == []
    assert put_back(bare.url, archive)

    assert postgres_dump(bare) == before


def test_a_text_that_is_none_in_utf_16_is_told_to_be_lost() -> None:
    lone_surrogate = b"\x00\xd8"
    literals = [to_literal_of_utf16("utf-16le", each, "text") for each in (b"a\0", lone_surrogate)]

    assert literals == ["'a", LOST]
    assert not SQLiteForms().is_lost(pa.array([None, "'L", "'a"]))
    assert SQLiteForms().is_lost(pa.array(literals))
