"""The job of ``data_analysis``: what the data of all datasets says."""

import time
from typing import Any

from dagster import MaterializeResult

from pipelines.assets import TaskAsset
from pipelines.assignments import Assignment
from pipelines.insights.analysis import Analysis, analyse
from pipelines.insights.tables import MEDIA_TYPE, columns_table, series_table, to_parquet
from pipelines.insights.values import values_told
from pipelines.insights.windows import requested_window
from pipelines.insights.workspace import workspace
from pipelines.publishing import JSON_TYPE, manifest_of, publish, store_file, writing_result
from resources.requests import chosen_datasets, select_from
from resources.results import ResultFile
from resources.task_types.data_analysis import TASK_TYPE, AnalysisOptions
from resources.timestamps import to_rfc3339


def run_analysis(assignment: Assignment) -> MaterializeResult[Any]:
    """Analyse what the assignment is about, and publish it.

    Raises:
        TaskFailed: A value is not of its column's type or beyond what can be reckoned with, or the
            storage does not take the files.
        SourceUnavailable: The source does not answer, or refuses a query.
        AttemptSuperseded: The task was cancelled or given to another run.
    """
    started = time.monotonic()
    request = assignment.request
    options = AnalysisOptions.model_validate(request.options)
    datasets = chosen_datasets(request, assignment.catalog)
    # Filters are about a single dataset: that was checked.
    conditions = select_from(datasets[0], request, []).conditions
    window = requested_window(request, options.timezone)
    with writing_result(assignment.folder):
        assignment.folder.create()
        with values_told():
            with workspace(assignment, datasets, window, conditions) as loaded:
                analysis = analyse(loaded, request)
            files = _write(assignment, analysis)
        manifest = manifest_of(
            request,
            files,
            rows=analysis.workspace.rows,
            snapshots=[{"taken_at": to_rfc3339(loaded.taken_at), "rows": loaded.rows}],
        )
        assignment.folder.write_manifest(manifest)
    publish(manifest, assignment.folder, assignment.attempt)
    return MaterializeResult(metadata=_metadata(manifest, analysis, time.monotonic() - started))


def _write(assignment: Assignment, analysis: Analysis) -> list[ResultFile]:
    folder = assignment.folder
    files = [store_file(folder, "analysis.json", analysis.content(), media_type=JSON_TYPE)]
    for name, table in (("columns", columns_table(analysis)), ("series", series_table(analysis))):
        files.append(
            store_file(
                folder,
                f"{name}.parquet",
                to_parquet(table),
                media_type=MEDIA_TYPE,
                rows=table.num_rows,
            )
        )
    return files


def _metadata(manifest: dict[str, Any], analysis: Analysis, seconds: float) -> dict[str, Any]:
    return {
        "rows": manifest["rows"],
        "columns": sum(len(columns) for columns in analysis.columns.values()),
        "findings": len(analysis.business.findings),
        "left_out": len(analysis.left_out),
        "bytes": manifest["bytes"],
        "seconds": round(seconds, 3),
        "dagster/row_count": manifest["rows"],
    }


DEFINITIONS = TaskAsset(
    TASK_TYPE,
    run_analysis,
    about=(
        f"{TASK_TYPE.summary}, all of one snapshot. Running it again tells of the source as it is "
        "then; what was told before stays until it expires."
    ),
    kinds={"duckdb", "pandas", "parquet"},
).definitions()
"""The asset ``insights/analysis``, below the source's tables, and the job that makes it."""
