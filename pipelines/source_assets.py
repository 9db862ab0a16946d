"""The source's tables as Dagster shows them: what everything else is made of."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetSpec, Definitions

from resources.errors import DeclarationError
from resources.settings import load_settings
from resources.source.declarations import DATASETS, Declaration, read_declarations
from resources.source.dialects import dialect_of

SOURCE_PREFIX = "source"
DATASET_TAG = "workers/dataset"

_logger = logging.getLogger(__name__)


def source_definitions() -> Definitions:
    """The table behind each dataset."""
    return Definitions(assets=[_source_table(dataset) for dataset in DATASETS])


def source_key(dataset: str) -> AssetKey:
    """The key of the table behind ``dataset``."""
    return AssetKey([SOURCE_PREFIX, dataset])


def owners_of(dataset: str) -> list[str]:
    """Who answers for ``dataset``."""
    declaration = _declaration(dataset)
    return declaration.owners if declaration else []


def _declaration(dataset: str) -> Declaration | None:
    return _declarations(load_settings().datasets).get(dataset)


@cache
def _declarations(path: Path) -> Mapping[str, Declaration]:
    """What is declared and usable; the UI is there to see, not to break."""
    try:
        return read_declarations(path)[0]
    except DeclarationError as error:
        _logger.warning("The datasets are shown without what is declared of them: %s", error)
        return {}


def _source_table(dataset: str) -> AssetSpec:
    declaration = _declaration(dataset)
    default = f"The table behind the dataset {dataset}, as datasets.toml declares it"
    return AssetSpec(
        source_key(dataset),
        description=(declaration and declaration.description) or default,
        metadata=_declared(declaration) if declaration else {},
        group_name="source",
        kinds={"table", dialect_of(load_settings().source).product},
        tags={DATASET_TAG: dataset},
        owners=owners_of(dataset),
    )


def _declared(declaration: Declaration) -> dict[str, Any]:
    return {
        "dagster/table_name": declaration.full_name,
        "key": ", ".join(declaration.key),
        "date column": declaration.date_column or "none",
        "time zone": declaration.time_zone,
    }
