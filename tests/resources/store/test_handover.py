"""Tasks as the dispatcher sees them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from resources.errors import Unavailable
from resources.store.handover import HandoverStore, InFlight, WaitingTask
from resources.store.models import Status, Task
from resources.timestamps import now
from tests.resources.store.conftest import Rows


@pytest.fixture
def store(engine: Engine) -> HandoverStore:
    return HandoverStore(engine)


def ids(found: Sequence[Task | WaitingTask]) -> list[int]:
    return [task.id for task in found]


def waiting(store: HandoverStore, limit: int = 100) -> list[int]:
    """The tasks whose turn it is, of the highest priority first."""
    found = store.work(ends=0, waiting=limit).waiting
    return ids(sorted(found, key=lambda task: -task.priority))


def to_stop(store: HandoverStore, limit: int) -> Sequence[Task]:
    return store.work(ends=limit, waiting=0).to_stop


def to_sweep(store: HandoverStore, limit: int) -> Sequence[Task]:
    return store.work(ends=limit, waiting=0).to_sweep


def test_oldest_task_of_one_owner_comes_first(store: HandoverStore, rows: Rows) -> None:
    submitted = [rows.submit().id for _ in range(3)]
    assert waiting(store) == submitted


@pytest.mark.parametrize(
    "columns",
    [
        {"handed_over_at": now()},
        {"status": Status.PROCESSING},
        {"status": Status.COMPLETED},
        {"status": Status.FAILED},
        {"status": Status.CANCELLED, "cancel_requested_at": now()},
    ],
)
def test_task_that_does_not_wait_is_left_out(
    store: HandoverStore, rows: Rows, columns: dict[str, Any]
) -> None:
    rows.add(**columns)
    assert waiting(store) == []
    assert store.first_of_each_kind() == []


def test_fifty_tasks_of_one_owner_do_not_hold_up_another(store: HandoverStore, rows: Rows) -> None:
    of_alice = [rows.submit("alice").id for _ in range(50)]
    of_bob = [rows.submit("bob").id for _ in range(2)]
    assert waiting(store, 4) == [of_alice[0], of_bob[0], of_alice[1], of_bob[1]]
    assert waiting(store)[4:] == of_alice[2:]


def test_higher_priority_comes_first_whoever_asked_before(store: HandoverStore, rows: Rows) -> None:
    submitted = {
        priority: [rows.submit(owner, options={"priority": priority}).id for owner in owners]
        for priority, owners in (
            ("low", ["alice"]),
            ("normal", ["alice", "alice", "bob"]),
            ("high", ["alice", "alice"]),
        )
    }
    first, second, of_bob = submitted["normal"]
    order = [*submitted["high"], first, of_bob, second, *submitted["low"]]
    assert waiting(store) == order


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_no_more_than_asked_for_are_given(store: HandoverStore, rows: Rows, limit: int) -> None:
    submitted = [rows.submit().id for _ in range(3)]
    low = [rows.submit(options={"priority": "low"}).id for _ in range(3)]
    assert waiting(store, limit) == submitted[:limit] + low[:limit]


def test_waiting_task_is_given_whole_while_it_waits(store: HandoverStore, rows: Rows) -> None:
    task = rows.submit(filters={"status": "confirmed"}, date_from="2024-01-01T00:00:00Z")
    assert store.waiting_task(task.id) == task
    rows.set(task, status=Status.CANCELLED, cancel_requested_at=now())
    assert store.waiting_task(task.id) is None


def test_first_of_each_owner_priority_and_type_are_found_behind_many_others(
    store: HandoverStore, rows: Rows
) -> None:
    # Given
    firsts = []
    for owner in ("alice", "bob", "Carol", "dave"):
        for priority in (-1, 0, 1):
            for task_type in ("bookings_export", "users_export"):
                kind = {"priority": priority, "task_type": task_type}
                added = [rows.add(owner, turn=turn, **kind) for turn in (7, 5, 5, 9)]
                firsts.append(added[1])
    # Expect
    found = store.first_of_each_kind()
    assert ids(found) == firsts
    assert {(task.owner, task.task_type, task.priority) for task in found} == {
        (row["owner"], row["task_type"], row["priority"]) for row in rows.all()
    }


def test_first_of_each_kind_come_in_the_order_of_their_turns(
    store: HandoverStore, rows: Rows
) -> None:
    added = [rows.add(owner, turn=turn) for owner, turn in (("a", 3), ("b", 1), ("c", 2))]
    assert ids(store.first_of_each_kind()) == [added[1], added[2], added[0]]


def test_in_flight_is_what_dagster_has(store: HandoverStore, rows: Rows) -> None:
    # Given
    rows.add("alice")
    for status in Status:
        for _ in range(2):
            rows.add("alice", status=status, handed_over_at=now())
    rows.add("alice", priority=1, handed_over_at=now())
    rows.add("bob", task_type="users_export", handed_over_at=now())
    # Expect
    found = store.work(ends=0, waiting=0).in_flight
    assert sorted(found, key=repr) == sorted(
        [
            InFlight("alice", "bookings_export", 0, Status.PENDING, 2),
            InFlight("alice", "bookings_export", 0, Status.PROCESSING, 2),
            InFlight("alice", "bookings_export", 1, Status.PENDING, 1),
            InFlight("bob", "users_export", 0, Status.PENDING, 1),
        ],
        key=repr,
    )


def test_task_that_is_handed_over_waits_no_longer(store: HandoverStore, rows: Rows) -> None:
    # Given
    task, other = rows.submit(), rows.submit()
    # When
    store.mark_handed_over(task)
    handed_over_at = rows.read(task)["handed_over_at"]
    store.mark_handed_over(task)
    # Expect
    assert waiting(store) == [other.id]
    assert rows.read(task)["handed_over_at"] == handed_over_at is not None


def test_to_stop_are_those_that_somebody_wants_ended(store: HandoverStore, rows: Rows) -> None:
    # Given
    at = now()
    for status in Status:
        rows.add(status=status)
        rows.add(status=status, cancel_requested_at=at, swept_at=at)
    asked = {status: rows.add(status=status, cancel_requested_at=at) for status in Status}
    # Expect
    alive = [asked[status] for status in (Status.PENDING, Status.PROCESSING, Status.CANCELLED)]
    assert ids(to_stop(store, 10)) == alive
    assert ids(to_stop(store, 2)) == alive[:2]


def test_to_sweep_are_failed_tasks_alone(store: HandoverStore, rows: Rows) -> None:
    for status in Status:
        rows.add(status=status, swept_at=now())
        rows.add(status=status, cancel_requested_at=now() if status is Status.CANCELLED else None)
    failed = [row["id"] for row in rows.all() if row["status"] == "failed" and not row["swept_at"]]
    failed += [rows.add(status=Status.FAILED) for _ in range(2)]
    assert ids(to_sweep(store, 10)) == failed
    assert ids(to_sweep(store, 2)) == failed[:2]


@pytest.mark.parametrize(
    ("columns", "find"),
    [
        ({"status": Status.FAILED}, to_sweep),
        ({"status": Status.CANCELLED, "cancel_requested_at": now()}, to_stop),
    ],
)
def test_swept_task_is_done_with(
    store: HandoverStore,
    rows: Rows,
    columns: dict[str, Any],
    find: Callable[[HandoverStore, int], Sequence[Task]],
) -> None:
    for _ in range(2):
        rows.add(**columns)
    first, second = find(store, 10)
    store.mark_swept(first)
    assert find(store, 10) == [second]


def test_task_that_another_run_has_taken_is_not_swept(store: HandoverStore, rows: Rows) -> None:
    rows.add(status=Status.FAILED)
    (task,) = to_sweep(store, 1)
    rows.set(task, run_id="next-run", status=Status.PENDING)
    store.mark_swept(task)
    assert rows.read(task)["swept_at"] is None


@pytest.mark.parametrize(
    ("columns", "current"),
    [
        ({"updated_at": now(), "processed": 5}, True),
        ({"run_id": "next-run"}, False),
        ({"status": Status.PROCESSING}, False),
    ],
)
def test_task_is_current_while_its_run_and_status_are(
    store: HandoverStore, rows: Rows, columns: dict[str, Any], current: bool
) -> None:
    task, other = rows.submit(), rows.submit()
    rows.set(task, **columns)
    assert store.is_current(task) is current
    assert store.is_current(other)


ERROR = {"code": "no_such_job", "detail": "Tell the operator.", "retryable": False}


def test_task_of_which_nothing_will_come_fails(store: HandoverStore, rows: Rows) -> None:
    task, other = rows.submit(), rows.submit()
    store.give_up(task, ERROR)
    row = rows.read(task)
    assert (row["status"], row["error"]) == ("failed", ERROR)
    assert row["finished_at"] == row["updated_at"] > row["created_at"]
    assert waiting(store) == [other.id]


@pytest.mark.parametrize(
    "columns",
    [
        {"run_id": "next-run"},
        {"status": Status.PROCESSING},
        {"status": Status.CANCELLED, "cancel_requested_at": now()},
    ],
)
def test_task_that_has_moved_on_is_not_failed(
    store: HandoverStore, rows: Rows, columns: dict[str, Any]
) -> None:
    task = rows.submit()
    rows.set(task, **columns)
    before = rows.read(task)
    store.give_up(task, ERROR)
    assert rows.read(task) == before


def test_quiet_are_those_that_wait_in_dagster_without_a_change(
    store: HandoverStore, rows: Rows
) -> None:
    # Given
    minute = timedelta(minutes=1)
    long_ago = now() - 2 * minute
    rows.add(updated_at=long_ago)  # not handed over
    rows.add(handed_over_at=long_ago)  # changed just now
    for status in set(Status) - {Status.PENDING}:
        rows.add(status=status, handed_over_at=long_ago, updated_at=long_ago)
    quiet = [rows.add(handed_over_at=long_ago, updated_at=long_ago) for _ in range(3)]
    # Expect
    assert ids(store.quiet(minute, 10)) == quiet
    assert ids(store.quiet(minute, 2)) == quiet[:2]
    assert store.quiet(3 * minute, 10) == []


USES: dict[str, Callable[[HandoverStore, Task], object]] = {
    "work": lambda store, _task: store.work(ends=1, waiting=1),
    "first_of_each_kind": lambda store, _task: store.first_of_each_kind(),
    "waiting_task": lambda store, task: store.waiting_task(task.id),
    "mark_handed_over": lambda store, task: store.mark_handed_over(task),
    "quiet": lambda store, _task: store.quiet(timedelta(0), 1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_database_that_does_not_answer_is_unavailable(
    dead_engine: Engine, sqlite_engine: Engine, use: Callable[[HandoverStore, Task], object]
) -> None:
    task = Rows(sqlite_engine).submit()
    with pytest.raises(Unavailable):
        use(HandoverStore(dead_engine), task)


def test_what_a_pass_reads_is_in_indexes_that_hold_nothing_else(
    store: HandoverStore, rows: Rows, engine: Engine
) -> None:
    """However many tasks wait or have ended, a pass costs the same."""
    rows.submit()
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    with listening(engine, note):
        store.work(ends=1, waiting=1)
        store.first_of_each_kind()
        store.quiet(timedelta(0), 1)

    plans = [plan(engine, *each) for each in statements if "tasks" in each[0]]
    assert len(plans) == 6
    for index, found in zip(
        ("to_stop", "to_sweep", "in_flight", "waiting", "waiting", "in_flight"),
        plans,
        strict=True,
    ):
        assert f"ix_tasks_{index}" in found
        assert not re.search(r"SCAN tasks(?! USING (COVERING )?INDEX ix_tasks)|Seq Scan", found)


@contextmanager
def listening(engine: Engine, note: Callable[..., None]) -> Iterator[None]:
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(engine: Engine, statement: str, parameters: Any) -> str:
    """How the database goes about it; PostgreSQL scans small tables unless it must not."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return "\n".join(row[-1] for row in found)
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        found = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(row[0] for row in found)
