"""The jobs as Dagster and its launchpad see them."""

from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInvalidConfigError, validate_run_config

from pipelines.definitions import defs
from pipelines.export_assets import export_definitions
from pipelines.jobs import config_model
from resources.engine.names import run_config
from resources.requests import DEFAULT_BATCH_SIZE, TaskRequest
from resources.settings import PROJECT_ROOT, Settings
from resources.source.declarations import load_declarations
from resources.task_types import REGISTRY
from resources.task_types.base import TaskType
from resources.task_types.export_options import ExportOptions


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


EXPORTS = {name: each for name, each in REGISTRY.items() if issubclass(each.options, ExportOptions)}


@pytest.mark.parametrize("task_type", EXPORTS.values(), ids=EXPORTS)
def test_an_export_hangs_below_its_source_table_and_says_what_it_is(task_type: TaskType) -> None:
    graph = defs.resolve_asset_graph()
    declared = load_declarations(PROJECT_ROOT / "datasets.toml")[task_type.dataset]
    tags = {"workers/dataset": task_type.dataset, "workers/task_type": task_type.name}

    export = graph.get(AssetKey(["exports", task_type.dataset]))
    source = graph.get(AssetKey(["source", task_type.dataset]))

    assert export.parent_keys == {source.key}
    assert (export.group_name, source.group_name) == ("exports", "source")
    assert export.kinds == {"pandas", "parquet", "csv"}
    assert source.kinds == {"table", "sqlite"}
    assert {name: export.tags[name] for name in tags} == tags
    assert export.owners == source.owners == declared.owners != []
    assert task_type.summary in (export.description or "")
    assert source.description == declared.description
    assert source.metadata["dagster/table_name"] == declared.table


@pytest.mark.parametrize("task_type", EXPORTS.values(), ids=EXPORTS)
def test_a_job_has_a_description_and_tags_its_runs(task_type: TaskType) -> None:
    job = defs.resolve_job_def(task_type.name)

    assert task_type.summary in (job.description or "")
    assert job.run_tags["workers/task_type"] == task_type.name


def test_datasets_that_cannot_be_read_leave_the_jobs_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "datasets.toml").write_text("[bookings")
    settings = Settings(home=tmp_path, datasets=tmp_path / "datasets.toml")
    monkeypatch.setattr("pipelines.export_assets.load_settings", lambda: settings)

    made = export_definitions(REGISTRY["bookings_export"])

    assert made.resolve_job_def("bookings_export").description
    assert "is not TOML" in caplog.text
