"""What tests of every kind build on: databases that come and go."""

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from xdist.scheduler import LoadScopeScheduling

from resources.settings import load_settings, with_driver
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tables import metadata
from tests.support import ledger
from tests.support.s3 import Relay, S3Bucket, aws_environment, new_bucket, s3_server

BACKENDS = ("sqlite", "postgresql")
DEFAULT_POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
DEFAULT_MYSQL_URL = "mysql://root@127.0.0.1:3306"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of the whole service first, which take longest."""
    items.sort(key=lambda item: item.get_closest_marker("service") is None)


class _Together(LoadScopeScheduling):  # type: ignore[misc]
    """Which tests stay together where several processes share them.

    Those of the whole service share one service for each kind of database: those of each are one
    process's. All others go by their files.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        if not file.startswith("tests/service/"):
            return file
        return next((f"service on {each}" for each in BACKENDS if f"[{each}" in name), "service")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """As `_Together` says."""
    return _Together(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After the fault tests: what they did, and what became of the tasks."""
    for line in ledger.table():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Tests say themselves what is set: nothing leaks in from the shell that runs them."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if _is_setting(name)}
    load_settings.cache_clear()
    yield
    os.environ.update(kept)


def _is_setting(name: str) -> bool:
    ours = name.startswith("WORKERS_") and not name.startswith("WORKERS_TEST_")
    return ours or name.startswith("AWS_") or name == "DAGSTER_HOME"


@pytest.fixture(scope="session")
def postgres_server() -> URL:
    """A PostgreSQL server to make databases on; skips where there is none, fails so in CI."""
    return _server("POSTGRES", DEFAULT_POSTGRES_URL)


@pytest.fixture(scope="session")
def mysql_server() -> URL:
    """A MySQL or MariaDB server, likewise."""
    return _server("MYSQL", DEFAULT_MYSQL_URL)


def _server(name: str, default: str) -> URL:
    url = with_driver(os.environ.get(f"WORKERS_TEST_{name}_URL", default))
    admin = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with admin.connect():
            pass
    except OperationalError:
        message = (
            f"NO {name} at {url.host}:{url.port}: its tests do not run. "
            f"Start one, or set WORKERS_TEST_{name}_URL."
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    finally:
        admin.dispose()
    return url


def temporary_database(server: URL, template: str | None = None) -> AbstractContextManager[URL]:
    """A PostgreSQL database, empty or a copy of ``template``."""
    origin = "" if template is None else f'TEMPLATE "{template}"'
    # From elsewhere: a database to which somebody is connected cannot be copied.
    admin = server.set(database="postgres")
    return _temporary(admin, f'CREATE DATABASE "{{}}" {origin}', 'DROP DATABASE "{}" WITH (FORCE)')


def temporary_mysql_database(server: URL) -> AbstractContextManager[URL]:
    """An empty MySQL database."""
    return _temporary(server, "CREATE DATABASE `{}` CHARACTER SET utf8mb4", "DROP DATABASE `{}`")


@contextmanager
def _temporary(server: URL, create: str, drop: str) -> Iterator[URL]:
    """A database of a name of its own, gone afterwards."""
    name = f"workers_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(create.format(name)))
    try:
        yield server.set(database=name)
    finally:
        with admin.connect() as connection:
            connection.execute(text(drop.format(name)))
        admin.dispose()


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database a test runs on; every test that asks runs on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def session_engine(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A migrated task store, shared by the session's tests."""
    if backend == "sqlite":
        path = tmp_path_factory.mktemp("state") / "runs.db"
        yield from _migrated(URL.create("sqlite", database=str(path)))
    else:
        with temporary_database(request.getfixturevalue("postgres_server")) as url:
            yield from _migrated(url)


def _migrated(url: URL) -> Iterator[Engine]:
    engine = connect(url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(session_engine: Engine) -> Engine:
    """An empty task store, on SQLite and on PostgreSQL."""
    with session_engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return session_engine


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty task store on SQLite, for tests that are not about the store."""
    yield from _migrated(URL.create("sqlite", database=str(tmp_path / "state" / "runs.db")))


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """A server that speaks the protocol of S3."""
    with s3_server() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int) -> S3Bucket:
    """An empty bucket on it."""
    return new_bucket(s3_port)


@pytest.fixture
def relay(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """What stands between this process and that server, and can be taken away."""
    relay = Relay(s3_port)
    for name, value in aws_environment(relay.port).items():
        monkeypatch.setenv(name, value)
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def postgres_source(postgres_server: URL) -> Iterator[URL]:
    """An empty PostgreSQL database, to make source tables in."""
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_source(mysql_server: URL) -> Iterator[URL]:
    """An empty MySQL database, likewise."""
    with temporary_mysql_database(mysql_server) as url:
        yield url
