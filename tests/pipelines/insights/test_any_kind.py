"""Columns of any kind are measured: counted as the source counts them, and never a crash."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
from sqlalchemy import URL, Engine

from resources.source.columns import Kind
from tests.conftest import temporary_database, temporary_mysql_database
from tests.support.insights import Analyst
from tests.support.zoo import Specimen, mysql, postgresql

Open = Callable[[], Any]
# Many rows or columns tell nothing more, and take long.
_SMALL = 200
_MANY = "300 columns"
# What is special here is how they are read, which exports' tests hold: their kinds are in others.
_READ_ALIKE = {
    "a view with a declared key",
    "a materialized view",
    "a partitioned table",
    "a view, generated columns",
    "generated and identity columns",
    "a date that may be missing",
}


@pytest.fixture(scope="module")
def postgresql_zoo(postgres_server: URL) -> Iterator[tuple[URL, Open, str]]:
    with temporary_database(postgres_server) as url:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        yield url, lambda: psycopg2.connect(dsn), ""


@pytest.fixture(scope="module")
def mysql_zoo(mysql_server: URL) -> Iterator[tuple[URL, Open, str]]:
    with (
        temporary_mysql_database(mysql_server) as url,
        temporary_mysql_database(mysql_server) as other,
    ):
        arguments = url.translate_connect_args(username="user")
        yield url, lambda: pymysql.connect(**arguments, charset="utf8mb4"), str(other.database)


KEPT = [
    (name, each)
    for name, zoo in {"postgresql": postgresql, "mysql": mysql}.items()
    for each in zoo.SPECIMENS
    if each.rows <= _SMALL and each.name not in {_MANY, *_READ_ALIKE}
]


@pytest.mark.parametrize(("zoo", "specimen"), KEPT, ids=str)
def test_every_column_of_any_kind_is_counted(
    zoo: str,
    specimen: Specimen,
    request: pytest.FixtureRequest,
    analysts_state: Engine,
    tmp_path: Path,
) -> None:
    url, connect, other = request.getfixturevalue(f"{zoo}_zoo")

    def named(text: str) -> str:
        return text.replace("{other}", other).replace("{{", "{").replace("}}", "}")

    with closing(connect()) as connection:
        cursor = connection.cursor()
        for statement in specimen.make:
            cursor.execute(named(statement))
        connection.commit()
        cursor.execute(named(specimen.ask))
        rows = cursor.fetchall()
    analyst = Analyst(analysts_state, tmp_path, url, "[users]\n" + named(specimen.declared))

    made = analyst.analyse(options={"datasets": ["users"]})

    catalog = analyst.assignment().catalog
    visible = [each for each in catalog.dataset("users").columns.values() if each.mask is None]
    told = made.columns("users")
    assert list(told) == [each.name for each in visible]
    assert not [figure for figure in made.left_out if figure.startswith("columns.")]
    assert made.document["datasets"]["users"]["rows"] == len(rows) == specimen.rows
    for each in visible:
        column = told[each.name]
        assert column["count"] + column["nulls"] == specimen.rows, each.name
        assert column["distinct"] <= column["count"]
        has_order = each.kind not in {Kind.BOOLEAN, Kind.BINARY, Kind.ARRAY, Kind.JSON}
        measured = column["count"] - column["not_finite"]
        assert (column["min"] is not None) == (has_order and measured > 0), each.name
