"""Tables that were never made for this service come back as they were."""

import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
from sqlalchemy import URL

from resources.errors import TaskFailed
from resources.source.declarations import Declaration
from tests.conftest import temporary_database, temporary_mysql_database
from tests.support.archives import archived, delete_archived, put_back
from tests.support.zoo import mysql, postgresql, sqlite

# Whose rows are elsewhere.
VIEWS = {
    "sqlite": ["columns without a type, and a view"],
    "postgresql": ["a view with a declared key", "a materialized view"],
    "mysql": ["a view, generated columns"],
}
SPECIMENS = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql}


@dataclass(frozen=True)
class House:
    """A database of one kind, as its own driver sees it."""

    url: URL
    open: Callable[[], Any]
    every: str
    quote: str
    other: str = ""

    def ask(self, query: str) -> Sequence[Any]:
        with closing(self.open()) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return [tuple(row) for row in rows]

    def dump(self, declared: Declaration) -> Sequence[Any]:
        names = [declared.schema_, declared.table] if declared.schema_ else [declared.table]
        table = ".".join(
            f"{self.quote}{name.replace(self.quote, self.quote * 2)}{self.quote}" for name in names
        )
        return sorted(map(repr, self.ask(f"SELECT {self.every} FROM {table} o")))


@pytest.fixture(scope="module", params=SPECIMENS)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("house") / "50% of ?#it.sqlite"
        url = URL.create("sqlite", database=str(path))
        yield House(url, lambda: sqlite3.connect(path), "*", '"')
    elif request.param == "postgresql":
        with temporary_database(request.getfixturevalue("postgres_server")) as url:
            dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
            yield House(url, lambda: psycopg2.connect(dsn), "o::text", '"')
    else:
        server = request.getfixturevalue("mysql_server")
        with temporary_mysql_database(server) as url, temporary_mysql_database(server) as other:
            arguments = url.translate_connect_args(username="user")
            yield House(
                url,
                lambda: pymysql.connect(**arguments, charset="utf8mb4"),
                "*",
                "`",
                str(other.database),
            )


def test_tables_of_others_come_back(house: House, tmp_path: Path) -> None:
    kind = house.url.get_backend_name()
    refused = []
    for number, specimen in enumerate(SPECIMENS[kind].SPECIMENS):
        for statement in specimen.make:
            house.ask(_named(house, statement))
        document = tomllib.loads("[users]\n" + _named(house, specimen.declared))
        declared = Declaration.model_validate(document["users"])
        before = house.dump(declared)
        place = (tmp_path / str(number), declared.table, declared.key, declared.schema_)
        try:
            archive, table = archived(house.url, *place)
        except TaskFailed as error:
            refused.append((specimen.name, error.code))
            continue

        assert delete_archived(house.url, archive, table) == 0, specimen.name
        assert house.dump(declared) == [], specimen.name
        assert put_back(house.url, archive), specimen.name
        assert house.dump(declared) == before, specimen.name

    assert refused == [(name, "not_archivable") for name in VIEWS[kind]]


def _named(house: House, text: str) -> str:
    return text.replace("{other}", house.other).replace("{{", "{").replace("}}", "}")
