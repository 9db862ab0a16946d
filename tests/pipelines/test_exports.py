"""An export publishes once, whole, and leaves nothing where it does not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, update

from pipelines.exports import Export, frame_rows
from pipelines.parts import PartWriter
from pipelines.run_control import RunControl
from resources.errors import AttemptSuperseded, SourceUnavailable, TaskFailed, Unavailable
from resources.requests import TaskRequest, select_rows
from resources.results import ResultStore
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from resources.source.masking import Masking
from resources.store.attempts import AttemptStore
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.results import local_results

ALICE = Principal("alice", Role.USER)
ROWS = 25


@pytest.fixture
def source_path(tmp_path: Path) -> Path:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookings (id INTEGER PRIMARY KEY, note TEXT)")
        connection.executemany(
            "INSERT INTO bookings VALUES (?, ?)", [(i, f"note {i}") for i in range(ROWS)]
        )
        connection.commit()
    return path


@pytest.fixture
def source(source_path: Path) -> Iterator[Engine]:
    engine = connect_source(URL.create("sqlite", database=str(source_path)))
    yield engine
    engine.dispose()


@pytest.fixture
def store(sqlite_engine: Engine) -> TaskStore:
    return TaskStore(sqlite_engine)


@pytest.fixture
def request_(request: pytest.FixtureRequest) -> TaskRequest:
    return TaskRequest(task_type="bookings_export", batch_size=10, options={"format": "csv"})


@pytest.fixture
def task(store: TaskStore, request_: TaskRequest, sqlite_engine: Engine) -> Task:
    """A task whose run is at work."""
    task = store.submit(request_, owner="alice", request_id="r", idempotency_key=None).task
    with sqlite_engine.begin() as connection:
        connection.execute(update(tasks).values(status=Status.PROCESSING))
    return task


@pytest.fixture
def results(tmp_path: Path) -> ResultStore:
    return local_results(tmp_path / "results")


@pytest.fixture
def export(
    sqlite_engine: Engine,
    source: Engine,
    task: Task,
    request_: TaskRequest,
    results: ResultStore,
) -> Export:
    catalog = Catalog(source, {"bookings": Declaration(table="bookings", key=["id"])})
    attempt = AttemptStore(sqlite_engine, task.run_id)
    return Export(
        request=request_,
        selection=select_rows(request_, catalog),
        source=source,
        masking=Masking(b"a key of the tests"),
        folder=results.attempt(task.id, task.run_id),
        attempt=attempt,
        control=RunControl(attempt),
    )


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "results").rglob("*") if path.is_file())


def test_what_is_published_is_what_the_manifest_says(
    export: Export, store: TaskStore, task: Task, results: ResultStore, tmp_path: Path
) -> None:
    exported = export.run()

    after = store.get(task.id, ALICE)
    assert after.result is not None
    assert results.manifest(after.result["folder"]) == exported.manifest
    assert after.result["rows"] == after.processed == after.total == ROWS
    assert files(tmp_path) == ["checkpoint.json", "manifest.json", "part-00001.csv"]


def test_a_cancelled_task_is_not_published_and_its_files_are_gone(
    export: Export, store: TaskStore, task: Task, tmp_path: Path
) -> None:
    store.cancel(task.id, ALICE)

    with pytest.raises(AttemptSuperseded):
        export.run()

    assert store.get(task.id, ALICE).result is None
    assert files(tmp_path) == []


def test_rows_that_get_lost_on_the_way_are_found_out(
    export: Export,
    store: TaskStore,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = PartWriter.write

    def lose_one(self: PartWriter, frame: Any) -> None:
        write(self, frame.iloc[1:])

    monkeypatch.setattr(PartWriter, "write", lose_one)

    with pytest.raises(TaskFailed) as failure:
        export.run()

    assert failure.value.code == "count_mismatch"
    assert store.get(task.id, ALICE).result is None
    assert files(tmp_path) == []


def test_rows_that_change_meanwhile_change_nothing(
    export: Export, source_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Export._count

    def count_and_meddle(self: Export, connection: Any, selection: Any) -> int:
        counted = count(self, connection, selection)
        with closing(sqlite3.connect(source_path, timeout=0)) as writer:
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute("INSERT INTO bookings VALUES (1000, 'late')")
            writer.execute("DELETE FROM bookings WHERE id < 5")
            writer.commit()
        return counted

    with closing(sqlite3.connect(source_path)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
    monkeypatch.setattr(Export, "_count", count_and_meddle)

    assert export.run().manifest["rows"] == ROWS


def test_a_source_that_is_gone_leaves_nothing_and_may_be_asked_again(
    export: Export, source_path: Path, tmp_path: Path
) -> None:
    away = source_path.rename(source_path.with_name("away"))

    with pytest.raises(SourceUnavailable):
        export.run()
    assert files(tmp_path) == []

    away.rename(source_path)
    assert export.run().manifest["rows"] == ROWS


def test_a_storage_that_takes_nothing_fails_the_task_as_retryable(
    export: Export, tmp_path: Path
) -> None:
    (tmp_path / "results").rmdir()
    (tmp_path / "results").write_text("a file where the folder should be")

    with pytest.raises(TaskFailed) as failure:
        export.run()

    assert (failure.value.code, failure.value.retryable) == ("storage_unavailable", True)


@pytest.mark.parametrize(
    ("batch_size", "rows"), [(1, 10_000), (100, 10_000), (3_000, 9_000), (100_000, 100_000)]
)
def test_a_frame_carries_whole_batches(batch_size: int, rows: int) -> None:
    assert frame_rows(batch_size) == rows


def test_a_database_that_is_away_when_the_result_is_published_costs_no_export(
    export: Export, store: TaskStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, calls = AttemptStore.publish, iter([Unavailable(), Unavailable()])

    def away_at_first(self: AttemptStore, result: dict[str, Any]) -> None:
        for error in calls:
            raise error
        publish(self, result)

    monkeypatch.setattr("pipelines.run_control.RETRY_SECONDS", 0)
    monkeypatch.setattr(AttemptStore, "publish", away_at_first)

    export.run()

    assert store.get(task.id, ALICE).result is not None


def test_files_that_may_be_published_are_kept(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit_and_lose_the_answer(_self: AttemptStore, _result: dict[str, Any]) -> None:
        raise Unavailable

    monkeypatch.setattr("pipelines.run_control.PATIENCE_SECONDS", 0)
    monkeypatch.setattr("pipelines.run_control.RETRY_SECONDS", 0)
    monkeypatch.setattr(AttemptStore, "publish", commit_and_lose_the_answer)

    with pytest.raises(Unavailable):
        export.run()

    assert "part-00001.csv" in files(tmp_path)


@pytest.mark.parametrize("spelling", ["2024-06-15T08:00:00", "2024-06-15", "2024-06-15 08:00"])
def test_a_time_that_cannot_be_compared_is_named_and_nothing_is_left_out_silently(
    sqlite_engine: Engine,
    task: Task,
    results: ResultStore,
    tmp_path: Path,
    spelling: str,
) -> None:
    path = tmp_path / "times.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookings (id INTEGER PRIMARY KEY, at TIMESTAMP)")
        connection.execute("INSERT INTO bookings VALUES (1, '2024-06-15 08:00:00')")
        connection.execute("INSERT INTO bookings VALUES (2, ?)", (spelling,))
        connection.commit()
    source = connect_source(URL.create("sqlite", database=str(path)))
    declared = Declaration(table="bookings", key=["id"], date_column="at")
    asked = TaskRequest(task_type="bookings_export", date_from="2024-06-15T09:00:00Z")
    attempt = AttemptStore(sqlite_engine, task.run_id)

    with pytest.raises(TaskFailed, match=r"value_not_representable.*id = 2"):
        Export(
            request=asked,
            selection=select_rows(asked, Catalog(source, {"bookings": declared})),
            source=source,
            masking=Masking(b"a key of the tests"),
            folder=results.attempt(task.id, task.run_id),
            attempt=attempt,
            control=RunControl(attempt),
        ).run()
    source.dispose()
