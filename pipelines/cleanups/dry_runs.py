"""A cleanup that only tells what it would do."""

import time
from typing import Any

from dagster import MaterializeResult

from pipelines.assignments import Assignment
from pipelines.cleanups.plans import Plan, make_plan
from pipelines.cleanups.reading import reading, selection_of
from pipelines.publishing import manifest_of, publish, store_json, writing_result
from resources.source.masking import load_masking
from resources.timestamps import now, to_rfc3339

PLAN_FILE = "plan.json"


def run_dry(assignment: Assignment) -> MaterializeResult[Any]:
    """Publish the plan of the cleanup; running it again plans anew."""
    started = time.monotonic()
    folder = assignment.folder
    with writing_result(folder):
        folder.create()
        plan, taken_at = _plan(assignment)
        told = plan.document()
        file = store_json(folder, PLAN_FILE, told)
        manifest = manifest_of(
            assignment.request,
            [file],
            rows=plan.rows,
            snapshots=[{"taken_at": taken_at, "rows": plan.rows, "files": [PLAN_FILE]}],
            plan=told,
        )
        folder.write_manifest(manifest)
    publish(manifest, folder, assignment.attempt)
    return MaterializeResult(
        metadata={
            "planned": plan.rows,
            "archived": 0,
            "deleted": 0,
            "bytes": 0,
            "seconds": round(time.monotonic() - started, 3),
        }
    )


def _plan(assignment: Assignment) -> tuple[Plan, str]:
    selection = selection_of(assignment)
    key = load_masking(assignment.settings).key
    with reading(assignment) as connection:
        taken_at = to_rfc3339(now())
        return make_plan(connection, assignment.request, selection, key), taken_at
