"""Tasks as the dispatcher sees them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from resources.errors import Unavailable
from resources.store.handover import HandoverStore
from resources.store.models import Status, Task
from resources.timestamps import now
from tests.resources.store.conftest import Rows


@pytest.fixture
def store(engine: Engine) -> HandoverStore:
    return HandoverStore(engine)


def ids(found: list[Task]) -> list[int]:
    return [task.id for task in found]


def test_oldest_task_of_one_owner_comes_first(store: HandoverStore, rows: Rows) -> None:
    added = [rows.add() for _ in range(3)]
    assert ids(store.waiting(10)) == added


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
    assert store.waiting(10) == []


def test_fifty_tasks_of_one_owner_do_not_hold_up_another(store: HandoverStore, rows: Rows) -> None:
    of_alice = [rows.add("alice") for _ in range(50)]
    of_bob = [rows.add("bob") for _ in range(2)]
    assert ids(store.waiting(4)) == [of_alice[0], of_bob[0], of_alice[1], of_bob[1]]
    assert ids(store.waiting(100))[4:] == of_alice[2:]


def test_owner_with_the_fewest_in_flight_comes_first(store: HandoverStore, rows: Rows) -> None:
    # Given
    for status in (Status.PENDING, Status.PROCESSING):
        rows.add("alice", status=status, handed_over_at=now())
    rows.add("bob", status=Status.PROCESSING, handed_over_at=now())
    waiting = {owner: [rows.add(owner), rows.add(owner)] for owner in ("alice", "bob", "carol")}
    # Expect
    assert ids(store.waiting(10)) == [
        waiting["carol"][0],
        waiting["bob"][0],
        waiting["carol"][1],
        waiting["alice"][0],
        waiting["bob"][1],
        waiting["alice"][1],
    ]


def test_tasks_that_have_ended_are_not_in_flight(store: HandoverStore, rows: Rows) -> None:
    for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        rows.add("alice", status=status, handed_over_at=now())
    first, second = rows.add("alice"), rows.add("bob")
    assert ids(store.waiting(10)) == [first, second]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_no_more_than_asked_for_are_given(store: HandoverStore, rows: Rows, limit: int) -> None:
    added = [rows.add() for _ in range(3)]
    assert ids(store.waiting(limit)) == added[:limit]


def test_waiting_task_is_given_whole(store: HandoverStore, rows: Rows) -> None:
    task = rows.submit(filters={"status": "confirmed"}, date_from="2024-01-01T00:00:00Z")
    assert store.waiting(1) == [task]


def test_queued_are_those_that_dagster_has_and_has_not_started(
    store: HandoverStore, rows: Rows
) -> None:
    assert store.queued() == 0
    rows.add()
    for status in Status:
        rows.add(status=status, handed_over_at=now())
    assert store.queued() == 1


def test_task_that_is_handed_over_waits_no_longer(store: HandoverStore, rows: Rows) -> None:
    # Given
    task, other = rows.submit(), rows.submit()
    # When
    store.mark_handed_over(task.run_id)
    handed_over_at = rows.read(task)["handed_over_at"]
    store.mark_handed_over(task.run_id)
    store.mark_handed_over("unknown")
    # Expect
    assert ids(store.waiting(10)) == [other.id]
    assert store.queued() == 1
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
    assert ids(store.to_stop(10)) == alive
    assert ids(store.to_stop(2)) == alive[:2]


def test_to_sweep_are_failed_tasks_alone(store: HandoverStore, rows: Rows) -> None:
    for status in Status:
        rows.add(status=status, swept_at=now())
        rows.add(status=status, cancel_requested_at=now() if status is Status.CANCELLED else None)
    failed = [row["id"] for row in rows.all() if row["status"] == "failed" and not row["swept_at"]]
    failed += [rows.add(status=Status.FAILED) for _ in range(2)]
    assert ids(store.to_sweep(10)) == failed
    assert ids(store.to_sweep(2)) == failed[:2]


@pytest.mark.parametrize(
    ("columns", "find"),
    [
        ({"status": Status.FAILED}, HandoverStore.to_sweep),
        ({"status": Status.CANCELLED, "cancel_requested_at": now()}, HandoverStore.to_stop),
    ],
)
def test_swept_task_is_done_with(
    store: HandoverStore,
    rows: Rows,
    columns: dict[str, Any],
    find: Callable[[HandoverStore, int], list[Task]],
) -> None:
    for _ in range(2):
        rows.add(**columns)
    first, second = find(store, 10)
    store.mark_swept(first)
    assert find(store, 10) == [second]


def test_task_that_another_run_has_taken_is_not_swept(store: HandoverStore, rows: Rows) -> None:
    rows.add(status=Status.FAILED)
    (task,) = store.to_sweep(1)
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
    assert ids(store.waiting(10)) == [other.id]


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


USES: dict[str, Callable[[HandoverStore], object]] = {
    "waiting": lambda store: store.waiting(1),
    "queued": lambda store: store.queued(),
    "mark_handed_over": lambda store: store.mark_handed_over("run"),
    "quiet": lambda store: store.quiet(timedelta(0), 1),
    "to_stop": lambda store: store.to_stop(1),
    "to_sweep": lambda store: store.to_sweep(1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_database_that_does_not_answer_is_unavailable(
    dead_engine: Engine, use: Callable[[HandoverStore], object]
) -> None:
    with pytest.raises(Unavailable):
        use(HandoverStore(dead_engine))
