"""A hundred tasks are cancelled at the same time, four of them at work."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import Setup, left_of, running_apart
from tests.support.service import Client, Service
from tests.support.sources import BIG
from tests.support.waiting import eventually, settles

pytestmark = [pytest.mark.service, pytest.mark.faults]

SLOTS = 4
TASKS = 100
# What is promised, from the last answer on.
CANCEL_SECONDS = 10
WATCH_SECONDS = 5


@pytest.fixture
def wide(setup: Setup, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service with four slots."""
    slots = {name: str(SLOTS) for name in ("WORKERS_SLOTS", "WORKERS_OWNER_SLOTS")}
    with running_apart(setup, request, tmp_path / "home", **slots) as service:
        yield service


@pytest.fixture
def alice(wide: Service) -> Iterator[Client]:
    client = wide.client("alice")
    yield client
    client.close()


def statuses(alice: Client) -> Counter[str]:
    """How many of the tasks have which status."""
    page = alice.http.get("/", params={"page_size": TASKS}).json()["results"]
    return Counter(task["status"] for task in page)


def is_over(wide: Service, alice: Client, setup: Setup, tasks: list[dict[str, Any]]) -> bool:
    """All are cancelled, and nothing of them is left."""
    ended = statuses(alice) == {"cancelled": TASKS}
    return ended and left_of(wide, setup.source, *tasks) == []


@pytest.mark.parametrize("at_work", [SLOTS, 1], ids=["all slots busy", "while handing over"])
def test_a_hundred_tasks_that_are_cancelled_at_once_end_soon_and_leave_nothing(
    wide: Service, alice: Client, setup: Setup, at_work: int
) -> None:
    kinds = (BIG, {"filters": {"status": "slow"}})
    tasks = [alice.submit(**kinds[n % 2]) for n in range(TASKS)]
    eventually(lambda: statuses(alice)["processing"] >= at_work, within=60)

    with ThreadPoolExecutor(TASKS) as pool:
        answers = list(pool.map(lambda task: alice.cancel(task["id"]).status_code, tasks))

    assert set(answers) == {200, 202}
    settles(lambda: is_over(wide, alice, setup, tasks), during=WATCH_SECONDS, within=CANCEL_SECONDS)
    after = alice.submit(filters={"status": "pending"})
    alice.until(after["id"], "completed")
