"""Status and progress, as a client follows a task."""

from typing import Any

import httpx
import pytest

from resources.store.models import Status
from resources.timestamps import parse_rfc3339
from tests.api.support import FAILURE, TASKS, Api, File

FIELDS = [
    "id",
    "status",
    "progress",
    "queue_position",
    "attempt",
    "started_at",
    "updated_at",
    "finished_at",
    "cancel_requested_at",
    "error",
]


@pytest.fixture
def alice(api: Api) -> httpx.Client:
    return api.user("alice")


def status(client: httpx.Client, task: dict[str, Any]) -> httpx.Response:
    return client.get(f"{TASKS}{task['id']}/status/")


def test_pending_task_tells_to_come_back(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    answer = status(alice, task)
    assert int(answer.headers["retry-after"]) >= 1
    assert list(answer.json().items()) == [
        ("id", task["id"]),
        ("status", "pending"),
        ("progress", {"processed": 0, "total": None, "percent": None}),
        ("queue_position", 1),
        ("attempt", 1),
        ("started_at", None),
        ("updated_at", task["created_at"]),
        ("finished_at", None),
        ("cancel_requested_at", None),
        ("error", None),
    ]


def test_pending_task_tells_its_place_in_the_queue(api: Api, alice: httpx.Client) -> None:
    # Given
    of_alice = [api.submit(alice) for _ in range(3)]
    bob = api.user("bob")
    low = api.submit(bob, options={"priority": "low"})
    of_bob = api.submit(bob)
    root = api.admin()
    high = api.submit(root, options={"priority": "high"})
    # Expect
    order = [high, of_alice[0], of_bob, *of_alice[1:], low]
    told = [status(root, task).json()["queue_position"] for task in order]
    assert told == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("state", ["processing", "completed", "failed", "cancelled"])
def test_task_that_is_not_pending_has_no_place_in_the_queue(
    api: Api, alice: httpx.Client, state: str
) -> None:
    task, behind = api.submit(alice), api.submit(alice)
    api.bring_to(alice, task, state)
    assert status(alice, task).json()["queue_position"] is None
    assert status(alice, behind).json()["queue_position"] == 1


def test_processing_task_tells_how_far_it_is(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.process(task, 1200, 5000)
    answer = status(alice, task)
    told = answer.json()
    assert answer.headers["retry-after"]
    assert list(told) == FIELDS
    assert told["status"] == "processing"
    assert told["progress"] == {"processed": 1200, "total": 5000, "percent": 24.0}
    assert told["started_at"] is not None
    assert parse_rfc3339(told["updated_at"]) > parse_rfc3339(task["created_at"])


def test_cancel_request_shows(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.process(task)
    cancelled = alice.delete(f"{TASKS}{task['id']}/").json()
    answer = status(alice, task)
    assert answer.json()["cancel_requested_at"] == cancelled["cancel_requested_at"]
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_final_task_does_not_tell_to_come_back(api: Api, alice: httpx.Client, state: str) -> None:
    # Given
    task = api.submit(alice)
    api.bring_to(alice, task, state)
    # When
    answer = status(alice, task)
    # Expect
    assert "retry-after" not in answer.headers
    assert list(answer.json()) == FIELDS
    assert answer.json()["status"] == state
    assert answer.json()["finished_at"] is not None


def test_status_and_task_tell_the_same(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.process(task, 1, 3)
    whole = alice.get(f"{TASKS}{task['id']}/").json()
    told = status(alice, task).json()
    assert {name: whole[name] for name in FIELDS if name in whole} == {
        name: each for name, each in told.items() if name in whole
    }


def test_failed_task_tells_why(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.fail(task, FAILURE)
    error = {
        "code": "source_unavailable",
        "detail": "Submit the task again later.",
        "retryable": True,
    }
    assert status(alice, task).json()["error"] == error
    assert alice.get(f"{TASKS}{task['id']}/").json()["error"] == error


@pytest.mark.parametrize("state", [Status.PROCESSING, Status.CANCELLED])
def test_error_shows_once_the_task_has_failed(api: Api, alice: httpx.Client, state: Status) -> None:
    task = api.submit(alice)
    api.process(task).record_error(FAILURE)
    api.set(task, status=state)
    assert status(alice, task).json()["error"] is None


@pytest.mark.parametrize(
    ("processed", "total", "percent"),
    [(0, None, None), (0, 3, 0.0), (1, 3, 33.3), (2, 3, 66.7), (3, 3, 100.0), (0, 0, 0.0)],
)
def test_percent_is_known_when_the_total_is(
    sqlite_api: Api, processed: int, total: int | None, percent: float | None
) -> None:
    alice = sqlite_api.user()
    task = sqlite_api.submit(alice)
    sqlite_api.process(task, processed, total)
    told = status(alice, task).json()["progress"]
    assert told == {"processed": processed, "total": total, "percent": percent}


@pytest.mark.parametrize("rows", [0, 7])
def test_completed_task_is_at_100_percent(api: Api, alice: httpx.Client, rows: int) -> None:
    task = api.submit(alice)
    api.complete(task, File("part-00001.csv", b"id\n"), rows=rows)
    told = status(alice, task).json()["progress"]
    assert told == {"processed": rows, "total": rows, "percent": 100.0}


def test_next_attempt_is_counted(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.set(task, attempt=2)
    assert status(alice, task).json()["attempt"] == 2
