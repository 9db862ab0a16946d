"""Rows that their key does not tell apart are not deleted."""

import pytest

from resources.errors import TaskFailed
from resources.source.declarations import Declaration
from tests.support.cleanups import Cleaner, cleaner, planned
from tests.support.shops import Shop


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("keys", [(1, 1), (1, 1, 2), (1, 2, 2), (1, 2, 3, 3)])
@pytest.mark.parametrize("batch_size", [2, 1_000])
def test_two_rows_of_one_key_are_not_archived(
    shop: Shop, cleaning: Cleaner, keys: tuple[int, ...], batch_size: int
) -> None:
    shop.execute(
        "CREATE TABLE twice (id INTEGER, line INTEGER)",
        *(f"INSERT INTO twice VALUES ({key}, {line})" for line, key in enumerate(keys)),
    )
    declared = {"bookings": Declaration(table="twice", key=["id"])}
    other = cleaner(cleaning.state, shop.url, cleaning.settings.home, declared)
    body = {
        "batch_size": batch_size,
        "filters": {"id": {"gt": 0}},
        "options": {"dataset": "bookings"},
    }

    with pytest.raises(TaskFailed, match="does not tell its rows apart") as raised:
        other.clean(**planned(other, body))

    assert raised.value.code == "not_archivable"
    assert len(shop.rows("twice")) == len(keys)


KEEPERS = {
    "sqlite": "CREATE TRIGGER keep BEFORE DELETE ON bookings WHEN OLD.id = 4 "
    "BEGIN SELECT RAISE(IGNORE); END",
    "postgresql": "CREATE RULE keep AS ON DELETE TO bookings WHERE OLD.id = 4 DO INSTEAD NOTHING",
}


@pytest.mark.parametrize("database", KEEPERS, indirect=True)
def test_rows_that_the_database_keeps_are_told(shop: Shop, cleaning: Cleaner) -> None:
    before = shop.dump()
    body = planned(cleaning, {"filters": {"id": [1, 2, 4, 5]}, "options": {"dataset": "bookings"}})
    shop.execute(KEEPERS[shop.engine.dialect.name])

    with pytest.raises(TaskFailed, match="kept 1 rows of bookings") as raised:
        cleaning.clean(**body)

    assert raised.value.code == "rows_kept"
    assert shop.dump() == before
