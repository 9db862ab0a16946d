"""The connection to the source: read-only, one snapshot, queries that can be ended."""

import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from resources.errors import SourceRefused, SourceUnavailable
from resources.settings import PROJECT_ROOT
from resources.source.connection import cancel_query, connect_source, snapshot
from resources.source.dialects.postgresql import CLIENT_CHECK_SECONDS
from resources.source.dialects.sqlite import glob_from_like
from tests.resources.source.conftest import TABLE, Source
from tests.support.waiting import eventually

COUNT = text(f"SELECT count(*) FROM {TABLE}")
ENDLESS = {
    "sqlite": "WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT sleep(60)",
}


@pytest.fixture
def table(source: Source) -> Source:
    source.make("id bigint PRIMARY KEY, note text", [(1, "one"), (2, "two")])
    return source


@pytest.mark.parametrize(
    "statement",
    [f"DELETE FROM {TABLE}", f"INSERT INTO {TABLE} VALUES (3, 'x')", "CREATE TABLE other (i int)"],
)
def test_the_source_cannot_be_changed(table: Source, statement: str) -> None:
    with pytest.raises(SourceUnavailable), snapshot(table.engine) as connection:
        connection.execute(text(statement))
    with pytest.raises(DBAPIError), table.engine.connect() as connection:
        connection.execute(text(statement))
    assert table.keys() == [1, 2]


def test_a_snapshot_does_not_see_what_is_written_after_its_first_query(table: Source) -> None:
    if table.dialect == "sqlite":
        table.writer.dispose()
        with table.writer.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with snapshot(table.engine) as connection:
        assert connection.scalar(COUNT) == 2
        table.add([(3, "three")])
        assert connection.scalar(COUNT) == 2
    assert table.keys() == [1, 2, 3]


def test_a_query_that_fails_leaves_neither_sql_nor_values_in_a_traceback(table: Source) -> None:
    query = text("SELECT column_x FROM nowhere WHERE name = :name")
    with pytest.raises(SourceUnavailable) as raised, snapshot(table.engine) as connection:
        connection.execute(query, {"name": "alice"})
    logged = "".join(traceback.format_exception_only(raised.value))
    assert raised.value.__suppress_context__
    assert not any(word in logged for word in ("column_x", "nowhere", "alice"))


def test_a_query_that_the_source_refuses_is_told_apart_from_an_outage(table: Source) -> None:
    with pytest.raises(SourceRefused), snapshot(table.engine) as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))


def test_a_query_that_takes_too_long_is_ended(postgresql_source: Source) -> None:
    url = postgresql_source.writer.url
    engine = connect_source(url, statement_timeout_seconds=1)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable) as ended, snapshot(engine) as connection:
        connection.execute(text("SELECT pg_sleep(60)"))
    assert time.monotonic() - started < 5
    assert not isinstance(ended.value, SourceRefused)
    engine.dispose()


def test_an_error_that_is_not_the_sources_passes_through(table: Source) -> None:
    with pytest.raises(KeyError), snapshot(table.engine):
        raise KeyError


def test_a_running_query_can_be_ended_from_another_thread(table: Source) -> None:
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"\((OperationalError|QueryCanceled)\)") as ended:
        run_until_cancelled(table, after_seconds=0.2)
    assert time.monotonic() - started < 5
    assert not isinstance(ended.value, SourceRefused)


def run_until_cancelled(table: Source, after_seconds: float) -> None:
    with snapshot(table.engine) as connection:
        timer = threading.Timer(after_seconds, cancel_query, [connection])
        timer.start()
        try:
            connection.execute(text(ENDLESS[table.dialect]))
        finally:
            timer.join()


ASK_AND_WAIT = """
import sys
from sqlalchemy import text
from resources.settings import with_driver
from resources.settings import PROJECT_ROOT
from resources.source.connection import connect_source, snapshot

with snapshot(connect_source(with_driver(sys.argv[1]))) as connection:
    print(connection.scalar(text("SELECT pg_backend_pid()")), flush=True)
    connection.execute(text("SELECT pg_sleep(600)"))
"""


def test_a_query_of_a_process_that_was_killed_ends(postgresql_source: Source) -> None:
    url = postgresql_source.writer.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", ASK_AND_WAIT, url],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        backend = int(process.stdout.readline())
        assert backend in sessions(postgresql_source)
        process.kill()

    within = 2 * CLIENT_CHECK_SECONDS
    eventually(lambda: backend not in sessions(postgresql_source), within=within)


def test_a_connection_is_closed_after_its_use(postgresql_source: Source) -> None:
    postgresql_source.make("id bigint PRIMARY KEY")
    with snapshot(postgresql_source.engine) as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        assert connection.scalar(text("SHOW timezone")) == "UTC"
        assert connection.scalar(text("SHOW application_name")) == "workers"
    eventually(lambda: backend not in sessions(postgresql_source), within=5)


def sessions(source: Source) -> list[int]:
    with source.writer.connect() as connection:
        return list(connection.scalars(text("SELECT pid FROM pg_stat_activity")))


@pytest.fixture
def sqlite_at(tmp_path: Path) -> Iterator[list[Engine]]:
    engines: list[Engine] = []
    yield engines
    for engine in engines:
        engine.dispose()


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path, sqlite_at: list[Engine]) -> None:
    path = tmp_path / "missing.sqlite"
    sqlite_at.append(connect_source(URL.create("sqlite", database=str(path))))
    with pytest.raises(SourceUnavailable), snapshot(sqlite_at[0]):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "50%", "a%41", "a#b", "a?mode=rwc", "ключ", "it's"])
def test_a_sqlite_file_may_have_any_name(
    tmp_path: Path, sqlite_at: list[Engine], name: str
) -> None:
    url = URL.create("sqlite", database=str(tmp_path / name))
    sqlite_at += [create_engine(url), connect_source(url)]
    with sqlite_at[0].begin() as connection:
        connection.execute(text(f"CREATE TABLE {TABLE} (id integer)"))
    with snapshot(sqlite_at[1]) as connection:
        assert connection.scalar(COUNT) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    engine = connect_source(URL.create("postgresql+psycopg2", host="127.0.0.1", port=1))
    with pytest.raises(SourceUnavailable) as away, snapshot(engine):
        pass
    assert not isinstance(away.value, SourceRefused)
    engine.dispose()


LETTERS = st.text(st.sampled_from("aAé%_\\*?[]^-\n'😀"), max_size=6)


def regex_from_like(pattern: str) -> str:
    """LIKE as the contract means it, in another language."""
    tokens = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"%": ".*", "_": "."}
    return "".join(wildcards.get(token) or re.escape(token[-1]) for token in tokens)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(LETTERS, LETTERS)
def test_a_glob_matches_what_its_like_pattern_does(
    sqlite_source: Source, value: str, pattern: str
) -> None:
    with sqlite_source.writer.connect() as connection:
        found = connection.scalar(
            text("SELECT :value GLOB :glob"), {"value": value, "glob": glob_from_like(pattern)}
        )
    assert bool(found) == bool(re.fullmatch(regex_from_like(pattern), value, re.DOTALL))


def test_options_in_a_postgresql_url_are_kept(postgresql_source: Source) -> None:
    url = postgresql_source.writer.url.update_query_dict({"options": "-csearch_path=elsewhere"})
    engine = connect_source(url)
    with snapshot(engine) as connection:
        assert connection.scalar(text("SHOW search_path")) == "elsewhere"
        assert connection.scalar(text("SHOW default_transaction_read_only")) == "on"
    engine.dispose()


def test_a_mysql_server_may_be_reached_by_a_socket_of_the_machine(mysql_tables: Source) -> None:
    with mysql_tables.writer.connect() as connection:
        path = Path(str(connection.scalar(text("SELECT @@socket"))))
    if not path.is_socket():
        pytest.skip(f"NO SOCKET at {path}: the MySQL server is on another machine")
    url = mysql_tables.writer.url.set(host="localhost")
    engine = connect_source(url.update_query_dict({"unix_socket": str(path)}))
    with snapshot(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
