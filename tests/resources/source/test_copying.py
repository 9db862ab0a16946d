"""PostgreSQL's COPY gives what its cursor gives, and leaves to that what it cannot carry."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from resources.errors import SourceAway, SourceRefused, SourceUnavailable, TaskFailed
from resources.source import copying
from resources.source.catalog import Catalog
from resources.source.connection import cancel_query, snapshot
from resources.source.dataset import Dataset
from resources.source.declarations import Declaration
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import read_batches
from tests.resources.source.conftest import TABLE, Source
from tests.support.waiting import eventually

MASKING = Masking(b"a key of the tests")
ROWS = 20_000


def read(source: Source, selection: Selection, batch_rows: int = 1_000) -> list[dict[str, Any]]:
    with snapshot(source.engine) as connection:
        batches = list(read_batches(connection, selection, batch_rows, MASKING))
    assert all(0 < batch.num_rows <= batch_rows for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def many(postgresql_source: Source, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A table of more rows than fit into a few chunks."""
    monkeypatch.setattr(copying, "CHUNK_BYTES", 100_000)
    postgresql_source.make("id bigint PRIMARY KEY, v numeric(10, 2), note text")
    postgresql_source.run(
        f"INSERT INTO {TABLE} SELECT i, i / 4.0, 'note ' || i FROM generate_series(1, {ROWS}) i"
    )
    return postgresql_source


def change(source: Source, key: int, what: str) -> None:
    source.run(f"UPDATE {TABLE} SET {what} WHERE id = {key}")


def test_rows_come_by_copy_in_the_order_of_the_key(many: Source, fetched: list[int]) -> None:
    change(many, 5, "note = 'last written'")  # it lies at the table's end now

    rows = read(many, many.selection())

    assert [row["id"] for row in rows] == list(range(1, ROWS + 1))
    assert fetched == []


@pytest.mark.parametrize(
    "value", ["", "a\nb", "c\r\nd", 'e"f', "g,h", "\\.", "\\N", "é\u2028", None]
)
def test_a_text_comes_as_it_is(
    postgresql_source: Source, fetched: list[int], value: str | None
) -> None:
    postgresql_source.make("id bigint PRIMARY KEY, note text")
    postgresql_source.add([(1, value), (2, "between"), (3, value)])

    rows = read(postgresql_source, postgresql_source.selection(columns=["note"]))

    assert [row["note"] for row in rows] == [value, "between", value]
    assert fetched == []


def test_no_rows_are_no_batches(postgresql_source: Source, fetched: list[int]) -> None:
    postgresql_source.make("id bigint PRIMARY KEY, note text")

    assert read(postgresql_source, postgresql_source.selection()) == []
    assert fetched == []


def test_values_of_a_filter_are_no_part_of_the_statement(many: Source, fetched: list[int]) -> None:
    odd = "'; DROP TABLE x; -- %s %(id)s 100% \\ \" é"
    many.run(f"UPDATE {TABLE} SET note = NULL WHERE id = 7")
    with many.writer.begin() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET note = :odd WHERE id = 8"), {"odd": odd})

    rows = read(many, many.selection({"note": [odd, None], "id": {"lt": 100}}))

    assert [(row["id"], row["note"]) for row in rows] == [(7, None), (8, odd)]
    assert fetched == []


def test_a_row_may_be_longer_than_a_chunk(many: Source, fetched: list[int]) -> None:
    change(many, ROWS // 2, "note = repeat('x', 300000)")

    rows = read(many, many.selection())

    assert [row["id"] for row in rows] == list(range(1, ROWS + 1))
    assert len(rows[ROWS // 2 - 1]["note"]) == 300_000
    assert fetched == []


def test_a_value_that_no_file_holds_is_told_by_its_row(many: Source, fetched: list[int]) -> None:
    change(many, ROWS - 1, "v = 'NaN'")

    with pytest.raises(TaskFailed, match=rf'"v" is exported as decimal.* id = {ROWS - 1} '):
        read(many, many.selection())
    assert len(fetched) == 1


def test_the_rest_is_fetched_from_the_same_snapshot(
    many: Source, fetched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, left = copying._Parser.arrays, iter([1])

    def parse_no_more(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise copying.NotCopied
        return arrays(*arguments)

    monkeypatch.setattr(copying._Parser, "arrays", parse_no_more)
    with snapshot(many.engine) as connection:
        batches = read_batches(connection, many.selection(columns=["id"]), 1_000, MASKING)
        seen = next(batches).num_rows
        many.run(f"DELETE FROM {TABLE} WHERE id % 2 = 0")
        seen += sum(batch.num_rows for batch in batches)
    assert seen == ROWS
    assert 0 < fetched[0] < ROWS


def test_columns_that_cannot_be_carried_are_fetched(
    postgresql_source: Source, fetched: list[int]
) -> None:
    postgresql_source.make("id bigint PRIMARY KEY, raw bytea")
    postgresql_source.add([(1, b"\x00\xff")])
    selection = postgresql_source.selection()

    assert not selection.dataset.dialect.has_fast_way(selection.columns)
    assert read(postgresql_source, selection)[0]["raw"] == b"\x00\xff"
    assert fetched == [0]


def working(source: Source) -> list[str]:
    """What connections to the source are working on."""
    query = text(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'active' AND pid <> pg_backend_pid()"
    )
    with source.writer.connect() as connection:
        return list(connection.scalars(query))


def test_whoever_wants_no_more_rows_ends_the_copy(many: Source) -> None:
    with snapshot(many.engine) as connection:
        batches = read_batches(connection, many.selection(), 1_000, MASKING)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        assert [each.name for each in threading.enumerate() if each.name == "copy"] == []
        eventually(lambda: working(many) == [], within=5)


def unexamined(source: Source, view: str) -> Dataset:
    """A view as a dataset; whether its key is unique is not tried, for that would ask all of it."""
    declared = {view: Declaration(table=view, key=["id"])}
    return Catalog(source.engine, declared, check_keys=False).dataset(view)


def read_until_cancelled(source: Source, selection: Selection, after_seconds: float) -> None:
    with snapshot(source.engine) as connection:
        timer = threading.Timer(after_seconds, cancel_query, [connection])
        timer.start()
        try:
            list(read_batches(connection, selection, 1_000, MASKING))
        finally:
            timer.join()


def test_a_copy_can_be_cancelled_from_another_thread(postgresql_source: Source) -> None:
    postgresql_source.make("id bigint PRIMARY KEY, note text")
    postgresql_source.run(f"INSERT INTO {TABLE} SELECT i, 'x' FROM generate_series(1, 100) i")
    postgresql_source.run(
        f"CREATE VIEW slow AS SELECT id, note, pg_sleep(60)::text AS s FROM {TABLE}"
    )
    selection = postgresql_source.selection(dataset=unexamined(postgresql_source, "slow"))
    with pytest.raises(SourceUnavailable) as ended:
        read_until_cancelled(postgresql_source, selection, after_seconds=0.3)
    assert not isinstance(ended.value, SourceRefused)
    postgresql_source.run("DROP VIEW slow")


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ("1 / (id - 15000)", SourceRefused),
        (
            "CASE WHEN id = 15000 THEN pg_terminate_backend(pg_backend_pid())::int END",
            SourceAway,
        ),
    ],
    ids=["refused", "lost"],
)
def test_a_source_that_fails_in_the_middle_is_told_as_what_it_is(
    many: Source, fetched: list[int], failing: str, error: type[SourceUnavailable]
) -> None:
    many.run(f"CREATE VIEW failing AS SELECT id, {failing} AS v FROM {TABLE}")
    selection = many.selection(dataset=unexamined(many, "failing"))

    with pytest.raises(SourceUnavailable) as raised, snapshot(many.engine) as connection:
        list(read_batches(connection, selection, 1_000, MASKING))

    assert type(raised.value) is error
    assert fetched == []
    many.run("DROP VIEW failing")
