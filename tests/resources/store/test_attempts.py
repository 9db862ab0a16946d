"""A run's side of its task: it writes while the task is its own, and never after."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from resources.errors import AttemptSuperseded, TaskFailed, Unavailable
from resources.store.attempts import AttemptStore
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.resources.store.conftest import Rows

ALICE = Principal("alice", Role.USER)
RESULT = {"rows": 7, "bytes": 100, "files": 1, "folder": "1/run"}
FAILURE = TaskFailed("source_unavailable", "Submit the task again later.", retryable=True)

Use = Callable[[AttemptStore], object]

WRITES: dict[str, Use] = {
    "claim": lambda attempt: attempt.claim(),
    "beat": lambda attempt: attempt.beat(),
    "report_progress": lambda attempt: attempt.report_progress(5, 10),
    "publish": lambda attempt: attempt.publish(RESULT),
    "record_error": lambda attempt: attempt.record_error(FAILURE),
}
USES: dict[str, Use] = WRITES | {"check": lambda attempt: attempt.check()}


@pytest.fixture
def task(rows: Rows) -> Task:
    """A task whose run is at work."""
    task = rows.submit()
    rows.set(task, status=Status.PROCESSING, handed_over_at=now(), started_at=now())
    return task


@pytest.fixture
def attempt(task: Task, engine: Engine) -> AttemptStore:
    return AttemptStore(engine, task.run_id)


def taken_over(rows: Rows, task: Task) -> None:
    rows.set(task, run_id="next-run", attempt=2)


def asked_to_end(rows: Rows, task: Task) -> None:
    TaskStore(rows.engine).cancel(task.id, ALICE)


def cancelled(rows: Rows, task: Task) -> None:
    asked_to_end(rows, task)
    rows.set(task, status=Status.CANCELLED, finished_at=now())


def cancelled_before_it_started(rows: Rows, task: Task) -> None:
    rows.set(task, status=Status.PENDING)
    asked_to_end(rows, task)


def not_started(rows: Rows, task: Task) -> None:
    rows.set(task, status=Status.PENDING)


def failed(rows: Rows, task: Task) -> None:
    rows.set(task, status=Status.FAILED, finished_at=now())


def out_of_time(rows: Rows, task: Task) -> None:
    rows.set(task, error={"code": "max_runtime_exceeded", "detail": "…", "retryable": False})


def completed(rows: Rows, task: Task) -> None:
    rows.set(task, status=Status.COMPLETED, result={"rows": 1}, finished_at=now())


def deleted(rows: Rows, task: Task) -> None:
    with rows.engine.begin() as connection:
        connection.execute(delete(tasks).where(tasks.c.id == task.id))


@pytest.mark.parametrize(
    "lose",
    [
        taken_over,
        asked_to_end,
        cancelled,
        cancelled_before_it_started,
        not_started,
        failed,
        out_of_time,
        completed,
        deleted,
    ],
)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_run_that_lost_its_task_changes_nothing(
    rows: Rows, task: Task, attempt: AttemptStore, use: Use, lose: Callable[[Rows, Task], None]
) -> None:
    # Given
    other = rows.submit("bob")
    lose(rows, task)
    before = rows.all()
    # When
    with pytest.raises(AttemptSuperseded):
        use(attempt)
    # Expect
    assert rows.all() == before
    assert rows.read(other)["heartbeat_at"] is None


@pytest.mark.parametrize("use", WRITES.values(), ids=WRITES)
def test_run_writes_its_own_task_alone(
    rows: Rows, task: Task, attempt: AttemptStore, use: Use
) -> None:
    other = rows.submit()
    before, untouched = rows.read(task), rows.read(other)
    use(attempt)
    assert rows.read(task) != before
    assert rows.read(other) == untouched


def test_error_may_be_recorded_twice(rows: Rows, task: Task, attempt: AttemptStore) -> None:
    attempt.record_error(FAILURE)
    once = rows.all()
    attempt.record_error(FAILURE)
    assert rows.all() == once


def test_claim_gives_the_task_and_a_sign_of_life(
    rows: Rows, task: Task, attempt: AttemptStore
) -> None:
    claimed = attempt.claim()
    assert (claimed.id, claimed.status) == (task.id, Status.PROCESSING)
    assert claimed.heartbeat_at is not None
    assert now() - claimed.heartbeat_at < timedelta(minutes=1)


def test_claim_that_another_run_overtakes_is_refused(
    rows: Rows, task: Task, attempt: AttemptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the other run comes between the claim's write and its read
    write = AttemptStore._write_fenced

    def write_and_lose(self: AttemptStore, **values: Any) -> None:
        write(self, **values)
        taken_over(rows, task)

    monkeypatch.setattr(AttemptStore, "_write_fenced", write_and_lose)
    # Expect
    with pytest.raises(AttemptSuperseded):
        attempt.claim()


def test_check_writes_nothing(rows: Rows, task: Task, attempt: AttemptStore) -> None:
    before = rows.read(task)
    attempt.check()
    assert rows.read(task) == before


def test_beat_is_a_sign_of_life_and_nothing_else(
    rows: Rows, task: Task, attempt: AttemptStore
) -> None:
    before = rows.read(task)
    attempt.beat()
    after = rows.read(task)
    assert after["heartbeat_at"] > before["created_at"]
    assert after | {"heartbeat_at": None} == before


def test_progress_is_told_with_its_time(rows: Rows, task: Task, attempt: AttemptStore) -> None:
    attempt.report_progress(2**40, 2**41)
    row = rows.read(task)
    assert (row["processed"], row["total"]) == (2**40, 2**41)
    assert row["updated_at"] == row["heartbeat_at"] > task.updated_at


@pytest.mark.parametrize("count", [0, 7])
def test_publishing_is_one_write_of_result_and_rows(
    rows: Rows, task: Task, attempt: AttemptStore, count: int
) -> None:
    attempt.publish({**RESULT, "rows": count})
    row = rows.read(task)
    assert row["result"] == {**RESULT, "rows": count}
    assert (row["processed"], row["total"]) == (count, count)
    assert row["status"] == Status.PROCESSING  # the run's end decides


def test_error_is_kept_as_the_client_is_to_see_it(
    rows: Rows, task: Task, attempt: AttemptStore
) -> None:
    attempt.record_error(FAILURE)
    assert rows.read(task)["error"] == {
        "code": "source_unavailable",
        "detail": "Submit the task again later.",
        "retryable": True,
    }


def test_publishing_waits_for_a_cancel_and_loses(
    rows: Rows, task: Task, attempt: AttemptStore, engine: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        # When
        with engine.begin() as connection:
            connection.execute(update(tasks).values(cancel_requested_at=now()))
            publishing = pool.submit(attempt.publish, RESULT)
        # Expect
        with pytest.raises(AttemptSuperseded):
            publishing.result(timeout=30)
    assert rows.read(task)["result"] is None


def test_of_many_cancels_and_publications_at_once_each_task_sees_one_order(rows: Rows) -> None:
    # Given
    open_tasks = [rows.submit() for _ in range(20)]
    for task in open_tasks:
        rows.set(task, status=Status.PROCESSING)
    store = TaskStore(rows.engine)

    def publish(task: Task) -> bool:
        try:
            AttemptStore(rows.engine, task.run_id).publish(RESULT)
        except AttemptSuperseded:
            return False
        return True

    # When
    with ThreadPoolExecutor(4) as pool:
        cancels = [pool.submit(store.cancel, task.id, ALICE) for task in open_tasks]
        published = [each.result() for each in [pool.submit(publish, task) for task in open_tasks]]
        wishes = [each.result() for each in cancels]
    # Expect
    assert all(each.cancel_requested_at for each in wishes)
    assert [row["result"] is not None for row in rows.all()] == published


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_database_that_does_not_answer_is_unavailable(dead_engine: Engine, use: Use) -> None:
    with pytest.raises(Unavailable):
        use(AttemptStore(dead_engine, "run"))
