"""Exports of each kind of database: one snapshot, counted, and what slows them down is told."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from pipelines.exports import Export
from pipelines.parts import PartWriter
from resources.errors import TaskFailed
from resources.source.dialects import dialect_of
from resources.source.query import Selection
from tests.support.zoo.exporting import Exporter

# More than what a driver or a pipe has taken before somebody asks for it.
ROWS = 20_000
NOTE = "a note that makes the rows many megabytes together " * 10
FRAME_ROWS = 2_000
START = datetime(2024, 1, 1)  # noqa: DTZ001 - the column has no zone
TYPES = {"mysql": "datetime"}
DATASETS = """
[bookings]
table = "bookings"
key = "id"
date_column = "at"
"""

Row = tuple[int, str, datetime]


@dataclass(frozen=True)
class Shop:
    """A database with a table of bookings; `writer` is the shop's own way to it."""

    writer: Engine
    exporter: Exporter

    def make(self, *, key: str = ", PRIMARY KEY (id)", after: str = "") -> None:
        """Make the table anew, and fill it: even ids, in no order."""
        at = TYPES.get(self.writer.dialect.name, "timestamp")
        columns = f"id integer NOT NULL, note text, at {at}{key}"
        self.run("DROP TABLE IF EXISTS bookings", f"CREATE TABLE bookings ({columns}){after}")
        rows = [
            {"id": i * 2, "note": f"{i} {NOTE}", "at": str(START + timedelta(minutes=i))}
            for i in range(ROWS)
        ]
        with self.writer.begin() as connection:
            connection.execute(
                text("INSERT INTO bookings VALUES (:id, :note, :at)"), rows[::2] + rows[1::2]
            )

    def run(self, *statements: str) -> None:
        """Carry them out, and commit."""
        with self.writer.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def rows(self) -> list[Row]:
        """What the table holds now, in the order of the key."""
        with self.writer.connect() as connection:
            found = connection.execute(text("SELECT id, note, at FROM bookings ORDER BY id")).all()
        return [(id_, note, datetime.fromisoformat(str(at))) for id_, note, at in found]

    def meddle(self, new_id: int) -> list[Row]:
        """Insert, change, move and delete rows all over the table; the rows it has then."""
        last = ROWS * 2
        self.run(
            f"INSERT INTO bookings VALUES ({new_id}, 'new', '2024-01-01 00:00:00'), "
            f"({new_id + ROWS}, 'new', '2024-01-01 00:00:00'), "
            f"({new_id + last}, 'new', '2024-01-01 00:00:00')",
            "UPDATE bookings SET note = 'changed' WHERE id % 10 = 4",
            f"UPDATE bookings SET id = id + {last + 1} WHERE id % 1000 = 6 AND id < {last}",
            f"DELETE FROM bookings WHERE id % 1000 = 8 OR id > {last - 20}",
        )
        return self.rows()

    def export(self, **asked: Any) -> Export:
        """An export of all bookings, ready to run."""
        return self.exporter.prepare("bookings", {}, batch_size=FRAME_ROWS, **asked)

    def exported(self, export: Export) -> list[Row]:
        """What the one file of an export holds."""
        folder = self.exporter.folder / "results" / export.folder.name
        (path,) = folder.glob("part-*")
        return [tuple(row.values()) for row in pyarrow.parquet.read_table(path).to_pylist()]

    def files(self) -> list[Path]:
        """All files of all results."""
        return [each for each in (self.exporter.folder / "results").rglob("*") if each.is_file()]


@pytest.fixture(scope="module")
def sqlite_source(tmp_path_factory: pytest.TempPathFactory) -> URL:
    """A SQLite database that is read while it is written: in WAL mode."""
    path = tmp_path_factory.mktemp("source") / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return URL.create("sqlite", database=str(path))


@contextmanager
def opened(url: URL, state: Engine, folder: Path, **arguments: Any) -> Iterator[Shop]:
    """A shop in the database at ``url``; its own connections have these ``arguments``."""
    writer = create_engine(url, connect_args=arguments)
    shop = Shop(writer, Exporter(state, folder, url, DATASETS))
    yield shop
    shop.run("DROP TABLE bookings")
    writer.dispose()


@pytest.fixture(params=["sqlite_source", "postgres_source", "mysql_source"])
def shop(request: pytest.FixtureRequest, sqlite_engine: Engine, tmp_path: Path) -> Iterator[Shop]:
    """A shop on each kind of database."""
    with opened(request.getfixturevalue(request.param), sqlite_engine, tmp_path) as shop:
        yield shop


@pytest.fixture
def mysql_shop(mysql_source: URL, sqlite_engine: Engine, tmp_path: Path) -> Iterator[Shop]:
    """A shop on MySQL or MariaDB."""
    with opened(mysql_source, sqlite_engine, tmp_path) as shop:
        yield shop


@pytest.fixture
def shop_without_wal(sqlite_engine: Engine, tmp_path: Path) -> Iterator[Shop]:
    """A shop on SQLite as it is by default, which waits for no lock."""
    url = URL.create("sqlite", database=str(tmp_path / "source.sqlite"))
    with opened(url, sqlite_engine, tmp_path, timeout=0) as shop:
        yield shop


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many frames make an export."""
    monkeypatch.setattr("pipelines.exports.FRAME_ROWS", FRAME_ROWS)


def after_the_count(monkeypatch: pytest.MonkeyPatch, meddle: Callable[[], object]) -> None:
    """Have an export call ``meddle`` when it has counted, before it reads a row."""
    count = Export._count

    def count_and_meddle(self: Export, connection: Connection, selection: Selection) -> int:
        counted = count(self, connection, selection)
        meddle()
        return counted

    monkeypatch.setattr(Export, "_count", count_and_meddle)


def after_some_rows(monkeypatch: pytest.MonkeyPatch, meddle: Callable[[], object]) -> None:
    """Have an export call ``meddle`` when it has written two frames."""
    write, written = PartWriter.write, []

    def write_and_meddle(self: PartWriter, frame: Any) -> None:
        write(self, frame)
        written.append(len(frame))
        if len(written) == 2:
            meddle()

    monkeypatch.setattr(PartWriter, "write", write_and_meddle)


@pytest.mark.usefixtures("small_frames")
def test_an_export_holds_the_rows_of_its_beginning_whatever_is_written_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.make()
    before = shop.rows()
    between: list[list[Row]] = []
    after_the_count(monkeypatch, lambda: between.append(shop.meddle(1)))
    after_some_rows(monkeypatch, lambda: between.append(shop.meddle(3)))
    export = shop.export()

    manifest = export.run().manifest

    assert manifest["rows"] == len(before) == ROWS
    assert shop.exported(export) == before
    # What was written did happen, and the next export has it.
    first, second = between
    assert before != first != second == shop.rows()
    monkeypatch.undo()
    again = shop.export()
    assert again.run().manifest["rows"] == len(second)
    assert shop.exported(again) == second


def test_rows_that_get_lost_on_the_way_fail_the_task_and_leave_no_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.make()
    write = PartWriter.write
    monkeypatch.setattr(
        PartWriter, "write", lambda writer, frame: write(writer, frame.iloc[: len(frame) - 1])
    )

    with pytest.raises(TaskFailed) as failure:
        shop.export().run()

    assert (failure.value.code, failure.value.retryable) == ("count_mismatch", True)
    assert shop.files() == []


@pytest.mark.parametrize(
    "change", ["INSERT INTO bookings VALUES (1, 'x', NULL)", "DELETE FROM bookings WHERE id < 10"]
)
def test_a_table_that_knows_no_snapshot_fails_the_task_where_the_count_tells_of_it(
    mysql_shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    mysql_shop.make(after=" ENGINE = MyISAM")
    after_the_count(monkeypatch, lambda: mysql_shop.run(change))

    with pytest.raises(TaskFailed) as failure:
        mysql_shop.export().run()

    assert failure.value.code == "count_mismatch"
    assert mysql_shop.files() == []


@pytest.mark.usefixtures("small_frames")
def test_without_wal_sqlite_refuses_who_writes_while_an_export_reads_and_the_export_goes_on(
    shop_without_wal: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shop_without_wal
    shop.make()
    before, refused = shop.rows(), []

    def try_to_meddle() -> None:
        with pytest.raises(OperationalError, match="database is locked") as refusal:
            shop.meddle(1)
        refused.append(refusal)

    after_the_count(monkeypatch, try_to_meddle)
    after_some_rows(monkeypatch, try_to_meddle)
    export = shop.export()

    assert export.run().manifest["rows"] == ROWS
    assert shop.exported(export) == before
    assert len(refused) == 2
    assert shop.meddle(1) != before  # nobody reads any more


# --- What is slow is told ---

NO_KEY = "bookings: no index has the key (id)"
NO_DATES = 'bookings: no index begins with the date column "at"'
WINDOW = {"date_from": "2024-01-01T00:00:00Z", "date_to": "2024-01-02T00:00:00Z"}


def warnings_of(export: Export) -> list[str]:
    """What an export warns of, up to what is to be made of it; it completes."""
    warnings: list[str] = []
    manifest = replace(export, warn=warnings.append).run().manifest
    assert manifest["rows"] > 0
    return [each.partition(", so that")[0] for each in warnings]


def test_missing_indexes_are_told_by_the_exports_that_they_slow_down(shop: Shop) -> None:
    shop.make(key="")

    assert warnings_of(shop.export()) == [NO_KEY]
    assert warnings_of(shop.export(**WINDOW)) == [NO_KEY, NO_DATES]
    assert warnings_of(shop.export(date_to=WINDOW["date_to"])) == [NO_KEY, NO_DATES]

    shop.run("CREATE INDEX ix_id ON bookings (id)", "CREATE INDEX ix_at ON bookings (at)")
    assert warnings_of(shop.export(**WINDOW)) == []


def test_a_source_that_does_not_tell_its_indexes_fails_no_export(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.make(key="")
    export = shop.export(**WINDOW)

    def refuse(_self: object, connection: Connection, *_: object) -> None:
        connection.execute(text("SELECT secret FROM nowhere"))

    monkeypatch.setattr(type(dialect_of(shop.exporter.source)), "indexes", refuse)

    assert warnings_of(export) == []
