"""Cancelling, from every state."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from resources.errors import AttemptSuperseded
from resources.store.attempts import AttemptStore
from resources.store.handover import HandoverStore
from resources.store.models import Status
from resources.timestamps import now
from tests.api.support import TASKS, Api, assert_problem

CLIENTS = 10


@pytest.fixture
def alice(api: Api) -> httpx.Client:
    return api.user("alice")


def delete(client: httpx.Client, task: dict[str, Any]) -> httpx.Response:
    return client.delete(f"{TASKS}{task['id']}/")


def get(client: httpx.Client, task: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"{TASKS}{task['id']}/").json())


def test_pending_task_is_cancelled_at_once(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    answer = delete(alice, task)
    cancelled = answer.json()
    assert (answer.status_code, cancelled["status"]) == (200, "cancelled")
    assert cancelled["cancel_requested_at"] == cancelled["finished_at"] is not None
    assert cancelled["started_at"] is None
    assert get(alice, task) == cancelled


def test_cancelled_task_never_runs(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    delete(alice, task)
    assert HandoverStore(api.engine).work(ends=0, waiting=10).waiting == []
    with pytest.raises(AttemptSuperseded):
        AttemptStore(api.engine, task["run_id"]).claim()


def test_processing_task_is_asked_to_end(api: Api, alice: httpx.Client) -> None:
    # Given
    task = api.submit(alice)
    api.process(task, 3, 10)
    # When
    first, second = delete(alice, task), delete(alice, task)
    # Expect
    assert first.status_code == second.status_code == 202
    assert first.json()["status"] == "processing"
    assert first.json()["cancel_requested_at"] is not None
    assert first.json()["finished_at"] is None
    assert first.json() == second.json() == get(alice, task)


def test_task_that_is_being_cancelled_does_not_complete(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    run = api.process(task)
    delete(alice, task)
    with pytest.raises(AttemptSuperseded):
        run.publish({"rows": 1, "bytes": 1, "files": 1, "folder": "1/1"})
    assert get(alice, task)["result"] is None


def test_task_that_was_cancelled_is_final(api: Api, alice: httpx.Client) -> None:
    task = api.submit(alice)
    api.process(task)
    delete(alice, task)
    api.set(task, status=Status.CANCELLED, finished_at=now())
    before = get(alice, task)
    assert_problem(delete(alice, task), 409, "task_not_cancellable")
    assert get(alice, task) == before


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_final_task_stays_as_it_is(api: Api, alice: httpx.Client, state: str) -> None:
    # Given
    task = api.submit(alice)
    api.bring_to(alice, task, state)
    before = get(alice, task)
    # When
    answer = delete(alice, task)
    # Expect
    assert_problem(answer, 409, "task_not_cancellable")
    assert before["status"] == state
    assert get(alice, task) == before


def test_task_that_waits_for_its_next_attempt_is_cancelled_at_once(
    api: Api, alice: httpx.Client
) -> None:
    task = api.submit(alice)
    api.set(task, handed_over_at=now(), attempt=2)
    answer = delete(alice, task)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("state", "answers"),
    [("pending", {200: 1, 409: CLIENTS - 1}), ("processing", {202: CLIENTS})],
)
def test_many_cancels_at_once_are_one(
    api: Api, alice: httpx.Client, state: str, answers: dict[int, int]
) -> None:
    # Given
    task = api.submit(alice)
    if state == "processing":
        api.process(task)
    # When
    with ThreadPoolExecutor(CLIENTS) as pool:
        given = list(pool.map(lambda _: delete(alice, task), range(CLIENTS)))
    # Expect
    assert Counter(each.status_code for each in given) == answers
    told = {each.json()["cancel_requested_at"] for each in given if each.is_success}
    assert told == {get(alice, task)["cancel_requested_at"]}
