"""What somebody does in Dagster's UI is what the API tells in the next read."""

from typing import Any

import pytest

from resources.store.models import Role
from tests.service.conftest import ClientMaker
from tests.support.service import Client, Service
from tests.support.ui import DELETE, RUN, TERMINATE, Ui
from tests.support.waiting import eventually

pytestmark = pytest.mark.service


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service.graphql_url, alice.http)


@pytest.fixture
def admin(client_of: ClientMaker) -> Client:
    return client_of("root", Role.ADMIN)


def broken(alice: Client) -> dict[str, Any]:
    """A task that has failed cleanly."""
    return alice.until(alice.submit(filters={"status": "broken"})["id"], "failed")


@pytest.mark.parametrize("policy", ["SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY"])
def test_a_run_that_is_terminated_makes_its_task_cancelled(
    alice: Client, ui: Ui, policy: str
) -> None:
    task = alice.submit(filters={"status": "big"})
    alice.until(task["id"], "processing")

    ui.ask(TERMINATE, id=task["run_id"], policy=policy)

    after = alice.until(task["id"], "cancelled", within=15)
    assert after["result"] is None


def test_a_run_that_is_deleted_makes_its_task_failed(alice: Client, ui: Ui) -> None:
    task = alice.submit(filters={"status": "big"})
    alice.until(task["id"], "processing")

    ui.ask(DELETE, id=task["run_id"])

    after = alice.task(task["id"])
    assert (after["status"], after["error"]["code"]) == ("failed", "run_deleted")


def test_the_run_of_a_completed_task_may_be_deleted(alice: Client, ui: Ui) -> None:
    task = alice.until(alice.submit(filters={"status": "pending"})["id"], "completed")

    ui.ask(DELETE, id=task["run_id"])

    assert alice.task(task["id"]) == task
    assert alice.files(task)


def test_a_task_fails_cleanly_once_and_says_why(alice: Client) -> None:
    after = broken(alice)

    assert after["attempt"] == 1
    assert after["error"]["code"] == "value_not_representable"
    assert "id = 99" in after["error"]["detail"]
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

    assert alice.task(task["id"]) == task
    newest = alice.http.get("/").json()["results"][0]
    assert newest["id"] != task["id"]
    assert (newest["run_id"], newest["owner"]) == (run_id, task["owner"])
    done = alice.until(newest["id"], "completed")
    assert done["result"]["rows"] == task["result"]["rows"]


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

    def failures() -> list[str]:
        run = ui.ask(RUN, id=run_id)
        failed = [each.get("failureMetadata") for each in run["eventConnection"]["events"]]
        told = [each["description"] for each in failed if each]
        return told if run["status"] == "FAILURE" else []

    told = eventually(failures, within=60)

    assert len(told) == 2
    assert all("one by one" in each for each in told)
    assert tasks_of(admin, run_id) == []


def tasks_of(admin: Client, run_id: str) -> list[dict[str, Any]]:
    listed = admin.http.get("/", params={"owner": "dagster", "page_size": 100}).json()["results"]
    return [task for task in listed if task["run_id"] == run_id]
