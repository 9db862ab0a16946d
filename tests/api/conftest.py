"""Fixtures for tests of the API: it is served once for each database, and empty for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from api.app import Backends
from resources.demo_source import create_demo_source
from resources.results import ResultStore
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tables import metadata
from tests.api.support import Api, serving
from tests.support.results import local_results

DEMO_BOOKINGS = 200


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The default settings, in a home of their own."""
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def catalog(settings: Settings) -> Iterator[Catalog]:
    """The project's datasets, in a small demo source."""
    create_demo_source(settings.demo_source_path, bookings=DEMO_BOOKINGS)
    source = connect_source(settings.source)
    yield Catalog(source, load_declarations(settings.datasets))
    source.dispose()


@pytest.fixture(scope="session")
def served_on_each(
    session_engine: Engine, catalog: Catalog, settings: Settings, backend: str
) -> Iterator[tuple[int, Backends]]:
    """The API on SQLite, then on PostgreSQL; for `api`."""
    results = local_results(settings.home / "results" / backend)
    backends = Backends(session_engine, catalog, results)
    with serving(settings, backends) as port:
        yield port, backends


@pytest.fixture
def api(served_on_each: tuple[int, Backends], engine: Engine) -> Iterator[Api]:
    """The served API without tasks and tokens, on SQLite and on PostgreSQL."""
    with ExitStack() as closing:
        yield Api(*served_on_each, closing)


@pytest.fixture(scope="session")
def served_on_sqlite(catalog: Catalog, settings: Settings) -> Iterator[tuple[int, Backends]]:
    """The API on SQLite; for `sqlite_api`."""
    engine = connect(settings.state_url)
    migrate(engine)
    backends = Backends(engine, catalog, local_results(settings.home / "results"))
    with serving(settings, backends) as port:
        yield port, backends
    engine.dispose()


@pytest.fixture
def sqlite_api(served_on_sqlite: tuple[int, Backends]) -> Iterator[Api]:
    """The served API without tasks and tokens, for tests that are not about the store."""
    with served_on_sqlite[1].engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    with ExitStack() as closing:
        yield Api(*served_on_sqlite, closing)


Serve = Callable[..., Api]


@pytest.fixture
def serve(catalog: Catalog, sqlite_engine: Engine, tmp_path: Path) -> Iterator[Serve]:
    """Serves an application of which a part is another than usual."""
    usual = Settings(home=tmp_path / "home")
    with ExitStack() as closing:

        def start(
            settings: Settings = usual,
            engine: Engine = sqlite_engine,
            catalog: Catalog = catalog,
            results: ResultStore | None = None,
        ) -> Api:
            backends = Backends(engine, catalog, results or local_results(usual.home / "results"))
            return Api(closing.enter_context(serving(settings, backends)), backends, closing)

        yield start
