"""A request's body: what is taken, what it becomes, and what is refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from resources.errors import DeclarationError, InvalidRequest, SourceUnavailable
from resources.requests import TaskRequest, chosen_datasets, parse_request, select_rows
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from resources.store.models import Role
from resources.store.tasks import fingerprint
from resources.task_types import REGISTRY

BOOKINGS = (
    "CREATE TABLE bookings (id INTEGER PRIMARY KEY, status TEXT, total NUMERIC(10, 2), "
    'created_at DATETIME, secret TEXT, "a/b" TEXT)'
)
DATED = Declaration(table="bookings", key=["id"], date_column="created_at", leave_out=["secret"])
UNDATED = Declaration(table="bookings", key=["id"])
LONE_SURROGATE = "\ud83d"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(BOOKINGS)
    return path


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    yield from catalog_of(path, DATED)


@pytest.fixture
def undated(path: Path) -> Iterator[Catalog]:
    """The same dataset, without a date column."""
    yield from catalog_of(path, UNDATED)


def catalog_of(path: Path, declaration: Declaration) -> Iterator[Catalog]:
    engine = connect_source(URL.create("sqlite", database=str(path)))
    yield Catalog(engine, {"bookings": declaration})
    engine.dispose()


def parse(catalog: Catalog, **fields: Any) -> TaskRequest:
    return parse_request({"task_type": "bookings_export", **fields}, catalog)


def refused(catalog: Catalog, body: dict[str, Any]) -> list[tuple[str, str]]:
    """The pointer and code of each bad field."""
    with pytest.raises(InvalidRequest) as raised:
        parse_request(body, catalog)
    assert all(error.detail.endswith(".") for error in raised.value.errors)
    return [(error.pointer, error.code) for error in raised.value.errors]


def bad(catalog: Catalog, **fields: Any) -> list[tuple[str, str]]:
    return refused(catalog, {"task_type": "bookings_export", **fields})


# --- The whole ---


def test_a_task_type_is_all_that_a_request_needs(catalog: Catalog) -> None:
    assert parse(catalog) == TaskRequest(
        task_type="bookings_export",
        batch_size=1_000,
        filters={},
        date_from=None,
        date_to=None,
        options={"format": "parquet"},
    )


def test_a_request_keeps_everything_that_was_asked_for(catalog: Catalog) -> None:
    asked = {
        "task_type": "bookings_export",
        "batch_size": 100,
        "filters": {"status": ["confirmed", None], "total": {"gte": "12.50"}},
        "date_from": "2024-01-01T00:00:00Z",
        "date_to": "2024-12-31T23:59:59Z",
        "options": {"format": "csv", "columns": ["total", "id"], "spreadsheet_safe": True},
    }
    request = parse_request(asked, catalog)
    assert request.model_dump() == asked
    assert request.type is REGISTRY["bookings_export"]


def test_a_parsed_request_parses_as_itself(catalog: Catalog) -> None:
    request = parse(catalog, date_from="2024-01-01T02:00:00.5+02:00", options={"columns": ["id"]})
    assert parse_request(request.model_dump(), catalog) == request


def test_every_bad_field_is_told_at_once(catalog: Catalog) -> None:
    assert bad(
        catalog,
        batch_size=0,
        filters={"status": 1, "secret": "x", "nope/~": {"bad": 1}, "total": {"gt": True, "x": 1}},
        date_from="yesterday",
        date_to="2024-01-01",
        options={"format": "xml", "columns": ["id", "nope", "secret"], "speed": "high"},
        callback_url="https://example.com",
    ) == [
        ("/batch_size", "out_of_range"),
        ("/date_from", "invalid_date"),
        ("/date_to", "invalid_date"),
        ("/callback_url", "unknown_field"),
        ("/options/format", "invalid_value"),
        ("/options/speed", "unknown_field"),
        ("/filters/status", "invalid_value"),
        ("/filters/secret", "unknown_filter_field"),
        ("/filters/nope~1~0", "unknown_filter_field"),
        ("/filters/total/gt", "invalid_value"),
        ("/filters/total/x", "invalid_value"),
        ("/options/columns/1", "unknown_column"),
        ("/options/columns/2", "unknown_column"),
    ]


def test_an_error_does_not_repeat_what_was_sent(catalog: Catalog) -> None:
    sent = "alice@example.com"
    with pytest.raises(InvalidRequest) as raised:
        parse(
            catalog,
            batch_size=sent,
            filters={"id": sent, "total": sent},
            date_from=sent,
            options={"format": sent, "columns": [sent, sent]},
        )
    assert len(raised.value.errors) == 8
    assert sent not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ("/task_type", "required")),
        ({"task_type": "no_export"}, ("/task_type", "unknown_task_type")),
        ({"task_type": "BOOKINGS_EXPORT"}, ("/task_type", "unknown_task_type")),
        ({"task_type": "bookings_export "}, ("/task_type", "unknown_task_type")),
        ({"task_type": ""}, ("/task_type", "unknown_task_type")),
        ({"task_type": LONE_SURROGATE}, ("/task_type", "unknown_task_type")),
        ({"task_type": None}, ("/task_type", "invalid_type")),
        ({"task_type": 1}, ("/task_type", "invalid_type")),
        ({"task_type": ["bookings_export"]}, ("/task_type", "invalid_type")),
        ({"task_type": {"a": 1}}, ("/task_type", "invalid_type")),
    ],
    ids=repr,
)
def test_only_a_known_task_type_is_taken(
    catalog: Catalog, body: dict[str, Any], error: tuple[str, str]
) -> None:
    assert refused(catalog, body) == [error]


def test_an_unknown_task_type_is_answered_with_the_known_ones(catalog: Catalog) -> None:
    with pytest.raises(InvalidRequest, match="bookings_export"):
        parse_request({"task_type": "no_export"}, catalog)


@pytest.mark.parametrize("name", ["batchsize", "owner", "status", "id", "", "a~/b", "priority"])
def test_an_unknown_field_is_refused(catalog: Catalog, name: str) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert bad(catalog, **{name: None}) == [(pointer, "unknown_field")]


def test_a_field_that_is_no_text_is_refused(catalog: Catalog) -> None:
    assert [code for _, code in bad(catalog, **{LONE_SURROGATE: 1})] == ["invalid_value"]


# --- batch_size ---


@pytest.mark.parametrize("size", [1, 2, 99_999, 100_000])
def test_a_batch_size_within_its_range_is_taken(catalog: Catalog, size: int) -> None:
    assert parse(catalog, batch_size=size).batch_size == size


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (0, "out_of_range"),
        (-1, "out_of_range"),
        (100_001, "out_of_range"),
        (10**30, "out_of_range"),
        (True, "invalid_type"),
        (1.0, "invalid_type"),
        (1.5, "invalid_type"),
        ("5", "invalid_type"),
        (None, "invalid_type"),
        ([5], "invalid_type"),
    ],
)
def test_a_batch_size_is_an_integer_within_its_range(
    catalog: Catalog, size: Any, code: str
) -> None:
    assert bad(catalog, batch_size=size) == [("/batch_size", code)]


# --- filters ---


@pytest.mark.parametrize("filters", [None, [], "status", 1, True])
def test_filters_are_an_object(catalog: Catalog, filters: Any) -> None:
    assert bad(catalog, filters=filters) == [("/filters", "invalid_type")]


@pytest.mark.parametrize("filters", [{"secret": "x"}, {"secret": None}, {"Status": "x"}])
def test_a_column_that_is_left_out_is_as_unknown_as_any(
    catalog: Catalog, filters: dict[str, Any]
) -> None:
    (name,) = filters
    assert bad(catalog, filters=filters) == [(f"/filters/{name}", "unknown_filter_field")]


def test_a_filters_name_is_escaped_in_the_pointer(catalog: Catalog) -> None:
    assert bad(catalog, filters={"a/b": {"~": 1}}) == [("/filters/a~1b/~0", "invalid_value")]


# --- date_from, date_to ---


@pytest.mark.parametrize("name", ["date_from", "date_to"])
@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01t02:00:00+02:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:00:00.0+02:00", "2024-01-01T00:00:00.000000Z"),
        ("2024-01-01T00:00:00.25Z", "2024-01-01T00:00:00.250000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_date_is_kept_in_utc_with_its_fraction_or_without(
    catalog: Catalog, name: str, text: str, normal: str
) -> None:
    assert getattr(parse(catalog, **{name: text}), name) == normal


@pytest.mark.parametrize("name", ["date_from", "date_to"])
def test_a_date_that_is_null_is_absent(catalog: Catalog, undated: Catalog, name: str) -> None:
    assert parse(catalog, **{name: None}) == parse(catalog)
    assert getattr(parse(undated, **{name: None}), name) is None


@pytest.mark.parametrize("name", ["date_from", "date_to"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2024-01-01T00:00:00", "invalid_date"),
        ("2024-01-01", "invalid_date"),
        ("", "invalid_date"),
        ("2024-02-30T00:00:00Z", "invalid_date"),
        ("2024-01-01T00:00:00.1234567Z", "invalid_date"),
        ("10000-01-01T00:00:00Z", "invalid_date"),
        ("9999-12-31T23:59:59-00:01", "invalid_date"),
        ("0001-01-01T00:00:00+00:01", "invalid_date"),
        (1_704_067_200, "invalid_type"),
        (False, "invalid_type"),
        (["2024-01-01T00:00:00Z"], "invalid_type"),
    ],
)
def test_what_names_no_instant_is_refused(
    catalog: Catalog, name: str, value: Any, code: str
) -> None:
    assert bad(catalog, **{name: value}) == [(f"/{name}", code)]


@pytest.mark.parametrize(
    ("date_from", "date_to"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00+02:00", "2023-12-31T22:00:00Z"),
        ("2024-01-01T00:00:00.000001Z", "2024-01-01T00:00:00.000002Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_a_window_may_be_as_short_as_one_instant(
    catalog: Catalog, date_from: str, date_to: str
) -> None:
    assert parse(catalog, date_from=date_from, date_to=date_to).date_to is not None


@pytest.mark.parametrize(
    ("date_from", "date_to"),
    [
        ("2024-01-01T00:00:01Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:01"),
        ("2024-01-01T00:00:00.000002Z", "2024-01-01T00:00:00.000001Z"),
    ],
)
def test_a_window_that_ends_before_it_begins_is_refused(
    catalog: Catalog, date_from: str, date_to: str
) -> None:
    assert bad(catalog, date_from=date_from, date_to=date_to) == [("/date_to", "reversed_dates")]


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({"date_from": "2024-01-01T00:00:00Z"}, ["/date_from"]),
        ({"date_to": "2024-01-01T00:00:00Z", "date_from": None}, ["/date_to"]),
        (
            {"date_from": "2024-01-02T00:00:00Z", "date_to": "2024-01-01T00:00:00Z"},
            ["/date_from", "/date_to"],
        ),
    ],
)
def test_a_dataset_without_a_date_column_takes_no_dates(
    undated: Catalog, given: dict[str, Any], pointers: list[str]
) -> None:
    assert bad(undated, **given) == [(pointer, "no_date_column") for pointer in pointers]


# --- options ---


@pytest.mark.parametrize("given", [{}, {"options": {}}, {"options": {"columns": None}}])
def test_options_that_are_not_given_have_their_defaults(
    catalog: Catalog, given: dict[str, Any]
) -> None:
    assert parse(catalog, **given).options == {"format": "parquet"}


@pytest.mark.parametrize("options", [None, [], "csv", 1, False])
def test_options_are_an_object(catalog: Catalog, options: Any) -> None:
    assert bad(catalog, options=options) == [("/options", "invalid_type")]


@pytest.mark.parametrize("file_format", ["xml", "CSV", "", None, 1, True, ["csv"]])
def test_only_a_known_format_is_taken(catalog: Catalog, file_format: Any) -> None:
    assert bad(catalog, options={"format": file_format}) == [("/options/format", "invalid_value")]


@pytest.mark.parametrize("name", ["Priority", "Format", "batch_size", ""])
def test_an_unknown_option_is_refused(catalog: Catalog, name: str) -> None:
    assert bad(catalog, options={name: "zstd"}) == [(f"/options/{name}", "unknown_field")]


@pytest.mark.parametrize(
    ("columns", "errors"),
    [
        ([], [("/options/columns", "out_of_range")]),
        (["id", "id"], [("/options/columns", "duplicate_column")]),
        (["nope"], [("/options/columns/0", "unknown_column")]),
        (["id", "secret"], [("/options/columns/1", "unknown_column")]),
        (["ID"], [("/options/columns/0", "unknown_column")]),
        ([""], [("/options/columns/0", "unknown_column")]),
        ([LONE_SURROGATE], [("/options/columns/0", "unknown_column")]),
        ([1], [("/options/columns/0", "invalid_type")]),
        (
            [None, "nope"],
            [("/options/columns/0", "invalid_type"), ("/options/columns/1", "unknown_column")],
        ),
        ("id", [("/options/columns", "invalid_type")]),
        ({"id": True}, [("/options/columns", "invalid_type")]),
    ],
)
def test_columns_are_known_and_named_once(
    catalog: Catalog, columns: Any, errors: list[tuple[str, str]]
) -> None:
    assert bad(catalog, options={"columns": columns}) == errors


# --- What it selects ---


def test_without_columns_all_are_selected_but_those_left_out(catalog: Catalog) -> None:
    selection = select_rows(parse(catalog), catalog)
    assert [column.name for column in selection.columns] == [
        "id",
        "status",
        "total",
        "created_at",
        "a/b",
    ]
    assert (selection.conditions, selection.date_from, selection.date_to) == ([], None, None)


def test_a_selection_is_what_the_request_asked_for(catalog: Catalog) -> None:
    request = parse(
        catalog,
        filters={"status": None, "id": {"gt": 3}},
        date_from="2024-01-01T02:00:00+02:00",
        date_to="2024-01-02T00:00:00.5Z",
        options={"columns": ["total", "id"]},
    )
    selection = select_rows(request, catalog)
    assert [column.name for column in selection.columns] == ["total", "id"]
    assert [(each.column.name, each.value) for each in selection.conditions] == [
        ("status", None),
        ("id", 3),
    ]
    assert selection.date_from == "2024-01-01T00:00:00Z"
    assert selection.date_to == "2024-01-02T00:00:00.500000Z"


def test_filters_that_do_not_fit_the_dataset_any_more_are_refused(catalog: Catalog) -> None:
    request = TaskRequest(task_type="bookings_export", filters={"gone": 1})
    with pytest.raises(InvalidRequest, match="/filters/gone"):
        select_rows(request, catalog)


# --- What is not the client's mistake ---


def test_a_source_that_is_down_is_no_mistake_of_the_client(path: Path, catalog: Catalog) -> None:
    path.unlink()
    with pytest.raises(SourceUnavailable):
        parse(catalog, batch_size=0)


def test_a_dataset_that_is_not_declared_is_no_mistake_of_the_client(path: Path) -> None:
    engine = connect_source(URL.create("sqlite", database=str(path)))
    with pytest.raises(DeclarationError):
        parse(Catalog(engine, {}))
    engine.dispose()


# --- The same request ---

FULL: dict[str, Any] = {
    "batch_size": 10,
    "filters": {"status": ["a", "b"], "id": {"gt": 1, "lt": 9}},
    "date_from": "2024-01-01T00:00:00Z",
    "options": {"format": "csv", "columns": ["id", "total"]},
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"batch_size": 1_000, "filters": {}, "date_from": None, "date_to": None}),
        ({}, {"options": {"format": "parquet", "columns": None}}),
        ({"date_to": "2024-01-01T00:00:00Z"}, {"date_to": "2024-01-01T01:00:00+01:00"}),
        ({"date_to": "2024-01-01T00:00:00.5Z"}, {"date_to": "2024-01-01T00:00:00.500z"}),
        (FULL, dict(reversed(FULL.items()))),
        (FULL, {**FULL, "filters": {"id": {"lt": 9, "gt": 1}, "status": ["a", "b"]}}),
    ],
)
def test_equivalent_spellings_ask_for_the_same(
    catalog: Catalog, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert fingerprint(parse(catalog, **one)) == fingerprint(parse(catalog, **other))


def test_different_requests_do_not_ask_for_the_same(catalog: Catalog) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"batch_size": 11},
        {"filters": {"status": "a"}},
        {"filters": {"status": ["a"]}},
        {"filters": {"status": None}},
        {"filters": {"id": 1}},
        {"filters": {"total": 1}},
        {"filters": {"total": "1"}},
        {"date_from": "2024-01-01T00:00:00Z"},
        {"date_from": "2024-01-01T00:00:00.0Z"},
        {"date_to": "2024-01-01T00:00:00Z"},
        {"options": {"format": "csv"}},
        {"options": {"format": "csv", "spreadsheet_safe": True}},
        {"options": {"columns": ["id", "total"]}},
        {"options": {"columns": ["total", "id"]}},
    ]
    assert len({fingerprint(parse(catalog, **each)) for each in different}) == len(different)


# --- The task types ---


def test_a_task_type_is_registered_under_its_own_name() -> None:
    assert [task_type.name for task_type in REGISTRY.values()] == list(REGISTRY)


def test_bookings_may_be_exported_by_every_user() -> None:
    task_type = REGISTRY["bookings_export"]
    assert (task_type.datasets, task_type.role) == (("bookings",), Role.USER)


@pytest.mark.parametrize("compression", ["zstd", "snappy"])
def test_a_compression_that_no_csv_reader_knows_is_refused(
    catalog: Catalog, compression: str
) -> None:
    options = {"format": "csv", "compression": compression}
    with pytest.raises(InvalidRequest) as refused:
        parse_request({"task_type": "bookings_export", "options": options}, catalog)
    (error,) = refused.value.errors
    assert (error.pointer, error.code) == ("/options/compression", "invalid_value")
    assert "gzip" in error.detail


# --- Analyses ---


@pytest.fixture
def two_datasets(path: Path) -> Iterator[Catalog]:
    engine = connect_source(URL.create("sqlite", database=str(path)))
    yield Catalog(engine, {"bookings": DATED, "payments": UNDATED})
    engine.dispose()


def analysis(**fields: Any) -> dict[str, Any]:
    return {"task_type": "data_analysis", **fields}


def test_an_analysis_is_of_all_declared_datasets_unless_it_names_some(
    two_datasets: Catalog,
) -> None:
    every = parse_request(analysis(), two_datasets)
    one = parse_request(analysis(options={"datasets": ["payments"]}), two_datasets)

    assert [each.name for each in chosen_datasets(every, two_datasets)] == ["bookings", "payments"]
    assert [each.name for each in chosen_datasets(one, two_datasets)] == ["payments"]
    assert one.options == {"datasets": ["payments"]}


def test_filters_of_an_analysis_need_a_single_dataset(two_datasets: Catalog) -> None:
    filters = {"status": "confirmed"}

    assert refused(two_datasets, analysis(filters=filters)) == [
        ("/filters", "filters_need_one_dataset")
    ]
    one = {"datasets": ["bookings"]}
    assert parse_request(analysis(filters=filters, options=one), two_datasets).filters == filters


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"datasets": []}, ("/options/datasets", "out_of_range")),
        ({"datasets": ["orders"]}, ("/options/datasets", "unknown_dataset")),
        ({"datasets": ["bookings", "bookings"]}, ("/options/datasets", "duplicate_dataset")),
        ({"datasets": ["bookings", "users"]}, ("/options/datasets", "undeclared_dataset")),
        ({"datasets": "bookings"}, ("/options/datasets", "invalid_type")),
        ({"timezone": "Berlin"}, ("/options/timezone", "unknown_timezone")),
        ({"timezone": "../etc/passwd"}, ("/options/timezone", "unknown_timezone")),
        ({"colour": "red"}, ("/options/colour", "unknown_field")),
    ],
)
def test_a_bad_option_of_an_analysis_is_told(
    two_datasets: Catalog, options: dict[str, Any], error: tuple[str, str]
) -> None:
    assert refused(two_datasets, analysis(options=options)) == [error]


def test_a_window_needs_a_date_column_in_one_of_the_datasets(two_datasets: Catalog) -> None:
    window = {"date_from": "2024-01-01T00:00:00Z"}

    assert parse_request(analysis(**window), two_datasets).date_from is not None
    undated = analysis(options={"datasets": ["payments"]}, **window)
    assert refused(two_datasets, undated) == [("/date_from", "no_date_column")]
