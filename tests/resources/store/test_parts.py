"""Signs of life."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from resources.errors import Unavailable
from resources.store.parts import PartStore
from resources.store.tables import parts
from resources.timestamps import now

PATIENCE = timedelta(seconds=30)


@pytest.fixture
def store(engine: Engine) -> PartStore:
    return PartStore(engine)


def age(engine: Engine, by: timedelta) -> None:
    with engine.begin() as connection:
        connection.execute(update(parts).values(seen_at=now() - by))


def test_part_that_was_never_seen_is_not_alive(store: PartStore) -> None:
    store.seen("other")
    assert not store.is_alive("dispatcher", PATIENCE)


def test_part_is_alive_while_it_says_so(store: PartStore, engine: Engine) -> None:
    store.seen("dispatcher")
    assert store.is_alive("dispatcher", PATIENCE)
    age(engine, PATIENCE - timedelta(seconds=5))
    assert store.is_alive("dispatcher", PATIENCE)
    age(engine, PATIENCE)
    assert not store.is_alive("dispatcher", PATIENCE)
    store.seen("dispatcher")
    assert store.is_alive("dispatcher", PATIENCE)


def test_part_has_one_row_however_often_it_is_seen(store: PartStore, engine: Engine) -> None:
    for _ in range(3):
        store.seen("dispatcher")
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(parts)) == 1


def test_database_that_does_not_answer_is_unavailable(dead_engine: Engine) -> None:
    store = PartStore(dead_engine)
    with pytest.raises(Unavailable):
        store.seen("dispatcher")
    with pytest.raises(Unavailable):
        store.is_alive("dispatcher", PATIENCE)
