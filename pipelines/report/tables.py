"""The tables of a report, which both the page and the workbook show: typed cells, no layout."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from pipelines.report.model import Figure, Point, Report, Row, Unit, Value
from pipelines.report.texts import Texts


class Kind(StrEnum):
    """What a cell holds."""

    TEXT = "text"
    COUNT = "count"
    MONEY = "money"
    RATE = "rate"
    CHANGE = "change"  # a rate with its sign
    POINTS = "points"  # the difference of two rates
    DATE = "date"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        kind: What it holds.
        value: Its value; None: there is none.
        currency: Of money: its currency.
        text: As people read it.
    """

    kind: Kind
    value: str | Value | date | None
    text: str
    currency: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it begins at the left."""
        return self.kind in {Kind.TEXT, Kind.DATE}


@dataclass(frozen=True)
class Table:
    """One table; the first cell of a row says what the row is about."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


_KINDS = {Unit.COUNT: Kind.COUNT, Unit.MONEY: Kind.MONEY, Unit.RATE: Kind.RATE}


class Tables:
    """Makes the tables of a report, in one language."""

    def __init__(self, report: Report, texts: Texts) -> None:
        self._report = report
        self._texts = texts

    def figures(self) -> Table:
        """The headline, compared with the period before."""
        names = ("figure", "currency", "now", "before", "change")
        rows = [self._figure_row(each) for each in self._report.figures]
        return self._table("section.figures", names, rows)

    def _figure_row(self, figure: Figure) -> list[Cell]:
        now, before = (self._figure_cell(figure, each) for each in (figure.now, figure.before))
        kind = Kind.POINTS if figure.unit is Unit.RATE else Kind.CHANGE
        change = Cell(kind, figure.change, self._texts.change(figure))
        name = self._text(self._texts.say(f"figure.{figure.name}"))
        return [name, self._text(figure.currency or ""), now, before, change]

    def _figure_cell(self, figure: Figure, value: Value | None) -> Cell:
        text = self._texts.value(value, figure.unit, figure.currency, short=False)
        return Cell(_KINDS[figure.unit], value, text, figure.currency or "")

    def counts_over_time(self) -> Table:
        """Bookings and new users by day, week or month."""
        titles = [self._texts.say(f"column.{name}") for name in ("bookings", "new_users")]
        rows = [
            [self._start(point), self._count(point.bookings), self._count(point.new_users)]
            for point in self._report.points
        ]
        title = self._texts.say(f"chart.bookings.{self._report.bucket}")
        return Table(title, [self._start_title(), *titles], rows)

    def revenue_over_time(self, currency: str) -> Table:
        """Revenue in one currency by day, week or month."""
        rows = [
            [self._start(point), self._revenue(point, currency)] for point in self._report.points
        ]
        title = self._texts.say(
            f"chart.revenue.{self._report.bucket}", currency=self.currency(currency)
        )
        return Table(title, [self._start_title(), self._amount_title("revenue", currency)], rows)

    def over_time(self) -> Table:
        """All that there is by day, week or month, side by side."""
        currencies = self._revenue_currencies()
        titles = [self._texts.say(f"column.{name}") for name in ("bookings", "new_users")]
        header = [
            self._start_title(),
            *titles,
            *(self._amount_title("revenue", each) for each in currencies),
            self._texts.say("column.note"),
        ]
        rows = [
            [
                Cell(Kind.DATE, point.start, self._texts.start(point.start, self._report.bucket)),
                self._count(point.bookings),
                self._count(point.new_users),
                *(self._revenue(point, each) for each in currencies),
                self._text(self._note(point)),
            ]
            for point in self._report.points
        ]
        return Table(self._texts.say("section.time"), header, rows)

    def _revenue_currencies(self) -> list[str]:
        told = any(point.revenue is not None for point in self._report.points)
        return list(self._report.currencies) if told else []

    def statuses(self) -> Table:
        """Bookings by status."""
        return self._shares("statuses", "status", "bookings", "amount", self._report.statuses)

    def services(self) -> Table:
        """Bookings and revenue by service."""
        return self._shares("services", "service", "bookings", "revenue", self._report.services)

    def methods(self) -> Table:
        """Payments and revenue by method."""
        return self._shares("methods", "method", "payments", "revenue", self._report.methods)

    def _shares(
        self, title: str, name: str, counted: str, amount: str, rows: Sequence[Row]
    ) -> Table:
        told = any(row.amounts is not None for row in rows)
        currencies = self._report.currencies if told else []
        header = [
            self._texts.say(f"column.{name}"),
            self._texts.say(f"column.{counted}"),
            self._texts.say("column.share"),
            *(self._amount_title(amount, each) for each in currencies),
        ]
        cells = [
            [
                self._text(self._texts.row_name(row)),
                self._count(row.count),
                self._rate(row.share),
                *(self._money((row.amounts or {}).get(each), each) for each in currencies),
            ]
            for row in rows
        ]
        return Table(self._texts.say(f"chart.{title}"), header, cells)

    def bookers(self) -> Table:
        """Who booked: new and returning users."""
        counts = dict(self.booker_counts())
        total = sum(counts.values())
        rows = [
            [self._text(name), self._count(count), self._rate(count / total if total else 0.0)]
            for name, count in counts.items()
        ]
        return self._table("chart.bookers", ("who", "users", "share"), rows)

    def booker_counts(self) -> Iterator[tuple[str, int]]:
        """How many of those who booked are new, and how many are not; nothing where unknown."""
        new, returning = (
            self._report.figure(name).now for name in ("new_bookers", "returning_bookers")
        )
        if isinstance(new, int) and isinstance(returning, int):
            yield self._texts.say("new"), new
            yield self._texts.say("returning"), returning

    def findings(self) -> Table:
        """What somebody should look at."""
        rows = [
            [
                self._text(self._texts.finding(each)),
                self._text(self._texts.say_known("dataset", each.dataset)),
                self._text(each.column or ""),
                self._count(each.rows),
                self._text(each.code),
            ]
            for each in self._report.findings
        ]
        names = ("what", "dataset", "column", "rows", "code")
        return self._table("section.quality", names, rows)

    def left_out(self) -> Table:
        """What cannot be told."""
        rows = [
            [
                self._text(self._texts.say_known("figure", each.figure)),
                self._text(self._texts.missing(each.missing)),
            ]
            for each in self._report.left_out
        ]
        return self._table("section.left_out", ("figure", "missing"), rows)

    def about(self) -> Table:
        """Where the report comes from."""
        report, texts = self._report, self._texts
        zone = report.window.zone
        told = (
            ("window", texts.exact_span(report.window)),
            ("window_utc", texts.exact_span_utc(report.window)),
            ("before", texts.exact_span(report.before)),
            ("zone", zone),
            ("snapshot", texts.moment(report.snapshot_at, zone)),
            ("made", texts.moment(report.made_at, zone)),
            ("task", str(report.task)),
        )
        rows = [[self._text(texts.say(f"about.{name}")), self._text(value)] for name, value in told]
        return self._table("section.about", ("what", "value"), rows)

    def currency(self, code: str) -> str:
        """A currency as a title names it."""
        return code or self._texts.say("no_currency")

    def _table(self, title: str, names: Iterable[str], rows: Sequence[Sequence[Cell]]) -> Table:
        header = [self._texts.say(f"column.{name}") for name in names]
        return Table(self._texts.say(title), header, rows)

    def _start_title(self) -> str:
        return self._texts.say(f"column.{self._report.bucket}")

    def _amount_title(self, what: str, currency: str) -> str:
        return self._texts.say(f"column.{what}", currency=self.currency(currency))

    def _start(self, point: Point) -> Cell:
        text = self._texts.start(point.start, self._report.bucket)
        if point.is_before:
            text = self._texts.say("before_mark", start=text)
        return Cell(Kind.DATE, point.start, f"{text} *" if point.is_cut else text)

    def _revenue(self, point: Point, currency: str) -> Cell:
        """Where revenue is known and there is none of this currency, it is zero."""
        known = None if point.revenue is None else point.revenue.get(currency, Decimal(0))
        return self._money(known, currency)

    def _note(self, point: Point) -> str:
        if point.is_before:
            return self._texts.say("note.before")
        return self._texts.say("note.cut") if point.is_cut else ""

    def _text(self, text: str) -> Cell:
        return Cell(Kind.TEXT, text, text)

    def _count(self, value: int | None) -> Cell:
        text = self._texts.say("unknown") if value is None else self._texts.number(value)
        return Cell(Kind.COUNT, value, text)

    def _rate(self, value: float) -> Cell:
        return Cell(Kind.RATE, value, self._texts.percent(value))

    def _money(self, value: Decimal | None, currency: str) -> Cell:
        text = "\N{EN DASH}" if value is None else self._texts.money(value, currency)
        return Cell(Kind.MONEY, value, text, currency)
