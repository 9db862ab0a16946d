"""What the whole service does while a database or the results folder is gone, and afterwards.

Its parts are never restarted: what is back is used again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from tests.api.support import ROUTES, assert_problem
from tests.conftest import temporary_database
from tests.service.conftest import results_of, running
from tests.support.crashes import Crashes
from tests.support.outages import full, moved_away, replaced_by_a_file, shut, unusable
from tests.support.service import Client, Service
from tests.support.sources import (
    BIG,
    DATASETS,
    FRAMES_OF_ONE_BATCH,
    make_postgres_source,
    make_sqlite_source,
)
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

Outage = Callable[[Path], AbstractContextManager[None]]

WANTED: dict[str, Any] = {"filters": {"status": "pending"}, "options": {"format": "csv"}}
# Many ids, in parts that have ten thousand of them.
IDS: dict[str, Any] = {**BIG, "options": {"format": "csv", "columns": ["id"]}}
CONSTANTS = {**FRAMES_OF_ONE_BATCH, "pipelines.parts.PART_ROWS": 10_000}
# More than a full disk takes.
LARGER: dict[str, Any] = {"filters": {"status": "confirmed"}, "options": {"format": "csv"}}
BODY = {"task_type": "bookings_export", **WANTED}
# Bytes of ids in about the time of three looks at the task database.
WRITTEN_MEANWHILE = 100_000
# The longest that a part waits before it looks again whether something is back.
RECOVERY_SECONDS = 30


@dataclass(frozen=True)
class Breakable:
    """A running service, and what can be taken from it."""

    service: Service
    source: URL
    state: URL | None  # None: SQLite
    server: URL | None

    def without_state(self) -> AbstractContextManager[None]:
        """The task database is gone."""
        if self.server and self.state:
            return shut(self.server, self.state)
        return moved_away(self.service.home / "state")

    def without_source(self) -> AbstractContextManager[None]:
        """The source is gone."""
        if self.server:
            return shut(self.server, self.source)
        return moved_away(Path(self.source.database or ""))


@pytest.fixture(scope="module")
def broken(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Breakable]:
    """A service of this module's own, with databases of its own."""
    folder = tmp_path_factory.mktemp("outage")
    (folder / "datasets.toml").write_text(DATASETS)
    environment = {
        **Crashes(folder / "crashes").environment(**CONSTANTS),
        "WORKERS_DATASETS": str(folder / "datasets.toml"),
    }
    lite = make_sqlite_source(folder / "source.sqlite")
    if backend == "sqlite":
        environment["WORKERS_SOURCE_URL"] = str(lite)
        with running(folder / "home", environment) as service:
            yield Breakable(service, lite, None, None)
        return
    server = request.getfixturevalue("postgres_server")
    with temporary_database(server) as state, temporary_database(server) as source:
        make_postgres_source(source, folder / "source.sqlite")
        environment["WORKERS_DATABASE_URL"] = state.render_as_string(hide_password=False)
        environment["WORKERS_SOURCE_URL"] = source.render_as_string(hide_password=False)
        with running(folder / "home", environment) as service:
            yield Breakable(service, source, state, server)


@pytest.fixture(scope="module")
def alice(broken: Breakable) -> Iterator[Client]:
    client = broken.service.client("alice")
    yield client
    client.close()


@pytest.fixture(scope="module")
def done(alice: Client) -> dict[str, Any]:
    """A task that completed before anything broke."""
    return alice.until(alice.submit(**WANTED)["id"], "completed")


def ask(alice: Client, method: str, path: str) -> httpx.Response:
    """The answer to a request; POSTs submit a task."""
    url = alice.http.base_url.copy_with(raw_path=path.encode())
    return alice.http.request(method, url, json=BODY if method == "POST" else None)


def assert_shown(alice: Client, task: dict[str, Any], *, files: bool = True) -> None:
    """The task is told as it was; its files too, or they are unavailable."""
    for method, route in ROUTES:
        if method != "GET":
            continue
        answer = ask(alice, method, route.format(**task))
        if files or "/result/" not in route:
            assert answer.status_code == 200, route
        else:
            assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
    assert alice.task(task["id"]) == task


def assert_failed(alice: Client, task: dict[str, Any], code: str) -> None:
    """The task fails for the reason ``code``, may be submitted again later, and serves nothing."""
    failed = alice.until(task["id"], "failed", within=RECOVERY_SECONDS)
    assert (failed["error"]["code"], failed["error"]["retryable"]) == (code, True)
    for name in ("", "part-00001.csv", "part-00001.csv.unfinished"):
        answer = alice.http.get(f"/{task['id']}/result/{name}")
        assert_problem(answer, 409, "result_not_ready")


def assert_works(alice: Client, done: dict[str, Any]) -> None:
    """A new task completes, with the same rows as the old one, which is still served."""
    task = alice.until(alice.submit(**WANTED)["id"], "completed", within=RECOVERY_SECONDS)
    assert alice.files(task) == alice.files(done)
    assert_shown(alice, done)


def readiness(alice: Client) -> tuple[int, Any]:
    answer = ask(alice, "GET", "/health/ready")
    return answer.status_code, answer.json()["down"]


def test_without_the_task_database_everything_is_unavailable_and_then_goes_on(
    broken: Breakable, alice: Client, done: dict[str, Any]
) -> None:
    # Given
    accepted = alice.submit(**WANTED)
    # When
    with broken.without_state():
        # Expect
        for method, route in ROUTES:
            answer = ask(alice, method, route.format(**done))
            assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert ask(alice, "GET", "/health/live").status_code == 200
        assert readiness(alice) == (503, ["database"])
    eventually(lambda: readiness(alice) == (200, []), within=RECOVERY_SECONDS)
    alice.until(accepted["id"], "completed", within=60)
    assert_works(alice, done)


def test_a_running_task_goes_on_without_the_task_database(broken: Breakable, alice: Client) -> None:
    # Given
    running = alice.submit(**IDS)
    eventually(lambda: alice.task(running["id"])["progress"]["processed"] > 0, within=60)

    def written() -> int:
        return sum(path.stat().st_size for path in results_of(broken.service, running["id"]))

    # When
    with broken.without_state():
        before = written()
        eventually(lambda: written() > before + WRITTEN_MEANWHILE, within=60)
    eventually(lambda: readiness(alice) == (200, []), within=RECOVERY_SECONDS)
    # Expect
    told = alice.task(running["id"])
    assert (told["status"], told["attempt"]) == ("processing", 1)
    eventually(
        lambda: alice.task(running["id"])["progress"]["processed"] > told["progress"]["processed"],
        within=RECOVERY_SECONDS,
    )
    alice.cancel(running["id"])
    alice.until(running["id"], "cancelled", within=RECOVERY_SECONDS)


def test_without_the_source_tasks_fail_and_what_is_done_is_shown(
    broken: Breakable, alice: Client, done: dict[str, Any]
) -> None:
    # Given
    hit = []
    if broken.server is not None:  # a file that is open stays readable when it is moved
        hit.append(alice.submit(filters={"status": "slow"}))
        alice.until(hit[0]["id"], "processing")
    # When
    with broken.without_source():
        answer = ask(alice, "POST", "/api/v1/workers/")
        # Expect: refused, or accepted by what is known of the source already
        if answer.status_code == 201:
            hit.append(answer.json())
        else:
            assert_problem(answer, 503, "unavailable")
        assert_shown(alice, done)
        assert readiness(alice) == (200, [])
        for task in hit:
            assert_failed(alice, task, "source_unavailable")
    assert_works(alice, done)


@pytest.fixture
def results(broken: Breakable) -> Path:
    if broken.server is not None:
        pytest.skip("the results folder does not depend on the database")
    return broken.service.home / "results"


@pytest.mark.parametrize("outage", [unusable, full])
def test_without_the_results_folder_tasks_fail_and_what_is_done_is_shown(
    results: Path, alice: Client, done: dict[str, Any], outage: Outage
) -> None:
    with outage(results):
        task = alice.submit(**LARGER)
        assert_failed(alice, task, "storage_unavailable")
        assert_shown(alice, done, files=False)
        eventually(lambda: is_empty(results), within=RECOVERY_SECONDS)
    assert_works(alice, done)
    assert not (results / str(task["id"])).exists()


def is_empty(folder: Path) -> bool:
    """Nothing lies in ``folder``, as far as may be seen."""
    return not os.access(folder, os.R_OK) or not list(folder.iterdir())


def test_a_results_folder_that_goes_away_in_the_middle_is_swept_afterwards(
    broken: Breakable, results: Path, alice: Client, done: dict[str, Any]
) -> None:
    # Given
    running = alice.submit(**IDS)
    eventually(lambda: alice.task(running["id"])["progress"]["processed"] > 0, within=60)
    assert results_of(broken.service, running["id"]) != []
    # When
    with replaced_by_a_file(results):
        started = alice.submit(**WANTED)
        # Expect
        for task in (started, running):
            assert_failed(alice, task, "storage_unavailable")
        assert_shown(alice, done, files=False)
    eventually(lambda: results_of(broken.service, running["id"]) == [], within=RECOVERY_SECONDS)
    assert_works(alice, done)
