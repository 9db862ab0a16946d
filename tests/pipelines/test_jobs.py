"""The jobs as Dagster and its launchpad see them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from dagster import (
    AssetKey,
    DagsterInvalidConfigError,
    DagsterRun,
    Failure,
    RetryRequested,
    validate_run_config,
)
from dagster._core.errors import DagsterExecutionInterruptedError
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import OperationalError

from pipelines.dagster_log import warning_in_log
from pipelines.definitions import defs
from pipelines.export_jobs import export_definitions
from pipelines.jobs import SOURCE_RETRIES, _failures_told, config_model
from resources.engine import names
from resources.engine.names import has_parameters, parameters_of, run_config
from resources.errors import (
    DeclarationError,
    SourceAway,
    SourceRefused,
    SourceUnavailable,
    TaskFailed,
    Unavailable,
)
from resources.requests import DEFAULT_BATCH_SIZE, TaskRequest, example_parameters
from resources.settings import PROJECT_ROOT, Settings
from resources.source.declarations import load_declarations
from resources.store.attempts import AttemptStore
from resources.store.models import Status
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
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


@pytest.mark.parametrize("task_type", REGISTRY.values(), ids=REGISTRY)
def test_the_launchpad_begins_with_a_config_that_the_job_takes(task_type: TaskType) -> None:
    job = defs.resolve_job_def(task_type.name)

    assert job.run_config == run_config(task_type.name, example_parameters(task_type))
    assert validate_run_config(job, job.run_config) == validate_run_config(job, {})


EXAMPLE = replace(REGISTRY["bookings_export"], example={"format": "csv", "columns": ["id"]})


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {"format": "csv", "columns": ["id"]}),
        (run_config("bookings_export", {"options": {"format": "csv"}}), {"format": "csv"}),
        (run_config("bookings_export", {}), {}),
    ],
)
def test_an_example_stands_in_for_a_config_that_is_absent_and_fills_in_no_other(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], options: dict[str, Any]
) -> None:
    monkeypatch.setattr(names, "REGISTRY", {**REGISTRY, "bookings_export": EXAMPLE})
    run = DagsterRun("bookings_export", run_config=config)

    given = parameters_of(run, "bookings_export")

    told = given.get("options", {})
    assert {name: told[name] for name in told if name in EXAMPLE.example} == options
    assert has_parameters(run, "bookings_export") == (config != {})


def test_every_task_type_has_a_job_and_a_page_of_its_name() -> None:
    jobs = {job.name for job in defs.resolve_all_job_defs() if job.name != "__ASSET_JOB"}
    pages = {path.stem for path in (PROJECT_ROOT / "docs" / "tasks").glob("*.md")}
    listed = (PROJECT_ROOT / "docs" / "tasks" / "README.md").read_text()

    assert jobs == REGISTRY.keys()
    for name in REGISTRY:
        page = "exports" if name.endswith("_export") else name
        assert page in pages
        assert f"[`{name}`]({page}.md)" in listed


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
    declared = load_declarations(PROJECT_ROOT / "datasets.toml")[task_type.datasets[0]]
    tags = {"workers/dataset": task_type.datasets[0], "workers/task_type": task_type.name}

    export = graph.get(AssetKey(["exports", task_type.datasets[0]]))
    source = graph.get(AssetKey(["source", task_type.datasets[0]]))

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
    monkeypatch.setattr("pipelines.source_assets.load_settings", lambda: settings)

    made = export_definitions(REGISTRY["bookings_export"])

    assert made.resolve_job_def("bookings_export").description
    assert "is not TOML" in caplog.text


@pytest.fixture
def attempt(sqlite_engine: Engine) -> AttemptStore:
    """The attempt of a task that is being processed."""
    request = TaskRequest(task_type="bookings_export")
    store = TaskStore(sqlite_engine)
    task = store.submit(request, owner="alice", request_id="r", idempotency_key=None).task
    with sqlite_engine.begin() as connection:
        connection.execute(update(tasks).values(status=Status.PROCESSING))
    return AttemptStore(sqlite_engine, task.run_id)


def fail(
    attempt: AttemptStore, error: Exception, *, retry_number: int, interrupted: bool = False
) -> None:
    """A job that raises ``error``, at its so-many-th retry."""
    context: Any = SimpleNamespace(retry_number=retry_number, run_id=attempt.run_id)
    with _failures_told(context, attempt, lambda: interrupted):
        raise error


def told(attempt: AttemptStore) -> Any:
    with attempt.engine.connect() as connection:
        error = connection.scalar(select(tasks.c.error))
    return error and (error["code"], error["retryable"])


@pytest.mark.parametrize("retry_number", [0, SOURCE_RETRIES - 1])
def test_a_source_that_is_away_is_asked_again(attempt: AttemptStore, retry_number: int) -> None:
    with pytest.raises(RetryRequested):
        fail(attempt, SourceAway(), retry_number=retry_number)

    assert told(attempt) is None


@pytest.mark.parametrize(
    ("error", "retry_number", "expected"),
    [
        (SourceAway(), SOURCE_RETRIES, ("source_unavailable", True)),
        (SourceUnavailable(), 0, ("source_unavailable", True)),  # it took too long
        (SourceRefused(), 0, ("source_refused", False)),
        (DeclarationError(), 0, ("dataset_unusable", False)),
        (TaskFailed("count_mismatch", "…", retryable=True), 0, ("count_mismatch", True)),
    ],
    ids=repr,
)
def test_what_would_fail_again_fails_the_task_with_its_reason(
    attempt: AttemptStore, error: Exception, retry_number: int, expected: tuple[str, bool]
) -> None:
    with pytest.raises(Failure) as failure:
        fail(attempt, error, retry_number=retry_number)

    assert told(attempt) == expected
    assert not failure.value.allow_retries


@pytest.mark.parametrize("error", [SourceAway(), TaskFailed("code", "…", retryable=False)])
def test_an_interrupted_job_tells_no_reason_of_its_own(
    attempt: AttemptStore, error: Exception
) -> None:
    with pytest.raises(DagsterExecutionInterruptedError):
        fail(attempt, error, retry_number=SOURCE_RETRIES, interrupted=True)

    assert told(attempt) is None


@pytest.mark.parametrize("error", [None, Unavailable(), OperationalError("", {}, Exception())])
def test_a_warning_that_cannot_be_stored_fails_no_run(error: Exception | None) -> None:
    log = Mock()
    log.warning.side_effect = error
    context: Any = SimpleNamespace(log=log)

    warning_in_log(context)("slow")

    log.warning.assert_called_once_with("slow")
