"""SQLite's rows by a process of their own: what the cursor gives, and left to that if need be."""

import math
import os
import shutil
import signal
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, text

from resources.errors import SourceRefused, SourceUnavailable, TaskFailed
from resources.source import reader, streaming
from resources.source.connection import cancel_query, connect_source, snapshot
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import read_batches
from tests.resources.source.conftest import TABLE, Source
from tests.resources.source.test_copying import unexamined

MASKING = Masking(b"a key of the tests")
ROWS = 20_000
MANY = streaming.FROM_ROWS

COLUMNS = {
    "whole": "INTEGER",
    "ratio": "DOUBLE",
    "total": "NUMERIC(10, 2)",
    "note": "TEXT",
    "ok": "BOOLEAN",
    "raw": "BLOB",
    "at": "TIMESTAMP",
    "day": "DATE",
    "clock": "TIME",
    "doc": "JSON",
    "code": "UUID",
    "instant": "TIMESTAMPTZ",
    "seconds": "BIGINT",
}
STORED: dict[str, Any] = {"columns_": {"seconds": {"stored": "unix"}}}
USUAL: dict[str, Any] = {
    "whole": -(2**63),
    "ratio": 0.1 + 0.2,
    "total": 12.5,
    "note": 'it\'s "x"\n,\x00é',
    "ok": 1,
    "raw": b"\x00\xff",
    "at": "2024-01-31 01:02:03.000004",
    "day": "2024-02-29",
    "clock": "23:59:59",
    "doc": '{"a": [1, null]}',
    "code": "123e4567-e89b-12d3-a456-426614174000",
    "instant": "2024-01-31T01:02:03+02:00",
    "seconds": -1,
}


def read(
    source: Source, selection: Selection, batch_rows: int = 1_000, expected: int = MANY
) -> list[dict[str, Any]]:
    with snapshot(source.engine) as connection:
        batches = list(read_batches(connection, selection, batch_rows, MASKING, expected))
    assert all(0 < batch.num_rows <= batch_rows for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def outcome(source: Source, selection: Selection, expected: int) -> object:
    """The rows, or what is told instead; NaN, which no other equals, by its name."""
    try:
        rows = read(source, selection, expected=expected)
    except TaskFailed as error:
        return str(error)
    return [
        {
            name: "NaN" if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in rows
    ]


@pytest.fixture
def table(sqlite_source: Source) -> Source:
    """A table with a column of each kind."""
    columns = ", ".join(f'"{name}" {declared}' for name, declared in COLUMNS.items())
    sqlite_source.make(f"id INTEGER PRIMARY KEY, {columns}")
    return sqlite_source


def row(key: int, **values: Any) -> tuple[Any, ...]:
    return (key, *(values.get(name) for name in COLUMNS))


@pytest.fixture
def many(sqlite_source: Source) -> Source:
    """A table of more rows than are read at a time."""
    sqlite_source.make("id INTEGER PRIMARY KEY, v NUMERIC(10, 2), note TEXT")
    sqlite_source.run(
        f"INSERT INTO {TABLE} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        f"LIMIT {ROWS}) SELECT i, i / 4.0, 'note ' || i FROM n"
    )
    return sqlite_source


def test_rows_come_in_the_order_of_the_key(many: Source, fetched: list[int]) -> None:
    many.run(f"UPDATE {TABLE} SET id = id + 100000 WHERE id <= 10")

    rows = read(many, many.selection())

    assert [each["id"] for each in rows] == [*range(11, ROWS + 1), *range(100_001, 100_011)]
    assert fetched == []


def test_few_rows_are_not_worth_a_process(many: Source, fetched: list[int]) -> None:
    assert len(read(many, many.selection(), expected=MANY - 1)) == ROWS
    assert fetched == [0]


def test_every_kind_of_value_comes_as_the_cursor_gives_it(
    table: Source, fetched: list[int]
) -> None:
    """Also after more rows without any value than the types could be told from."""
    nothing = [row(key) for key in range(1, 3_000)]
    table.add([*nothing, row(3_000, **USUAL), row(3_001), row(3_002, **USUAL)])
    selection = table.selection(**STORED)

    by_cursor = read(table, selection, expected=0)
    del fetched[:]

    assert read(table, selection) == by_cursor
    assert by_cursor[-1]["note"] == USUAL["note"]
    assert fetched == []


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("whole", 1.5),
        ("whole", "many"),
        ("whole", b"12"),
        ("ratio", "much"),
        ("ratio", b"1"),
        ("total", "many"),
        ("total", b"1"),
        ("total", 0.125),
        ("total", 2**60),
        ("note", b"bytes"),
        ("note", b"\xff"),
        ("ok", 2),
        ("ok", "yes"),
        ("raw", "a text"),
        ("raw", 1),
        ("at", "2024-01-31T01:02:03"),
        ("at", 1_700_000_000),
        ("day", "2024-02-30"),
        ("clock", "24:00:00"),
        ("doc", 1.5),
        ("code", 12),
        ("instant", "tomorrow"),
        ("seconds", 1.5),
        ("seconds", 2**62),
    ],
)
@pytest.mark.parametrize("place", [1, 2_500], ids=["first", "late"])
def test_a_value_of_another_type_is_told_as_the_cursor_tells_it(
    table: Source, fetched: list[int], of: str, value: Any, place: int
) -> None:
    table.add([row(key) for key in range(1, 2_600) if key != place])
    table.add([row(place, **{of: value})])
    selection = table.selection(columns=["id", of], **STORED)

    told = outcome(table, selection, expected=0)
    del fetched[:]

    assert outcome(table, selection, expected=MANY) == told
    assert len(fetched) == 1


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**9).map(float),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.binary(max_size=8),
    st.sampled_from(list(USUAL.values())),
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(list(COLUMNS)), cells=st.lists(CELLS, max_size=4))
def test_whatever_stands_in_the_table_comes_as_by_the_cursor(
    table: Source, name: str, cells: list[Any]
) -> None:
    table.run(f"DELETE FROM {TABLE}")
    table.add([row(key, **{name: cell}) for key, cell in enumerate(cells)])
    selection = table.selection(columns=["id", name], **STORED)
    assert outcome(table, selection, MANY) == outcome(table, selection, 0)


def test_values_of_a_filter_are_no_part_of_the_statement(many: Source, fetched: list[int]) -> None:
    odd = "'; DROP TABLE x; -- ? :id é"
    with many.writer.begin() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET note = :odd WHERE id = 8"), {"odd": odd})

    rows = read(many, many.selection({"note": [odd], "id": {"lt": 100}, "v": {"gte": 1.5}}))

    assert [(each["id"], each["note"]) for each in rows] == [(8, odd)]
    assert fetched == []


def test_a_query_with_a_function_of_ours_is_fetched(table: Source, fetched: list[int]) -> None:
    table.add([row(1, **USUAL), row(2)])
    selection = table.selection({"instant": {"gt": "2024-01-01T00:00:00Z"}}, columns=["id"])

    assert [each["id"] for each in read(table, selection)] == [1]
    assert fetched == [0]


def test_names_are_quoted(sqlite_source: Source, fetched: list[int]) -> None:
    sqlite_source.make('"from" INTEGER PRIMARY KEY, "a ""b"" \'c\' é;--" TEXT')
    sqlite_source.add([(1, "x"), (2, None)])

    rows = read(sqlite_source, sqlite_source.selection(key="from"))

    assert [tuple(each.values()) for each in rows] == [(1, "x"), (2, None)]
    assert fetched == []


def test_masked_values_are_masked(many: Source, fetched: list[int]) -> None:
    rows = read(many, many.selection(columns_={"note": {"mask": "last4"}}))

    assert rows[-1]["note"].endswith("0000")
    assert "note" not in rows[-1]["note"]
    assert fetched == []


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_what_was_changed_before_the_process_looked_is_not_read_by_it(
    many: Source, fetched: list[int], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """In a file without a write-ahead log nobody can change anything while it is read."""
    many.run(f"PRAGMA journal_mode = {mode}")
    start = streaming._Reader.start

    def change_and_start(*arguments: Any) -> None:
        if mode == "wal":
            many.run(f"DELETE FROM {TABLE} WHERE id > 10")
        start(*arguments)

    monkeypatch.setattr(streaming._Reader, "start", change_and_start)
    with snapshot(many.engine) as connection:
        selection = many.selection()
        counted = connection.scalar(selection.count_query())
        rows = list(read_batches(connection, selection, 1_000, MASKING, MANY))
    many.run("PRAGMA journal_mode = delete")

    assert sum(batch.num_rows for batch in rows) == counted == ROWS
    assert fetched == ([0] if mode == "wal" else [])


def test_a_file_that_took_the_place_of_the_database_is_not_read(
    many: Source, fetched: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, other = tmp_path / "source.sqlite", tmp_path / "other.sqlite"
    for each in (path, other):
        shutil.copy(many.writer.url.database or "", each)
    with closing(sqlite3.connect(other)) as changed:
        changed.execute(f"DELETE FROM {TABLE}")
        changed.commit()
    source = replace(many, engine=connect_source(URL.create("sqlite", database=str(path))))
    start = streaming._Reader.start

    def replace_and_start(*arguments: Any) -> None:
        other.replace(path)
        start(*arguments)

    monkeypatch.setattr(streaming._Reader, "start", replace_and_start)

    assert len(read(source, source.selection())) == ROWS
    assert fetched == [0]


def test_a_witness_waits_for_nobody(many: Source) -> None:
    """The connection itself waits for ten seconds where the database is locked."""
    with snapshot(many.engine) as connection:
        witness = connection.info["workers_witness"]
        assert witness._ask("PRAGMA busy_timeout")[0] == 0
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


def test_a_database_that_is_locked_has_no_witness(many: Source) -> None:
    with closing(sqlite3.connect(many.writer.url.database or "", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with many.engine.connect() as connection:
            streaming.SQLITE.begin_snapshot(connection)
            assert not streaming.SQLITE.is_unchanged(connection)
        writer.execute("ROLLBACK")


def test_what_is_changed_while_it_reads_changes_nothing(many: Source, fetched: list[int]) -> None:
    many.run("PRAGMA journal_mode = wal")
    with snapshot(many.engine) as connection:
        batches = read_batches(connection, many.selection(), 100, MASKING, MANY)
        rows = next(batches).to_pylist()
        many.run(f"UPDATE {TABLE} SET note = 'late'")
        many.run(f"DELETE FROM {TABLE} WHERE id % 2 = 0")
        rows += [each for batch in batches for each in batch.to_pylist()]
    many.run("PRAGMA journal_mode = delete")

    assert [each["note"] for each in rows] == [f"note {key}" for key in range(1, ROWS + 1)]
    assert fetched == []


def readers() -> list[psutil.Process]:
    """The processes that read."""
    own = psutil.Process().children()
    return [each for each in own if "resources.source.sqlite_child" in each.cmdline()]


def test_whoever_wants_no_more_rows_leaves_no_process(many: Source) -> None:
    with snapshot(many.engine) as connection:
        batches = read_batches(connection, many.selection(), 1_000, MASKING, MANY)
        next(batches)
        (process,) = readers()
        batches.close()  # type: ignore[attr-defined]
        assert not process.is_running()


def test_a_process_that_dies_leaves_the_rest_to_the_cursor(
    many: Source, fetched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "STREAMED_BYTES", 100_000)  # so that it has not sent all at once
    with snapshot(many.engine) as connection:
        batches = read_batches(connection, many.selection(), 100, MASKING, MANY)
        rows = next(batches).to_pylist()
        os.kill(readers()[0].pid, signal.SIGKILL)
        rows += [each for batch in batches for each in batch.to_pylist()]

    assert [each["id"] for each in rows] == list(range(1, ROWS + 1))
    assert len(fetched) <= 1  # all may have been sent by then


def read_until_cancelled(source: Source, selection: Selection) -> None:
    with snapshot(source.engine) as connection:
        timer = threading.Timer(0.7, cancel_query, [connection])
        timer.start()
        try:
            for _ in read_batches(connection, selection, 1_000, MASKING, MANY):
                pass
        finally:
            timer.join()


@pytest.mark.parametrize("where", ["", "WHERE a.id + b.id < 0"], ids=["sending", "seeking"])
def test_it_can_be_cancelled_from_another_thread(
    many: Source, fetched: list[int], where: str
) -> None:
    many.run(
        "CREATE VIEW endless AS SELECT a.id AS id, a.note AS note "
        f"FROM {TABLE} AS a CROSS JOIN {TABLE} AS b {where}"
    )
    selection = many.selection(dataset=unexamined(many, "endless"))
    with pytest.raises(SourceUnavailable) as ended:
        read_until_cancelled(many, selection)
    many.run("DROP VIEW endless")

    assert not isinstance(ended.value, SourceRefused)
    assert fetched == readers() == []
