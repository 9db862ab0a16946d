"""What somebody does in Dagster's UI is what the API tells in the next read."""

from typing import Any

import pytest

from resources.store.models import Role
from tests.service.conftest import ClientMaker, results_of
from tests.support.service import Client, Service
from tests.support.sources import BIG
from tests.support.ui import BACKFILL, CANCEL_BACKFILL, DELETE, RUN, TERMINATE, Ui
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

SMALL: dict[str, Any] = {"filters": {"status": "pending"}}


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service.graphql_url, alice.http)


@pytest.fixture
def admin(client_of: ClientMaker) -> Client:
    return client_of("root", Role.ADMIN)


def cancelled(alice: Client) -> dict[str, Any]:
    """A task that was cancelled at work."""
    task = alice.submit(filters={"status": "slow"})
    alice.until(task["id"], "processing")
    alice.cancel(task["id"])
    return alice.until(task["id"], "cancelled")


def broken(alice: Client) -> dict[str, Any]:
    """A task that has failed cleanly."""
    return alice.until(alice.submit(filters={"status": "broken"})["id"], "failed")


@pytest.mark.parametrize("policy", ["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"])
def test_a_run_that_is_terminated_makes_its_task_cancelled(
    alice: Client, ui: Ui, policy: str
) -> None:
    task = alice.submit(**BIG)
    alice.until(task["id"], "processing")

    ui.ask(TERMINATE, id=task["run_id"], policy=policy)

    told = alice.task(task["id"])
    assert told["cancel_requested_at"] is not None or told["status"] == "cancelled"
    after = alice.until(task["id"], "cancelled", within=15)
    assert after["result"] is None


def test_a_run_that_is_deleted_makes_its_task_failed(alice: Client, ui: Ui) -> None:
    task = alice.submit(**BIG)
    alice.until(task["id"], "processing")

    ui.ask(DELETE, id=task["run_id"])

    after = alice.task(task["id"])
    assert (after["status"], after["error"]["code"]) == ("failed", "run_deleted")


def test_the_run_of_a_completed_task_may_be_deleted(alice: Client, ui: Ui) -> None:
    task = alice.until(alice.submit(filters={"status": "pending"})["id"], "completed")

    ui.ask(DELETE, id=task["run_id"])

    assert alice.task(task["id"]) == task
    assert alice.files(task)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_the_run_of_a_failed_or_cancelled_task_may_be_deleted(
    alice: Client, ui: Ui, end: str
) -> None:
    task = broken(alice) if end == "failed" else cancelled(alice)

    ui.ask(DELETE, id=task["run_id"])

    assert ui.status(task["run_id"]) is None
    assert alice.task(task["id"]) == task


def test_a_queued_run_that_is_deleted_or_terminated_never_runs(
    alice: Client, service: Service, ui: Ui, client_of: ClientMaker
) -> None:
    bob = client_of("bob")  # of one owner Dagster has no more than one that may not start yet
    running = [alice.submit(filters={"status": "slow"}) for _ in range(2)]  # every slot
    for task in running:  # or it would be bob's turn
        alice.until(task["id"], "processing")
    deleted, terminated = (each.submit(filters={"status": "pending"}) for each in (alice, bob))
    for task in (deleted, terminated):
        eventually(lambda: ui.status(task["run_id"]) == "QUEUED", within=30)  # noqa: B023

    ui.ask(DELETE, id=deleted["run_id"])
    after_deletion = alice.task(deleted["id"])
    ui.ask(TERMINATE, id=terminated["run_id"], policy="SAFE_TERMINATE")
    after_termination = bob.task(terminated["id"])

    assert after_deletion["status"] == "failed"
    assert after_deletion["error"]["code"] == "run_deleted"
    assert after_termination["status"] == "cancelled"
    assert after_termination["error"] is None
    for task in running:
        alice.cancel(task["id"])
    later = alice.submit(filters={"status": "pending"})
    alice.until(later["id"], "completed")  # it stood behind both in the queue
    for client, before in ((alice, after_deletion), (bob, after_termination)):
        assert client.task(before["id"]) == before
        assert before["started_at"] is None
        assert results_of(service, before["id"]) == []


def test_a_task_fails_cleanly_once_and_says_why(alice: Client) -> None:
    after = broken(alice)

    assert after["attempt"] == 1
    assert after["error"]["code"] == "value_not_representable"
    assert "id = 99" in after["error"]["detail"]
    assert after["error"]["retryable"] is False


def test_an_index_that_is_missing_is_a_warning_in_the_runs_log(alice: Client, ui: Ui) -> None:
    window = {"date_from": "2024-01-01T00:00:00Z"}
    slow, fast = (
        alice.until(alice.submit(task_type=name, **window)["id"], "completed")
        for name in ("services_export", "users_export")
    )

    (warning,) = ui.warnings(slow["run_id"])
    assert warning.startswith('services: no index begins with the date column "created_at"')
    assert ui.warnings(fast["run_id"]) == []


def test_a_query_that_the_source_refuses_fails_the_task_at_once(alice: Client) -> None:
    after = alice.until(alice.submit(filters={"status": "refused"})["id"], "failed")

    assert (after["attempt"], after["error"]["code"]) == (1, "source_refused")
    assert after["error"]["retryable"] is False


def test_re_executing_a_failed_run_is_the_next_attempt_of_its_task(alice: Client, ui: Ui) -> None:
    task = broken(alice)

    run_id = ui.re_execute(task["run_id"])

    after = alice.task(task["id"])
    assert (after["attempt"], after["run_id"]) == (2, run_id)
    assert after["status"] in {"pending", "processing", "failed"}
    again = alice.until(task["id"], "failed")
    assert again["error"]["code"] == "value_not_representable"


def test_re_executing_a_completed_run_makes_a_new_task_of_the_same_owner(
    alice: Client, ui: Ui
) -> None:
    task = alice.until(alice.submit(filters={"status": "pending"})["id"], "completed")

    run_id = ui.re_execute(task["run_id"])

    newest = assert_made_anew(alice, task, run_id)
    done = alice.until(newest["id"], "completed")
    assert done["result"]["rows"] == task["result"]["rows"]


def test_re_executing_a_cancelled_run_makes_a_new_task_of_the_same_owner(
    alice: Client, ui: Ui
) -> None:
    task = cancelled(alice)

    run_id = ui.re_execute(task["run_id"])

    newest = assert_made_anew(alice, task, run_id)
    alice.until(newest["id"], "processing")
    alice.cancel(newest["id"])
    alice.until(newest["id"], "cancelled")
    assert alice.task(task["id"]) == task


def assert_made_anew(alice: Client, task: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The next read tells of a new task like ``task``, which is as it was; the new one."""
    newest: dict[str, Any] = alice.http.get("/").json()["results"][0]
    assert alice.task(task["id"]) == task
    assert newest["id"] != task["id"]
    assert (newest["run_id"], newest["owner"]) == (run_id, task["owner"])
    same = ("task_type", "filters", "options", "batch_size")
    assert {name: newest[name] for name in same} == {name: task[name] for name in same}
    assert (newest["status"], newest["attempt"]) == ("pending", 1)
    return newest


@pytest.mark.faults  # slow, and hardly more than each alone
def test_runs_that_are_re_executed_together_are_each_what_they_would_be_alone(
    alice: Client, ui: Ui
) -> None:
    """The Runs page's bulk action asks for one after the other."""
    done = alice.until(alice.submit(**SMALL)["id"], "completed")
    failed = broken(alice)

    made = [assert_made_anew(alice, done, ui.re_execute(done["run_id"])) for _ in range(2)]
    attempt = ui.re_execute(failed["run_id"], "FROM_FAILURE")
    after = alice.task(failed["id"])

    assert (after["attempt"], after["run_id"], after["error"]) == (2, attempt, None)
    assert alice.http.get("/").json()["count"] == 4
    for task in made:
        alice.until(task["id"], "completed")
    alice.until(failed["id"], "failed")


def test_a_run_from_the_launchpad_is_a_task_of_dagster_that_admins_see(
    alice: Client, admin: Client, ui: Ui
) -> None:
    parameters = {"filters": {"status": "pending"}, "options": {"format": "csv"}}

    run_id = ui.launch({"ops": {"exports__bookings": {"config": parameters}}})

    page = admin.http.get("/", params={"owner": "dagster"}).json()
    (task,) = [each for each in page["results"] if each["run_id"] == run_id]
    assert (task["filters"], task["options"]["format"]) == ({"status": "pending"}, "csv")
    assert alice.http.get(f"/{task['id']}/").status_code == 404
    done = admin.until(task["id"], "completed")
    assert done["result"]["rows"] > 0


def test_a_mistake_in_the_launchpad_fails_the_task_and_says_what_it_is(
    admin: Client, ui: Ui
) -> None:
    parameters = {"filters": {"colour": "red"}, "batch_size": 0}

    run_id = ui.launch({"ops": {"exports__bookings": {"config": parameters}}})

    page = admin.http.get("/", params={"owner": "dagster"}).json()
    (task,) = [each for each in page["results"] if each["run_id"] == run_id]
    failed = admin.until(task["id"], "failed")
    assert failed["error"]["code"] == "invalid_request"
    assert "/filters/colour" in failed["error"]["detail"]
    assert "/batch_size" in failed["error"]["detail"]


def test_lineage_leads_from_the_source_table_to_the_export(alice: Client, service: Service) -> None:
    query = "{ assetNodes { assetKey { path } dependencyKeys { path } jobNames } }"
    answer = alice.http.post(service.graphql_url, json={"query": query}).json()["data"][
        "assetNodes"
    ]

    nodes = {"/".join(node["assetKey"]["path"]): node for node in answer}
    export = nodes["exports/bookings"]
    assert "bookings_export" in export["jobNames"]
    assert ["source", "bookings"] in [key["path"] for key in export["dependencyKeys"]]


def test_an_export_that_is_materialized_in_the_asset_graph_is_a_task(admin: Client, ui: Ui) -> None:
    run_id = ui.materialize("services")

    (task,) = eventually(lambda: tasks_of(admin, run_id), within=30)

    assert (task["task_type"], task["owner"]) == ("services_export", "dagster")
    assert admin.until(task["id"], "completed")["result"]["rows"] > 0


def test_several_exports_in_one_run_are_refused_with_what_to_do(admin: Client, ui: Ui) -> None:
    run_id = ui.materialize("services", "users")

    told = failures_of(ui, run_id)

    assert len(told) == 2
    assert all("one by one" in each for each in told)
    assert tasks_of(admin, run_id) == []


def failures_of(ui: Ui, run_id: str) -> list[str]:
    """Why the steps of a run failed, once it has failed."""

    def failures() -> list[str]:
        run = ui.ask(RUN, id=run_id)
        failed = [each.get("failureMetadata") for each in run["eventConnection"]["events"]]
        told = [each["description"] for each in failed if each]
        return told if run["status"] == "FAILURE" else []

    return eventually(failures, within=60)


def tasks_of(admin: Client, run_id: str) -> list[dict[str, Any]]:
    listed = admin.http.get("/", params={"owner": "dagster", "page_size": 100}).json()["results"]
    return [task for task in listed if task["run_id"] == run_id]


def test_a_backfill_of_partitions_is_refused_for_an_export_has_none(admin: Client, ui: Ui) -> None:
    before = admin.http.get("/").json()["count"]

    answer = ui.ask(BACKFILL, params={"assetSelection": [{"path": ["exports", "services"]}]})

    assert answer["__typename"] == "PythonError"
    assert admin.http.get("/").json()["count"] == before


# Dagster's backfill daemon looks every 30 seconds.
BACKFILL_SECONDS = 60


def run_of_backfill(ui: Ui, backfill_id: str) -> str:
    """The id of a backfill's run, once it has one."""
    (run_id,) = eventually(lambda: ui.backfill_status(backfill_id)[1], within=BACKFILL_SECONDS)
    return run_id


@pytest.mark.faults  # for the daemon's half minutes
def test_an_export_that_is_backfilled_is_a_task_and_ends_with_its_backfill(
    admin: Client, ui: Ui, backend: str
) -> None:
    if backend == "sqlite":
        pytest.skip("what becomes of backfills does not depend on the database")
    # Given
    done, stopped = ui.backfill("services"), ui.backfill("bookings")
    several = ui.backfill("services", "users")
    finished, working = run_of_backfill(ui, done), run_of_backfill(ui, stopped)
    (services,), (bookings,) = tasks_of(admin, finished), tasks_of(admin, working)
    admin.until(bookings["id"], "processing")
    # When
    answer = ui.ask(CANCEL_BACKFILL, id=stopped)
    # Expect
    assert answer["__typename"] == "CancelBackfillSuccess"
    told = [(each["task_type"], each["owner"]) for each in (services, bookings)]
    assert told == [("services_export", "dagster"), ("bookings_export", "dagster")]
    assert admin.until(services["id"], "completed")["result"]["rows"] > 0
    admin.until(bookings["id"], "cancelled", within=BACKFILL_SECONDS)
    for backfill_id, end in ((done, "COMPLETED_SUCCESS"), (stopped, "CANCELED")):
        eventually(
            lambda: ui.backfill_status(backfill_id)[0] == end,  # noqa: B023
            within=2 * BACKFILL_SECONDS,
        )
    # One run makes one result: one for several is refused, with what to do.
    refused = run_of_backfill(ui, several)
    assert all("one by one" in each for each in failures_of(ui, refused))
    assert tasks_of(admin, refused) == []
