"""Exports as Dagster shows them: for each an asset, its source table above it, and a job."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Definitions,
    MaterializeResult,
    asset,
    define_asset_job,
    in_process_executor,
)

from pipelines.jobs import config_model, run_export
from resources.engine.names import TASK_TYPE_TAG, asset_path
from resources.errors import DeclarationError
from resources.settings import load_settings
from resources.source.declarations import Declaration, read_declarations
from resources.source.dialects import dialect_of
from resources.task_types.base import TaskType

SOURCE_PREFIX = "source"
DATASET_TAG = "workers/dataset"

_logger = logging.getLogger(__name__)


def export_definitions(task_type: TaskType) -> Definitions:
    """All that Dagster needs to know of an export: its asset, its source, its job."""
    declaration = _declarations(load_settings().datasets).get(task_type.dataset)
    owners = declaration.owners if declaration else []
    return Definitions(
        assets=[
            _source_table(task_type, declaration, owners),
            _export_asset(task_type, owners),
        ],
        jobs=[
            define_asset_job(
                task_type.name,
                selection=[AssetKey(asset_path(task_type.name))],
                description=_about(task_type),
                tags=_tags(task_type),
                executor_def=in_process_executor,
            )
        ],
    )


@cache
def _declarations(path: Path) -> Mapping[str, Declaration]:
    """What is declared and usable; the UI is there to see, not to break."""
    try:
        return read_declarations(path)[0]
    except DeclarationError as error:
        _logger.warning("The datasets are shown without what is declared of them: %s", error)
        return {}


def _tags(task_type: TaskType) -> dict[str, str]:
    return {DATASET_TAG: task_type.dataset, TASK_TYPE_TAG: task_type.name}


def _about(task_type: TaskType) -> str:
    return (
        f"{task_type.summary}, in one snapshot and in the order of the key. Running it again "
        "exports the source as it is then; what was exported before stays until it expires."
    )


def _source_table(
    task_type: TaskType, declaration: Declaration | None, owners: list[str]
) -> AssetSpec:
    default = f"The table behind the dataset {task_type.dataset}, as datasets.toml declares it"
    return AssetSpec(
        _source_key(task_type),
        description=(declaration and declaration.description) or default,
        metadata=_declared(declaration) if declaration else {},
        group_name="source",
        kinds={"table", dialect_of(load_settings().source).product},
        tags={DATASET_TAG: task_type.dataset},
        owners=owners,
    )


def _declared(declaration: Declaration) -> dict[str, Any]:
    return {
        "dagster/table_name": declaration.full_name,
        "key": ", ".join(declaration.key),
        "date column": declaration.date_column or "none",
        "time zone": declaration.time_zone,
    }


def _source_key(task_type: TaskType) -> AssetKey:
    return AssetKey([SOURCE_PREFIX, task_type.dataset])


def _export_asset(task_type: TaskType, owners: list[str]) -> AssetsDefinition:
    parameters = config_model(task_type)

    @asset(
        key=AssetKey(asset_path(task_type.name)),
        deps=[_source_key(task_type)],
        description=_about(task_type),
        group_name="exports",
        kinds={"pandas", "parquet", "csv"},
        tags=_tags(task_type),
        owners=owners,
    )
    def export(context: AssetExecutionContext, config: parameters) -> MaterializeResult[Any]:  # type: ignore[valid-type]
        return run_export(task_type, context, config)

    return export
