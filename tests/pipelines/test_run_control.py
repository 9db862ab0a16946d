"""A run keeps in touch with its task, and stops when the task is no longer its own."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from pipelines import run_control
from pipelines.run_control import Progress, RunControl
from resources.errors import AttemptInterrupted, AttemptSuperseded, Unavailable
from resources.requests import TaskRequest
from resources.settings import PROJECT_ROOT
from resources.store.attempts import AttemptStore
from resources.store.models import Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.support.waiting import eventually

ALICE = Principal("alice", Role.USER)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_control, "CANCEL_POLL_SECONDS", 0.02)
    monkeypatch.setattr(run_control, "INTERRUPT_POLL_SECONDS", 0.01)
    monkeypatch.setattr(run_control, "HEARTBEAT_SECONDS", 0.02)


@pytest.fixture
def task(sqlite_engine: Engine) -> Task:
    request = TaskRequest(task_type="bookings_export")
    submitted = TaskStore(sqlite_engine).submit(
        request, owner="alice", request_id="r", idempotency_key=None
    )
    with sqlite_engine.begin() as connection:
        connection.execute(update(tasks).values(status=Status.PROCESSING))
    return submitted.task


@pytest.fixture
def attempt(sqlite_engine: Engine, task: Task) -> AttemptStore:
    return AttemptStore(sqlite_engine, task.run_id)


def column(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.execute(select(tasks.c[name])).scalar_one()


def test_a_run_that_nobody_stops_goes_on_and_its_heart_beats(
    sqlite_engine: Engine, attempt: AttemptStore
) -> None:
    with RunControl(attempt) as control:
        eventually(lambda: column(sqlite_engine, "heartbeat_at"), within=5)
        control.raise_if_stopped()


def test_a_cancelled_run_is_told_and_its_query_interrupted_until_it_ends(
    sqlite_engine: Engine, attempt: AttemptStore, task: Task
) -> None:
    enough = threading.Event()
    calls: Iterator[int] = iter(range(1, 4))

    def interrupt() -> None:
        if next(calls, 3) == 3:
            enough.set()

    with RunControl(attempt) as control, control.interruptible(interrupt):
        TaskStore(sqlite_engine).cancel(task.id, ALICE)
        assert enough.wait(5)
        with pytest.raises(AttemptSuperseded):
            control.raise_if_stopped()


def test_a_query_that_cannot_be_cancelled_yet_is_cancelled_later(
    sqlite_engine: Engine, attempt: AttemptStore, task: Task
) -> None:
    again = threading.Event()
    failures = iter([RuntimeError("no connection to cancel by")])

    def interrupt() -> None:
        for failure in failures:
            raise failure
        again.set()

    with RunControl(attempt) as control, control.interruptible(interrupt):
        TaskStore(sqlite_engine).cancel(task.id, ALICE)
        assert again.wait(5)


def test_a_run_whose_task_another_run_has_taken_is_told(
    sqlite_engine: Engine, attempt: AttemptStore
) -> None:
    with RunControl(attempt) as control:
        with sqlite_engine.begin() as connection:
            connection.execute(update(tasks).values(run_id="another"))
        eventually(control._stopped.is_set, within=5)
        with pytest.raises(AttemptSuperseded), control.interruptible(lambda: None):
            pass


DEAF = """
import sys
from sqlalchemy import URL
from pipelines import run_control
from pipelines.run_control import RunControl
from resources.settings import PROJECT_ROOT
from resources.store.attempts import AttemptStore
from resources.store.database import connect

path, run_id, limit, work = sys.argv[1:]
setattr(run_control, limit, 2)
run_control.CANCEL_POLL_SECONDS = 0.1
attempt = AttemptStore(connect(URL.create("sqlite", database=path)), run_id)
with RunControl(attempt):
    print("at work", flush=True)
    exec(work)
"""
SLEEP = "import time; time.sleep(600)"
# Matching takes for ever, and lets no other thread run.
HOLD_ON = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"


@contextmanager
def deaf_run(engine: Engine, task: Task, limit: str, work: str) -> Iterator[subprocess.Popen[str]]:
    """A run at work that takes no notice of anything; one of its limits is two seconds."""
    database = engine.url.database or ""
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF, database, task.run_id, limit, work],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "at work\n"
            yield process
        finally:
            process.kill()


def test_a_run_that_must_stop_and_does_not_is_ended(sqlite_engine: Engine, task: Task) -> None:
    with deaf_run(sqlite_engine, task, "STOP_SECONDS", SLEEP) as process:
        TaskStore(sqlite_engine).cancel(task.id, ALICE)

        assert process.wait(20) == 1


def test_a_run_that_lets_nobody_watch_it_ends_and_tells_no_stack(
    sqlite_engine: Engine, task: Task
) -> None:
    with deaf_run(sqlite_engine, task, "STALL_SECONDS", HOLD_ON) as process:
        assert process.wait(20) == 1
        assert process.stderr.read() == ""  # type: ignore[union-attr]


def test_a_run_that_is_watched_may_work_for_as_long_as_it_likes(
    sqlite_engine: Engine, task: Task
) -> None:
    longer_than_the_limit = "import time; time.sleep(5)"
    with deaf_run(sqlite_engine, task, "STALL_SECONDS", longer_than_the_limit) as process:
        assert process.wait(20) == 0


def test_an_interrupted_run_is_told_that_it_was_interrupted(attempt: AttemptStore) -> None:
    interrupted = threading.Event()
    called = threading.Event()

    with (
        RunControl(attempt, interrupted.is_set) as control,
        control.interruptible(called.set),
    ):
        control.raise_if_stopped()
        interrupted.set()
        assert called.wait(5)
        with pytest.raises(AttemptInterrupted):
            control.raise_if_stopped()


def test_a_run_goes_on_while_the_task_database_is_away(
    attempt: AttemptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def away(_self: AttemptStore) -> None:
        asked.set()
        raise Unavailable

    monkeypatch.setattr(AttemptStore, "check", away)
    monkeypatch.setattr(AttemptStore, "beat", away)

    with RunControl(attempt) as control:
        assert asked.wait(5)
        control.raise_if_stopped()


def test_progress_is_told_at_most_twice_a_second(
    sqlite_engine: Engine, attempt: AttemptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    clock = [100.0]
    monkeypatch.setattr("pipelines.run_control.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        AttemptStore, "report_progress", lambda _self, processed, _total: told.append(processed)
    )
    progress = Progress(attempt, 1000)

    for _ in range(100):  # ten frames a second, for ten seconds
        progress.advance(10)
        clock[0] += 0.1

    assert told[0] == 10
    assert len(told) <= 21


def test_progress_that_cannot_be_told_stops_nothing_but_losing_the_task_does(
    attempt: AttemptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object) -> None:
        raise Unavailable

    monkeypatch.setattr(AttemptStore, "report_progress", away)
    Progress(attempt, 10).advance(1)
    monkeypatch.undo()

    with pytest.raises(AttemptSuperseded):
        Progress(AttemptStore(attempt.engine, "another"), 10).advance(1)


def test_a_heartbeat_is_recent(sqlite_engine: Engine, attempt: AttemptStore) -> None:
    attempt.beat()

    beaten = column(sqlite_engine, "heartbeat_at")
    assert now() - timedelta(seconds=5) < beaten <= now()  # type: ignore[operator]
