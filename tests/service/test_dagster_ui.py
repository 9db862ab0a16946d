"""What somebody does in Dagster's UI is what the API tells in the next read."""

from typing import Any

import pytest

from resources.store.models import Role
from tests.service.conftest import ClientMaker
from tests.support.service import Client, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
TERMINATE = """
mutation($id: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $id, terminatePolicy: $policy) { __typename }
}"""
DELETE = "mutation($id: String!) { deletePipelineRun(runId: $id) { __typename } }"
RE_EXECUTE = """
mutation($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""


class Ui:
    """Dagster's web server, asked as its UI asks it."""

    def __init__(self, service: Service, client: Client) -> None:
        self._url = f"http://127.0.0.1:{service.ui_port}/graphql"
        self._http = client.http

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one field of a mutation's answer."""
        answer = self._http.post(self._url, json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        (field,) = answer["data"].values()
        return dict(field)

    def re_execute(self, run_id: str) -> str:
        """Run again from the start; the new run's id."""
        answer = self.ask(RE_EXECUTE, params={"parentRunId": run_id, "strategy": "ALL_STEPS"})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch(self, config: dict[str, Any]) -> str:
        """Launch the job from the launchpad; the run's id."""
        selector = {
            "repositoryLocationName": "workers",
            "repositoryName": "__repository__",
            "jobName": "bookings_export",
        }
        answer = self.ask(LAUNCH, params={"selector": selector, "runConfigData": config})
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service, alice)


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


def test_lineage_leads_from_the_source_table_to_the_export(alice: Client, ui: Ui) -> None:
    query = "{ assetNodes { assetKey { path } dependencyKeys { path } jobNames } }"
    answer = eventually(
        lambda: alice.http.post(ui._url, json={"query": query}).json()["data"]["assetNodes"],
        within=10,
    )

    nodes = {"/".join(node["assetKey"]["path"]): node for node in answer}
    export = nodes["exports/bookings"]
    assert "bookings_export" in export["jobNames"]
    assert ["source", "bookings"] in [key["path"] for key in export["dependencyKeys"]]
