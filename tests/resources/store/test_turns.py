"""Whose turn it is, and which place in the queue that makes."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from resources.errors import TaskNotFound
from resources.requests import TaskRequest
from resources.store.handover import HandoverStore
from resources.store.models import Principal, Priority, Role, Status, Task
from resources.store.positions import QueuePositions
from resources.store.tables import metadata
from resources.store.tasks import TaskStore
from resources.timestamps import now
from tests.resources.store.conftest import Rows

ROOT = Principal("root", Role.ADMIN)
OWNERS = ["alice", "bob", "carol", "dave"]
PRIORITIES = [priority.value for priority in Priority]
THREADS = 8
MANY = 1000


class Queue:
    """The waiting tasks, in the store."""

    def __init__(self, engine: Engine) -> None:
        with engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.tasks = TaskStore(engine)
        self.handover = HandoverStore(engine)

    def submit(self, owner: str, priority: str = "normal") -> Task:
        options = {} if priority == "normal" else {"priority": priority}
        request = TaskRequest(task_type="bookings_export", options=options)
        return self.tasks.submit(request, owner=owner, request_id="r", idempotency_key=None).task

    def order(self) -> list[int]:
        """The ids of all waiting tasks, the next one first."""
        found = self.handover.work(ends=0, waiting=MANY).waiting
        return [task.id for task in sorted(found, key=lambda task: -task.priority)]

    def hand_over_next(self) -> Task | None:
        for task_id in self.order()[:1]:
            task = self.handover.waiting_task(task_id)
            assert task is not None
            self.handover.mark_handed_over(task)
            return task
        return None

    def position(self, task_id: int) -> int | None:
        return self.tasks.status(task_id, ROOT).queue_position


class Reference:
    """Start-time fair queueing, in plain Python."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[int, int, str]] = {}
        self.last: dict[tuple[str, int], int] = {}

    def submit(self, task_id: int, owner: str, rank: int) -> None:
        own = [turn for r, turn, o in self.waiting.values() if (o, r) == (owner, rank)]
        own += [turn for key, turn in self.last.items() if key == (owner, rank)]
        present = [turn for (_, r), turn in self.last.items() if r == rank]
        turn = max([0, *(turn + 1 for turn in own), *present])
        self.waiting[task_id] = (rank, turn, owner)

    def order(self) -> list[int]:
        return sorted(self.waiting, key=lambda each: (-self.waiting[each][0], self._place(each)))

    def _place(self, task_id: int) -> tuple[int, int]:
        return self.waiting[task_id][1], task_id

    def hand_over_next(self) -> None:
        for task_id in self.order()[:1]:
            rank, turn, owner = self.waiting.pop(task_id)
            self.last[owner, rank] = max(turn, self.last.get((owner, rank), 0))


@pytest.fixture
def queue(engine: Engine) -> Queue:
    return Queue(engine)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(OWNERS), st.sampled_from(PRIORITIES)),
        st.tuples(st.just("hand over")),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
    ),
    max_size=30,
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_order_is_that_of_start_time_fair_queueing(
    engine: Engine, steps: list[tuple[str, *tuple[object, ...]]]
) -> None:
    queue, reference = Queue(engine), Reference()
    for step in steps:
        match step:
            case ("submit", str(owner), str(priority)):
                task = queue.submit(owner, priority)
                reference.submit(task.id, owner, task.priority)
            case ("cancel", int(place)) if place < len(reference.waiting):
                task_id = reference.order()[place]
                queue.tasks.cancel(task_id, ROOT)
                del reference.waiting[task_id]
            case ("hand over",):
                queue.hand_over_next()
                reference.hand_over_next()
        assert queue.order() == reference.order()


class Fairness:
    """How many tasks each owner got while another one waited too."""

    def __init__(self) -> None:
        # Of each two owners: how far the first is ahead, and the least that this was, since both
        # have been waiting.
        self._ahead: dict[tuple[str, str], tuple[int, int]] = {}

    def look(self, waiting: Iterable[str], started: str) -> None:
        """``started`` got a task while the owners ``waiting`` had some."""
        both = set(permutations({*waiting, started}, 2))
        self._ahead = {pair: self._ahead.get(pair, (0, 0)) for pair in both}
        for pair, (ahead, least) in self._ahead.items():
            step = (pair[0] == started) - (pair[1] == started)
            self._ahead[pair] = (ahead + step, min(least, ahead + step))
            assert ahead + step - least <= 2, pair


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.sampled_from([*OWNERS, *OWNERS, None, None, None]), max_size=60))
def test_no_owner_gets_more_than_its_share_and_one_while_another_waits(
    engine: Engine, steps: list[str | None]
) -> None:
    queue, fairness = Queue(engine), Fairness()
    waiting: Counter[str] = Counter()
    overtaken: dict[str, Counter[str]] = defaultdict(Counter)
    for owner in steps:
        if owner is not None:
            queue.submit(owner)
            waiting[owner] += 1
        elif task := queue.hand_over_next():
            fairness.look(+waiting, task.owner)
            waiting[task.owner] -= 1
            overtaken.pop(task.owner, None)
            for other in +waiting:
                overtaken[other][task.owner] += 1
        # Whoever waits, its next task starts after two of each other owner at the latest.
        assert all(others <= 2 for each in overtaken.values() for others in each.values())


def test_first_task_of_an_owner_is_next_however_many_another_has(queue: Queue) -> None:
    for _ in range(50):
        queue.submit("alice")
    for _ in range(7):
        queue.hand_over_next()
    of_bob = queue.submit("bob")
    assert queue.order()[0] == of_bob.id
    assert queue.position(of_bob.id) == 8  # after the seven that Dagster has


def test_owners_with_one_task_after_another_do_not_starve_one_with_many(queue: Queue) -> None:
    for _ in range(20):
        queue.submit("alice")
    waiting: set[str] = set()
    started = []
    for _ in range(20):
        for owner in set(OWNERS[1:]) - waiting:
            queue.submit(owner)
            waiting.add(owner)
        task = queue.hand_over_next()
        assert task is not None
        waiting.discard(task.owner)
        started.append(task.owner)
    assert Counter(started) == dict.fromkeys(OWNERS, 5)


def test_who_had_many_tasks_before_waits_no_longer_for_that_when_all_are_cancelled(
    queue: Queue,
) -> None:
    queue.submit("bob")
    for task in [queue.submit("alice") for _ in range(20)]:
        queue.tasks.cancel(task.id, ROOT)
    first, second = queue.submit("alice"), queue.submit("bob")
    assert queue.order()[1:] == [first.id, second.id]


def test_tasks_that_an_owner_submits_at_once_have_a_turn_each(queue: Queue) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        submitted = list(pool.map(queue.submit, ["alice"] * 4 * THREADS))
    assert sorted(task.turn for task in submitted) == list(range(4 * THREADS))


def test_retried_task_keeps_its_turn_and_costs_its_owner_no_other(queue: Queue) -> None:
    task = queue.submit("alice")
    for _ in range(2):
        queue.handover.mark_handed_over(task)
    assert queue.submit("alice").turn == 1


@pytest.mark.parametrize("handed_over", [0, 1, 3, 9])
def test_position_counts_what_is_to_start_before(queue: Queue, handed_over: int) -> None:
    # Given
    for owner, priority in [
        ("alice", "normal"),
        ("bob", "low"),
        ("alice", "normal"),
        ("alice", "high"),
        ("bob", "normal"),
        ("carol", "high"),
        ("carol", "low"),
        ("bob", "low"),
        ("alice", "low"),
    ]:
        queue.submit(owner, priority)
    order = queue.order()
    # When
    for _ in range(handed_over):
        queue.hand_over_next()
    # Expect
    assert [queue.position(task_id) for task_id in order] == list(range(1, 10))


def test_task_of_higher_priority_comes_before_what_dagster_has_of_a_lower_one(
    queue: Queue,
) -> None:
    low, normal = queue.submit("alice", "low"), queue.submit("alice")
    for task in (low, normal):
        queue.handover.mark_handed_over(task)
    high, later = queue.submit("bob", "high"), queue.submit("bob")
    assert [queue.position(task.id) for task in (high, normal, later, low)] == [1, 2, 3, 4]


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.PENDING}))
def test_only_a_pending_task_has_a_position(queue: Queue, rows: Rows, status: Status) -> None:
    task, other = queue.submit("alice"), queue.submit("alice")
    rows.set(task, status=status, handed_over_at=now())
    assert queue.position(task.id) is None
    assert queue.position(other.id) == 1


@pytest.mark.parametrize("counted", [0, 3, 100])
def test_positions_far_back_are_looked_up_together_and_are_the_same(
    queue: Queue, engine: Engine, counted: int
) -> None:
    # Given
    tasks = [queue.submit(owner, priority) for owner in "aab" for priority in ("low", "normal")]
    for _ in range(2):
        queue.hand_over_next()
    tasks = [queue.tasks.get(task.id, ROOT) for task in tasks]
    positions = QueuePositions(engine, counted=counted)
    # When
    told = {task.id: positions.position(task) for task in tasks}
    # Expect
    assert told == {task.id: queue.position(task.id) for task in tasks}
    late = queue.submit("c", "low")
    assert positions.position(late) == queue.position(late.id)


def test_position_is_told_to_whom_the_task_is(queue: Queue) -> None:
    queue.submit("bob")
    task = queue.submit("alice")
    assert queue.tasks.status(task.id, Principal("alice", Role.USER)).queue_position == 2
    with pytest.raises(TaskNotFound):
        queue.tasks.status(task.id, Principal("bob", Role.USER))
