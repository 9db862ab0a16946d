"""What filters mean, and which are refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from resources.errors import FieldError
from resources.source.columns import Column, Kind
from resources.source.filters import Condition, Operator, parse_filters

COLUMNS = {
    column.name: column
    for column in (
        Column("id", Kind.INTEGER),
        Column("small", Kind.INTEGER, bits=16),
        Column("middle", Kind.INTEGER, bits=32),
        Column("ratio", Kind.FLOAT),
        Column("single", Kind.FLOAT, bits=32),
        Column("total", Kind.DECIMAL, precision=10, scale=2),
        Column("status", Kind.TEXT),
        Column("paid", Kind.BOOLEAN),
        Column("created_at", Kind.TIMESTAMP),
        Column("seen_at", Kind.INSTANT),
        Column("born", Kind.DATE),
        Column("a/b~c", Kind.INTEGER),
    )
}
LONE_SURROGATE = "\ud83d"


def conditions_of(filters: dict[str, Any]) -> list[tuple[str, Operator, Any]]:
    conditions, errors = parse_filters(filters, COLUMNS)
    assert errors == []
    return [(each.column.name, each.operator, each.value) for each in conditions]


def pointers_and_codes(filters: dict[str, Any]) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in parse_filters(filters, COLUMNS)[1]]


def test_no_filters_state_no_conditions() -> None:
    assert parse_filters({}, COLUMNS) == ([], [])


def test_a_condition_is_on_the_column_of_its_name() -> None:
    assert parse_filters({"id": 1}, COLUMNS)[0] == [Condition(COLUMNS["id"], Operator.EQ, 1)]


@pytest.mark.parametrize(
    ("stated", "operator", "value"),
    [
        ("paid", Operator.EQ, "paid"),
        ("", Operator.EQ, ""),
        (None, Operator.IS_NULL, None),
        (["a", None, "b"], Operator.ANY_OF, ("a", None, "b")),
        ([None], Operator.ANY_OF, (None,)),
        ({"gt": "a"}, Operator.GT, "a"),
        ({"gte": "a"}, Operator.GTE, "a"),
        ({"lt": "a"}, Operator.LT, "a"),
        ({"lte": "a"}, Operator.LTE, "a"),
        ({"ne": "a"}, Operator.NE, "a"),
        ({"like": "a%"}, Operator.LIKE, "a%"),
    ],
)
def test_a_field_states_an_equality_a_list_null_or_operators(
    stated: Any, operator: Operator, value: Any
) -> None:
    assert conditions_of({"status": stated}) == [("status", operator, value)]


def test_operators_of_one_field_and_all_fields_are_conditions_together() -> None:
    assert conditions_of({"id": {"gt": 1, "lte": 9}, "paid": True}) == [
        ("id", Operator.GT, 1),
        ("id", Operator.LTE, 9),
        ("paid", Operator.EQ, True),
    ]


@pytest.mark.parametrize(
    ("field", "stated", "value"),
    [
        ("id", -(2**63), -(2**63)),
        ("id", 2**63 - 1, 2**63 - 1),
        ("middle", 2**31 - 1, 2**31 - 1),
        ("small", -(2**15), -(2**15)),
        ("ratio", 3, 3.0),
        ("ratio", 0.1, 0.1),
        ("single", 0.5, 0.5),
        ("total", 12, Decimal(12)),
        ("total", 0.1, Decimal("0.1")),
        ("total", "12.50", Decimal("12.50")),
        ("total", "-0.01", Decimal("-0.01")),
        ("total", "0", Decimal(0)),
        ("status", "😀\n'; DROP TABLE bookings; --", "😀\n'; DROP TABLE bookings; --"),
        ("status", "a" * 10_000, "a" * 10_000),
        ("paid", False, False),
        ("created_at", "2024-01-31T01:00:00.5+02:00", datetime(2024, 1, 30, 23, 0, 0, 500000, UTC)),
        ("seen_at", "1969-07-20T20:17:40Z", datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)),
        ("born", "2024-02-29", date(2024, 2, 29)),
        ("a/b~c", 1, 1),
    ],
)
def test_a_value_of_the_columns_type_is_taken(field: str, stated: Any, value: Any) -> None:
    ((_, _, taken),) = conditions_of({field: stated})
    assert taken == value
    assert type(taken) is type(value)


WRONG = [
    ("id", True),
    ("id", 1.0),
    ("id", "1"),
    ("id", 2**63),
    ("id", -(2**63) - 1),
    ("middle", 2**31),
    ("small", 40_000),
    ("small", -(2**15) - 1),
    ("ratio", True),
    ("ratio", "1"),
    ("ratio", 10**400),
    ("ratio", float("inf")),
    ("ratio", float("nan")),
    ("single", 1e39),
    ("total", False),
    ("total", "twelve"),
    ("total", ""),
    ("total", "NaN"),
    ("total", "Infinity"),
    ("total", float("-inf")),
    ("total", "1e77"),
    ("total", "1e-77"),
    ("total", "0e-99999"),
    ("total", "0e+999999999999999999"),
    ("total", "1." + "0" * 20_000 + "1"),
    ("total", 10**78),
    ("status", 1),
    ("status", True),
    ("status", "a" * 10_001),
    ("status", "a\0b"),
    ("status", LONE_SURROGATE),
    ("paid", 1),
    ("paid", "true"),
    ("created_at", 1_704_067_200),
    ("created_at", "2024-01-01"),
    ("created_at", "2024-01-01T00:00:00"),
    ("created_at", "2024-02-30T00:00:00Z"),
    ("seen_at", "yesterday"),
    ("seen_at", "9999-12-31T23:59:59-01:00"),
    ("born", "2024-02-30"),
    ("born", "2024-1-31"),
    ("born", "20240131"),
    ("born", "2024-W05-3"),
    ("born", "2024-01-31T00:00:00Z"),
    ("born", 20240131),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("operator", ["", "ne", "gte"])
def test_a_value_of_another_type_is_refused_wherever_it_stands(
    field: str, value: Any, operator: str
) -> None:
    stated = {operator: value} if operator else value
    pointer = f"/filters/{field}/{operator}" if operator else f"/filters/{field}"
    assert pointers_and_codes({field: stated}) == [(pointer, "invalid_value")]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: repr(value)[:30])
def test_one_value_of_another_type_spoils_a_list(field: str, value: Any) -> None:
    assert pointers_and_codes({field: [None, value]}) == [(f"/filters/{field}", "invalid_value")]


@pytest.mark.parametrize(
    ("stated", "pointer"),
    [
        ([], "/filters/status"),
        (["a"] * 1_001, "/filters/status"),
        ([["a"]], "/filters/status"),
        ([{"gt": "a"}], "/filters/status"),
        ({}, "/filters/status"),
        ({"gt": None}, "/filters/status/gt"),
        ({"ne": None}, "/filters/status/ne"),
        ({"ne": ["a"]}, "/filters/status/ne"),
        ({"like": 1}, "/filters/status/like"),
        ({"like": ["a%"]}, "/filters/status/like"),
        ({"like": "\0"}, "/filters/status/like"),
        ({"eq": "a"}, "/filters/status/eq"),
        ({"any_of": ["a"]}, "/filters/status/any_of"),
        ({"is_null": None}, "/filters/status/is_null"),
        ({"GT": "a"}, "/filters/status/GT"),
        ({"": "a"}, "/filters/status/"),
        ({"~/": "a"}, "/filters/status/~0~1"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_comparison_is_refused(stated: Any, pointer: str) -> None:
    assert pointers_and_codes({"status": stated}) == [(pointer, "invalid_value")]


def test_a_list_may_have_a_thousand_values() -> None:
    ((_, operator, values),) = conditions_of({"id": list(range(1_000))})
    assert (operator, len(values)) == (Operator.ANY_OF, 1_000)


@pytest.mark.parametrize("field", sorted(set(COLUMNS) - {"status", "a/b~c"}))
def test_only_texts_can_be_like_something(field: str) -> None:
    assert pointers_and_codes({field: {"like": "1%"}}) == [
        (f"/filters/{field}/like", "invalid_value")
    ]


@pytest.mark.parametrize("stated", [1, None, [], {"like": 1}])
def test_an_unknown_field_is_refused_whatever_it_states(stated: Any) -> None:
    assert pointers_and_codes({"no such": stated}) == [("/filters/no such", "unknown_filter_field")]


def test_a_pointer_escapes_what_a_pointer_is_written_with() -> None:
    filters = {"~1": 1, "/": 1, "a/b~c": {"x/~": 1}}
    assert [pointer for pointer, _ in pointers_and_codes(filters)] == [
        "/filters/~01",
        "/filters/~1",
        "/filters/a~1b~0c/x~1~0",
    ]


def test_every_mistake_is_told_at_once_and_the_rest_is_parsed() -> None:
    filters = {
        "unknown": 1,
        "id": {"gt": True, "lt": "x", "like": "y", "gte": 3},
        "paid": None,
        "born": [],
    }
    conditions, errors = parse_filters(filters, COLUMNS)
    assert [(each.column.name, each.operator) for each in conditions] == [
        ("id", Operator.GTE),
        ("paid", Operator.IS_NULL),
    ]
    assert [error.pointer for error in errors] == [
        "/filters/unknown",
        "/filters/id/gt",
        "/filters/id/lt",
        "/filters/id/like",
        "/filters/born",
    ]


def test_a_number_too_long_to_be_written_is_refused() -> None:
    assert pointers_and_codes({"total": 10**5_000}) == [("/filters/total", "invalid_value")]


def test_an_error_says_what_the_column_holds_and_does_not_repeat_the_value() -> None:
    (error,) = parse_filters({"small": 123456789}, COLUMNS)[1]
    assert error == FieldError(
        "/filters/small", "invalid_value", "The column holds integers of 16 bits."
    )
