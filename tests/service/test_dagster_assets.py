"""What Dagster's UI shows of assets and jobs: checks, lineage, numbers, the launchpad."""

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from resources.store.models import Role
from resources.task_types import REGISTRY
from tests.service.conftest import ClientMaker
from tests.support.service import Client, Service
from tests.support.ui import Ui

pytestmark = pytest.mark.service


@pytest.fixture
def ui(service: Service, alice: Client) -> Ui:
    return Ui(service.graphql_url, alice.http)


@pytest.fixture
def admin(client_of: ClientMaker) -> Client:
    return client_of("root", Role.ADMIN)


def task_of(admin: Client, run_id: str) -> dict[str, Any]:
    listed = admin.http.get("/", params={"owner": "dagster", "page_size": 100}).json()["results"]
    (task,) = [task for task in listed if task["run_id"] == run_id]
    return dict(task)


def entries(asset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (materialization,) = asset["assetMaterializations"]
    return {each["label"]: each for each in materialization["metadataEntries"]}


def test_an_export_has_checks_lineage_and_numbers(alice: Client, ui: Ui) -> None:
    task = alice.until(alice.submit(task_type="users_export")["id"], "completed")

    asset = ui.asset("exports", "users")

    assert_checked(task, asset)
    assert_columns_come_from(["source", "users"], entries(asset))
    assert_plotted(task, entries(asset))


def assert_checked(task: dict[str, Any], asset: dict[str, Any]) -> None:
    """The checks are there, and their results came with the task's materialization."""
    checks = {each["name"]: each for each in asset["assetChecksOrError"]["checks"]}
    made = {name: each["executionForLatestMaterialization"] for name, each in checks.items()}

    assert checks.keys() == {"row_count", "schema_unchanged", "freshness"}
    assert all(each["description"] for each in checks.values())
    assert {each["runId"] for each in made.values()} == {task["run_id"]}
    assert {each["status"] for each in made.values()} == {"SUCCEEDED"}
    told = {name: each["evaluation"]["description"] for name, each in made.items()}
    rows = task["result"]["rows"]
    assert told["row_count"] == f"{rows} rows written, {rows} counted in the same snapshot."
    assert "newest row is" in told["freshness"]


def assert_columns_come_from(table: list[str], told: dict[str, dict[str, Any]]) -> None:
    """Each column is shown with the one it comes from, a masked one too."""
    columns = {each["name"]: each for each in told["dagster/column_schema"]["schema"]["columns"]}
    lineage = {each["columnName"]: each for each in told["dagster/column_lineage"]["lineage"]}

    assert columns["email"]["description"] == "Masked: hash"
    assert columns.keys() == lineage.keys()
    for name, each in lineage.items():
        assert each["columnDeps"] == [{"assetKey": {"path": table}, "columnName": name}]


def assert_plotted(task: dict[str, Any], told: dict[str, dict[str, Any]]) -> None:
    """The materialization tells its task, and numbers."""
    assert told["task"]["text"] == str(task["id"])
    assert told["task in the API"]["text"] == f"/api/v1/workers/{task['id']}/"
    numbers = {name: each["intValue"] for name, each in told.items() if "intValue" in each}
    assert numbers["rows"] == task["result"]["rows"]
    assert numbers["bytes"] == task["result"]["bytes"]
    assert numbers["rows per second"] > 0
    assert told["seconds"]["floatValue"] > 0


def test_every_launchpad_opens_with_a_config_that_says_it_all(ui: Ui) -> None:
    for task_type in REGISTRY:
        (op,) = yaml.safe_load(ui.launchpad(task_type))["ops"].values()

        assert op["config"].keys() == {"batch_size", "filters", "options"}
        assert op["config"]["options"]["priority"] == "normal"


def test_what_the_launchpad_opens_with_is_launched_and_re_executed_as_it_is(
    ui: Ui, admin: Client
) -> None:
    config = ui.launchpad("services_export")

    run_id = ui.launch(config, job="services_export")
    done = admin.until(task_of(admin, run_id)["id"], "completed")
    again = task_of(admin, ui.re_execute(run_id))

    assert done["owner"] == "dagster"
    assert done["result"]["rows"] > 0
    told = ("batch_size", "filters", "options")
    assert [again[each] for each in told] == [done[each] for each in told]
    assert done["options"]["format"] == "parquet"
    admin.until(again["id"], "completed")
