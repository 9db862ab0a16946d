"""What stands on the page of a report, block by block: cards and charts, in one language."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipelines.report import charts
from pipelines.report.charts import Band, Bars, Columns
from pipelines.report.model import Figure, Point, Report, Row
from pipelines.report.palette import PARTS
from pipelines.report.tables import Table, Tables
from pipelines.report.texts import Texts

# Of how many currencies there are cards and charts: more are in the tables and the workbook.
SHOWN_CURRENCIES = 6
# How many bars a chart has, all others being one of them.
SHOWN_BARS = 8
# How many parts a description names.
_DESCRIBED = 6


@dataclass(frozen=True)
class Card:
    """One headline figure as it is shown.

    Attributes:
        arrow: The direction of its change, for the eye alone: the change has a sign.
    """

    name: str
    currency: str
    value: str
    arrow: str
    change: str
    before: str


@dataclass(frozen=True)
class Mark:
    """What stands at a column, bar or part of a chart."""

    label: str
    value: str
    tip: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """A chart, described in words, with the table behind it."""

    id: str
    title: str
    description: str
    shape: Columns | Bars | Band
    marks: Sequence[Mark]
    table: Table
    note: str = ""

    @property
    def kind(self) -> str:
        """Which shape it is."""
        return type(self.shape).__name__.lower()


class Page:
    """Makes the blocks of a report's page."""

    def __init__(self, report: Report, texts: Texts) -> None:
        self._report = report
        self._texts = texts
        self.tables = Tables(report, texts)
        self._currencies = _shown_currencies(report)

    @property
    def more_currencies(self) -> str:
        """Says that not all currencies are shown; empty where they are."""
        known = len(self._report.currencies)
        if known <= len(self._currencies):
            return ""
        return self._texts.say("more_currencies", shown=len(self._currencies), all=known)

    def cards(self) -> Iterator[Card]:
        """The headline."""
        for figure in self._report.figures:
            if figure.currency is None or figure.currency in self._currencies:
                yield self._card(figure)

    def _card(self, figure: Figure) -> Card:
        texts = self._texts
        before = ""
        if figure.now is not None and figure.before is not None:
            told = texts.value(figure.before, figure.unit, figure.currency, short=True)
            before = texts.say("was", before=told)
        change = texts.change(figure)
        return Card(
            name=texts.say(f"figure.{figure.name}"),
            currency="" if figure.currency is None else self.tables.currency(figure.currency),
            value=texts.value(figure.now, figure.unit, figure.currency, short=True),
            arrow=_arrow(change),
            change=change,
            before=before,
        )

    def charts_over_time(self) -> Iterator[Chart]:
        """Bookings, then the revenue of each currency."""
        points = self._report.points
        if any(point.bookings is not None for point in points):
            counts = [point.bookings for point in points]
            table = self.tables.counts_over_time()
            shown = [self._texts.number(count or 0) for count in counts]
            shape = charts.columns(counts, self._texts.compact, whole=True)
            yield self._over_time("bookings", table, shape, counts, shown)
        for number, currency in enumerate(self._currencies, start=1):
            if any(_revenue(point, currency) for point in points):
                yield self._revenue_chart(f"revenue-{number}", currency)

    def _revenue_chart(self, name: str, currency: str) -> Chart:
        amounts = [_revenue(point, currency) for point in self._report.points]
        shown = [self._texts.money(amount, currency) for amount in amounts]
        values = [float(amount) for amount in amounts]
        table = self.tables.revenue_over_time(currency)
        return self._over_time(
            name, table, charts.columns(values, self._texts.compact), values, shown
        )

    def _over_time(
        self,
        name: str,
        table: Table,
        shape: Columns,
        values: Sequence[float | None],
        shown: Sequence[str],
    ) -> Chart:
        texts, bucket = self._texts, self._report.bucket
        points = self._report.points
        known = [value or 0 for value in values]
        highest, lowest = known.index(max(known)), known.index(min(known))
        return Chart(
            id=name,
            title=table.title,
            description=texts.say(
                "describe.columns",
                highest=shown[highest],
                when=texts.start(points[highest].start, bucket),
                lowest=shown[lowest],
            ),
            shape=shape,
            marks=[
                self._point_mark(point, value) for point, value in zip(points, shown, strict=True)
            ],
            table=table,
            note=texts.say("cut") if any(point.is_cut for point in points) else "",
        )

    def _point_mark(self, point: Point, value: str) -> Mark:
        texts, bucket = self._texts, self._report.bucket
        label = texts.short_start(point.start, bucket)
        if self._report.is_single:
            label = texts.say("column.before" if point.is_before else "column.now")
        return Mark(
            label=label,
            value=value,
            tip=f"{texts.start(point.start, bucket)}: {value}",
            kind="prior" if point.is_before else "cut" if point.is_cut else "whole",
        )

    def charts_of_parts(self) -> Iterator[Chart]:
        """Statuses, services, methods, and who booked; those that there is something of."""
        report, tables = self._report, self.tables
        if any(row.count for row in report.statuses):
            yield self._band("statuses", tables.statuses(), self._named(report.statuses, PARTS))
        if any(row.count for row in report.services):
            yield self._bars("services", tables.services(), report.services)
        if any(row.count for row in report.methods):
            yield self._bars("methods", tables.methods(), report.methods)
        bookers = list(tables.booker_counts())
        if any(count for _, count in bookers):
            yield self._band("bookers", tables.bookers(), bookers)

    def _named(self, rows: Sequence[Row], most: int) -> list[tuple[str, int]]:
        """Names and counts of ``rows``, in ``most`` lines: the last of them all others."""
        named = [(self._texts.row_name(row), row.count) for row in rows]
        if len(named) <= most:
            return named
        others = sum(count for _, count in named[most - 1 :])
        return [*named[: most - 1], (self._texts.say("rest"), others)]

    def _bars(self, name: str, table: Table, rows: Sequence[Row]) -> Chart:
        named = self._named(rows, SHOWN_BARS)
        others = self._texts.say("rest")  # their sum is no value to compare with the others
        shape = charts.bars([None if label == others else count for label, count in named])
        return self._of_parts(name, "describe.bars", table, named, shape)

    def _band(self, name: str, table: Table, named: Sequence[tuple[str, int]]) -> Chart:
        shape = charts.band([count for _, count in named])
        return self._of_parts(name, "describe.band", table, named, shape)

    def _of_parts(
        self,
        name: str,
        description: str,
        table: Table,
        named: Sequence[tuple[str, int]],
        shape: Bars | Band,
    ) -> Chart:
        texts = self._texts
        total = sum(count for _, count in named)
        marks = [
            Mark(
                label=charts.fitted(label),
                value=texts.say(
                    "bar", count=texts.number(count), share=texts.percent(count / total)
                ),
                tip=label,
                kind=f"part-{min(number, PARTS)}",
            )
            for number, (label, count) in enumerate(named, start=1)
        ]
        parts = "; ".join(
            texts.say("part", name=mark.label, share=texts.percent(count / total))
            for mark, (_, count) in list(zip(marks, named, strict=True))[:_DESCRIBED]
        )
        return Chart(
            id=name,
            title=table.title,
            description=texts.say(description, parts=parts),
            shape=shape,
            marks=marks,
            table=table,
        )


def _shown_currencies(report: Report) -> list[str]:
    """The currencies in which something happened most often; all, where they are few."""
    often = {
        currency: sum(1 for point in report.points if _revenue(point, currency))
        for currency in report.currencies
    }
    most = sorted(often, key=lambda currency: (-often[currency], currency))[:SHOWN_CURRENCIES]
    return sorted(most)


def _revenue(point: Point, currency: str) -> Decimal:
    return (point.revenue or {}).get(currency, Decimal(0))


def _arrow(change: str) -> str:
    """The direction of a change that is told with its sign."""
    return {"+": "▲", "\N{MINUS SIGN}": "▼"}.get(change[:1], "")
