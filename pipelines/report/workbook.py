"""A report as a workbook: a sheet for each table, its cells typed.

Texts are written as texts, whatever they begin with: no cell of the source becomes a formula or a
link. A workbook has a few hundred rows, however long the window, so it is made in memory.
"""

from collections.abc import Sequence
from datetime import UTC
from io import BytesIO
from typing import Any

import xlsxwriter

from pipelines.report.model import Report
from pipelines.report.tables import Cell, Kind, Table, Tables
from pipelines.report.texts import Texts, currency_digits, is_code

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_A4 = 9
_WIDEST = 60
_NARROWEST = 11
_ROOM = 3  # what a column is wider than its text: the filter's button stands beside the title
_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "nan_inf_to_errors": False,
}
_FORMATS = {
    Kind.TEXT: "@",
    Kind.COUNT: "#,##0",
    Kind.RATE: "0.0%",
    Kind.CHANGE: "+0.0%;-0.0%;0.0%",
    Kind.POINTS: "+0.0%;-0.0%;0.0%",
}


def to_workbook(report: Report, texts: Texts) -> bytes:
    """The file."""
    content = BytesIO()
    book = xlsxwriter.Workbook(content, _OPTIONS)
    made_at = report.made_at.astimezone(UTC).replace(tzinfo=None)
    heading = texts.say("heading", window=texts.span(report.window))
    book.set_properties({"title": heading, "created": made_at, "author": "Workers"})
    writer = _Writer(book, texts)
    for name, table, lines in _sheets(report, texts, heading):
        writer.add(texts.say(f"sheet.{name}"), table, lines)
    book.close()
    return content.getvalue()


def _sheets(report: Report, texts: Texts, heading: str) -> list[tuple[str, Table, Sequence[str]]]:
    """Each sheet's name, its table, and what stands above it."""
    tables = Tables(report, texts)
    above = [heading, texts.say("compared", before=texts.span(report.before))]
    if report.is_empty:
        above.append(texts.say("empty"))
    if report.window.end > report.snapshot_at:
        above.append(texts.say("unfinished"))
    sheets: list[tuple[str, Table, Sequence[str]]] = [
        ("figures", tables.figures(), above),
        ("time", tables.over_time(), ()),
        ("statuses", tables.statuses(), ()),
        ("services", tables.services(), ()),
        ("methods", tables.methods(), ()),
        ("bookers", tables.bookers(), ()),
    ]
    quality = tables.findings()
    nothing = () if quality.rows else (texts.say("quality.none"),)
    sheets.append(("quality", quality, nothing))
    if report.left_out:
        sheets.append(("left_out", tables.left_out(), ()))
    sheets.append(("about", tables.about(), ()))
    return sheets


class _Writer:
    """Writes tables into the sheets of a workbook."""

    def __init__(self, book: Any, texts: Texts) -> None:
        self._book = book
        self._texts = texts
        self._formats: dict[str, Any] = {}
        self._title = book.add_format({"bold": True, "font_size": 14})
        self._plain = book.add_format({"num_format": "@"})
        self._header = book.add_format(
            {"bold": True, "bottom": 1, "text_wrap": True, "valign": "top", "bg_color": "#E8ECF3"}
        )

    def add(self, name: str, table: Table, above: Sequence[str]) -> None:
        """A sheet with ``table``, below the lines ``above``."""
        sheet = self._book.add_worksheet(name)
        for index, line in enumerate(above):
            sheet.write_string(index, 0, line, self._plain if index else self._title)
        top = len(above) + 1 if above else 0
        for column, title in enumerate(table.header):
            sheet.write_string(top, column, title, self._header)
        for index, row in enumerate(table.rows, start=top + 1):
            for column, cell in enumerate(row):
                self._write(sheet, index, column, cell)
        self._set_up(sheet, table, top)

    def _write(self, sheet: Any, row: int, column: int, cell: Cell) -> None:
        look = self._look(cell)
        if cell.value is None:
            sheet.write_blank(row, column, None, look)
        elif cell.kind is Kind.TEXT:
            sheet.write_string(row, column, str(cell.value), look)
        elif cell.kind is Kind.DATE:
            sheet.write_datetime(row, column, cell.value, look)
        else:
            sheet.write_number(row, column, cell.value, look)

    def _look(self, cell: Cell) -> Any:
        number_format = self._number_format(cell)
        if number_format not in self._formats:
            look: dict[str, Any] = {"num_format": number_format, "valign": "top"}
            if cell.kind is Kind.DATE:
                look["align"] = "left"
            if cell.kind is Kind.TEXT:
                look["text_wrap"] = True
            self._formats[number_format] = self._book.add_format(look)
        return self._formats[number_format]

    def _number_format(self, cell: Cell) -> str:
        match cell.kind:
            case Kind.DATE:
                return self._texts.say("date.excel")
            case Kind.MONEY:
                digits = currency_digits(cell.currency)
                number = "#,##0" + ("." + "0" * digits if digits else "")
                # What is no code could say anything in a number format.
                return f"{number} [${cell.currency}]" if is_code(cell.currency) else number
            case kind:
                return _FORMATS[kind]

    def _set_up(self, sheet: Any, table: Table, top: int) -> None:
        for column, title in enumerate(table.header):
            longest = max([len(title), *(len(row[column].text) for row in table.rows)])
            sheet.set_column(column, column, max(_NARROWEST, min(longest + _ROOM, _WIDEST)))
        sheet.freeze_panes(top + 1, 0)
        if table.rows:
            sheet.autofilter(top, 0, top + len(table.rows), len(table.header) - 1)
        sheet.repeat_rows(top)
        sheet.set_landscape()
        sheet.set_paper(_A4)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer(f"&L&A&R{self._texts.say('sheet.page')}")
