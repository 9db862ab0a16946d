"""The names under which tasks and runs know each other."""

from typing import Any

from dagster import DagsterRun
from dagster._core.storage.tags import PRIORITY_TAG as PRIORITY_TAG  # noqa: PLC0414 - for others
from dagster._core.storage.tags import SCHEDULE_NAME_TAG as SCHEDULE_NAME_TAG  # noqa: PLC0414

from resources.requests import example_parameters
from resources.task_types import REGISTRY

TASK_ID_TAG = "workers/task_id"
OWNER_TAG = "workers/owner"
TASK_TYPE_TAG = "workers/task_type"
REQUEST_ID_TAG = "workers/request_id"

# What Dagster calls the job of "materialize" in its asset graph.
_IMPLICIT_ASSET_JOB = "__ASSET_JOB"


def asset_path(task_type: str) -> list[str]:
    """The key of the asset that a task type's job makes."""
    return list(REGISTRY[task_type].asset)


def op_name(task_type: str) -> str:
    """The op that Dagster makes of that asset; run config is given to it by this name."""
    return "__".join(asset_path(task_type))


def run_config(task_type: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The run config that hands ``parameters`` to the job of a task type."""
    return {"ops": {op_name(task_type): {"config": parameters}}}


def task_type_of(run: DagsterRun) -> str | None:
    """The task type that ``run`` is an attempt at; None: it is no task.

    "Materialize all" in Dagster's asset graph asks one run for several: a task has one result, so
    that run is none.
    """
    if run.job_name in REGISTRY:
        return run.job_name
    if run.job_name == _IMPLICIT_ASSET_JOB and run.asset_selection:
        wanted = {tuple(key.path) for key in run.asset_selection}
        names = [name for name in REGISTRY if tuple(asset_path(name)) in wanted]
        return names[0] if len(names) == 1 else None
    return None


def has_parameters(run: DagsterRun, task_type: str) -> bool:
    """Whether ``run``'s config hands parameters to its job; none of them count, too."""
    return _given(run, task_type) is not None


def parameters_of(run: DagsterRun, task_type: str) -> dict[str, Any]:
    """The parameters that ``run``'s config hands to its job; else those of the type's example."""
    given = _given(run, task_type)
    if given is None:
        return example_parameters(REGISTRY[task_type])
    return dict(given) if isinstance(given, dict) else {}


def _given(run: DagsterRun, task_type: str) -> Any:
    config: Any = run.run_config
    for step in ("ops", op_name(task_type), "config"):
        config = config.get(step) if isinstance(config, dict) else None
    return config
