"""What tests of analyses build on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine

from resources.store.database import connect
from resources.store.migrate import migrate
from tests.support.insights import Analyst

AnalystOf = Callable[[str, str], Analyst]


@pytest.fixture(scope="session")
def analysts_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A task store in which tasks of analyses pile up."""
    path = tmp_path_factory.mktemp("analysts") / "runs.db"
    engine = connect(URL.create("sqlite", database=str(path)))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def analyst_of(analysts_state: Engine, tmp_path: Path) -> AnalystOf:
    """Makes a SQLite source by a script, and an analyst of what is declared of it."""

    def make(script: str, datasets: str) -> Analyst:
        path = tmp_path / "source.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        url = URL.create("sqlite", database=str(path))
        return Analyst(analysts_state, tmp_path, url, datasets)

    return make
