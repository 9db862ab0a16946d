"""Every write of the store is one transaction: wherever it breaks, nothing has happened."""

import importlib
import inspect
import pkgutil
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine

from resources import store
from resources.errors import TaskFailed, Unavailable
from resources.requests import TaskRequest
from resources.store.attempts import AttemptStore
from resources.store.handover import HandoverStore
from resources.store.models import Principal, Role, Status
from resources.store.parts import PartStore
from resources.store.retention import RetentionStore
from resources.store.tables import metadata
from resources.store.tasks import IDEMPOTENCY_KEY_LIFETIME, Submission, TaskStore
from resources.store.tokens import TokenStore
from resources.timestamps import now
from tests.resources.store.conftest import Rows
from tests.support.breaks import (
    COMMIT,
    assert_one_transaction,
    broken,
    lose_the_answer,
    methods_that_use,
    moments_of,
    noting,
)

ALICE = Principal("alice", Role.USER)
DAY = timedelta(days=1)
RESULT = {"rows": 7, "bytes": 100, "files": 1, "folder": "1/run"}
FAILURE = TaskFailed("source_unavailable", "Submit the task again later.", retryable=True)

Write = Callable[[], object]


def submit(rows: Rows, key: str | None = None) -> Callable[[], Submission]:
    request = TaskRequest(task_type="bookings_export")
    submit = TaskStore(rows.engine).submit
    return partial(submit, request, owner="alice", request_id="r", idempotency_key=key)


def submit_under_a_key_past_its_time(rows: Rows) -> Write:
    rows.set(rows.submit(key="k"), created_at=now() - IDEMPOTENCY_KEY_LIFETIME)
    return submit(rows, "k")


def cancel(rows: Rows, status: Status) -> Write:
    task = rows.submit()
    rows.set(task, status=status)
    return partial(TaskStore(rows.engine).cancel, task.id, ALICE)


def attempt(rows: Rows) -> AttemptStore:
    """The side of a run that is at work."""
    task = rows.submit()
    rows.set(task, status=Status.PROCESSING, handed_over_at=now(), started_at=now())
    return AttemptStore(rows.engine, task.run_id)


def mark_handed_over(rows: Rows) -> Write:
    return partial(HandoverStore(rows.engine).mark_handed_over, rows.submit())


def give_up(rows: Rows) -> Write:
    return partial(HandoverStore(rows.engine).give_up, rows.submit(), {"code": "internal_error"})


def mark_swept(rows: Rows) -> Write:
    task = rows.submit()
    rows.set(task, status=Status.FAILED, finished_at=now())
    return partial(HandoverStore(rows.engine).mark_swept, task)


def retention(rows: Rows) -> RetentionStore:
    task = rows.submit()
    rows.set(task, status=Status.FAILED, finished_at=now(), swept_at=now())
    return RetentionStore(rows.engine, now() + DAY, now() + DAY)


def mark_removed(rows: Rows) -> Write:
    task = rows.submit()
    rows.set(task, status=Status.COMPLETED, finished_at=now(), result=RESULT)
    store = RetentionStore(rows.engine, now() + DAY, now() + DAY)
    return partial(store.mark_removed, store.expired_results(1))


def see(rows: Rows) -> Write:
    return partial(PartStore(rows.engine).seen, "dispatcher")


def see_again(rows: Rows) -> Write:
    see(rows)()
    return see(rows)


def replace_token(rows: Rows) -> Write:
    create = partial(TokenStore(rows.engine).create, "alice", replaces="laptop")
    create()
    return create


def revoke(rows: Rows) -> Write:
    tokens = TokenStore(rows.engine)
    tokens.create("alice")
    return partial(tokens.revoke, tokens.list()[-1].id)


# Each method that writes, and in which case: prepares the rows, and returns the write.
WRITES: dict[str, Callable[[Rows], Write]] = {
    "TaskStore.submit": submit,
    "TaskStore.submit, under a key": lambda rows: submit(rows, "k"),
    "TaskStore.submit, under a key past its time": submit_under_a_key_past_its_time,
    "TaskStore.cancel, pending": lambda rows: cancel(rows, Status.PENDING),
    "TaskStore.cancel, processing": lambda rows: cancel(rows, Status.PROCESSING),
    "AttemptStore.claim": lambda rows: attempt(rows).claim,
    "AttemptStore.report_progress": lambda rows: partial(attempt(rows).report_progress, 5, 10),
    "AttemptStore.beat": lambda rows: attempt(rows).beat,
    "AttemptStore.publish": lambda rows: partial(attempt(rows).publish, RESULT),
    "AttemptStore.record_error": lambda rows: partial(attempt(rows).record_error, FAILURE),
    "HandoverStore.mark_handed_over": mark_handed_over,
    "HandoverStore.give_up": give_up,
    "HandoverStore.mark_swept": mark_swept,
    "RetentionStore.mark_removed": mark_removed,
    "RetentionStore.forget": lambda rows: partial(retention(rows).forget, 10),
    "PartStore.seen, for the first time": see,
    "PartStore.seen, again": see_again,
    "TokenStore.create": lambda rows: partial(TokenStore(rows.engine).create, "alice"),
    "TokenStore.create, replacing another": replace_token,
    "TokenStore.revoke": revoke,
}


def store_classes() -> Iterator[type]:
    """Every public class of the package."""
    for module in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
        if module.ispkg:
            continue
        for name, cls in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(cls) and cls.__module__ == module.name and name[0] != "_":
                yield cls


def test_no_writing_method_is_forgotten_here() -> None:
    writing = {
        f"{cls.__name__}.{method}"
        for cls in store_classes()
        for method in methods_that_use(cls, "write_transaction")
    }

    assert {name.split(",")[0] for name in WRITES} == writing


@pytest.mark.parametrize("prepare", WRITES.values(), ids=WRITES)
def test_write_that_breaks_has_not_happened_and_can_be_made_again(
    engine: Engine,
    rows: Rows,
    prepare: Callable[[Rows], Write],
    subtests: pytest.Subtests,
) -> None:
    rows.submit("bob")
    write = prepare(rows)

    assert_one_transaction(engine, metadata.sorted_tables, write, Unavailable, subtests)


def test_submission_whose_answer_was_lost_is_found_again_under_its_key(
    engine: Engine, rows: Rows
) -> None:
    # Given
    last = moments_of(engine, submit(rows, "first")).index(COMMIT)
    # When
    with pytest.raises(Unavailable), broken(engine, last, lose_the_answer):
        submit(rows, "second")()
    # Expect
    again = submit(rows, "second")()
    first, second = rows.all()
    assert (first["idempotency_key"], second["idempotency_key"]) == ("first", "second")
    assert (again.task.id, again.replayed) == (second["id"], True)


@contextmanager
def no_room_on_disk() -> Iterator[None]:
    """While inside, this process cannot make any file longer."""
    limit, hard_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard_limit))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard_limit))


def test_commit_that_finds_no_room_on_disk_has_not_happened_and_can_be_made_again(
    sqlite_engine: Engine,
) -> None:
    # Given
    rows = Rows(sqlite_engine)
    passed: list[str] = []
    # When
    with (
        noting(sqlite_engine, lambda moment, _connection: passed.append(moment)),
        no_room_on_disk(),
        pytest.raises(Unavailable),
    ):
        submit(rows)()
    # Expect
    assert passed[-1] == COMMIT
    assert rows.all() == []
    assert [submit(rows)().task.id] == [row["id"] for row in rows.all()]
