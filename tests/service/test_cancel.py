"""Cancelling: whenever it is asked for, nothing runs on and nothing is left."""

import pytest

from tests.service.conftest import results_of
from tests.support.service import Client, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

# Rule of the house: a run notices within two seconds; starting and ending processes comes on top.
CANCEL_SECONDS = 10


def assert_nothing_runs(service: Service, alice: Client, run_id: str) -> None:
    """Dagster has ended the run as well."""
    query = {
        "query": "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }",
        "variables": {"id": run_id},
    }

    def ended() -> bool:
        run = alice.http.post(service.graphql_url, json=query).json()["data"]["runOrError"]
        return bool(run.get("status", "CANCELED") == "CANCELED")

    eventually(ended, within=CANCEL_SECONDS)


def test_a_task_that_is_cancelled_while_pending_never_runs(alice: Client, service: Service) -> None:
    task = alice.submit(filters={"status": "slow"})

    answer = alice.cancel(task["id"])

    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert_nothing_runs(service, alice, task["run_id"])
    after = alice.task(task["id"])
    assert (after["status"], after["started_at"]) == ("cancelled", None)


def test_a_task_that_waits_in_the_queue_is_cancelled_and_never_runs(
    alice: Client, service: Service
) -> None:
    running = [alice.submit(filters={"status": "slow"}) for _ in range(2)]  # every slot
    for task in running:
        alice.until(task["id"], "processing")
    queued = alice.submit(filters={"status": "confirmed"})

    assert alice.cancel(queued["id"]).json()["status"] == "cancelled"

    for task in running:
        assert alice.cancel(task["id"]).status_code == 202
        alice.until(task["id"], "cancelled", within=CANCEL_SECONDS)
    assert_nothing_runs(service, alice, queued["run_id"])
    assert alice.task(queued["id"])["started_at"] is None


def test_a_task_is_cancelled_in_the_middle_of_writing(alice: Client, service: Service) -> None:
    task = alice.submit(filters={"status": "big"})
    eventually(lambda: alice.task(task["id"])["progress"]["processed"] > 0, within=60)

    first = alice.cancel(task["id"])
    again = alice.cancel(task["id"])

    assert (first.status_code, first.json()["status"]) == (202, "processing")
    assert first.json()["cancel_requested_at"] is not None
    assert again.status_code in {202, 409}  # it may have ended in between
    after = alice.until(task["id"], "cancelled", within=CANCEL_SECONDS)
    assert (after["result"], after["error"]) == (None, None)
    assert_nothing_runs(service, alice, task["run_id"])
    eventually(lambda: results_of(service, task["id"]) == [], within=CANCEL_SECONDS)
    assert alice.cancel(task["id"]).json()["code"] == "task_not_cancellable"


def test_a_task_is_cancelled_inside_a_query_that_takes_minutes(
    alice: Client, service: Service
) -> None:
    task = alice.submit(filters={"status": "slow"})
    alice.until(task["id"], "processing")

    assert alice.cancel(task["id"]).status_code == 202

    alice.until(task["id"], "cancelled", within=CANCEL_SECONDS)
    assert_nothing_runs(service, alice, task["run_id"])
