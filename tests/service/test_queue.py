"""The queue: who goes next, and how many run at once."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from resources.store.models import Role
from tests.service.conftest import Setup, running_apart
from tests.support.service import Client, Service
from tests.support.waiting import always, eventually

pytestmark = pytest.mark.service

MANY = 500
QUICK: dict[str, Any] = {"filters": {"status": "pending"}}
SLOW: dict[str, Any] = {"filters": {"status": "slow"}}
LIMITS = {
    "WORKERS_SLOTS": "4",
    "WORKERS_OWNER_SLOTS": "2",
    "WORKERS_TYPE_SLOTS": "bookings_export=3,users_export=1",
}
CALLERS = 4


@pytest.fixture(scope="module")
def limited(
    setup: Setup, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with each kind of limit."""
    home = tmp_path_factory.mktemp("limited") / "home"
    with running_apart(setup, request, home, **LIMITS) as service:
        yield service


@pytest.fixture
def client(limited: Service) -> Iterator[Callable[..., Client]]:
    """Makes clients of it; whatever waits or runs at the end is cancelled."""
    clients: list[Client] = []

    def make(owner: str, role: Role = Role.USER) -> Client:
        clients.append(limited.client(owner, role))
        return clients[-1]

    yield make
    root = make("root", Role.ADMIN)
    cancel_all(root)
    eventually(lambda: found(root, "pending", "processing") == [], within=30)
    for each in clients:
        each.close()


def found(client: Client, *statuses: str) -> list[dict[str, Any]]:
    """The client's newest hundred tasks that have one of these statuses."""
    answer = client.http.get("/", params={"status": statuses, "page_size": 100})
    return list(answer.json()["results"])


def cancel_all(client: Client) -> None:
    with ThreadPoolExecutor(CALLERS) as pool:
        while tasks := found(client, "pending"):
            list(pool.map(client.cancel, [task["id"] for task in tasks]))
    for task in found(client, "processing"):
        client.cancel(task["id"])


def test_five_hundred_tasks_of_one_owner_do_not_hold_up_anothers_first(
    limited: Service, client: Callable[..., Client]
) -> None:
    alice, bob = client("alice"), client("bob")
    with limited.suspended("daemon"), ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda _: alice.submit(**QUICK), range(MANY)))
        task = bob.submit(**QUICK)
        # Of the five hundred only those of the first turn go before it, whoever asked first.
        assert bob.http.get(f"/{task['id']}/status/").json()["queue_position"] == 2

    after = bob.until(task["id"], "processing", "completed")

    others = found(alice, "processing", "completed")
    assert len([each for each in others if each["started_at"] < after["started_at"]]) < 10


def test_no_more_run_at_once_of_an_owner_or_a_type_than_may_and_others_go_past_them(
    client: Callable[..., Client],
) -> None:
    clients = {owner: client(owner) for owner in ("alice", "bob", "carol")}
    for owner in ("alice", "bob"):
        for _ in range(3):
            clients[owner].submit(**SLOW)
    root = client("root", Role.ADMIN)

    def at_work() -> list[int]:
        """How many run of each owner."""
        return sorted(Counter(task["owner"] for task in found(root, "processing")).values())

    # Two of each owner would be four: one more than may run of their type.
    eventually(lambda: at_work() == [1, 2], within=30)
    task = clients["carol"].submit(task_type="payments_export")
    clients["carol"].until(task["id"], "completed")
    always(lambda: at_work() == [1, 2], during=1)


def test_a_higher_priority_starts_before_a_lower_one(
    limited: Service, client: Callable[..., Client]
) -> None:
    root = client("root", Role.ADMIN)
    with limited.suspended("daemon"):
        submitted = {
            priority: root.submit(task_type="users_export", options={"priority": priority})
            for priority in ("low", "normal", "high")
        }

    ended = {name: root.until(task["id"], "completed") for name, task in submitted.items()}

    # Of this type one runs at a time.
    assert sorted(ended, key=lambda name: ended[name]["started_at"]) == ["high", "normal", "low"]
    assert ended["high"]["finished_at"] <= ended["normal"]["started_at"]
