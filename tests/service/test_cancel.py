"""Cancelling: whenever it is asked for, nothing runs on and nothing is left."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from resources.store.models import Role
from tests.service.conftest import Setup, left_of
from tests.support.ledger import SEED, chance
from tests.support.service import Client, Service
from tests.support.sources import BIG, queries_on
from tests.support.ui import Ui
from tests.support.waiting import eventually, settles

pytestmark = pytest.mark.service

# Rule of the house: a run notices within two seconds; starting and ending processes comes on top.
CANCEL_SECONDS = 10
# How long what was cancelled is watched at once; it is looked at again when all tests are over.
WATCH_SECONDS = 1
# An answer waits for nobody but the task database.
ANSWER_SECONDS = 1
# From a run's launch to its job's first line, and a little more.
START_SECONDS = 0.4
CALLERS = 16

Task = dict[str, Any]


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service.graphql_url, alice.http)


@pytest.fixture(scope="module")
def cancelled(service: Service) -> Iterator[list[Task]]:
    """Every task that was cancelled, as it ended: so it is still at the end of the module."""
    tasks: list[Task] = []
    yield tasks
    admin = service.client("root", Role.ADMIN)
    assert [admin.task(task["id"]) for task in tasks] == tasks
    admin.close()


@pytest.fixture
def assert_over(
    service: Service, setup: Setup, alice: Client, cancelled: list[Task]
) -> Callable[..., None]:
    """The tasks end as cancelled, leave nothing, and stay so."""

    def check(*tasks: Task) -> None:
        for task in tasks:
            after = alice.until(task["id"], "cancelled", within=CANCEL_SECONDS)
            assert (after["result"], after["error"]) == (None, None)
        ended = [alice.task(task["id"]) for task in tasks]
        cancelled.extend(ended)
        # A process that was being started when its task was cancelled still appears, and goes.
        settles(
            lambda: left_of(service, setup.source, *tasks) == [],
            during=WATCH_SECONDS,
            within=CANCEL_SECONDS,
        )
        assert [alice.task(task["id"]) for task in tasks] == ended

    return check


def assert_run_ended(ui: Ui, task: Task) -> None:
    """Dagster has ended the run as well, if it ever had it."""
    eventually(lambda: ui.status(task["run_id"]) in {None, "CANCELED"}, within=CANCEL_SECONDS)


def test_a_task_that_is_cancelled_while_pending_never_runs(
    alice: Client, ui: Ui, assert_over: Callable[..., None]
) -> None:
    task = alice.submit(filters={"status": "slow"})

    answer = alice.cancel(task["id"])

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert_over(task)
    assert_run_ended(ui, task)
    assert alice.task(task["id"])["started_at"] is None


def test_a_task_that_is_cancelled_before_it_is_handed_over_never_gets_a_run(
    alice: Client, service: Service, ui: Ui, assert_over: Callable[..., None]
) -> None:
    with service.suspended("daemon"):
        task = alice.submit(filters={"status": "slow"})
        answer = alice.cancel(task["id"])
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")

    later = alice.submit(filters={"status": "pending"})
    alice.until(later["id"], "completed")  # so the dispatcher has been there
    assert_over(task)
    assert ui.status(task["run_id"]) is None
    assert alice.task(task["id"])["started_at"] is None


def test_a_task_that_waits_in_the_queue_is_cancelled_and_never_runs(
    alice: Client, ui: Ui, assert_over: Callable[..., None]
) -> None:
    running = [alice.submit(filters={"status": "slow"}) for _ in range(2)]  # every slot
    for task in running:
        alice.until(task["id"], "processing")
    queued = alice.submit(filters={"status": "confirmed"})

    assert alice.cancel(queued["id"]).json()["status"] == "cancelled"

    for task in running:
        assert alice.cancel(task["id"]).status_code == 202
    assert_over(queued, *running)
    assert_run_ended(ui, queued)
    assert alice.task(queued["id"])["started_at"] is None


@pytest.mark.parametrize("moments", [1, pytest.param(6, marks=pytest.mark.faults)])
def test_a_task_is_cancelled_at_any_moment_of_its_runs_start(
    alice: Client, ui: Ui, assert_over: Callable[..., None], moments: int
) -> None:
    print(f"seed {SEED}: WORKERS_TEST_SEED={SEED} chooses the same moments again")  # noqa: T201
    choice = chance(f"moments of a start: {moments}")
    answers: list[tuple[Task, httpx.Response]] = []
    for number in range(moments):
        task = alice.submit(filters={"status": "slow"})
        until_starting(ui, task)
        # Nothing tells how far a start has come, so there is nothing else to wait for.
        time.sleep(choice.uniform(number, number + 1) * START_SECONDS / moments)
        answers.append((task, alice.cancel(task["id"])))

    assert_over(*(task for task, _ in answers))
    for task, answer in answers:
        assert answer.status_code in {200, 202}
        assert_run_ended(ui, task)
        never_started = alice.task(task["id"])["started_at"] is None
        assert never_started == (answer.status_code == 200)


def until_starting(ui: Ui, task: Task) -> None:
    """Dagster launches the run just now, or has a moment ago."""
    eventually(lambda: ui.status(task["run_id"]) in {"STARTING", "STARTED"}, within=30, every=0.01)


def test_a_task_is_cancelled_in_the_middle_of_writing(
    alice: Client, ui: Ui, assert_over: Callable[..., None]
) -> None:
    task = alice.submit(**BIG)
    eventually(lambda: alice.task(task["id"])["progress"]["processed"] > 0, within=60)

    first = alice.cancel(task["id"])
    again = alice.cancel(task["id"])

    assert (first.status_code, first.json()["status"]) == (202, "processing")
    assert first.json()["cancel_requested_at"] is not None
    assert again.status_code in {202, 409}  # it may have ended in between
    assert_over(task)
    assert_run_ended(ui, task)
    assert alice.cancel(task["id"]).json()["code"] == "task_not_cancellable"


def test_a_task_is_cancelled_inside_a_query_that_takes_minutes_and_the_query_ends(
    alice: Client, setup: Setup, ui: Ui, assert_over: Callable[..., None]
) -> None:
    task = alice.submit(filters={"status": "slow"})
    alice.until(task["id"], "processing")
    if setup.source.get_backend_name() == "postgresql":
        eventually(lambda: queries_on(setup.source), within=CANCEL_SECONDS)

    assert alice.cancel(task["id"]).status_code == 202

    eventually(lambda: queries_on(setup.source) == [], within=5)
    assert_over(task)
    assert_run_ended(ui, task)


@pytest.mark.faults
def test_a_task_whose_run_process_died_is_cancelled_before_and_after_its_retry_is_made(
    alice: Client, service: Service, assert_over: Callable[..., None]
) -> None:
    before, after = [alice.submit(**BIG) for _ in range(2)]
    for task in (before, after):
        alice.until(task["id"], "processing")

    with service.suspended("daemon"):  # so nobody makes the retry yet
        for process in service.run_processes():
            process.kill()
        for task in (before, after):
            assert alice.until(task["id"], "pending", within=30)["attempt"] == 1
        assert alice.cancel(before["id"]).status_code == 200
    eventually(lambda: alice.task(after["id"])["attempt"] == 2, within=30, every=0.01)
    retried = alice.cancel(after["id"])

    assert (retried.status_code, retried.json()["attempt"]) == (200, 2)
    assert_over(before, after)
    for task, attempt in ((before, 1), (after, 2)):
        told = alice.task(task["id"])
        assert (told["attempt"], told["status"]) == (attempt, "cancelled")


@pytest.mark.faults
def test_tasks_are_cancelled_while_no_part_of_dagster_does_anything(
    alice: Client, service: Service, ui: Ui, assert_over: Callable[..., None]
) -> None:
    processing = alice.submit(**BIG)
    eventually(lambda: alice.task(processing["id"])["progress"]["processed"] > 0, within=60)

    with service.suspended("daemon", "code-server", "ui"):
        pending = alice.submit(filters={"status": "slow"})
        answers = [alice.cancel(task["id"]) for task in (pending, processing)]
        assert [answer.status_code for answer in answers] == [200, 202]
        assert all(answer.elapsed.total_seconds() < ANSWER_SECONDS for answer in answers)
        alice.until(processing["id"], "cancelled", within=CANCEL_SECONDS)

    assert_over(pending, processing)
    assert_run_ended(ui, processing)


def test_a_task_that_many_cancel_at_once_is_cancelled_once(
    alice: Client, service: Service, assert_over: Callable[..., None]
) -> None:
    processing = alice.submit(filters={"status": "slow"})
    alice.until(processing["id"], "processing")
    with service.suspended("daemon"):  # so the other one stays pending
        pending = alice.submit(filters={"status": "slow"})
        codes = {
            name: cancel_at_once(alice, task)
            for name, task in (("pending", pending), ("processing", processing))
        }

    assert sorted(codes["pending"]) == [200] + [409] * (CALLERS - 1)
    assert 202 in codes["processing"]
    assert set(codes["processing"]) <= {202, 409}
    assert_over(pending, processing)


def cancel_at_once(alice: Client, task: Task) -> list[int]:
    """What `CALLERS` are answered that cancel the task all at the same time."""
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = pool.map(lambda _: alice.cancel(task["id"]), range(CALLERS))
        return [answer.status_code for answer in answers]
