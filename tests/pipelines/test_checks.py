"""What is checked of an export, and how it is told; none of it fails a task."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    DagsterInstance,
    Failure,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    asset,
    materialize,
)
from dagster import TableSchema as Table
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from pydantic import ValidationError
from sqlalchemy import URL, Engine
from sqlalchemy.exc import OperationalError

from pipelines.dagster_log import failed_check_in_log, with_all_checks
from pipelines.export_checks import (
    ALL,
    CHOSEN,
    COLUMN_SCHEMA,
    COLUMNS,
    FRESHNESS,
    ROW_COUNT,
    SCHEMA,
    Columns,
    check_export,
    check_specs,
)
from pipelines.export_jobs import run_export
from pipelines.exports import CountMismatch, Export, Exported
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.dataset import Dataset
from resources.source.declarations import Declaration

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
ID_AND_MAIL = {"id": "int64", "email": "string, Masked: hash"}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, at TIMESTAMP)")
        connection.commit()
    engine = connect_source(URL.create("sqlite", database=str(path)))
    yield engine
    engine.dispose()


def dataset(source: Engine, **declared: Any) -> Dataset:
    declaration = Declaration(table="plain", key=["id"], **{"date_column": "at", **declared})
    return Catalog(source, {"bookings": declaration}).dataset("bookings")


def exported(newest: datetime | None = None, *, written: int = 3, counted: int = 3) -> Exported:
    files = [{"rows": written - 1}, {"rows": 1}]
    return Exported({"rows": counted, "files": files}, newest, seconds=1.0)


def materialized(schema: Mapping[str, str], asked: str = ALL) -> dict[str, Any]:
    """The metadata of an export of such columns, as the event log gives it."""
    parts = {name: told.partition(", ") for name, told in schema.items()}
    columns = [
        TableColumn(name, t, description=mask or None) for name, (t, _, mask) in parts.items()
    ]
    told = MetadataValue.table_schema(Table(columns))
    return {COLUMN_SCHEMA: told, COLUMNS: MetadataValue.text(asked)}


def checked(
    of: Dataset,
    export: Exported | None = None,
    *history: Mapping[str, Any],
    schema: Mapping[str, str] = ID_AND_MAIL,
    asked: str = ALL,
) -> dict[str, AssetCheckResult]:
    made = check_export(export or exported(), of, Columns(schema, asked), lambda: history, NOW)
    return {str(each.check_name): each for each in made}


def test_every_check_that_is_declared_is_made(source: Engine) -> None:
    declared = {each.name for each in check_specs(AssetKey("any"))}

    assert checked(dataset(source)).keys() == declared


@pytest.mark.parametrize(("written", "passes"), [(3, True), (4, False)])
def test_rows_are_reconciled(source: Engine, written: int, passes: bool) -> None:
    check = checked(dataset(source), exported(written=written))[ROW_COUNT]

    assert (check.passed, check.severity) == (passes, AssetCheckSeverity.ERROR)
    assert check.metadata["written"].value == written
    assert check.metadata["counted"].value == 3


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ({"id": "int64"}, "email added (string, Masked: hash)"),
        (ID_AND_MAIL | {"phone": "string"}, "phone removed"),
        (ID_AND_MAIL | {"id": "int32"}, "id changed from int32 to int64"),
        (
            ID_AND_MAIL | {"email": "string"},
            "email changed from string to string, Masked: hash",
        ),
        (dict(reversed(ID_AND_MAIL.items())), "in another order"),
    ],
)
def test_a_schema_that_changed_is_told_and_warned_of(
    source: Engine, before: dict[str, str], says: str
) -> None:
    check = checked(dataset(source), None, materialized(before))[SCHEMA]

    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    assert says in (check.description or "")


def test_an_unchanged_schema_passes(source: Engine) -> None:
    check = checked(dataset(source), None, materialized(ID_AND_MAIL))[SCHEMA]

    assert check.passed
    assert "As in the last" in (check.description or "")


def test_the_first_export_passes_and_says_so(source: Engine) -> None:
    check = checked(dataset(source))[SCHEMA]

    assert check.passed
    assert "The first" in (check.description or "")


def test_exports_are_compared_with_those_of_the_same_columns(source: Engine) -> None:
    others = [
        {"rows": MetadataValue.int(1)},  # tells no columns
        materialized({"id": "int64"}),  # all there were
        materialized({"email": "string"}, CHOSEN),
    ]
    same = materialized({"id": "int32"}, CHOSEN)

    alone = checked(dataset(source), None, *others, schema={"id": "int64"}, asked=CHOSEN)
    found = checked(dataset(source), None, *others, same, schema={"id": "int64"}, asked=CHOSEN)

    assert "The first" in (alone[SCHEMA].description or "")
    assert "id changed from int32 to int64" in (found[SCHEMA].description or "")


@pytest.mark.parametrize(
    ("fresh_within", "age", "passes"),
    [("2d", timedelta(days=2), True), ("2d", timedelta(days=2, seconds=1), False)],
)
def test_the_newest_row_may_be_as_old_as_is_declared(
    source: Engine, fresh_within: str, age: timedelta, passes: bool
) -> None:
    of = dataset(source, fresh_within=fresh_within)

    check = checked(of, exported(NOW - age))[FRESHNESS]

    assert (check.passed, check.severity) == (passes, AssetCheckSeverity.WARN)
    assert "2 days old; it may be 2 days old" in (check.description or "")
    assert check.metadata["age in hours"].value == round(age / timedelta(hours=1), 2)


@pytest.mark.parametrize(
    ("newest", "declared", "says"),
    [
        (NOW - timedelta(days=900), {}, "900 days old"),
        (NOW + timedelta(days=1), {"fresh_within": "1h"}, "of a time to come"),
        (None, {"fresh_within": "1h"}, "Not known"),
        (None, {"date_column": None}, "no date column"),
    ],
)
def test_an_age_that_is_allowed_or_not_known_passes_and_is_told(
    source: Engine, newest: datetime | None, declared: dict[str, Any], says: str
) -> None:
    check = checked(dataset(source, **declared), exported(newest))[FRESHNESS]

    assert check.passed
    assert says in (check.description or "")


def test_a_check_that_goes_wrong_is_told_and_harms_no_other(source: Engine) -> None:
    def history() -> Any:
        raise OperationalError("SELECT secret", {}, Exception("secret"))

    made = check_export(exported(), dataset(source), Columns(ID_AND_MAIL, ALL), history, NOW)

    told = {each.check_name: each for each in made}
    assert told[ROW_COUNT].passed
    assert (told[SCHEMA].passed, told[SCHEMA].severity) == (False, AssetCheckSeverity.WARN)
    assert "OperationalError" in (told[SCHEMA].description or "")
    assert "secret" not in (told[SCHEMA].description or "")


def test_a_check_without_a_result_gets_one_so_that_its_run_does_not_fail() -> None:
    keys = {each.key for each in check_specs(AssetKey("any"))}
    context: Any = SimpleNamespace(selected_asset_check_keys=keys)
    one = AssetCheckResult(passed=True, check_name=ROW_COUNT)

    made = with_all_checks(context, [one], "because")

    assert {each.check_name for each in made} == {key.name for key in keys}
    assert made[0] is one
    assert all("because" in (each.description or "") for each in made[1:])


def test_a_check_that_fails_with_its_task_is_told_though_nothing_is_made() -> None:
    specs = check_specs(AssetKey("export"))

    @asset(check_specs=specs)
    def export(context: AssetExecutionContext) -> MaterializeResult:  # type: ignore[type-arg]
        failed_check_in_log(context)(ROW_COUNT, "3 rows were written, 4 counted")
        raise Failure(description="count_mismatch", allow_retries=False)

    with DagsterInstance.ephemeral() as instance:
        made = materialize([export], instance=instance, raise_on_error=False)
        (told,) = instance.event_log_storage.get_asset_check_execution_history(specs[0].key, 1)

    assert not made.success
    assert told.status is AssetCheckExecutionRecordStatus.FAILED


def test_rows_that_do_not_match_fail_the_check_and_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_a_row(_export: Export) -> Exported:
        raise CountMismatch(3, 4)

    failed: list[tuple[str, str]] = []
    assignment: Any = MagicMock(fails_check=lambda name, why: failed.append((name, why)))
    monkeypatch.setattr("pipelines.export_jobs.select_rows", Mock())
    monkeypatch.setattr("pipelines.export_jobs.load_masking", Mock())
    monkeypatch.setattr(Export, "run", lose_a_row)

    with pytest.raises(CountMismatch):
        run_export(assignment)

    ((name, why),) = failed
    assert name == ROW_COUNT
    assert "3 rows were written" in why


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"fresh_within": "2 days", "date_column": "at"}, "is no duration such as 30d"),
        ({"fresh_within": "2d"}, 'no "date_column"'),
    ],
)
def test_a_freshness_that_cannot_be_judged_is_refused(declared: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Declaration.model_validate({"table": "plain", "key": "id", **declared})
