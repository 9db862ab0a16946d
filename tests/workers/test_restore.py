"""Archived rows come back, as far as they can, and what cannot is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, update

from resources.archives.restoring import CannotRestore
from resources.errors import ArchiveDamaged, ArchiveNotFound
from resources.store.models import Status
from resources.store.tables import tasks
from tests.support.cleanups import Cleaner, cleaner, planned
from tests.support.shops import DECLARATIONS, SECRET, Shop, shop_at
from workers.restore import restore_archive

BODY: dict[str, Any] = {
    "filters": {"id": {"lt": 30}},
    "options": {"dataset": "bookings", "cascade": ["payments", "notes"]},
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = shop_at(URL.create("sqlite", database=str(tmp_path / "source.sqlite")))
    shop.fill()
    yield shop
    shop.engine.dispose()


@pytest.fixture
def cleaning(sqlite_engine: Engine, shop: Shop, tmp_path: Path) -> Cleaner:
    return cleaner(sqlite_engine, shop.url, tmp_path, DECLARATIONS)


@pytest.fixture
def cleaned(cleaning: Cleaner) -> int:
    """A task that has deleted rows, and is done."""
    task, _ = cleaning.clean(**planned(cleaning, BODY))
    set_status(cleaning, task.id, Status.COMPLETED)
    return task.id


def set_status(cleaning: Cleaner, task_id: int, status: Status) -> None:
    with cleaning.state.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(status=status))


def test_all_rows_come_back_and_are_told_without_a_value(
    cleaning: Cleaner, cleaned: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore_archive(cleaning.settings, cleaned)

    told = capsys.readouterr().out
    assert told.splitlines() == [
        "bookings: 30 rows archived, 30 restored, 0 there already",
        "payments: 10 rows archived, 10 restored, 0 there already",
        "notes: 20 rows archived, 20 restored, 0 there already",
    ]
    assert SECRET not in told


def test_a_row_that_is_there_with_other_values_is_left_and_told(
    cleaning: Cleaner, cleaned: int, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    other = (4, None, "other", None, None, None)
    shop.execute("INSERT INTO bookings (id, email) VALUES (4, 'other')")

    assert not restore_archive(cleaning.settings, cleaned)

    assert shop.rows("bookings")[4] == other
    assert len(shop.rows("bookings")) == 60
    assert "1 there with other values, left as they are" in capsys.readouterr().out


def test_a_row_that_the_database_refuses_keeps_no_other_from_coming_back(
    cleaning: Cleaner, cleaned: int, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.execute("CREATE UNIQUE INDEX once ON bookings (card)")
    shop.execute(f"INSERT INTO bookings (id, card) VALUES (700, '{SECRET}-card-7')")

    assert not restore_archive(cleaning.settings, cleaned)

    told = capsys.readouterr().out
    assert "bookings: 30 rows archived, 29 restored, 0 there already" in told
    assert "1 refused by the database, not restored" in told
    assert SECRET not in told
    shop.execute("DELETE FROM bookings WHERE id = 700")
    assert restore_archive(cleaning.settings, cleaned)
    assert len(shop.rows("bookings")) == 60


def test_a_row_whose_value_the_database_changes_is_not_taken_for_restored(
    cleaning: Cleaner, cleaned: int, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.execute(
        "CREATE TRIGGER cut AFTER INSERT ON notes WHEN new.line = 2 "
        "BEGIN UPDATE notes SET note = 'cut' WHERE payment_id = new.payment_id AND line = 2; END"
    )

    assert not restore_archive(cleaning.settings, cleaned)

    assert "notes: 20 rows archived, 10 restored" in capsys.readouterr().out
    assert "cut" not in [row[2] for row in shop.rows("notes")]


def test_a_damaged_archive_restores_nothing(cleaning: Cleaner, cleaned: int, shop: Shop) -> None:
    (path,) = (path for path in cleaning.files("archives") if "table-003" in path.name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ArchiveDamaged):
        restore_archive(cleaning.settings, cleaned)
    path.unlink()
    with pytest.raises(ArchiveDamaged):
        restore_archive(cleaning.settings, cleaned)

    assert len(shop.rows("bookings")) == 30


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE notes", "no table notes"),
        ("ALTER TABLE notes RENAME COLUMN note TO text", "columns of notes are others"),
    ],
)
def test_tables_that_are_others_by_now_are_refused(
    cleaning: Cleaner, cleaned: int, shop: Shop, statement: str, why: str
) -> None:
    shop.execute(statement)

    with pytest.raises(CannotRestore, match=why):
        restore_archive(cleaning.settings, cleaned)

    assert len(shop.rows("bookings")) == 30


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_a_task_at_work_is_refused(cleaning: Cleaner, cleaned: int, status: Status) -> None:
    set_status(cleaning, cleaned, status)

    with pytest.raises(CannotRestore, match=f"is {status}: cancel it"):
        restore_archive(cleaning.settings, cleaned)


def test_an_archive_outlives_the_task_database(
    cleaning: Cleaner, cleaned: int, shop: Shop, tmp_path: Path
) -> None:
    elsewhere = cleaning.settings.model_copy(
        update={"home": tmp_path / "new", "archives_url": str(tmp_path / "archives")}
    )
    elsewhere.home.mkdir()

    assert restore_archive(elsewhere, cleaned)
    assert len(shop.rows("bookings")) == 60


def test_a_task_without_an_archive_is_told(cleaning: Cleaner) -> None:
    with pytest.raises(ArchiveNotFound, match="Task 4711 has no archive"):
        restore_archive(cleaning.settings, 4711)
