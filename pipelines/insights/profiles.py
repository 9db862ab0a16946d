"""What each column holds: how many values, which, and how they are spread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.insights.duck import Duck
from pipelines.insights.figures import LeftOut
from pipelines.insights.loaded import Loaded
from pipelines.insights.measures import AS_TEXT, Measure, Value, measure_of
from pipelines.insights.values import Unmeasurable, mean, values_told
from resources.source.columns import Column, Kind

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
TOP_VALUES = 10
# Up to so many rows, everything is exact.
EXACT_ROWS = 100_000
# Up to so many values, about, the most frequent are found by counting all of them.
COUNTED_VALUES = 100_000
# Else so many are counted that are frequent by a sketch.
_CANDIDATES = 50


@dataclass(frozen=True)
class TopValue:
    """A value, and how many rows have it."""

    value: Value
    count: int


@dataclass(frozen=True)
class Profile:
    """What a column holds; None where its kind has no such figure, or no value.

    Attributes:
        name: The column.
        kind: Its kind, as `Kind` has it.
        count: Rows that have a value.
        nulls: Rows that have none.
        not_finite: Values of a float that are NaN or infinite, of which the rest tells nothing.
        distinct: How many different values.
        min: The least.
        max: The greatest; texts are compared character by character.
        mean: The arithmetic mean.
        quantiles: By their names, see `QUANTILES`: so many of the values are not greater.
        top_values: The most frequent, those that more than one row has.
        approximate: Which of these figures are estimated.
    """

    name: str
    kind: Kind
    count: int
    nulls: int
    distinct: int
    not_finite: int = 0
    min: Value | None = None
    max: Value | None = None
    mean: Value | None = None
    quantiles: dict[str, Value] | None = None
    top_values: Sequence[TopValue] | None = None
    approximate: Sequence[str] = field(default_factory=list)


def profiles(duck: Duck, loaded: Loaded) -> Iterator[Profile | LeftOut]:
    """Each column of a dataset that was loaded; what cannot be measured, as a text or not at all.

    Raises:
        AttemptSuperseded: The run must stop.
        TaskFailed: There is no room to work in (``storage_unavailable``).
    """
    for column in loaded.columns:
        for measure in dict.fromkeys((measure_of(column), AS_TEXT)):
            try:
                with values_told():
                    profile = _Profiler(duck, loaded, column, measure).profile()
            except Unmeasurable:
                continue
            yield profile
            break
        else:
            name = f"{loaded.dataset.name}.{column.name}"
            yield LeftOut(f"columns.{name}", f"{name}: values that can be measured")


class _Profiler:
    """Measures one column."""

    def __init__(self, duck: Duck, loaded: Loaded, column: Column, measure: Measure) -> None:
        self._duck = duck
        self._column = column
        self._measure = measure
        self._table = loaded.dataset.name
        name = loaded.sql(column)
        self._name = name
        self._value = measure.value.replace("{}", name)
        self._usable = measure.usable.replace("{}", name)
        self._is_exact = loaded.rows <= EXACT_ROWS

    def profile(self) -> Profile:
        """All that is told of it."""
        is_exact, usable = self._is_exact, f"{self._name} IS NOT NULL AND {self._usable}"
        count_distinct = "count(DISTINCT {})" if is_exact else "approx_count_distinct({})"
        aggregates = [
            f"count({self._name})",
            "count(*)",
            f"count(*) FILTER ({usable})",
            count_distinct.replace("{}", self._value) + f" FILTER ({usable})",
            *self._more(),
        ]
        inner = f"SELECT {', '.join(aggregates)} FROM {self._table}"
        count, rows, measured, distinct, *more = self._duck.row(inner)
        written = self._written(more, measured)
        distinct = min(distinct, measured)
        top, top_is_exact = self._top(distinct) if self._measure.has_top else (None, True)
        estimated = {
            "distinct": not is_exact,
            "quantiles": not is_exact and self._measure.has_quantiles,
            "top_values": not top_is_exact,
        }
        return Profile(
            name=self._column.name,
            kind=self._column.kind,
            count=count,
            nulls=rows - count,
            not_finite=count - measured,
            distinct=distinct,
            top_values=top,
            approximate=[name for name, is_estimated in estimated.items() if is_estimated],
            **written,
        )

    def _more(self) -> Iterator[str]:
        """SQL for the least, the greatest, the sum and the quantiles, as far as there are such."""
        usable = f"FILTER ({self._usable})"
        if self._measure.has_order:
            yield from (f"min({self._value}) {usable}", f"max({self._value}) {usable}")
        if self._measure.has_mean:
            yield f"sum({self._value}) {usable}"
        if self._measure.has_quantiles:
            quantile = "quantile_disc" if self._is_exact else "approx_quantile"
            yield f"{quantile}({self._value}, {list(QUANTILES.values())}) {usable}"

    def _written(self, found: Sequence[Any], measured: int) -> dict[str, Any]:
        if not measured:
            return {}
        left, write = iter(found), self._measure.write
        written: dict[str, Any] = {}
        if self._measure.has_order:
            written |= {"min": write(next(left)), "max": write(next(left))}
        if self._measure.has_mean:
            written["mean"] = self._mean(next(left), measured)
        if self._measure.has_quantiles:
            quantiles = (write(each) for each in next(left))
            written["quantiles"] = dict(zip(QUANTILES, quantiles, strict=True))
        return written

    def _mean(self, total: Any, count: int) -> Value | None:
        match self._column.kind:
            case Kind.FLOAT:
                of_floats = float(total) / count
                # A sum may be beyond all floats.
                return of_floats if of_floats - of_floats == 0 else None
            case Kind.DECIMAL:
                return f"{mean(total, count, self._column.scale):f}"
        return int(total) / count

    def _top(self, distinct: int) -> tuple[list[TopValue], bool]:
        """The most frequent values, and whether there can be no others."""
        there = f"{self._name} IS NOT NULL AND {self._usable}"
        is_exact = self._is_exact or distinct <= COUNTED_VALUES
        if not is_exact:
            self._duck.run(
                f"CREATE OR REPLACE TABLE candidates AS SELECT unnest(approx_top_k("
                f"{self._value}, {_CANDIDATES})) AS v FROM {self._table} WHERE {there}"
            )
            there += f" AND {self._value} IN (SELECT v FROM candidates)"
        rows = self._duck.rows(
            f"SELECT {self._value} AS v, count(*) AS n FROM {self._table} WHERE {there} "
            f"GROUP BY v HAVING n > 1 ORDER BY n DESC, v LIMIT {TOP_VALUES}"
        )
        return [TopValue(self._measure.write(value), count) for value, count in rows], is_exact
