"""The jobs as Dagster and its launchpad see them."""

import pytest
from dagster import AssetKey, DagsterInvalidConfigError, validate_run_config

from pipelines.definitions import defs
from pipelines.jobs import config_model
from resources.engine.names import run_config
from resources.requests import DEFAULT_BATCH_SIZE, TaskRequest
from resources.task_types import REGISTRY
from resources.task_types.base import TaskType


@pytest.mark.parametrize("task_type", REGISTRY.values(), ids=REGISTRY)
def test_a_jobs_config_has_the_fields_of_the_request_it_stands_for(task_type: TaskType) -> None:
    fields = config_model(task_type).model_fields

    assert fields.keys() == TaskRequest.model_fields.keys() - {"task_type"}


@pytest.mark.parametrize("task_type", REGISTRY.values(), ids=REGISTRY)
def test_the_launchpads_defaults_are_those_of_the_api(task_type: TaskType) -> None:
    defaults = config_model(task_type)().model_dump(exclude_none=True)

    assert defaults["batch_size"] == DEFAULT_BATCH_SIZE
    options = task_type.options().model_dump(mode="json", exclude_none=True)
    assert defaults["options"] == options


def test_a_run_config_that_the_dispatcher_makes_is_valid() -> None:
    job = defs.resolve_job_def("bookings_export")
    parameters = {
        "batch_size": 5,
        "filters": {"status": ["a", None], "total": {"gt": 1.5}},
        "options": {"format": "csv", "columns": ["id"], "compression": "gzip"},
    }

    checked = validate_run_config(job, run_config("bookings_export", parameters))

    assert checked is not None


def test_a_config_with_an_unknown_field_is_refused_by_the_launchpad() -> None:
    job = defs.resolve_job_def("bookings_export")

    with pytest.raises(DagsterInvalidConfigError):
        validate_run_config(job, run_config("bookings_export", {"colour": "red"}))


def test_an_export_hangs_below_its_source_table() -> None:
    graph = defs.resolve_asset_graph()

    node = graph.get(AssetKey(["exports", "bookings"]))

    assert node.parent_keys == {AssetKey(["source", "bookings"])}
    assert node.group_name == "exports"
