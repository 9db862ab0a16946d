"""What clients are told when something behind the API fails: 503 where it may pass, else 500."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import URL, Engine, create_engine, text

from resources.results import ResultStore
from resources.source.catalog import Catalog
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tokens import TokenStore
from tests.api.conftest import Serve
from tests.api.support import TASKS, Api, File, assert_problem
from tests.conftest import temporary_database

FILE = File("part-00001.csv", b"id\n")
ROUTES = [
    ("GET", TASKS),
    ("POST", TASKS),
    ("PUT", TASKS),
    ("GET", f"{TASKS}1/"),
    ("DELETE", f"{TASKS}1/"),
    ("GET", f"{TASKS}1/status/"),
    ("GET", f"{TASKS}1/result/"),
    ("GET", f"{TASKS}1/result/{FILE.name}"),
    ("GET", "/api/nowhere"),
]


def assert_unavailable(client: httpx.Client) -> None:
    """Every route under ``/api/`` answers 503."""
    for method, path in ROUTES:
        answer = client.request(method, path, json={"task_type": "bookings_export"})
        problem = assert_problem(answer, 503, "unavailable")
        assert problem["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/state/runs.db", "postgresql+psycopg2://postgres:s3cret@127.0.0.1:1/runs"],
)
def test_without_the_task_database_every_route_is_unavailable(serve: Serve, url: str) -> None:
    engine = create_engine(url)
    assert_unavailable(serve(engine=engine).client("wrk_any"))
    engine.dispose()


def test_file_that_is_no_database_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"this is not a database " * 100)
    engine = connect(URL.create("sqlite", database=str(path)))
    assert_unavailable(serve(engine=engine).client("wrk_any"))
    engine.dispose()


def test_service_recovers_when_sqlite_is_back(serve: Serve, tmp_path: Path) -> None:
    # Given
    engine = connect(URL.create("sqlite", database=str(tmp_path / "later" / "runs.db")))
    api = serve(engine=engine)
    assert_unavailable(api.client("wrk_any"))
    # When
    migrate(engine)
    # Expect
    assert api.submit(api.user())["status"] == "pending"
    engine.dispose()


def test_service_recovers_when_postgresql_is_back(serve: Serve, postgres_server: URL) -> None:
    with temporary_database(postgres_server) as url, disposed(connect(url)) as engine:
        # Given
        migrate(engine)
        api = serve(engine=engine)
        client = api.user()
        task = api.submit(client)
        # When
        with shut(postgres_server, url):
            assert_unavailable(client)
        # Expect
        assert client.get(f"{TASKS}{task['id']}/").json() == task


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    yield engine
    engine.dispose()


@contextmanager
def shut(server: URL, url: URL) -> Iterator[None]:
    """Nobody reaches the database ``url`` while inside."""
    allow = f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS '
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    with disposed(create_engine(server, isolation_level="AUTOCOMMIT")) as admin:
        with admin.connect() as connection:
            connection.execute(text(allow + "false"))
            connection.execute(text(end), {"name": url.database})
        try:
            yield
        finally:
            with admin.connect() as connection:
                connection.execute(text(allow + "true"))


SECRET = "SELECT s3cret FROM /work/secret.py"


class BrokenCatalog(Catalog):
    """Fails as nobody expects."""

    def __init__(self) -> None:
        pass

    def dataset(self, name: str) -> NoReturn:
        """Always fails."""
        raise RuntimeError(SECRET)


class BrokenResults(ResultStore):
    """Fails as nobody expects."""

    def manifest(self, folder: str) -> dict[str, Any]:
        """Always fails."""
        raise KeyError(SECRET)


class BrokenTokens:
    """Fails as nobody expects, before routing."""

    def authenticate(self, token: str) -> NoReturn:
        """Always fails."""
        raise ZeroDivisionError(SECRET)


def assert_internal_error(answer: httpx.Response, caplog: pytest.LogCaptureFixture) -> None:
    assert_problem(answer, 500, "internal_error")
    assert "s3cret" not in answer.text
    (logged,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert "my-request" in logged.getMessage()
    assert logged.exc_info
    assert SECRET in str(logged.exc_info[1])


def headers(api: Api) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.tokens.create('alice')}", "X-Request-ID": "my-request"}


def test_unexpected_error_on_post_tells_nothing_but_its_request(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(catalog=BrokenCatalog())
    body = {"task_type": "bookings_export"}
    answer = api.client().post(TASKS, json=body, headers=headers(api))
    assert_internal_error(answer, caplog)
    assert api.user("alice").get(TASKS).json()["count"] == 0


def test_unexpected_error_on_get_tells_nothing_but_its_request(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(results=BrokenResults(tmp_path))
    task = api.submit(api.user("alice"))
    api.complete(task, FILE)
    answer = api.client().get(f"{TASKS}{task['id']}/result/", headers=headers(api))
    assert_internal_error(answer, caplog)


def test_unexpected_error_before_routing_tells_nothing_but_its_request(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve()
    monkeypatch.setattr(TokenStore, "authenticate", BrokenTokens.authenticate)
    answer = api.client().get(TASKS, headers=headers(api))
    assert_internal_error(answer, caplog)


def test_service_goes_on_after_an_unexpected_error(serve: Serve) -> None:
    api = serve(catalog=BrokenCatalog())
    alice = api.user()
    answers = [
        alice.post(TASKS, json={"task_type": "bookings_export"}).status_code,
        alice.get(TASKS).status_code,
    ]
    assert answers == [500, 200]
