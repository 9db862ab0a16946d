"""Cleanups of a small shop, on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from tests.support.cleanups import Cleaner, cleaner
from tests.support.shops import DECLARATIONS, Shop, shop_at


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "source.sqlite"))
    url: URL = request.getfixturevalue(
        {"postgresql": "postgres_source", "mysql": "mysql_source"}[request.param]
    )
    return url


@pytest.fixture
def bare(database: URL) -> Iterator[Shop]:
    """A shop without tables."""
    shop = shop_at(database)
    shop.clear()
    yield shop
    shop.clear()
    shop.engine.dispose()


@pytest.fixture
def shop(bare: Shop) -> Shop:
    """A shop with its rows."""
    bare.fill()
    return bare


@pytest.fixture
def cleaning(sqlite_engine: Engine, shop: Shop, tmp_path: Path) -> Cleaner:
    """Runs cleanups of the shop."""
    return cleaner(sqlite_engine, shop.url, tmp_path / "home", DECLARATIONS)
