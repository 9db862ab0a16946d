"""What is checked of an export, and told in Dagster's UI; the task is published before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    TableSchemaMetadataValue,
)

from pipelines.dagster_log import not_made
from pipelines.exports import Exported
from resources.source.dataset import Dataset

ROW_COUNT = "row_count"
SCHEMA = "schema_unchanged"
FRESHNESS = "freshness"
COLUMN_SCHEMA = "dagster/column_schema"
# Which columns an export has: all there are, or those that were asked for.
COLUMNS = "columns"
ALL, CHOSEN = "all", "as asked for"

Schema = Mapping[str, str]
"""What is exported of each column, by its name: type and mask."""


@dataclass(frozen=True)
class Columns:
    """The columns of an export, and whether these are all there are, or were asked for."""

    schema: Schema
    asked: str


def check_specs(asset: AssetKey) -> list[AssetCheckSpec]:
    """What is checked of each export."""
    about = {
        ROW_COUNT: "As many rows were written as the source counts in the same snapshot. Where "
        "that is not so, nothing is published and the task fails.",
        SCHEMA: "The columns, their types and masks are those of the last export that was asked "
        "for the same columns.",
        FRESHNESS: "The newest row of the dataset, by its date column, is not older than "
        "fresh_within in datasets.toml says.",
    }
    return [
        AssetCheckSpec(name, asset=asset, description=description)
        for name, description in about.items()
    ]


def check_export(
    exported: Exported,
    dataset: Dataset,
    columns: Columns,
    history: Callable[[], Iterable[Mapping[str, Any]]],
    at: datetime,
) -> list[AssetCheckResult]:
    """The results of all checks; what goes wrong in one is told, and harms nobody.

    Args:
        exported: What was published.
        dataset: Of which.
        columns: What of it.
        history: Gives the metadata of earlier exports, the newest first.
        at: The moment up to which a row is old.
    """
    made: dict[str, Callable[[], AssetCheckResult]] = {
        ROW_COUNT: lambda: _row_count(exported.manifest),
        SCHEMA: lambda: _schema(columns.schema, _last_like(history(), columns)),
        FRESHNESS: lambda: _freshness(exported.newest, dataset, at),
    }
    return [_harmless(name, check) for name, check in made.items()]


def _harmless(name: str, check: Callable[[], AssetCheckResult]) -> AssetCheckResult:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - the task is done, whatever this is
        return not_made(name, f"it went wrong ({type(error).__name__}).")


def _row_count(manifest: Mapping[str, Any]) -> AssetCheckResult:
    written, counted = sum(file["rows"] for file in manifest["files"]), manifest["rows"]
    return AssetCheckResult(
        passed=written == counted,
        check_name=ROW_COUNT,
        severity=AssetCheckSeverity.ERROR,
        description=f"{written} rows written, {counted} counted in the same snapshot.",
        metadata={"written": written, "counted": counted},
    )


def _last_like(history: Iterable[Mapping[str, Any]], now: Columns) -> Schema | None:
    """The columns of the last export that was asked for the same ones; None: there is none."""
    for metadata in history:
        told, asked = metadata.get(COLUMN_SCHEMA), metadata.get(COLUMNS)
        if not isinstance(told, TableSchemaMetadataValue) or asked is None:
            continue
        before = {
            column.name: described(column.type, column.description)
            for column in told.schema.columns
        }
        if asked.value != now.asked:
            continue
        if now.asked == ALL or before.keys() == now.schema.keys():
            return before
    return None


def described(type_: str, mask: str | None) -> str:
    """What is exported of a column, in words."""
    return f"{type_}, {mask}" if mask else type_


def _schema(now: Schema, before: Schema | None) -> AssetCheckResult:
    changes = [] if before is None else _changes(before, now)
    if before is None:
        description = "The first export of these columns: nothing to compare with."
    elif changes:
        description = "Changed since the last export of these columns: " + "; ".join(changes)
    else:
        description = "As in the last export of these columns."
    return AssetCheckResult(
        passed=not changes,
        check_name=SCHEMA,
        severity=AssetCheckSeverity.WARN,
        description=description,
        metadata={"columns": len(now), "changes": len(changes)},
    )


def _changes(before: Schema, now: Schema) -> Sequence[str]:
    changes = [f"{name} added ({now[name]})" for name in now if name not in before]
    changes += [f"{name} removed" for name in before if name not in now]
    changes += [
        f"{name} changed from {before[name]} to {now[name]}"
        for name in now
        if name in before and before[name] != now[name]
    ]
    if not changes and list(before) != list(now):
        changes.append("the columns are in another order")
    return changes


def _freshness(newest: datetime | None, dataset: Dataset, at: datetime) -> AssetCheckResult:
    limit = dataset.fresh_within
    if newest is None:
        return _told_of_freshness(_why_unknown(dataset), {}, passed=True)
    age = at - newest
    told = f"The newest row is {_in_words(age)}"
    metadata = {
        "newest row": MetadataValue.timestamp(newest),
        "age in hours": round(age / timedelta(hours=1), 2),
    }
    if limit is None:
        return _told_of_freshness(
            f"{told}; datasets.toml says nothing of how old it may be.", metadata, passed=True
        )
    may_be = f"it may be {_in_words(limit)}"
    return _told_of_freshness(f"{told}; {may_be}.", metadata, passed=age <= limit)


def _told_of_freshness(
    description: str, metadata: Mapping[str, Any], *, passed: bool
) -> AssetCheckResult:
    return AssetCheckResult(
        passed=passed,
        check_name=FRESHNESS,
        severity=AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def _why_unknown(dataset: Dataset) -> str:
    if dataset.date_column is None:
        return "Not known: the dataset has no date column."
    return (
        "Not known: there are no dates, or only reading the whole table would tell. An export "
        "without filters, dates and chosen columns tells, or an index that begins with "
        f'"{dataset.date_column.name}".'
    )


def _in_words(age: timedelta) -> str:
    """A length of time, as precisely as anybody wants to know."""
    if age < timedelta():
        return "of a time to come"
    for unit, name in (
        (timedelta(days=1), "days"),
        (timedelta(hours=1), "hours"),
        (timedelta(minutes=1), "minutes"),
    ):
        if age >= 2 * unit:
            return f"{age // unit} {name} old"
    return f"{age // timedelta(seconds=1)} seconds old"
