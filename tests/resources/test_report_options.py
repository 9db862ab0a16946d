"""What a report may be asked for, and what is refused."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from resources.errors import InvalidRequest
from resources.requests import parse_request
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration

TABLES = ("bookings", "payments", "users", "services")
DATES = {"date_from": "2025-01-01T00:00:00Z", "date_to": "2025-01-31T23:59:59Z"}
DATED = dict.fromkeys(TABLES, "created_at")


def catalog_of(folder: Path, dates: dict[str, str | None]) -> Iterator[Catalog]:
    path = folder / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for name in TABLES:
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, created_at DATETIME)")
    engine = connect_source(URL.create("sqlite", database=str(path)))
    declared = {
        name: Declaration(table=name, key=["id"], date_column=column)
        for name, column in dates.items()
    }
    yield Catalog(engine, declared)
    engine.dispose()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    yield from catalog_of(tmp_path, {**DATED})


@pytest.fixture
def dateless(tmp_path: Path) -> Iterator[Catalog]:
    """Neither bookings nor payments have dates."""
    yield from catalog_of(tmp_path, {**DATED, "bookings": None, "payments": None})


def refused(catalog: Catalog, **asked: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as raised:
        parse_request({"task_type": "report_generation", **asked}, catalog)
    assert all(error.detail.endswith(".") for error in raised.value.errors)
    return [(error.pointer, error.code) for error in raised.value.errors]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"options": {"period": "month"}}, {"period": "month"}),
        ({"options": {"period": "day", "locale": "ru"}}, {"period": "day", "locale": "ru"}),
        (
            {**DATES, "options": {"timezone": "Europe/Berlin", "formats": ["json"]}},
            {"timezone": "Europe/Berlin", "formats": ["json"]},
        ),
    ],
)
def test_a_report_is_on_a_period_or_on_two_dates(
    catalog: Catalog, asked: dict[str, Any], kept: dict[str, Any]
) -> None:
    request = parse_request({"task_type": "report_generation", **asked}, catalog)

    assert request.options == {"formats": ["html", "xlsx"], "locale": "en", **kept}
    assert parse_request(request.model_dump(), catalog) == request


@pytest.mark.parametrize(
    ("asked", "errors"),
    [
        ({}, [("/options/period", "required")]),
        (
            {**DATES, "options": {"period": "week"}},
            [("/date_from", "period_and_dates"), ("/date_to", "period_and_dates")],
        ),
        ({"date_from": DATES["date_from"]}, [("/date_to", "required")]),
        ({"date_to": DATES["date_to"]}, [("/date_from", "required")]),
        (
            {"date_from": DATES["date_to"], "date_to": DATES["date_from"]},
            [("/date_to", "reversed_dates")],
        ),
        (
            {**DATES, "date_from": "2014-01-01T00:00:00Z"},
            [("/date_to", "window_too_long")],
        ),
        (
            {"date_from": "1899-12-31T00:00:00Z", "date_to": "9999-12-31T23:59:59Z"},
            [("/date_from", "out_of_range"), ("/date_to", "out_of_range")],
        ),
        ({"options": {"period": "year"}}, [("/options/period", "invalid_value")]),
        (
            {"options": {"period": "day", "timezone": "Mars/Olympus"}},
            [("/options/timezone", "unknown_timezone")],
        ),
        (
            {"options": {"period": "day", "timezone": "../../etc/passwd"}},
            [("/options/timezone", "unknown_timezone")],
        ),
        ({"options": {"period": "day", "formats": []}}, [("/options/formats", "out_of_range")]),
        (
            {"options": {"period": "day", "formats": ["pdf"]}},
            [("/options/formats/0", "invalid_value")],
        ),
        (
            {"options": {"period": "day", "formats": ["html", "html"]}},
            [("/options/formats", "duplicate_format")],
        ),
        ({"options": {"period": "day", "locale": "fr"}}, [("/options/locale", "invalid_value")]),
        (
            {"options": {"period": "day"}, "filters": {"id": 1}},
            [("/filters", "filters_not_supported")],
        ),
        (
            {"options": {"period": "day"}, "filters": {"status": "paid"}},
            [("/filters", "filters_not_supported")],
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    catalog: Catalog, asked: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    assert refused(catalog, **asked) == errors


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [({"options": {"period": "month"}}, "/options/period"), (DATES, "/date_from")],
)
def test_without_dates_there_are_no_periods(
    dateless: Catalog, asked: dict[str, Any], pointer: str
) -> None:
    assert refused(dateless, **asked) == [(pointer, "no_date_column")]
