"""A run process stands still and wakes up when its task is another's: it changes nothing any more.

So do a process that is paused by its machine, and one behind a network that was cut.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.service.conftest import results_of
from tests.service.faults.conftest import Subject, flaws_of, is_alive, submit_patiently
from tests.service.faults.test_crashes import RECOVERY_SECONDS, WANTED
from tests.support import ledger
from tests.support.service import Client
from tests.support.sources import BIG
from tests.support.ui import DELETE, Ui
from tests.support.waiting import always, eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

# What is promised: a run that is not heard of is given up within this time.
SEEN_SECONDS = 30
# From waking up to having seen that the task is another's, and ended.
LEAVING_SECONDS = 30
BIG_CSV: dict[str, Any] = {**BIG, "options": {"format": "csv"}}


@contextmanager
def standing_still(
    crashing: Subject, alice: Client, point: str, wanted: dict[str, Any], at: int = 1
) -> Iterator[tuple[dict[str, Any], int]]:
    """A task whose first run stands still at ``point`` while inside, and the run's process."""
    crashing.crashes.ask(point, at=at, signal="SIGSTOP")
    task = submit_patiently(alice, **wanted)
    pid = crashing.crashes.await_taken(point, within=60)
    with ledger.injected(f"processes that wake up, {crashing.database}"):
        try:
            yield task, pid
        finally:
            wake(pid)


def wake(pid: int) -> None:
    """The process goes on; it comes to its end by itself."""
    if is_alive(pid):
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: not is_alive(pid), within=LEAVING_SECONDS)


@pytest.mark.parametrize("point", ["run.part", "run.manifest"])
def test_of_two_attempts_that_are_alive_the_current_one_alone_publishes(
    crashing: Subject, alice: Client, point: str
) -> None:
    with standing_still(crashing, alice, point, WANTED) as (task, pid):
        # Given
        assert alice.task(task["id"])["status"] == "processing"
        eventually(lambda: alice.task(task["id"])["status"] == "pending", within=SEEN_SECONDS)
        done = alice.until(task["id"], "completed", within=RECOVERY_SECONDS)
        assert is_alive(pid)
        # When
        wake(pid)
    # Expect
    assert done["attempt"] == 2
    assert alice.task(task["id"]) == done
    assert flaws_of(crashing.service, alice, done, done["result"]["rows"]) == []


def test_a_run_that_wakes_up_tells_no_progress_of_a_task_that_another_works_on(
    crashing: Subject, alice: Client
) -> None:
    with standing_still(crashing, alice, "run.chunk", BIG_CSV, at=50) as (task, pid):
        # Given
        old = alice.task(task["id"])
        eventually(lambda: alice.task(task["id"])["attempt"] == 2, within=RECOVERY_SECONDS)
        alice.until(task["id"], "processing")
        current = alice.task(task["id"])
        assert current["run_id"] != old["run_id"]
        # When
        wake(pid)
    # Expect
    seen = [current["progress"]["processed"]]

    def grows() -> bool:
        now = alice.task(task["id"])
        seen.append(now["progress"]["processed"])
        return bool(now["run_id"] == current["run_id"] and now["status"] == "processing")

    always(grows, during=3)
    assert seen == sorted(seen)
    folders = {path.parent.name for path in results_of(crashing.service, task["id"])}
    assert folders == {current["run_id"]}
    alice.cancel(task["id"])
    alice.until(task["id"], "cancelled", within=RECOVERY_SECONDS)


@pytest.mark.parametrize("point", ["run.part", "run.manifest"])
def test_a_run_that_wakes_up_after_its_task_was_cancelled_leaves_nothing(
    crashing: Subject, alice: Client, point: str
) -> None:
    with standing_still(crashing, alice, point, WANTED) as (task, pid):
        # Given
        assert alice.cancel(task["id"]).status_code == 202
        cancelled = alice.until(task["id"], "cancelled", within=SEEN_SECONDS)
        # When
        wake(pid)
    # Expect
    eventually(lambda: results_of(crashing.service, task["id"]) == [], within=SEEN_SECONDS)
    assert alice.task(task["id"]) == cancelled


def test_a_run_that_wakes_up_after_it_was_deleted_leaves_nothing(
    crashing: Subject, alice: Client
) -> None:
    with standing_still(crashing, alice, "run.manifest", WANTED) as (task, pid):
        # Given
        Ui(crashing.service.graphql_url, alice.http).ask(DELETE, id=task["run_id"])
        failed = alice.until(task["id"], "failed", within=1)
        # When
        wake(pid)
    # Expect
    assert failed["error"]["code"] == "run_deleted"
    eventually(lambda: results_of(crashing.service, task["id"]) == [], within=SEEN_SECONDS)
    assert alice.task(task["id"]) == failed
