"""Tasks as clients use them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from sqlalchemy import Engine, delete, select, text, update

from resources.errors import (
    IdempotencyKeyReused,
    PageOutOfRange,
    TaskNotCancellable,
    TaskNotFound,
    Unavailable,
)
from resources.requests import TaskRequest
from resources.store import tasks as store_module
from resources.store.lists import TaskFilter
from resources.store.models import FINAL_STATUSES, Principal, Role, Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore, fingerprint
from resources.timestamps import now
from tests.resources.store.conftest import Rows

ALICE = Principal("alice", Role.USER)
BOB = Principal("bob", Role.USER)
ROOT = Principal("root", Role.ADMIN)
REQUEST = TaskRequest(task_type="bookings_export")
THREADS = 8


@pytest.fixture
def store(engine: Engine) -> TaskStore:
    return TaskStore(engine)


class Broken(Exception):
    """What the injected failures raise."""


@pytest.fixture
def no_announcements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step of every write that somebody is to hear of fails."""

    def fail(_connection: Any) -> NoReturn:
        raise Broken

    monkeypatch.setattr("resources.store.tasks.announce_change", fail)


def submit(store: TaskStore, key: str | None = None, **fields: Any) -> tuple[Task, bool]:
    request = REQUEST.model_copy(update=fields)
    made = store.submit(request, owner="alice", request_id="r", idempotency_key=key)
    return made.task, made.replayed


def test_submitted_task_is_pending_and_reserves_a_run(store: TaskStore) -> None:
    task, replayed = submit(store)
    assert not replayed
    assert (task.status, task.owner, task.attempt, task.processed) == ("pending", "alice", 1, 0)
    assert (task.total, task.result, task.error, task.handed_over_at) == (None, None, None, None)
    assert len(task.run_id) == 36
    assert now() - task.created_at < timedelta(minutes=1)
    assert store.get(task.id, ALICE) == task


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Grüße, 東京, 😀",
        'a "quoted" \\ line\n\t',
        2**63 - 1,
        -(2**63),
        10**30,
        0.1,
        1e15,
        12.50,
        True,
        None,
        [],
        [None, 1, "x"],
        {"gt": 1, "lt": {"deep": [1.5, None]}},
    ],
)
def test_request_comes_back_as_it_went_in(store: TaskStore, value: Any) -> None:
    fields: dict[str, Any] = {
        "batch_size": 100_000,
        "filters": {"field": value},
        "date_from": "0001-01-01T00:00:00Z",
        "date_to": "9999-12-31T23:59:59.999999Z",
        "options": {"z": value, "a": 1},
    }
    task, _ = submit(store, **fields)
    found = store.get(task.id, ALICE)
    assert {name: getattr(found, name) for name in fields} == fields


def test_absent_result_is_null_in_the_database_too(store: TaskStore, rows: Rows) -> None:
    submit(store)
    query = text("SELECT count(*) FROM tasks WHERE result IS NULL AND error IS NULL")
    with rows.engine.connect() as connection:
        assert connection.scalar(query) == 1


def test_submission_that_fails_leaves_nothing(
    store: TaskStore, rows: Rows, no_announcements: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Broken):
        submit(store, "key")
    assert rows.all() == []
    monkeypatch.undo()
    assert submit(store, "key", batch_size=7)[1] is False


def test_submission_that_fails_leaves_an_expired_key_where_it_was(
    store: TaskStore, rows: Rows, no_announcements: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    rows.add(idempotency_key="key", created_at=now() - timedelta(days=2))
    before = rows.all()
    # When
    with pytest.raises(Broken):
        submit(store, "key")
    # Expect
    assert rows.all() == before


def test_ids_go_up_and_never_come_twice(store: TaskStore, rows: Rows) -> None:
    first, second = submit(store)[0], submit(store)[0]
    with rows.engine.begin() as connection:
        connection.execute(delete(tasks))
    assert first.id < second.id < submit(store)[0].id


def test_key_stands_for_one_request_of_one_owner(store: TaskStore) -> None:
    task, _ = submit(store, "key")
    assert submit(store, "key") == (task, True)
    with pytest.raises(IdempotencyKeyReused):
        submit(store, "key", batch_size=7)
    other = store.submit(REQUEST, owner="bob", request_id="r", idempotency_key="key")
    assert not other.replayed


def test_key_that_another_took_in_between_is_seen(
    store: TaskStore, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the first look finds the key free, though it is not
    task, _ = submit(store, "key")
    looks = iter([None])
    look = store_module._holder_of_key
    monkeypatch.setattr(store_module, "_holder_of_key", lambda *given: next(looks, look(*given)))
    # Expect
    assert submit(store, "key") == (task, True)
    assert len(rows.all()) == 1


@pytest.mark.parametrize("expired", [False, True])
def test_key_makes_one_task_however_many_ask_at_once(
    store: TaskStore, rows: Rows, expired: bool
) -> None:
    if expired:
        rows.add(idempotency_key="key", created_at=now() - timedelta(days=2))
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda _: submit(store, "key"), range(THREADS)))
    assert [replayed for _, replayed in made].count(False) == 1
    assert len({task.id for task, _ in made}) == 1
    assert len(rows.all()) == 1 + expired


def test_fingerprint_tells_requests_apart_and_nothing_else() -> None:
    same = TaskRequest(
        task_type="bookings_export", filters={"a": 1, "b": 2}, date_from="2024-01-01T02:00:00+02:00"
    )
    again = TaskRequest(
        date_from="2024-01-01T00:00:00Z", filters={"b": 2, "a": 1}, task_type="bookings_export"
    )
    assert fingerprint(same) == fingerprint(again)
    others: list[dict[str, Any]] = [
        {"filters": {"a": "1", "b": 2}},
        {"filters": {"a": 1, "b": 2, "c": None}},
        {"batch_size": 7},
        {"date_from": "2024-01-01T00:00:00.000000Z"},
        {"date_from": None, "date_to": "2024-01-01T00:00:00Z"},
        {"options": {"format": "csv"}},
    ]
    digests = {fingerprint(same.model_copy(update=other)) for other in others}
    assert len(digests | {fingerprint(same)}) == len(others) + 1


def test_task_is_there_for_its_owner_and_admins(store: TaskStore) -> None:
    task, _ = submit(store)
    assert store.get(task.id, ALICE) == store.get(task.id, ROOT) == task
    for method in (store.get, store.cancel):
        with pytest.raises(TaskNotFound):
            method(task.id, BOB)
        with pytest.raises(TaskNotFound):
            method(task.id + 1, ROOT)
    assert store.get(task.id, ALICE) == task


def test_page_counts_all_and_shows_the_newest(store: TaskStore, rows: Rows) -> None:
    ids = [rows.add() for _ in range(5)]
    rows.add("bob")
    page = store.page(ALICE, TaskFilter(), page=2, page_size=2)
    assert ([task.id for task in page.tasks], page.count) == ([ids[2], ids[1]], 5)
    assert store.page(ROOT, TaskFilter(), page=1, page_size=1).count == 6


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (TaskFilter(), 4),
        (TaskFilter(statuses=[Status.FAILED]), 1),
        (TaskFilter(statuses=[Status.FAILED, Status.PENDING]), 3),
        (TaskFilter(task_types=["other"]), 1),
        (TaskFilter(task_types=["other", "bookings_export"]), 4),
        (TaskFilter(owner="bob"), 1),
        (TaskFilter(owner="Bob"), 0),
        (TaskFilter(statuses=[Status.PENDING], task_types=["other"], owner="bob"), 0),
    ],
)
def test_filter_keeps_what_fits_all_of_it(
    store: TaskStore, rows: Rows, wanted: TaskFilter, count: int
) -> None:
    rows.add()
    rows.add(status=Status.FAILED)
    rows.add(status=Status.COMPLETED, task_type="other")
    rows.add("bob")
    page = store.page(ROOT, wanted, page=1, page_size=100)
    assert len(page.tasks) == page.count == count


def test_page_past_the_end_is_told(store: TaskStore, rows: Rows) -> None:
    rows.add()
    assert store.page(BOB, TaskFilter(), page=1, page_size=20).tasks == []
    for page in (2, 2**63 // 100):
        with pytest.raises(PageOutOfRange):
            store.page(ALICE, TaskFilter(), page=page, page_size=100)


def test_pending_task_is_cancelled_at_once(store: TaskStore) -> None:
    task, _ = submit(store)
    cancelled = store.cancel(task.id, ALICE)
    assert cancelled.status is Status.CANCELLED
    assert cancelled.cancel_requested_at == cancelled.finished_at is not None
    assert store.get(task.id, ALICE) == cancelled


def test_processing_task_keeps_the_first_wish_to_end_it(store: TaskStore, rows: Rows) -> None:
    task, _ = submit(store)
    rows.set(task, status=Status.PROCESSING)
    first, second = store.cancel(task.id, ALICE), store.cancel(task.id, ROOT)
    assert first.status is Status.PROCESSING
    assert first.cancel_requested_at is not None
    assert first.finished_at is None
    assert second == first


@pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
def test_final_task_is_not_cancelled(store: TaskStore, rows: Rows, status: Status) -> None:
    task, _ = submit(store)
    rows.set(task, status=status)
    before = rows.read(task)
    with pytest.raises(TaskNotCancellable):
        store.cancel(task.id, ALICE)
    assert rows.read(task) == before


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_cancel_that_fails_leaves_the_task_as_it_was(
    store: TaskStore, rows: Rows, no_announcements: None, status: Status
) -> None:
    rows.add(status=status)
    before = rows.all()
    with pytest.raises(Broken):
        store.cancel(before[0]["id"], ALICE)
    assert rows.all() == before


def test_cancel_waits_for_whoever_is_ending_the_task(
    store: TaskStore, engine: Engine, rows: Rows
) -> None:
    # Given
    task, _ = submit(store)
    rows.set(task, status=Status.PROCESSING)
    with ThreadPoolExecutor(1) as pool:
        # When
        with engine.begin() as connection:
            connection.execute(select(tasks).with_for_update())
            cancelling = pool.submit(store.cancel, task.id, ALICE)
            connection.execute(update(tasks).values(status=Status.COMPLETED))
        # Expect
        with pytest.raises(TaskNotCancellable):
            cancelling.result(timeout=30)
    assert rows.read(task)["cancel_requested_at"] is None


USES: list[Callable[[TaskStore], object]] = [
    submit,
    lambda store: submit(store, "key"),
    lambda store: store.get(1, ALICE),
    lambda store: store.page(ALICE, TaskFilter(), page=1, page_size=20),
    lambda store: store.cancel(1, ALICE),
]


@pytest.mark.parametrize("use", USES)
def test_database_that_does_not_answer_is_unavailable(
    dead_engine: Engine, use: Callable[[TaskStore], object]
) -> None:
    with pytest.raises(Unavailable):
        use(TaskStore(dead_engine))
