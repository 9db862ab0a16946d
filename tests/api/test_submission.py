"""Submitting: what is accepted, and what is refused with every reason at once."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.columns import Kind
from resources.source.connection import connect_source
from resources.source.declarations import Declaration, load_declarations
from resources.task_types import REGISTRY
from tests.api.conftest import Serve
from tests.api.support import EXPORTS, TASKS, Api, assert_problem, bad_fields

# As the original request writes it.
SEED_EXAMPLE = b"""{
    "task_type": "bookings_export",
    "batch_size": 100,
    "filters": {"status": "confirmed"},
    "date_from": "2024-01-01T00:00:00Z",
    "date_to": "2024-12-31T23:59:59Z"
  }"""
DAY = "2024-01-01T00:00:00Z"
ALL_TYPES = {
    "bookings_export",
    "payments_export",
    "users_export",
    "services_export",
    "data_cleanup",
    "data_analysis",
    "report_generation",
}
LATER_TYPES = sorted(ALL_TYPES - REGISTRY.keys())


@pytest.fixture
def alice(sqlite_api: Api) -> httpx.Client:
    return sqlite_api.user("alice")


def post(client: httpx.Client, **fields: Any) -> httpx.Response:
    # All in ASCII: a lone surrogate can be written as an escape alone.
    body = json.dumps({"task_type": "bookings_export", **fields}).encode("ascii")
    return client.post(TASKS, content=body, headers={"Content-Type": "application/json"})


def test_example_of_the_original_request_is_accepted(api: Api) -> None:
    # When
    alice = api.user("alice")
    answer = alice.post(TASKS, content=SEED_EXAMPLE, headers={"Content-Type": "application/json"})
    # Expect
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{api.url}{TASKS}{task['id']}/"
    assert list(task.items()) == [
        ("id", task["id"]),
        ("task_type", "bookings_export"),
        ("status", "pending"),
        ("owner", "alice"),
        ("batch_size", 100),
        ("filters", {"status": "confirmed"}),
        ("date_from", "2024-01-01T00:00:00Z"),
        ("date_to", "2024-12-31T23:59:59Z"),
        ("options", {"format": "parquet"}),
        ("progress", {"processed": 0, "total": None, "percent": None}),
        ("attempt", 1),
        ("run_id", task["run_id"]),
        ("created_at", task["created_at"]),
        ("started_at", None),
        ("finished_at", None),
        ("cancel_requested_at", None),
        ("result", None),
        ("error", None),
    ]
    assert isinstance(task["id"], int)
    assert alice.get(answer.headers["location"]).json() == task


def test_defaults_fill_in_what_is_absent(api: Api) -> None:
    task = api.submit(api.user())
    absent = ("batch_size", "filters", "date_from", "date_to", "options")
    assert {name: task[name] for name in absent} == {
        "batch_size": 1000,
        "filters": {},
        "date_from": None,
        "date_to": None,
        "options": {"format": "parquet"},
    }


def test_everything_that_may_be_asked_for_is_kept(api: Api) -> None:
    asked = {
        "batch_size": 100_000,
        "filters": {
            "status": ["confirmed", "pending"],
            "note": None,
            "guests": {"gte": 2, "lt": 5},
            "total": "12.50",
            "currency": {"like": "E%", "ne": "USD"},
            "created_at": {"gt": "2024-02-29T12:00:00.5+02:00"},
        },
        "date_from": "2024-01-01T00:00:00.250000Z",
        "date_to": "2024-12-31T23:59:59Z",
        "options": {
            "format": "csv",
            "columns": ["id", "total", "note"],
            "consistency": "resume",
            "spreadsheet_safe": True,
            "priority": "low",
        },
    }
    task = api.submit(api.user(), **asked)
    assert {name: task[name] for name in asked} == asked


def test_dates_are_told_in_utc(alice: httpx.Client) -> None:
    task = post(alice, date_from="2024-01-01T00:00:00+02:00", date_to="2024-01-01t00:00:00z").json()
    assert task["date_from"] == "2023-12-31T22:00:00Z"
    assert task["date_to"] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 1),
        ("date_from", None),
        ("date_to", None),
        ("date_from", "0001-01-01T00:00:00Z"),
        ("date_to", "9999-12-31T23:59:59.999999Z"),
        ("options", {}),
        ("options", {"columns": ["id"]}),
        ("filters", {"note": ""}),
        ("filters", {"note": "x" * 10_000}),
        ("filters", {"id": 2**63 - 1}),
        ("filters", {"id": list(range(1000))}),
        ("filters", {"total": 0.1}),
    ],
)
def test_bounds_are_accepted(alice: httpx.Client, field: str, value: Any) -> None:
    assert post(alice, **{field: value}).status_code == 201


@pytest.mark.parametrize("date", ["date_from", "date_to"])
def test_one_second_may_be_the_whole_window(alice: httpx.Client, date: str) -> None:
    instant = "2024-01-01T00:00:00Z"
    assert post(alice, date_from=instant, date_to=instant).status_code == 201


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"task_type": None}, "/task_type", "invalid_type"),
    ({"task_type": 1}, "/task_type", "invalid_type"),
    ({"task_type": ["bookings_export"]}, "/task_type", "invalid_type"),
    ({"task_type": {}}, "/task_type", "invalid_type"),
    ({"task_type": True}, "/task_type", "invalid_type"),
    ({"task_type": ""}, "/task_type", "unknown_task_type"),
    ({"task_type": "Bookings_Export"}, "/task_type", "unknown_task_type"),
    ({"task_type": "bookings_export "}, "/task_type", "unknown_task_type"),
    ({"task_type": "bookings_export\0"}, "/task_type", "unknown_task_type"),
    ({"batch_size": 0}, "/batch_size", "out_of_range"),
    ({"batch_size": -1}, "/batch_size", "out_of_range"),
    ({"batch_size": 100_001}, "/batch_size", "out_of_range"),
    ({"batch_size": 10**100}, "/batch_size", "out_of_range"),
    ({"batch_size": "100"}, "/batch_size", "invalid_type"),
    ({"batch_size": 100.0}, "/batch_size", "invalid_type"),
    ({"batch_size": 1.5}, "/batch_size", "invalid_type"),
    ({"batch_size": True}, "/batch_size", "invalid_type"),
    ({"batch_size": 1e3}, "/batch_size", "invalid_type"),
    ({"batch_size": 1e9}, "/batch_size", "invalid_type"),
    ({"batch_size": {}}, "/batch_size", "invalid_type"),
    ({"batch_size": None}, "/batch_size", "invalid_type"),
    ({"batch_size": [1]}, "/batch_size", "invalid_type"),
    ({"filters": None}, "/filters", "invalid_type"),
    ({"filters": []}, "/filters", "invalid_type"),
    ({"filters": "status"}, "/filters", "invalid_type"),
    ({"filters": True}, "/filters", "invalid_type"),
    ({"filters": 1}, "/filters", "invalid_type"),
    ({"filters": {"colour": 1}}, "/filters/colour", "unknown_filter_field"),
    ({"filters": {"Status": "x"}}, "/filters/Status", "unknown_filter_field"),
    ({"filters": {"": 1}}, "/filters/", "unknown_filter_field"),
    ({"filters": {"a/b~c": 1}}, "/filters/a~1b~0c", "unknown_filter_field"),
    ({"filters": {"status": 1}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": "\0"}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": "\ud800"}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": {}}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": {"is": "x"}}}, "/filters/status/is", "invalid_value"),
    ({"filters": {"status": {"eq": "x"}}}, "/filters/status/eq", "invalid_value"),
    ({"filters": {"status": {"": "x"}}}, "/filters/status/", "invalid_value"),
    ({"filters": {"status": {"ne": None}}}, "/filters/status/ne", "invalid_value"),
    ({"filters": {"status": {"gt": ["x"]}}}, "/filters/status/gt", "invalid_value"),
    ({"filters": {"status": []}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": [["x"]]}}, "/filters/status", "invalid_value"),
    ({"filters": {"status": ["x"] * 1001}}, "/filters/status", "invalid_value"),
    ({"filters": {"id": True}}, "/filters/id", "invalid_value"),
    ({"filters": {"id": "1"}}, "/filters/id", "invalid_value"),
    ({"filters": {"id": 2**63}}, "/filters/id", "invalid_value"),
    ({"filters": {"id": 10**1000}}, "/filters/id", "invalid_value"),
    ({"filters": {"id": {"like": "1%"}}}, "/filters/id/like", "invalid_value"),
    ({"filters": {"total": "NaN"}}, "/filters/total", "invalid_value"),
    ({"filters": {"total": "1e999999"}}, "/filters/total", "invalid_value"),
    ({"filters": {"created_at": "2024-01-01"}}, "/filters/created_at", "invalid_value"),
    ({"filters": {"created_at": 0}}, "/filters/created_at", "invalid_value"),
    ({"date_from": 0}, "/date_from", "invalid_type"),
    ({"date_from": 1e9}, "/date_from", "invalid_type"),
    ({"date_from": True}, "/date_from", "invalid_type"),
    ({"date_from": ["2024-01-01T00:00:00Z"]}, "/date_from", "invalid_type"),
    ({"date_from": {"gt": "2024-01-01T00:00:00Z"}}, "/date_from", "invalid_type"),
    ({"date_to": False}, "/date_to", "invalid_type"),
    ({"date_to": "10000-01-01T00:00:00Z"}, "/date_to", "invalid_date"),
    ({"date_to": "+10000-01-01T00:00:00Z"}, "/date_to", "invalid_date"),
    ({"date_to": "-0001-01-01T00:00:00Z"}, "/date_to", "invalid_date"),
    ({"date_to": "0000-01-01T00:00:00Z"}, "/date_to", "invalid_date"),
    ({"date_to": "2024-01-01T00:00:00Z\0"}, "/date_to", "invalid_date"),
    ({"date_to": "x" * 100_000}, "/date_to", "invalid_date"),
    ({"date_from": ""}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01T00:00:00"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01 00:00:00Z"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-02-30T00:00:00Z"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01T24:00:00Z"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01T00:00:60Z"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01T00:00:00.1234567Z"}, "/date_from", "invalid_date"),
    ({"date_from": "2024-01-01T00:00:00+24:00"}, "/date_from", "invalid_date"),
    ({"date_from": "0001-01-01T00:00:00+00:01"}, "/date_from", "invalid_date"),
    ({"date_from": "٢٠٢٤-01-01T00:00:00Z"}, "/date_from", "invalid_date"),
    ({"date_to": "9999-12-31T23:59:59-00:01"}, "/date_to", "invalid_date"),
    ({"date_to": "2024-01-01T00:00:00Z\n"}, "/date_to", "invalid_date"),
    ({"options": None}, "/options", "invalid_type"),
    ({"options": []}, "/options", "invalid_type"),
    ({"options": "csv"}, "/options", "invalid_type"),
    ({"options": True}, "/options", "invalid_type"),
    ({"options": {"format": "xlsx"}}, "/options/format", "invalid_value"),
    ({"options": {"format": "CSV"}}, "/options/format", "invalid_value"),
    ({"options": {"format": None}}, "/options/format", "invalid_value"),
    ({"options": {"format": ["csv"]}}, "/options/format", "invalid_value"),
    ({"options": {"format": True}}, "/options/format", "invalid_value"),
    ({"options": {"format": {}}}, "/options/format", "invalid_value"),
    ({"options": {"compression": "lzma"}}, "/options/compression", "invalid_value"),
    ({"options": {"compression": 1}}, "/options/compression", "invalid_value"),
    (
        {"options": {"format": "csv", "compression": "zstd"}},
        "/options/compression",
        "invalid_value",
    ),
    ({"options": {"spreadsheet_safe": True}}, "/options/spreadsheet_safe", "invalid_value"),
    (
        {"options": {"format": "parquet", "spreadsheet_safe": True}},
        "/options/spreadsheet_safe",
        "invalid_value",
    ),
    (
        {"options": {"format": "csv", "spreadsheet_safe": "yes"}},
        "/options/spreadsheet_safe",
        "invalid_type",
    ),
    ({"options": {"spreadsheet_safe": None}}, "/options/spreadsheet_safe", "invalid_type"),
    ({"options": {"columns": True}}, "/options/columns", "invalid_type"),
    ({"options": {"columns": {"id": 1}}}, "/options/columns", "invalid_type"),
    ({"options": {"columns": ["id"] * 10_000}}, "/options/columns", "out_of_range"),
    ({"options": {"columns": "id"}}, "/options/columns", "invalid_type"),
    ({"options": {"columns": []}}, "/options/columns", "out_of_range"),
    ({"options": {"columns": ["id"] * 1001}}, "/options/columns", "out_of_range"),
    ({"options": {"columns": ["id", "id"]}}, "/options/columns", "duplicate_column"),
    ({"options": {"columns": [1]}}, "/options/columns/0", "invalid_type"),
    ({"options": {"columns": ["id", "colour"]}}, "/options/columns/1", "unknown_column"),
    ({"options": {"colour": "red"}}, "/options/colour", "unknown_field"),
    # Not built yet, so unknown.
    ({"options": {"priority": "urgent"}}, "/options/priority", "invalid_value"),
    ({"options": {"priority": 1}}, "/options/priority", "invalid_value"),
    ({"options": {"priority": None}}, "/options/priority", "invalid_value"),
    ({"options": {"consistency": "eventual"}}, "/options/consistency", "invalid_value"),
    ({"callback_url": "https://example.com"}, "/callback_url", "unknown_field"),
    ({"id": 1}, "/id", "unknown_field"),
    ({"owner": "bob"}, "/owner", "unknown_field"),
    ({"status": "completed"}, "/status", "unknown_field"),
    ({"": 1}, "/", "unknown_field"),
    ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    ({"\0": 1}, "/\0", "unknown_field"),
]


@pytest.mark.parametrize(("fields", "pointer", "code"), BAD_FIELDS)
def test_bad_field_is_named(
    alice: httpx.Client, fields: dict[str, Any], pointer: str, code: str
) -> None:
    assert bad_fields(post(alice, **fields)) == {pointer: code}
    assert alice.get(TASKS).json()["count"] == 0


# What does not depend on the dataset's columns.
OF_ALL_EXPORTS = [
    each for each in BAD_FIELDS if "task_type" not in each[0] and "/columns/" not in each[1]
]
OF_ALL_EXPORTS = [each for each in OF_ALL_EXPORTS if not each[1].startswith("/filters/")]


@pytest.mark.parametrize("task_type", EXPORTS)
def test_bad_field_is_named_whichever_export_is_asked_for(
    alice: httpx.Client, task_type: str
) -> None:
    for fields, pointer, code in OF_ALL_EXPORTS:
        answer = post(alice, task_type=task_type, **fields)
        assert bad_fields(answer) == {pointer: code}, fields
    assert alice.get(TASKS).json()["count"] == 0


# No column takes these.
OF_NO_TYPE: list[Any] = [
    {},
    [],
    [[1]],
    [{}],
    {"between": [1, 2]},
    {"GT": 1},
    {"": 1},
    {"gt": None},
    {"lte": [1]},
    {"ne": {}},
    {"gt": {"gt": 1}},
    {"like": None},
    "\0",
    "\ud800",
    ["\ud800"],
    "x" * 10_001,
    [None] * 10_000,
]
NO_TIMES = [0, 1e9, "", "2024-01-01T00:00:00", "2024-02-30T00:00:00Z", "10000-01-01T00:00:00Z"]
OF_ANOTHER_TYPE: dict[Kind, list[Any]] = {
    Kind.INTEGER: [True, 1.5, 1e9, "1", "", 2**63, -(2**63) - 1, 10**400, {"like": "1"}, [1, "x"]],
    Kind.FLOAT: [True, "1", "NaN", 10**400, {"like": "1"}, {"gt": False}],
    Kind.DECIMAL: [True, "", "x", "NaN", "Infinity", "1e400", 10**400, {"like": "1"}, ["1", "x"]],
    Kind.TEXT: [1, 1e9, True, {"like": 1}, {"like": ["%"]}, ["x", 1], {"gt": False}],
    Kind.BOOLEAN: [0, 1, 1e9, "true", "", {"like": "t"}, [True, 1]],
    Kind.TIMESTAMP: [*NO_TIMES, True, "2024-01-01", {"like": "2024%"}, {"gt": "yesterday"}],
    Kind.INSTANT: [*NO_TIMES, True, "2024-01-01", {"like": "2024%"}, {"gt": "yesterday"}],
    Kind.DATE: [*NO_TIMES, True, "20240101", "10000-01-01", "2024-02-30", {"like": "2024%"}],
}


def columns_of(catalog: Catalog, task_type: str) -> dict[str, Kind]:
    """The columns that an export may be filtered by."""
    dataset = catalog.dataset(REGISTRY[task_type].datasets[0])
    return {name: column.kind for name, column in dataset.columns.items()}


@pytest.mark.parametrize("task_type", EXPORTS)
def test_value_that_is_not_of_its_columns_type_is_refused(
    alice: httpx.Client, catalog: Catalog, task_type: str
) -> None:
    for name, kind in columns_of(catalog, task_type).items():
        for value in [*OF_NO_TYPE, *OF_ANOTHER_TYPE.get(kind, [])]:
            answer = post(alice, task_type=task_type, filters={name: value})
            (pointer, code), *others = bad_fields(answer).items()
            assert pointer.startswith(f"/filters/{name}"), value
            assert (code, others) == ("invalid_value", []), value
    assert alice.get(TASKS).json()["count"] == 0


@pytest.mark.parametrize("task_type", EXPORTS)
def test_bad_values_of_all_columns_are_named_at_once(
    alice: httpx.Client, catalog: Catalog, task_type: str
) -> None:
    columns = columns_of(catalog, task_type)
    filters: dict[str, Any] = {name: {} for name in columns}
    answer = post(alice, task_type=task_type, filters={**filters, "colour": 1}, batch_size=True)
    assert bad_fields(answer) == {
        **{f"/filters/{name}": "invalid_value" for name in columns},
        "/filters/colour": "unknown_filter_field",
        "/batch_size": "invalid_type",
    }


@pytest.mark.parametrize("task_type", EXPORTS)
def test_column_that_is_left_out_is_unknown(
    serve: Serve, settings: Settings, catalog: Catalog, task_type: str
) -> None:
    # Given
    dataset = catalog.dataset(REGISTRY[task_type].datasets[0])
    declared = load_declarations(settings.datasets)[dataset.name]
    kept = {*declared.key, declared.date_column}
    secret = next(name for name in dataset.columns if name not in kept)
    hiding = declared.model_copy(update={"leave_out": [*declared.leave_out, secret]})
    source = connect_source(settings.source)
    alice = serve(catalog=Catalog(source, {dataset.name: hiding})).user()
    # When
    columns = {"columns": [secret]}
    answer = post(alice, task_type=task_type, filters={secret: None}, options=columns)
    # Expect
    assert bad_fields(answer) == {
        f"/filters/{secret}": "unknown_filter_field",
        "/options/columns/0": "unknown_column",
    }
    source.dispose()


@pytest.mark.parametrize("task_type", EXPORTS)
def test_dates_are_refused_where_the_dataset_has_none(
    serve: Serve, settings: Settings, catalog: Catalog, task_type: str
) -> None:
    # Given
    name = catalog.dataset(REGISTRY[task_type].datasets[0]).name
    undated = load_declarations(settings.datasets)[name].model_copy(update={"date_column": None})
    source = connect_source(settings.source)
    alice = serve(catalog=Catalog(source, {name: undated})).user()
    # When
    answer = post(alice, task_type=task_type, date_from=DAY, date_to=DAY)
    # Expect
    assert bad_fields(answer) == {"/date_from": "no_date_column", "/date_to": "no_date_column"}
    source.dispose()


@pytest.mark.parametrize(
    "body",
    [
        {"\ud800": 1},
        {"filters": {"\ud800": 1}},
        {"filters": {"\ud800": {"\udfff": 1}}},
        {"filters": {"status": {"\ud800": 1}}},
        {"options": {"\ud800": 1}},
        {"options": {"format": "\ud800"}},
        {"options": {"columns": ["\ud800"]}},
        {"date_from": "\ud800"},
        {"task_type": "\ud800"},
        {"callback_url": "\ud800"},
    ],
)
def test_lone_surrogate_is_refused_wherever_it_stands(
    alice: httpx.Client, body: dict[str, Any]
) -> None:
    assert bad_fields(post(alice, **body))


def test_task_type_is_required(alice: httpx.Client) -> None:
    assert bad_fields(alice.post(TASKS, json={})) == {"/task_type": "required"}


@pytest.mark.parametrize("task_type", LATER_TYPES)
def test_type_that_is_not_built_yet_is_unknown(alice: httpx.Client, task_type: str) -> None:
    answer = post(alice, task_type=task_type)
    assert bad_fields(answer) == {"/task_type": "unknown_task_type"}


def test_every_bad_field_is_named_at_once(alice: httpx.Client) -> None:
    answer = post(
        alice,
        batch_size=0,
        filters={"colour": 1, "status": {"gt": 1, "is": 2}, "id": "x", "note": "fine"},
        date_from="yesterday",
        date_to="2024-01-01",
        options={"format": "xlsx", "columns": ["id", "id"], "speed": 1},
        colour="red",
    )
    assert bad_fields(answer) == {
        "/batch_size": "out_of_range",
        "/filters/colour": "unknown_filter_field",
        "/filters/status/gt": "invalid_value",
        "/filters/status/is": "invalid_value",
        "/filters/id": "invalid_value",
        "/date_from": "invalid_date",
        "/date_to": "invalid_date",
        "/options/format": "invalid_value",
        "/options/columns": "duplicate_column",
        "/options/speed": "unknown_field",
        "/colour": "unknown_field",
    }


@pytest.mark.parametrize("task_type", EXPORTS)
@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2024-01-02T00:00:00Z", "2024-01-02T00:00:00+00:01"),
        ("2024-01-02T00:00:00.000001Z", "2024-01-02T00:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_reversed_dates_are_refused(
    alice: httpx.Client, task_type: str, first: str, last: str
) -> None:
    answer = post(alice, task_type=task_type, date_from=first, date_to=last)
    assert bad_fields(answer) == {"/date_to": "reversed_dates"}


def test_refusal_does_not_repeat_what_was_sent(alice: httpx.Client) -> None:
    secret = "s3cret-value"
    answer = post(
        alice,
        batch_size=secret,
        filters={"id": secret, "status": [[secret]]},
        date_from=secret,
        options={"format": secret, "columns": [secret]},
    )
    assert len(bad_fields(answer)) == 6
    assert secret not in answer.text


def test_source_that_does_not_answer_is_unavailable(serve: Serve, tmp_path: Path) -> None:
    # Given
    source = connect_source(URL.create("sqlite", database=str(tmp_path / "missing.sqlite")))
    client = serve(catalog=Catalog(source, {"bookings": _declared("bookings")})).user()
    # When
    answer = post(client)
    # Expect
    assert assert_problem(answer, 503, "unavailable")["retryable"] is True
    assert client.get(TASKS).json()["count"] == 0
    source.dispose()


@pytest.mark.parametrize("declared", [{}, {"bookings": "nothing_of_the_kind"}])
def test_dataset_that_is_not_set_up_is_unavailable_and_not_told_about(
    serve: Serve, tmp_path: Path, declared: dict[str, str]
) -> None:
    # Given
    path = tmp_path / "source.sqlite"
    path.touch()
    source = connect_source(URL.create("sqlite", database=str(path)))
    declarations = {name: _declared(table) for name, table in declared.items()}
    client = serve(catalog=Catalog(source, declarations)).user()
    # When
    answer = post(client)
    # Expect
    assert assert_problem(answer, 503, "unavailable")["retryable"] is False
    assert "nothing_of_the_kind" not in answer.text
    source.dispose()


def _declared(table: str) -> Declaration:
    return Declaration(table=table, key=["id"])


def test_refusals_take_up_no_ids_and_no_rows(alice: httpx.Client) -> None:
    first = post(alice).json()["id"]
    for fields, _, _ in BAD_FIELDS:
        post(alice, **fields)
    assert post(alice).json()["id"] == first + 1
    assert json.loads(alice.get(TASKS).text)["count"] == 2
