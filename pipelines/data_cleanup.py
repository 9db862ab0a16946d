"""The job of ``data_cleanup``."""

from typing import Any

from dagster import MaterializeResult

from pipelines.assets import TaskAsset
from pipelines.assignments import Assignment
from pipelines.cleanups.deletions import run_deletion
from pipelines.cleanups.dry_runs import run_dry
from pipelines.retention import run_retention
from resources.task_types.data_cleanup import TASK_TYPE, CleanupDataset, DataCleanupOptions


def run_cleanup(assignment: Assignment) -> MaterializeResult[Any]:
    """Do what was asked for: the one place where kinds of cleanups part."""
    options = DataCleanupOptions.model_validate(assignment.request.options)
    if options.dataset is CleanupDataset.RESULTS:
        return run_retention(assignment, dry_run=options.dry_run)
    return run_dry(assignment) if options.dry_run else run_deletion(assignment)


DEFINITIONS = TaskAsset(
    TASK_TYPE,
    run_cleanup,
    about=(
        f"{TASK_TYPE.summary}, children before parents, in transactions of a batch each. Running "
        "it again goes on where it stopped: what is archived stays as it is, and rows that are "
        "gone count as deleted. A dry run only tells what would be deleted."
    ),
    kinds={"pandas", "parquet"},
).definitions()
"""The asset ``maintenance/archive`` below the source's tables, and the job that makes it."""
