"""The job of an export: makes `Export` of its assignment, and tells Dagster what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import (
    Definitions,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from pipelines.assets import TaskAsset, asset_key
from pipelines.assignments import Assignment
from pipelines.export_checks import (
    ALL,
    CHOSEN,
    COLUMN_SCHEMA,
    COLUMNS,
    ROW_COUNT,
    Columns,
    check_export,
    check_specs,
    described,
)
from pipelines.exports import CountMismatch, Export, Exported
from pipelines.source_assets import owners_of, source_key
from resources.requests import select_rows
from resources.source.masking import load_masking
from resources.task_types.base import TaskType
from resources.timestamps import now


def export_definitions(task_type: TaskType) -> Definitions:
    """All that Dagster needs to know of an export."""
    (dataset,) = task_type.datasets
    return TaskAsset(
        task_type,
        run_export,
        about=(
            f"{task_type.summary}, in one snapshot and in the order of the key. Running it again "
            "exports the source as it is then; what was exported before stays until it expires."
        ),
        kinds={"pandas", "parquet", "csv"},
        owners=owners_of(dataset),
        checks=check_specs(asset_key(task_type)),
    ).definitions()


def run_export(assignment: Assignment) -> MaterializeResult[Any]:
    """Export what the assignment selects, and publish it; then look at what came out."""
    export = Export(
        request=assignment.request,
        selection=select_rows(assignment.request, assignment.catalog),
        source=assignment.source,
        masking=load_masking(assignment.settings),
        folder=assignment.folder,
        attempt=assignment.attempt,
        control=assignment.control,
        warn=assignment.warn,
    )
    try:
        exported = export.run()
    except CountMismatch as error:
        assignment.fails_check(ROW_COUNT, error.detail)
        raise
    columns = [_column(each) for each in exported.manifest["schema"]]
    asked = CHOSEN if assignment.request.options.get("columns") else ALL
    checks = check_export(
        exported,
        export.selection.dataset,
        Columns({each.name: described(each.type, each.description) for each in columns}, asked),
        assignment.history,
        now(),
    )
    metadata = _metadata(exported, columns, export.selection.dataset.name)
    return MaterializeResult(metadata={**metadata, COLUMNS: asked}, check_results=checks)


def _column(told: Mapping[str, str]) -> TableColumn:
    mask = told.get("mask")
    return TableColumn(told["name"], told["type"], description=f"Masked: {mask}" if mask else None)


def _metadata(exported: Exported, columns: Sequence[TableColumn], dataset: str) -> dict[str, Any]:
    """Numbers, which the UI plots over time, and what the columns are and come from."""
    rows, seconds = exported.manifest["rows"], exported.seconds
    return {
        "rows": rows,
        "bytes": exported.manifest["bytes"],
        "parts": len(exported.manifest["files"]),
        "seconds": round(seconds, 3),
        "rows per second": round(rows / seconds) if seconds else rows,
        COLUMN_SCHEMA: MetadataValue.table_schema(TableSchema(columns)),
        "dagster/column_lineage": MetadataValue.column_lineage(_lineage(columns, dataset)),
        "dagster/row_count": rows,
    }


def _lineage(columns: Sequence[TableColumn], dataset: str) -> TableColumnLineage:
    """Each column comes from the one of its name, a masked one too."""
    table = source_key(dataset)
    return TableColumnLineage({each.name: [TableColumnDep(table, each.name)] for each in columns})
