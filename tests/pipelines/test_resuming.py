"""An export goes on after the parts that an attempt which died has finished."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, create_engine, text, update

from pipelines.exports import Export, Exported
from pipelines.journal import Journal
from pipelines.parts import PartWriter
from pipelines.run_control import RunControl
from resources.errors import AttemptInterrupted, AttemptSuperseded, InvalidRequest, SourceAway
from resources.results import AttemptFolder, ResultFile
from resources.source.columns import Column, Kind
from resources.source.masking import Masking
from resources.store.attempts import AttemptStore
from resources.store.models import Principal, Role
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.results import local_results
from tests.support.zoo.exporting import Exporter

ROWS = 95
PART_ROWS = 10
FRAME_ROWS = 4
RESUME = {"consistency": "resume"}
BOOKINGS = """
[bookings]
table = "bookings"
key = {key}
"""


class Killed(BaseException):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class Shop:
    """A source with a table of bookings, and what exports of it."""

    writer: Engine
    state: Engine
    exporter: Exporter

    def make(self, key: str = "id", **types: str) -> None:
        """A table whose rows have the numbers from 0 on in ``n``, in the order of the key."""
        columns = ", ".join(f"{name} {of} NOT NULL" for name, of in types.items())
        self.run("DROP TABLE IF EXISTS bookings")
        self.run(f"CREATE TABLE bookings (n integer, {columns}, PRIMARY KEY ({key}))")

    def run(self, statement: str, *rows: dict[str, Any]) -> None:
        with self.writer.begin() as connection:
            connection.execute(text(statement), list(rows) or None)

    def add(self, *rows: dict[str, Any]) -> None:
        names = ", ".join(f":{name}" for name in rows[0])
        self.run(f"INSERT INTO bookings VALUES ({names})", *rows)

    def prepare(self, **options: Any) -> Export:
        return self.exporter.prepare("bookings", RESUME | options, batch_size=FRAME_ROWS)

    def again(self, export: Export) -> Export:
        """The next attempt of the same task."""
        run_id = str(uuid.uuid4())
        task_id = int(export.folder.name.partition("/")[0])
        with self.state.begin() as connection:
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(run_id=run_id))
        attempt = AttemptStore(self.state, run_id)
        results = local_results(self.exporter.folder / "results")
        return replace(
            export,
            folder=results.attempt(task_id, run_id),
            attempt=attempt,
            control=RunControl(attempt),
        )

    def folder(self, export: Export) -> Path:
        return self.exporter.folder / "results" / export.folder.name

    def rows(self, export: Export, exported: Exported) -> list[dict[str, Any]]:
        """All rows of a result, whose files are as the manifest says."""
        rows = []
        for file in exported.manifest["files"]:
            path = self.folder(export) / file["name"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
            table = (
                pyarrow.parquet.read_table(path)
                if path.suffix == ".parquet"
                else duckdb.read_csv(path).to_arrow_table()
            )
            assert table.num_rows == file["rows"]
            rows += table.to_pylist()
        return rows


@pytest.fixture(params=["sqlite", "postgres_source", "mysql_source"])
def shop(
    request: pytest.FixtureRequest,
    sqlite_engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """A shop on each kind of database, whose exports have small parts."""
    monkeypatch.setattr("pipelines.parts.PART_ROWS", PART_ROWS)
    monkeypatch.setattr("pipelines.exports.FRAME_ROWS", FRAME_ROWS)
    lite = URL.create("sqlite", database=str(tmp_path / "source.sqlite"))
    url = lite if request.param == "sqlite" else request.getfixturevalue(request.param)
    writer = create_engine(url)
    declared = BOOKINGS.format(key='["id"]')
    yield Shop(writer, sqlite_engine, Exporter(sqlite_engine, tmp_path, url, declared))
    with writer.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS bookings"))
    writer.dispose()


# Where the database makes no difference.
on_sqlite = pytest.mark.parametrize("shop", ["sqlite"], indirect=True)


@pytest.fixture
def filled(shop: Shop) -> Shop:
    """Bookings with even keys."""
    shop.make(id="integer")
    shop.add(*({"n": n, "id": n * 2} for n in range(ROWS)))
    return shop


@pytest.fixture
def die_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Export, int], None]:
    """Run an export that dies, as a process does, when it has finished so many parts."""

    def run(export: Export, parts: int) -> None:
        finish, left = PartWriter._finish, iter(range(parts - 1))

        def finish_and_die(self: PartWriter, part: Any) -> None:
            finish(self, part)
            if next(left, None) is None:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(PartWriter, "_finish", finish_and_die)
            patched.setattr(AttemptFolder, "discard", lambda _self: False)
            with pytest.raises(Killed):
                export.run()

    return run


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["n"] for row in rows]


@pytest.mark.parametrize(("parts", "file_format"), [(1, "parquet"), (9, "csv")])
def test_the_next_attempt_goes_on_after_the_last_part(
    filled: Shop, die_after: Callable[[Export, int], None], parts: int, file_format: str
) -> None:
    first = filled.prepare(format=file_format)
    die_after(first, parts)
    second = filled.again(first)

    exported = second.run()

    assert numbers(filled.rows(second, exported)) == list(range(ROWS))
    earlier, later = exported.manifest["snapshots"]
    assert earlier["rows"] == parts * PART_ROWS
    assert later["rows"] == ROWS - earlier["rows"]
    assert [*earlier["files"], *later["files"]] == [
        file["name"] for file in exported.manifest["files"]
    ]
    assert earlier["taken_at"] < later["taken_at"]
    assert not filled.folder(first).exists()
    task = TaskStore(filled.state).get(1, Principal("zoo", Role.USER))
    assert (task.processed, task.total) == (ROWS, ROWS)


@on_sqlite
def test_attempts_may_die_one_after_another(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    export = filled.prepare()
    for parts in (2, 1, 3):
        die_after(export, parts)
        export = filled.again(export)

    exported = export.run()

    assert numbers(filled.rows(export, exported)) == list(range(ROWS))
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [20, 10, 30, 35]


def test_what_changed_meanwhile_is_seen_behind_the_last_part_alone(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare()
    die_after(first, 3)
    filled.add({"n": -1, "id": 1}, {"n": -2, "id": 59}, {"n": -3, "id": 10_000})
    filled.run("DELETE FROM bookings WHERE id IN (0, 100)")
    second = filled.again(first)

    exported = second.run()

    expected = [*range(30), -2, *(n for n in range(30, ROWS) if n != 50), -3]
    assert numbers(filled.rows(second, exported)) == expected
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [30, 66]


@on_sqlite
def test_an_attempt_that_died_when_all_was_written_leaves_nothing_to_read(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare()
    die_after(first, 10)
    second = filled.again(first)

    exported = second.run()

    assert numbers(filled.rows(second, exported)) == list(range(ROWS))
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [ROWS]


def test_columns_without_the_key_can_be_gone_on_with(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare(columns=["n"])
    die_after(first, 2)
    second = filled.again(first)

    rows = filled.rows(second, second.run())

    assert rows == [{"n": n} for n in range(ROWS)]


@on_sqlite
def test_a_damaged_part_and_all_after_it_are_written_again(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare(format="csv")
    die_after(first, 4)
    part = filled.folder(first) / "part-00003.csv"
    part.write_bytes(part.read_bytes().replace(b"25", b"52"))
    second = filled.again(first)

    exported = second.run()

    assert numbers(filled.rows(second, exported)) == list(range(ROWS))
    assert exported.manifest["snapshots"][0]["rows"] == 20


@on_sqlite
@pytest.mark.parametrize("checkpoint", ["", "[]", '{"parts": [{}]}', '{"origin": "", "parts": 1}'])
def test_a_checkpoint_that_says_nothing_has_the_export_start_over(
    filled: Shop, die_after: Callable[[Export, int], None], checkpoint: str
) -> None:
    first = filled.prepare()
    die_after(first, 2)
    (filled.folder(first) / "checkpoint.json").write_text(checkpoint)
    second = filled.again(first)

    exported = second.run()

    assert numbers(filled.rows(second, exported)) == list(range(ROWS))
    assert len(exported.manifest["snapshots"]) == 1


@on_sqlite
def test_a_schema_that_changed_has_the_export_start_over(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare()
    die_after(first, 2)
    filled.run("ALTER TABLE bookings ADD COLUMN note varchar(10)")
    later = filled.prepare()
    second = filled.again(replace(first, selection=later.selection))

    exported = second.run()

    assert [each["name"] for each in exported.manifest["schema"]] == ["n", "id", "note"]
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [ROWS]


@on_sqlite
def test_another_key_of_masks_has_the_export_start_over(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare()
    die_after(first, 2)
    second = filled.again(replace(first, masking=Masking(b"another key of masks")))

    assert [each["rows"] for each in second.run().manifest["snapshots"]] == [ROWS]


@on_sqlite
def test_a_run_that_is_stopped_while_it_takes_parts_over_leaves_nothing(
    filled: Shop, die_after: Callable[[Export, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filled.prepare()
    die_after(first, 4)
    second, left = filled.again(first), iter([1, 2])

    def stopped_after_two(_self: RunControl) -> None:
        if next(left, None) is None:
            raise AttemptSuperseded

    monkeypatch.setattr(RunControl, "raise_if_stopped", stopped_after_two)
    with pytest.raises(AttemptSuperseded):
        second.run()

    assert not filled.folder(second).exists()


@on_sqlite
def test_an_export_of_one_snapshot_starts_over(
    filled: Shop, die_after: Callable[[Export, int], None]
) -> None:
    first = filled.prepare(consistency="snapshot")
    die_after(first, 2)
    second = filled.again(first)

    exported = second.run()

    assert numbers(filled.rows(second, exported)) == list(range(ROWS))
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [ROWS]
    names = [file["name"] for file in exported.manifest["files"]]
    assert exported.manifest["snapshots"][0]["files"] == names


def fail_after(
    monkeypatch: pytest.MonkeyPatch, export: Export, parts: int, error: Exception
) -> None:
    """Run the export; in place of the part after so many the error comes."""
    begin = PartWriter._begin

    def begin_or_fail(self: PartWriter) -> Any:
        if len(self._journal.parts) == parts:
            raise error
        return begin(self)

    with monkeypatch.context() as patched:
        patched.setattr(PartWriter, "_begin", begin_or_fail)
        with pytest.raises(type(error)):
            export.run()


@on_sqlite
def test_a_source_that_was_away_is_gone_on_with_by_the_same_run(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = filled.prepare()
    fail_after(monkeypatch, export, 3, SourceAway())

    exported = export.run()

    assert numbers(filled.rows(export, exported)) == list(range(ROWS))
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [30, 65]


@on_sqlite
def test_a_run_that_was_interrupted_leaves_its_parts_to_the_next(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filled.prepare()
    fail_after(monkeypatch, first, 3, AttemptInterrupted())
    second = filled.again(first)

    assert [each["rows"] for each in second.run().manifest["snapshots"]] == [30, 65]


@on_sqlite
def test_a_run_that_was_cancelled_leaves_nothing(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = filled.prepare()
    fail_after(monkeypatch, export, 3, AttemptSuperseded())

    assert not filled.folder(export).exists()


Key = tuple[dict[str, str], list[dict[str, Any]]]
TEXT_KEYS: dict[str, Key] = {
    "texts": (
        {"id": "varchar(20)"},
        [{"n": n, "id": f"it's %s {n:03} é\\"} for n in range(25)],
    ),
    "a text and a number": (
        {"shop": "varchar(20)", "id": "integer"},
        [{"n": n, "shop": f"s{n // 7}", "id": n % 7} for n in range(25)],
    ),
    "uuids": ({"id": "uuid"}, [{"n": n, "id": str(uuid.UUID(int=n << 64))} for n in range(25)]),
}
KEYS: dict[str, Key] = {
    "two columns": (
        {"shop": "integer", "id": "integer"},
        [{"n": n, "shop": n // 7, "id": n % 7} for n in range(25)],
    ),
    "dates": ({"id": "date"}, [{"n": n, "id": f"2024-01-{n + 1:02}"} for n in range(25)]),
    "negative": ({"id": "bigint"}, [{"n": n, "id": -(2**63) + n} for n in range(25)]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_can_be_gone_on_after(
    shop: Shop, die_after: Callable[[Export, int], None], kind: str
) -> None:
    go_on_after(shop, die_after, KEYS[kind])


@pytest.mark.parametrize("shop", ["postgres_source"], indirect=True)
@pytest.mark.parametrize("kind", TEXT_KEYS)
def test_in_postgresql_texts_can_be_gone_on_after(
    shop: Shop, die_after: Callable[[Export, int], None], kind: str
) -> None:
    go_on_after(shop, die_after, TEXT_KEYS[kind])


def keyed(shop: Shop, key: Key) -> Shop:
    """The shop with a table of that key."""
    types, rows = key
    shop.make(", ".join(types), **types)
    if rows:
        shop.add(*rows)
    declared = BOOKINGS.format(key=json.dumps(list(types)))
    return replace(shop, exporter=replace(shop.exporter, datasets=declared))


def go_on_after(shop: Shop, die_after: Callable[[Export, int], None], key: Key) -> None:
    shop = keyed(shop, key)
    first = shop.prepare()
    die_after(first, 1)
    second = shop.again(first)

    exported = second.run()

    assert numbers(shop.rows(second, exported)) == list(range(25))
    assert [each["rows"] for each in exported.manifest["snapshots"]] == [10, 15]


@on_sqlite
@pytest.mark.parametrize(
    "columns",
    ['columns = { id = { mask = "hash" } }', 'leave_out = ["id"]', 'columns.id = { as = "text" }'],
)
def test_a_key_that_may_not_be_noted_is_refused_when_it_is_asked_for(
    filled: Shop, columns: str
) -> None:
    declared = BOOKINGS.format(key='["id"]') + columns
    shop = replace(filled, exporter=replace(filled.exporter, datasets=declared))

    with pytest.raises(InvalidRequest) as refused:
        shop.prepare()

    (error,) = refused.value.errors
    assert (error.pointer, error.code) == ("/options/consistency", "not_resumable")
    shop.prepare(consistency="snapshot")


CI = "varchar(20) COLLATE {}"
UNSURE: dict[str, Key] = {
    "sqlite": ({"id": CI.format("NOCASE")}, []),
    "mysql_source": ({"id": "enum('new', 'done')"}, []),
    "postgres_source": ({"id": CI.format('"C"')}, []),
}


@pytest.mark.parametrize("shop", UNSURE, indirect=True)
def test_a_key_in_whose_order_different_texts_may_be_equal_is_refused(
    shop: Shop, request: pytest.FixtureRequest
) -> None:
    shop = keyed(shop, UNSURE[request.node.callspec.params["shop"]])

    with pytest.raises(InvalidRequest, match="consistency"):
        shop.prepare()


NOTED: dict[Kind, tuple[Column, st.SearchStrategy[Any]]] = {
    Kind.INTEGER: (Column("k", Kind.INTEGER), st.integers(-(2**63), 2**63 - 1)),
    Kind.TEXT: (Column("k", Kind.TEXT), st.text(st.characters(codec="utf-8"))),
    Kind.DECIMAL: (
        Column("k", Kind.DECIMAL, precision=38, scale=6),
        st.decimals(-(10**30), 10**30, places=6, allow_nan=False).map(Decimal),
    ),
    Kind.DATE: (Column("k", Kind.DATE), st.dates()),
    Kind.TIMESTAMP: (Column("k", Kind.TIMESTAMP), st.datetimes()),
    Kind.INSTANT: (Column("k", Kind.INSTANT), st.datetimes(timezones=st.just(UTC))),
}


@pytest.mark.parametrize("kind", NOTED)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_key_that_was_noted_is_the_same_key(
    tmp_path: Path, kind: Kind, data: st.DataObject
) -> None:
    column, values = NOTED[kind]
    value = data.draw(values)
    folder = local_results(tmp_path).attempt(1, uuid.uuid4().hex)
    folder.create()
    row = pa.RecordBatch.from_arrays([pa.array([value], pa.scalar(value).type)], ["k"])
    Journal(folder, "", [column]).note(ResultFile("a", 1, 1, "", ""), row)
    again = Journal(folder, "", [column])

    again.go_on(lambda: None)

    assert again.last_key == [value]
