"""The workbook, read back by another library: types, formats, and nothing that calculates."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from openpyxl import Workbook, load_workbook

from pipelines.report.model import Report
from pipelines.report.texts import Texts
from pipelines.report.workbook import to_workbook
from resources.task_types.report_generation import ReportLocale
from tests.support.businesses import (
    DECEMBER,
    business,
    empty_business,
    hostile_business,
    report,
    unknown_business,
    window,
)

OF = window(*DECEMBER)


def book_of(made: Report, locale: ReportLocale = ReportLocale.EN) -> Any:
    book: Workbook = load_workbook(BytesIO(to_workbook(made, Texts(locale))))
    return book


def column(sheet: Any, title: str, header: int = 1) -> list[Any]:
    """The cells below ``title``."""
    (found,) = [cell for cell in sheet[header] if cell.value == title]
    return [row[found.column - 1] for row in sheet.iter_rows(min_row=header + 1)]


@pytest.mark.parametrize(
    ("locale", "sheets"),
    [
        (
            ReportLocale.EN,
            ["Key figures", "Over time", "Statuses", "Services", "Payment methods", "Users",
             "Data quality", "Not in this report", "About"],
        ),
        (
            ReportLocale.RU,
            ["Показатели", "Динамика", "Статусы", "Услуги", "Способы оплаты", "Пользователи",
             "Качество данных", "Чего нет в отчёте", "Об отчёте"],
        ),
    ],
)  # fmt: skip
def test_it_has_a_sheet_for_each_table(locale: ReportLocale, sheets: list[str]) -> None:
    assert book_of(report(business(OF)), locale).sheetnames == sheets


def test_figures_have_the_types_and_formats_of_what_they_are() -> None:
    made = report(business(OF))
    sheet = book_of(made)["Key figures"]

    names, now, change = (column(sheet, title, 4) for title in ("Figure", "This period", "Change"))
    rows = {cell.value: (value, how) for cell, value, how in zip(names, now, change, strict=True)}
    value, how = rows["Bookings"]
    assert (value.value, value.number_format) == (made.figure("bookings").now, "#,##0")
    assert (how.value, how.number_format) == (
        pytest.approx(made.figure("bookings").change),
        "+0.0%;-0.0%;0.0%",
    )
    value, _ = rows["Cancelled"]
    assert (value.value, value.number_format) == (0.1234, "0.0%")


def test_money_is_a_number_with_its_currency_in_the_format() -> None:
    made = report(business(OF, currencies=["EUR", "JPY"]))
    sheet = book_of(made)["Over time"]

    euros, yen = column(sheet, "Revenue, EUR"), column(sheet, "Revenue, JPY")
    expected = [float((point.revenue or {})["EUR"]) for point in made.points]
    assert [cell.value for cell in euros] == expected
    assert {cell.number_format for cell in euros} == {"#,##0.00 [$EUR]"}
    assert {cell.number_format for cell in yen} == {"#,##0 [$JPY]"}


@pytest.mark.parametrize(
    ("locale", "looks", "title"),
    [(ReportLocale.EN, "d mmm yyyy", "Day"), (ReportLocale.RU, "dd.mm.yyyy", "День")],
)
def test_days_are_dates(locale: ReportLocale, looks: str, title: str) -> None:
    sheet = book_of(report(business(OF)), locale).worksheets[1]

    days = column(sheet, title)
    assert [cell.value for cell in days] == [
        datetime(2025, 12, 1) + timedelta(days=day)  # noqa: DTZ001 - a workbook knows no zones
        for day in range(31)
    ]
    assert {cell.number_format for cell in days} == {looks}
    assert all(cell.is_date for cell in days)


def test_every_sheet_can_be_read_and_printed() -> None:
    for sheet in book_of(report(business(OF))).worksheets:
        header = 4 if sheet.title == "Key figures" else 1
        assert sheet.freeze_panes == f"A{header + 1}"
        assert all(cell.font.bold for cell in sheet[header])
        assert sheet.print_title_rows == f"${header}:${header}"
        assert sheet.page_setup.orientation == "landscape"
        assert sheet.page_setup.fitToWidth in (None, 1)  # which is its default
        assert sheet.page_setup.fitToHeight == 0
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert sheet.oddFooter.right.text == "Page &P of &N"
        for letter, size in sheet.column_dimensions.items():
            assert 10 <= size.width <= 62, letter


def test_hostile_values_are_texts_and_no_formula_or_link() -> None:
    content = to_workbook(report(hostile_business(OF)), Texts(ReportLocale.EN))
    book = load_workbook(BytesIO(content))

    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row]
    values = {cell.value for cell in cells}
    assert '=HYPERLINK("http://evil.example";"x")' in values
    assert "<script>alert(1)</script>" in values
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    assert not [cell for cell in cells if cell.hyperlink]
    with ZipFile(BytesIO(content)) as parts:
        for name in parts.namelist():
            assert b"<f>" not in parts.read(name)
            assert "externalLink" not in name
        styles = parts.read("xl/styles.xml").decode()
    assert "cmd" not in styles  # a currency that would be part of a number format
    assert "&lt;b&gt;" not in styles


def test_an_empty_window_says_so_on_its_first_sheet() -> None:
    book = book_of(report(empty_business(OF)))

    lines = [cell.value for cell in book["Key figures"]["A"]]
    assert lines[2].startswith("Nothing happened in this period")
    assert [cell.value for cell in column(book["Over time"], "Bookings")] == [0] * 31
    assert book["Statuses"].max_row == 1
    assert book["Data quality"]["A1"].value == "Nothing was found that needs a look."


def test_what_is_unknown_is_a_cell_with_nothing_in_it() -> None:
    sheet = book_of(report(unknown_business(OF)))["Over time"]

    assert {cell.value for cell in column(sheet, "New users")} == {None}
    assert "Revenue" not in " ".join(str(cell.value) for cell in sheet[1])


def test_weeks_that_are_cut_are_marked() -> None:
    of = window(date(2025, 10, 1), date(2026, 1, 1))
    sheet = book_of(report(business(of)))["Over time"]

    notes = [cell.value for cell in column(sheet, "Note")]
    assert notes[0] == notes[-1] == "only partly within the period, or not over yet"
    assert not any(notes[1:-1])


def test_amounts_are_not_added_up_over_currencies() -> None:
    made = report(business(OF, currencies=["EUR", "USD"]))
    sheet = book_of(made)["Services"]

    assert [cell.value for cell in sheet[1]] == [
        "Service", "Bookings", "Share", "Revenue, EUR", "Revenue, RUB", "Revenue, USD",
    ]  # fmt: skip
    assert {Decimal(str(cell.value)) for cell in column(sheet, "Revenue, USD")} == {Decimal("99.9")}
