"""Rows as Arrow batches: one schema, exact values, and no value of another type."""

import traceback
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from resources.errors import TaskFailed
from resources.source import reader
from resources.source.connection import snapshot
from resources.source.dialects.mysql import MySQL
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import arrow_schema, read_batches
from tests.resources.source.conftest import TABLE, Source

MASKING = Masking(b"a key of the tests")
COLUMNS = (
    "id bigint PRIMARY KEY, ratio double precision, total numeric(10, 2), note text, ok boolean, "
    "created_at timestamp, day date"
)
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "ratio": pa.float64(),
        "total": pa.decimal128(10, 2),
        "note": pa.string(),
        "ok": pa.bool_(),
        "created_at": pa.timestamp("us"),
        "day": pa.date32(),
    }
)


def read(source: Source, selection: Selection, batch_rows: int = 1_000) -> list[pa.RecordBatch]:
    with snapshot(source.engine) as connection:
        return list(read_batches(connection, selection, batch_rows, MASKING))


def values(source: Source, *columns: str) -> list[Any]:
    """All values of the columns, row by row; of one column the bare values."""
    selection = source.selection(columns=columns)
    rows = [row for batch in read(source, selection) for row in batch.to_pylist()]
    return [row[columns[0]] if len(columns) == 1 else tuple(row.values()) for row in rows]


@pytest.fixture
def table(source: Source) -> Source:
    source.make(COLUMNS)
    return source


EMPTY = (None,) * 6
FULL = (1.5, "12.50", "x", True, "2024-01-31 01:02:03.000004", "2024-01-31")


@pytest.mark.parametrize(
    "rows", [[], [EMPTY], [EMPTY, FULL], [FULL, EMPTY], [EMPTY, EMPTY]], ids=len
)
def test_the_schema_is_the_same_whatever_the_values(
    table: Source, rows: list[tuple[Any, ...]]
) -> None:
    table.add([(index, *row) for index, row in enumerate(rows)])
    selection = table.selection()
    batches = read(table, selection)
    assert arrow_schema(selection.columns) == SCHEMA
    assert all(batch.schema == SCHEMA for batch in batches)
    assert pa.Table.from_batches(batches, SCHEMA).num_rows == len(rows)


def test_every_kind_of_value_arrives_as_it_is(table: Source) -> None:
    table.add([(1, *FULL), (2, *EMPTY)])
    assert values(table, *SCHEMA.names) == [
        (
            1,
            1.5,
            Decimal("12.50"),
            "x",
            True,
            datetime.fromisoformat("2024-01-31 01:02:03.000004"),
            date(2024, 1, 31),
        ),
        (2, *EMPTY),
    ]


def test_columns_come_in_the_order_asked_for_and_without_the_key(table: Source) -> None:
    table.add([(1, *FULL)])
    (batch,) = read(table, table.selection(columns=["note", "ratio"]))
    assert batch.to_pylist() == [{"note": "x", "ratio": 1.5}]


@pytest.mark.parametrize(
    "number", [0, 75, 12.5, 0.1, -0.01, 99_999_999.99, -99_999_999.99, 0.1 + 0.2]
)
def test_a_decimal_is_exact_though_sqlite_keeps_a_float(
    sqlite_source: Source, number: float
) -> None:
    sqlite_source.make(COLUMNS, [(1, None, number, None, None, None, None)])
    assert values(sqlite_source, "total") == [Decimal(f"{number:.2f}")]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.integers(-(10**15) + 1, 10**15 - 1), min_size=1, max_size=20))
def test_a_decimal_of_fifteen_digits_survives(source: Source, cents: list[int]) -> None:
    totals = [Decimal(each).scaleb(-2) for each in cents]
    source.make("id int PRIMARY KEY, total numeric(15, 2)")
    source.add([(index, str(total)) for index, total in enumerate(totals)])
    assert values(source, "total") == totals


@pytest.mark.parametrize("total", ["12345678901234.56", "69999999999999.99", "-10000000000000.01"])
def test_a_decimal_of_sixteen_digits_is_not_rounded(source: Source, total: str) -> None:
    source.make("id int PRIMARY KEY, total numeric(18, 2)", [(1, total)])
    assert values(source, "total") == [Decimal(total)]


def test_a_decimal_with_many_places_is_what_was_written(source: Source) -> None:
    source.make("id int PRIMARY KEY, total numeric(38, 20)", [(1, "0.1"), (2, "1e-15"), (3, "7")])
    assert values(source, "total") == [Decimal("0.1"), Decimal("1e-15"), Decimal(7)]


def test_a_decimal_of_38_digits_survives_where_the_source_has_it(
    postgresql_source: Source,
) -> None:
    total = "123456789012345678901234567890.12345678"
    postgresql_source.make("id int PRIMARY KEY, total numeric(38, 8)", [(1, total)])
    assert values(postgresql_source, "total") == [Decimal(total)]


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01 00:00:00",
        "1969-07-20 20:17:40.000001",
        "1969-12-31 23:59:59.999999",
        "2024-02-29 12:00:00.1",
        "9999-12-31 23:59:59.999999",
    ],
)
def test_a_time_keeps_its_microseconds_in_any_year(table: Source, moment: str) -> None:
    table.add([(1, None, None, None, None, moment, moment[:10])])
    at = datetime.fromisoformat(moment)
    assert values(table, "created_at", "day") == [(at, at.date())]


def test_an_instant_is_told_in_utc(postgresql_source: Source) -> None:
    postgresql_source.make(
        "id int PRIMARY KEY, seen_at timestamptz", [(1, "1969-07-20 22:17:40.000001+02"), (2, None)]
    )
    selection = postgresql_source.selection(columns=["seen_at"])
    (batch,) = read(postgresql_source, selection)
    assert batch.schema.field("seen_at").type == pa.timestamp("us", tz="UTC")
    assert batch["seen_at"].to_pylist() == [datetime(1969, 7, 20, 20, 17, 40, 1, UTC), None]


@pytest.mark.parametrize(
    "note", ["", "😀\U0010ffff", "two\nlines\r\n", "a\tb", "NULL", '"', "e\u0301", " x ", "\\N"]
)
def test_a_text_arrives_unchanged(table: Source, note: str) -> None:
    table.add([(1, None, None, note, None, None, None)])
    assert values(table, "note") == [note]


def test_integers_and_floats_have_the_size_of_their_columns(postgresql_source: Source) -> None:
    postgresql_source.make(
        "id smallint PRIMARY KEY, middle integer, big bigint, single real, ratio double precision",
        [(-(2**15), 2**31 - 1, -(2**63), 0.5, "NaN"), (1, None, 2**63 - 1, None, "-Infinity")],
    )
    (batch,) = read(postgresql_source, postgresql_source.selection())
    assert batch.schema.types == [
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
    ]
    assert batch["big"].to_pylist() == [-(2**63), 2**63 - 1]
    assert str(batch["ratio"].to_pylist()) == "[nan, -inf]"


def sizes(batches: Sequence[pa.RecordBatch]) -> list[int]:
    return [batch.num_rows for batch in batches]


@pytest.mark.parametrize(
    ("rows", "batch_rows", "expected"),
    [(0, 3, []), (1, 3, [1]), (3, 3, [3]), (7, 3, [3, 3, 1]), (3, 1, [1, 1, 1]), (3, 9, [3])],
)
def test_a_batch_has_at_most_the_rows_asked_for_in_key_order(
    table: Source, rows: int, batch_rows: int, expected: list[int]
) -> None:
    table.add([(key, *EMPTY) for key in reversed(range(rows))])
    batches = read(table, table.selection(columns=["id"]), batch_rows)
    assert sizes(batches) == expected
    assert [key for batch in batches for key in batch["id"].to_pylist()] == list(range(rows))


WRONG = [
    ("id_", "bigint", "many"),
    ("id_", "bigint", 1.5),
    ("id_", "int", b"1"),
    ("ratio", "double precision", "half"),
    ("total", "numeric(10, 2)", "a dozen"),
    ("total", "numeric(10, 2)", "1_000"),
    ("total", "numeric(10, 2)", "NaN"),
    ("total", "numeric(10, 2)", float("inf")),
    ("total", "numeric(10, 2)", 12.345),
    ("total", "numeric(10, 2)", 123_456_789),
    ("total", "numeric(18, 2)", 12_345_678_901_234.563),
    ("total", "numeric(10, 2)", b"1"),
    ("note", "text", b"bytes"),
    ("note", "text", b"\xff"),
    ("ok", "boolean", 2),
    ("ok", "boolean", "true"),
    ("created_at", "timestamp", "soon"),
    ("created_at", "timestamp", "2024-02-30 00:00:00"),
    ("created_at", "timestamp", "2024-01-01 00:00:00+02:00"),
    ("created_at", "timestamp", "2024-01-01 00:00:00.1234567"),
    ("created_at", "timestamp", 1_704_067_200),
    ("created_at", "timestamp", b"2024-01-01 00:00:00"),
    ("day", "date", "2024-01-01 00:00:00"),
    ("day", "date", 20240101),
]


@pytest.mark.parametrize(("column", "declared", "value"), WRONG)
def test_a_value_of_another_type_ends_the_task_naming_its_column_and_key(
    sqlite_source: Source, column: str, declared: str, value: Any
) -> None:
    rows = [(1, "a", None), (2, "b", value), (3, "c", None)]
    sqlite_source.make(f"id int, part text, {column} {declared}", rows)
    selection = sqlite_source.selection(columns=[column], key=["id", "part"])
    with pytest.raises(TaskFailed) as raised:
        read(sqlite_source, selection)
    failure = raised.value
    assert (failure.code, failure.retryable) == ("value_not_representable", False)
    assert f'"{column}"' in failure.detail
    assert "id = 2, part = b " in failure.detail
    assert str(value) not in failure.detail.replace("id = 2", "")


@pytest.mark.parametrize(
    ("declared", "as_", "value"),
    [
        ("text", {"as": "integer", "mask": "hash"}, "123-45-6789"),
        ("date", {"mask": "redact"}, "1984-02-30"),
        ("text", {"as": "decimal(10, 2)"}, "a secret"),
    ],
)
def test_the_value_itself_is_told_nowhere(
    sqlite_source: Source, declared: str, as_: dict[str, str], value: str
) -> None:
    """Dagster writes an error with all its causes into its log, which everybody reads."""
    sqlite_source.make(f"id int PRIMARY KEY, a {declared}", [(1, value)])
    with pytest.raises(TaskFailed) as raised:
        read(sqlite_source, sqlite_source.selection(columns_={"a": as_}))
    assert value not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__cause__ is raised.value.__context__ is None


NO_NUMBERS = [
    ("integer", "1_000"),
    ("integer", " 12 "),
    ("integer", "\u0663"),
    ("integer", "1.0"),
    ("float", "1_0.5"),
    ("float", "nan"),
    ("float", "Infinity"),
    ("float", ""),
    ("decimal(10, 2)", "1_000"),
]


@pytest.mark.parametrize(("as_", "value"), NO_NUMBERS)
def test_a_text_that_only_python_takes_for_a_number_is_none(
    sqlite_source: Source, as_: str, value: str
) -> None:
    sqlite_source.make("id int PRIMARY KEY, a text", [(1, value)])
    with pytest.raises(TaskFailed, match=r'Column "a".*id = 1'):
        read(sqlite_source, sqlite_source.selection(columns_={"a": {"as": as_}}))


def test_a_text_that_is_a_number_is_one(sqlite_source: Source) -> None:
    sqlite_source.make(
        "id int PRIMARY KEY, a text, b text", [(1, "-12", "1.5e3"), (2, "+7", "-.5")]
    )
    columns = {"a": {"as": "integer"}, "b": {"as": "float"}}
    (batch,) = read(sqlite_source, sqlite_source.selection(columns_=columns))
    assert (batch["a"].to_pylist(), batch["b"].to_pylist()) == ([-12, 7], [1500.0, -0.5])


def test_a_column_may_have_the_name_of_any_word(source: Source) -> None:
    single = "float" if source.dialect == "mysql" else "real"
    source.make(f'id int PRIMARY KEY, "portion" {single}', [(1, 0.5)])
    assert values(source, "portion") == [0.5]


def test_rows_before_one_that_cannot_be_read_arrive(sqlite_source: Source) -> None:
    sqlite_source.make("id bigint PRIMARY KEY, total int", [(1, 1), (2, 2), (3, "x")])
    arrived = []
    with snapshot(sqlite_source.engine) as connection:
        batches = read_batches(connection, sqlite_source.selection(), 2, MASKING)
        arrived.append(next(batches).num_rows)
        with pytest.raises(TaskFailed, match="id = 3"):
            next(batches)
    assert arrived == [2]


def test_a_value_in_a_column_that_is_not_asked_for_does_no_harm(sqlite_source: Source) -> None:
    sqlite_source.make("id bigint PRIMARY KEY, total int", [(1, "x")])
    assert values(sqlite_source, "id") == [1]


def test_a_key_that_is_left_out_is_not_told(sqlite_source: Source) -> None:
    sqlite_source.make("email text PRIMARY KEY, total int", [("alice@example.com", "x")])
    selection = sqlite_source.selection(key="email", leave_out=["email"])
    with pytest.raises(TaskFailed, match='Column "total"') as raised:
        read(sqlite_source, selection)
    assert "alice" not in raised.value.detail
    assert "email" not in raised.value.detail


def test_not_a_number_is_no_decimal(postgresql_source: Source) -> None:
    postgresql_source.make("id int PRIMARY KEY, total numeric(10, 2)", [(1, "1.5"), (2, "NaN")])
    with pytest.raises(TaskFailed, match=r'Column "total".*id = 2'):
        read(postgresql_source, postgresql_source.selection())


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
@pytest.mark.parametrize(
    "moment", ["0044-03-15 12:00:00 BC", "12024-01-01 00:00:00", "infinity", "-infinity"]
)
def test_a_time_that_no_calendar_has_ends_the_task_and_is_named(
    postgresql_source: Source, moment: str, kind: str
) -> None:
    postgresql_source.make(f"id int PRIMARY KEY, at {kind}", [(1, None), (2, moment)])
    with pytest.raises(TaskFailed, match=r"value_not_representable.*id = 2"):
        read(postgresql_source, postgresql_source.selection())


def test_the_source_may_be_closed_before_all_is_read(table: Source) -> None:
    table.add([(key, *EMPTY) for key in range(100)])
    with snapshot(table.engine) as connection:
        assert next(read_batches(connection, table.selection(), 10, MASKING)).num_rows == 10
    table.run(f"DELETE FROM {TABLE}")


AS_TEXT = [
    ("numeric(10, 2)", "NaN"),
    ("numeric", "123456789012345678901234567890.123456789012345678901234567890"),
    ("timestamp", "infinity"),
    ("timestamptz", "-infinity"),
    ("date", "infinity"),
    ("timestamp", "12024-01-01 00:00:00"),
    ("interval", "P1Y2M3DT4H5M6.789S"),
    ("int4range", "[1,5)"),
    ("point", "(1.5,-2)"),
    ("jsonb", '{"a": [1, null]}'),
    ("text[]", '{a,"b c",NULL}'),
    ("xml", "<a>1</a>"),
]


@pytest.mark.parametrize(("declared", "value"), AS_TEXT)
def test_what_a_file_cannot_hold_is_exported_when_it_is_read_as_text(
    postgresql_source: Source, declared: str, value: str
) -> None:
    postgresql_source.make(f"id int PRIMARY KEY, a {declared}")
    postgresql_source.run(f"INSERT INTO {TABLE} VALUES (1, '{value}'), (2, NULL)")
    selection = postgresql_source.selection(columns=["a"], columns_={"a": {"as": "text"}})
    (batch,) = read(postgresql_source, selection)
    assert batch["a"].to_pylist() == [value, None]


def test_a_zero_date_ends_the_task_unless_it_is_read_as_text(mysql_tables: Source) -> None:
    mysql_tables.make("id int PRIMARY KEY, a date")
    mysql_tables.run(f"INSERT IGNORE INTO {TABLE} VALUES (2, '0000-00-00')")
    with pytest.raises(TaskFailed, match=r'Column "a".*id = 2'):
        read(mysql_tables, mysql_tables.selection())
    as_text = mysql_tables.selection(columns_={"a": {"as": "text"}})
    assert read(mysql_tables, as_text)[0]["a"].to_pylist() == ["0000-00-00"]


def test_text_that_is_no_utf_8_ends_the_task_and_is_named(sqlite_source: Source) -> None:
    sqlite_source.make("id int PRIMARY KEY, note text")
    sqlite_source.run(f"INSERT INTO {TABLE} VALUES (2, CAST(X'ff41' AS TEXT))")
    with pytest.raises(TaskFailed, match=r'value_not_representable.*Column "note".*id = 2'):
        read(sqlite_source, sqlite_source.selection())


def test_what_is_left_of_a_stream_is_not_sent(
    mysql_tables: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver would read all rows to the last before it closes a result."""
    mysql_tables.make("id bigint PRIMARY KEY")
    mysql_tables.run(f"INSERT INTO {TABLE} SELECT seq FROM seq_1_to_200000")
    cancelled: list[Any] = []
    cancel = MySQL.cancel

    def cancel_and_note(self: MySQL, connection: Connection) -> None:
        cancelled.append(connection)
        cancel(self, connection)

    monkeypatch.setattr(MySQL, "cancel", cancel_and_note)
    selection = mysql_tables.selection()
    with snapshot(mysql_tables.engine) as connection:
        batches = read_batches(connection, selection, 10, MASKING)
        assert next(batches).num_rows == 10
        batches.close()  # type: ignore[attr-defined]
        assert len(cancelled) == 1
        assert len(list(read_batches(connection, selection, 100_000, MASKING))) == 2
    assert len(cancelled) == 1


def test_rows_that_are_wider_than_they_were_taken_for_are_fetched_fewer_at_a_time(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.make("id bigint PRIMARY KEY, note text")
    source.add([(key, "x" * 100 if key > 10 else "x") for key in range(1, 51)])
    monkeypatch.setattr(reader, "FETCHED_BYTES", 1_000)
    with snapshot(source.engine) as connection:
        fetched = reader._fetched(connection, source.selection(), 10, 0)
        sizes = [len(arrays[0]) for arrays in fetched]
    assert sizes[:2] == [10, 10]
    assert sum(sizes) == 50
    assert max(sizes[2:]) < 10
