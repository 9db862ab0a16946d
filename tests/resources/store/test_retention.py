"""What is past its time: which results go, which tasks are forgotten."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from resources.store.models import Status
from resources.store.retention import Outdated, RetentionStore
from resources.timestamps import now
from tests.resources.store.conftest import Rows

EXPIRED, OLD = timedelta(days=7), timedelta(days=90)
RESULT = {"rows": 3, "bytes": 10, "files": 1, "folder": "1/x"}


@pytest.fixture
def at() -> datetime:
    return now()


@pytest.fixture
def store(engine: Engine, at: datetime) -> RetentionStore:
    return RetentionStore(engine, at - EXPIRED, at - OLD)


def completed(at: datetime, age: timedelta, **columns: Any) -> dict[str, Any]:
    finished = {"status": Status.COMPLETED, "result": RESULT, "finished_at": at - age}
    return finished | columns


def test_a_result_goes_when_it_has_expired_and_not_a_second_before(
    store: RetentionStore, rows: Rows, at: datetime
) -> None:
    second = timedelta(seconds=1)
    rows.add(**completed(at, EXPIRED - second))
    expired = rows.add(**completed(at, EXPIRED + second))

    assert [task.id for task in store.expired_results(10)] == [expired]
    assert store.outdated() == Outdated(results=1, bytes=10, tasks=0)


def test_results_of_any_size_are_counted(store: RetentionStore, rows: Rows, at: datetime) -> None:
    large = {**RESULT, "bytes": 3 * 2**31}
    for _ in range(2):
        rows.add(**completed(at, EXPIRED * 2, result=large))

    assert store.outdated() == Outdated(results=2, bytes=6 * 2**31, tasks=0)


def test_a_result_that_stays_does_not_hide_those_after_it(
    store: RetentionStore, rows: Rows, at: datetime
) -> None:
    ids = [rows.add(**completed(at, EXPIRED * 2)) for _ in range(3)]  # at one moment

    first = store.expired_results(2)
    (last,) = store.expired_results(2, first[-1])

    assert [*(task.id for task in first), last.id] == ids
    assert store.expired_results(2, last) == []


def test_the_tasks_that_stay_are_told(store: RetentionStore, rows: Rows, at: datetime) -> None:
    rows.add(status="failed", finished_at=at - 2 * OLD)
    stay = {
        rows.add(status="failed", finished_at=at),
        rows.add(status="pending"),
        rows.add(status="processing"),
    }

    assert store.kept([row["id"] for row in rows.all()] + [2**40]) == stay


def test_a_result_that_is_gone_is_not_looked_for_again(
    store: RetentionStore, rows: Rows, at: datetime
) -> None:
    rows.add(**completed(at, EXPIRED * 2))

    store.mark_removed(store.expired_results(10))

    assert store.expired_results(10) == []
    assert store.outdated() == Outdated(results=0, bytes=0, tasks=0)
    (row,) = rows.all()
    assert row["swept_at"] >= at
    assert row["status"] == Status.COMPLETED


def test_results_come_in_batches_the_oldest_first(
    store: RetentionStore, rows: Rows, at: datetime
) -> None:
    days = [20, 30, 10]
    ids = {days: rows.add(**completed(at, timedelta(days=days))) for days in days}

    assert [task.id for task in store.expired_results(2)] == [ids[30], ids[20]]


@pytest.mark.parametrize(
    "columns",
    [
        {"status": Status.PENDING},
        {"status": Status.PROCESSING},
        {"status": Status.FAILED, "swept_at": None},  # its files may lie there still
        {"status": Status.CANCELLED, "swept_at": None},
        {"status": Status.COMPLETED, "result": RESULT, "swept_at": None},
    ],
    ids=repr,
)
def test_what_is_alive_or_has_left_something_is_not_forgotten(
    store: RetentionStore, rows: Rows, at: datetime, columns: dict[str, Any]
) -> None:
    rows.add(finished_at=at - 2 * OLD, **columns)

    assert store.forget(10) == 0
    assert store.outdated().tasks == (columns["status"] == "completed")  # whose result goes first
    assert len(rows.all()) == 1


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_an_old_task_of_which_nothing_is_left_is_forgotten(
    store: RetentionStore, rows: Rows, at: datetime, status: Status
) -> None:
    second = timedelta(seconds=1)
    kept = rows.add(status=status, finished_at=at - OLD + second, swept_at=at)
    rows.add(status=status, finished_at=at - OLD - second, swept_at=at)

    assert store.outdated().tasks == 1
    assert store.forget(10) == 1
    assert [row["id"] for row in rows.all()] == [kept]


def test_tasks_are_forgotten_in_batches_and_their_ids_never_come_again(
    store: RetentionStore, rows: Rows, at: datetime
) -> None:
    old = [rows.add(status="failed", finished_at=at - 2 * OLD, swept_at=at) for _ in range(5)]

    assert [store.forget(2) for _ in range(4)] == [2, 2, 1, 0]
    assert rows.add() > max(old)


def test_what_is_past_its_time_is_found_by_an_index(engine: Engine, sqlite_engine: Engine) -> None:
    if engine.dialect.name == "sqlite":  # another test may have counted the rows of this one
        engine = sqlite_engine
    with engine.begin() as connection:
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [
            "\n".join(
                str(row)
                for row in connection.execute(
                    text(
                        f"{explain}SELECT * FROM tasks WHERE {which} AND finished_at < '2020-01-01'"
                    )
                )
            )
            for which in (
                "status IN ('completed') AND swept_at IS NULL",
                "status IN ('completed', 'failed', 'cancelled')",
            )
        ]

    assert "ix_tasks_with_result" in plans[0]
    assert "ix_tasks_finished" in plans[1]
