"""Dagster gets what may start soon, and its queue never fills up with what may not."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.engine.lookahead import READY, Limits, LookAhead
from resources.store.handover import InFlight, WaitingTask
from resources.store.models import Status

BOOKINGS, USERS = "bookings_export", "users_export"


def limits(slots: int = 4, owner_slots: int = 3, **type_slots: int) -> Limits:
    return Limits(slots, owner_slots, type_slots)


def waiting(*owners: str, priority: int = 0, task_type: str = BOOKINGS) -> list[WaitingTask]:
    return [WaitingTask(i, owner, task_type, priority) for i, owner in enumerate(owners)]


def in_flight(
    owner: str, runs: int, status: Status = Status.PENDING, priority: int = 0
) -> InFlight:
    return InFlight(owner, BOOKINGS, priority, status, runs)


def test_an_owner_has_one_task_more_in_dagster_than_may_run() -> None:
    tasks = waiting(*["alice"] * 9, "bob")
    assert LookAhead(limits(), []).take(tasks) == [*tasks[:4], tasks[9]]


def test_what_an_owner_has_in_dagster_counts() -> None:
    tasks = waiting("alice", "alice", "bob")
    has = [in_flight("alice", 2, Status.PROCESSING), in_flight("alice", 1)]
    assert LookAhead(limits(), has).take(tasks) == [tasks[0], tasks[2]]


def test_a_limited_type_has_one_task_more_in_dagster_than_may_run() -> None:
    tasks = waiting("alice", "bob", "carol", "dave")
    others = waiting("alice", "bob", task_type=USERS)
    look_ahead = LookAhead(limits(bookings_export=1), [])
    assert look_ahead.take([*tasks, *others]) == [*tasks[:2], *others]


def test_dagsters_queue_stays_short_however_many_owners_wait() -> None:
    look_ahead = LookAhead(limits(slots=4), [])
    taken = look_ahead.take(waiting(*(f"owner {i}" for i in range(1000))))
    assert len(taken) == 4 + 2 * 4 + READY
    assert not look_ahead.has_room(0)


def test_what_one_owner_started_in_dagster_itself_holds_up_nobody_else() -> None:
    tasks = waiting("alice", "dagster")
    assert LookAhead(limits(), [in_flight("dagster", 1000)]).take(tasks) == tasks[:1]


@pytest.mark.parametrize(("of", "goes"), [(1, True), (0, False), (-1, False)])
def test_a_task_goes_past_queued_ones_of_a_lower_priority_alone(of: int, goes: bool) -> None:
    tasks = waiting("alice", priority=of)
    assert LookAhead(limits(), [in_flight("alice", 4)]).take(tasks) == (tasks if goes else [])


def test_no_priority_goes_past_running_tasks() -> None:
    tasks = waiting("alice", "alice", priority=1)
    running = [in_flight("alice", 3, Status.PROCESSING, priority=-1)]
    assert LookAhead(limits(), running).take(tasks) == tasks[:1]


class Dagster:
    """Its queue, as its limits make it work, in a few lines."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.queued: list[WaitingTask] = []
        self.running: list[WaitingTask] = []

    def may_start(self, task: WaitingTask) -> bool:
        owners = Counter(each.owner for each in self.running)
        types = Counter(each.task_type for each in self.running)
        return (
            len(self.running) < self.limits.slots
            and owners[task.owner] < self.limits.owner_slots
            and types[task.task_type] < self.limits.type_slots.get(task.task_type, 1000)
        )

    def dequeue(self) -> None:
        for task in sorted(self.queued, key=lambda task: -task.priority):
            if self.may_start(task):
                self.queued.remove(task)
                self.running.append(task)

    def in_flight(self) -> Iterable[InFlight]:
        for status, tasks in (
            (Status.PENDING, self.queued),
            (Status.PROCESSING, self.running),
        ):
            for task in tasks:
                yield InFlight(task.owner, task.task_type, task.priority, status, 1)


TASKS = st.lists(
    st.builds(
        WaitingTask,
        id=st.uuids().map(lambda each: each.int),
        owner=st.sampled_from("abcdefgh"),
        task_type=st.sampled_from([BOOKINGS, USERS, "payments_export"]),
        priority=st.sampled_from([-1, 0, 0, 1]),
    ),
    max_size=120,
)
LIMITS = st.builds(
    Limits,
    slots=st.integers(1, 5),
    owner_slots=st.integers(1, 4),
    type_slots=st.dictionaries(st.sampled_from([BOOKINGS, USERS]), st.integers(1, 3)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(limits=LIMITS, tasks=TASKS, ends=st.lists(st.integers(0, 4), max_size=60))
def test_no_slot_is_free_while_a_task_that_may_start_waits(
    limits: Limits, tasks: list[WaitingTask], ends: list[int]
) -> None:
    dagster = Dagster(limits)
    order = sorted(tasks, key=lambda task: -task.priority)
    for end in ends:
        for task in LookAhead(limits, dagster.in_flight()).take(order):
            order.remove(task)
            dagster.queued.append(task)
        dagster.dequeue()

        assert not [task for task in order + dagster.queued if dagster.may_start(task)]
        # One look-ahead for each priority: those of a higher one go past the others.
        assert len(dagster.queued) <= 3 * limits.in_flight
        del dagster.running[end : end + 1]
