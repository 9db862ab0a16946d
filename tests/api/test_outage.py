"""What clients are told when something behind the API fails: 503 where it may pass, else 500."""

import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import URL, create_engine

from resources.requests import parse_request
from resources.results import ResultStore
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tasks import TaskStore
from resources.store.tokens import TokenStore
from tests.api.conftest import Serve
from tests.api.support import EXPORTS, ROUTES, TASKS, TIMEOUT_SECONDS, Api, File, assert_problem
from tests.conftest import temporary_database
from tests.support.outages import disposed, moved_away, shut
from tests.support.results import local_results
from tests.support.waiting import eventually

FILE = File("part-00001.csv", b"id\n")
EVERYTHING = [*ROUTES, ("PUT", TASKS), ("GET", "/api/nowhere")]


def assert_unavailable(client: httpx.Client) -> None:
    """Everything under ``/api/`` answers 503: what knows the token as well, until it forgets it."""
    for method, path in ROUTES:
        answer = client.request(method, path.format(id=1), json={"task_type": "bookings_export"})
        assert_problem(answer, 503, "unavailable")
    eventually(lambda: client.get("/api/nowhere").status_code == 503, within=1)
    for method, path in EVERYTHING:
        answer = client.request(method, path.format(id=1), json={"task_type": "bookings_export"})
        problem = assert_problem(answer, 503, "unavailable")
        assert problem["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["down"]) == (503, ["database"])


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


@pytest.mark.parametrize("moved", ["runs.db", "."])
def test_service_does_without_sqlite_while_it_is_moved_away(
    serve: Serve, tmp_path: Path, moved: str
) -> None:
    folder = tmp_path / "moved"
    with disposed(connect(URL.create("sqlite", database=str(folder / "runs.db")))) as engine:
        # Given: connections that are open
        migrate(engine)
        api = serve(engine=engine)
        client = api.user()
        task = api.submit(client)
        # When
        with moved_away(folder / moved):
            assert_unavailable(client)
            assert not (folder / "runs.db").exists()
        # Expect
        assert client.get(f"{TASKS}{task['id']}/").json() == task
        assert client.get(TASKS).json()["count"] == 1
        assert api.submit(client)["id"] > task["id"]


def test_service_serves_the_database_that_takes_anothers_place(
    serve: Serve, tmp_path: Path
) -> None:
    path, backup = tmp_path / "state" / "runs.db", tmp_path / "backup.db"
    with disposed(connect(URL.create("sqlite", database=str(path)))) as engine:
        # Given
        migrate(engine)
        api = serve(engine=engine)
        client = api.user()
        first = api.submit(client)
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(backup)) as copy:
            old.backup(copy)
        api.submit(client)
        # When
        for each in (path, path.with_name("runs.db-wal"), path.with_name("runs.db-shm")):
            each.unlink()
        backup.rename(path)
        # Expect
        assert [task["id"] for task in client.get(TASKS).json()["results"]] == [first["id"]]
        api.submit(client)
        with closing(sqlite3.connect(path)) as kept:
            assert kept.execute("SELECT count(*) FROM tasks").fetchone() == (2,)


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


READS = [route for route in ROUTES if route[0] == "GET"]


@pytest.fixture
def without_source(
    serve: Serve, settings: Settings, catalog: Catalog, tmp_path: Path
) -> Iterator[tuple[Api, Path]]:
    """The API on a source of its own, which nobody has asked for anything yet, and its file."""
    path = tmp_path / "source.sqlite"
    shutil.copy(settings.demo_source_path, path)
    with disposed(connect_source(URL.create("sqlite", database=str(path)))) as source:
        yield serve(catalog=Catalog(source, load_declarations(settings.datasets))), path


@pytest.mark.parametrize("task_type", EXPORTS)
def test_without_the_source_tasks_are_shown_and_none_is_taken_that_cannot_be_checked(
    without_source: tuple[Api, Path], catalog: Catalog, task_type: str
) -> None:
    # Given
    (api, path), body = without_source, {"task_type": task_type, "filters": {"id": 1}}
    client = api.user()
    request = parse_request({"task_type": "bookings_export"}, catalog)
    store = TaskStore(api.engine)
    stored = store.submit(request, owner="alice", request_id="x", idempotency_key=None).task
    task = client.get(f"{TASKS}{stored.id}/").json()
    api.complete(task, FILE)
    # When
    with moved_away(path):
        answer = client.post(TASKS, json=body)
        # Expect
        assert assert_problem(answer, 503, "unavailable")["retryable"] is True
        assert int(answer.headers["retry-after"]) >= 1
        for method, route in READS:
            assert client.request(method, route.format(**task)).status_code == 200, route
    eventually(lambda: client.post(TASKS, json=body).status_code == 201, within=TIMEOUT_SECONDS)


def unreadable(folder: Path, lost: str) -> Path:
    """What is to be moved away so that ``lost`` cannot be read."""
    return {"results": folder.parent.parent, "task": folder.parent, "run": folder}.get(
        lost, folder / lost
    )


@pytest.mark.parametrize("lost", ["results", "task", "run", "manifest.json", FILE.name])
def test_without_its_files_a_task_is_shown_and_its_result_unavailable(
    serve: Serve, tmp_path: Path, lost: str
) -> None:
    # Given
    api = serve(results=local_results(tmp_path / "kept" / "results"))
    client = api.user()
    task = api.submit(client)
    api.complete(task, FILE)
    folder = tmp_path / "kept" / "results" / str(task["id"]) / task["run_id"]
    file = ("GET", f"{TASKS}{{id}}/result/{FILE.name}")
    hit = [file] if lost == FILE.name else [("GET", f"{TASKS}{{id}}/result/"), file]
    # When
    with moved_away(unreadable(folder, lost)):
        # Expect
        for method, route in READS:
            answer = client.request(method, route.format(**task))
            if (method, route) in hit:
                assert_problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            else:
                assert answer.status_code == 200, route
    assert client.get(f"{TASKS}{task['id']}/result/{FILE.name}").content == FILE.content


def test_damaged_manifest_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    api = serve(results=local_results(tmp_path / "results"))
    client = api.user()
    task = api.submit(client)
    api.complete(task, FILE)
    manifest = tmp_path / "results" / str(task["id"]) / task["run_id"] / "manifest.json"
    whole = manifest.read_bytes()
    for damaged in (b"", whole[:-9], b"[]", b"1", b"null", b'"x"', b"{}", b"\xff", b"[" * 10**5):
        manifest.write_bytes(damaged)
        for name in ("", FILE.name):
            answer = client.get(f"{TASKS}{task['id']}/result/{name}")
            assert_problem(answer, 503, "unavailable")
    manifest.write_bytes(whole)
    assert client.get(f"{TASKS}{task['id']}/result/").status_code == 200


@pytest.mark.parametrize("size", [0, 1, len(FILE.content) - 1])
def test_file_that_was_cut_is_not_served_as_whole(serve: Serve, tmp_path: Path, size: int) -> None:
    api = serve(results=local_results(tmp_path / "results"))
    client = api.user()
    task = api.submit(client)
    api.complete(task, FILE)
    path = tmp_path / "results" / str(task["id"]) / task["run_id"] / FILE.name
    path.write_bytes(FILE.content[:size])
    answer = client.get(f"{TASKS}{task['id']}/result/{FILE.name}")
    assert_problem(answer, 503, "unavailable")


SECRET = "SELECT s3cret FROM /work/secret.py"


class BrokenCatalog(Catalog):
    """Fails as nobody expects."""

    def __init__(self) -> None:
        pass

    def declared(self, names: Sequence[str]) -> NoReturn:
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


@pytest.mark.parametrize(("method", "route"), EVERYTHING)
def test_unexpected_error_before_routing_tells_nothing_but_its_request(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    route: str,
) -> None:
    api = serve()
    monkeypatch.setattr(TokenStore, "authenticate", BrokenTokens.authenticate)
    answer = api.client().request(method, route.format(id=1), headers=headers(api))
    assert_internal_error(answer, caplog)


def test_service_goes_on_after_an_unexpected_error(serve: Serve) -> None:
    api = serve(catalog=BrokenCatalog())
    alice = api.user()
    answers = [
        alice.post(TASKS, json={"task_type": "bookings_export"}).status_code,
        alice.get(TASKS).status_code,
    ]
    assert answers == [500, 200]
