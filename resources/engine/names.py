"""The names under which tasks and runs know each other."""

from typing import Any

from dagster import DagsterRun

from resources.task_types import REGISTRY

EXPORT_PREFIX = "exports"

TASK_ID_TAG = "workers/task_id"
OWNER_TAG = "workers/owner"
TASK_TYPE_TAG = "workers/task_type"
REQUEST_ID_TAG = "workers/request_id"

# What Dagster calls the job of "materialize" in its asset graph.
_IMPLICIT_ASSET_JOB = "__ASSET_JOB"


def asset_path(task_type: str) -> list[str]:
    """The key of the asset that a task type's job makes."""
    return [EXPORT_PREFIX, REGISTRY[task_type].dataset]


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


def parameters_of(run: DagsterRun, task_type: str) -> dict[str, Any]:
    """The parameters that ``run``'s config hands to its job; empty where it has none."""
    config: Any = run.run_config
    for step in ("ops", op_name(task_type), "config"):
        config = config.get(step) if isinstance(config, dict) else None
    return dict(config) if isinstance(config, dict) else {}
