"""The tables of an analysis as Parquet: ``columns.parquet`` and ``series.parquet``."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from pipelines.insights.analysis import Analysis
from pipelines.insights.calendar import Unit
from pipelines.insights.figures import Business, Period
from pipelines.insights.measures import Value
from pipelines.insights.profiles import QUANTILES

MEDIA_TYPE = "application/vnd.apache.parquet"
# Amounts have up to so many digits after the point; counts have none.
_LEAST_SCALE = 2
_DIGITS = 38

_COLUMNS = pa.schema(
    [
        pa.field("dataset", pa.string()),
        pa.field("column", pa.string()),
        pa.field("kind", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("count", "nulls", "distinct", "not_finite")),
        *(pa.field(name, pa.string()) for name in ("min", "max", "mean", *QUANTILES)),
        pa.field(
            "top_values",
            pa.list_(pa.struct([pa.field("value", pa.string()), pa.field("count", pa.int64())])),
        ),
        pa.field("approximate", pa.list_(pa.string())),
    ]
)


def columns_table(analysis: Analysis) -> pa.Table:
    """A row for each column; values of all kinds are texts, as in ``analysis.json``."""
    rows = [
        {
            "dataset": name,
            "column": each.name,
            "kind": each.kind.value,
            "count": each.count,
            "nulls": each.nulls,
            "distinct": each.distinct,
            "not_finite": each.not_finite,
            "min": _text(each.min),
            "max": _text(each.max),
            "mean": _text(each.mean),
            **{quantile: _text((each.quantiles or {}).get(quantile)) for quantile in QUANTILES},
            "top_values": None
            if each.top_values is None
            else [{"value": _text(top.value), "count": top.count} for top in each.top_values],
            "approximate": each.approximate,
        }
        for name, columns in analysis.columns.items()
        for each in columns
    ]
    return pa.Table.from_pylist(rows, _COLUMNS)


def _text(value: Value | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def series_table(analysis: Analysis) -> pa.Table:
    """A row for each measure of each period: see `docs/tasks/data_analysis.md`."""
    payments = analysis.workspace.loaded.get("payments")
    scale = max(_LEAST_SCALE, payments.scale() if payments else 0)
    schema = pa.schema(
        [
            pa.field("dataset", pa.string()),
            pa.field("measure", pa.string()),
            pa.field("period", pa.string()),
            pa.field("start", pa.date32()),
            pa.field("status", pa.string()),
            pa.field("is_total", pa.bool_()),
            pa.field("currency", pa.string()),
            pa.field("value", pa.decimal128(_DIGITS, scale)),
            pa.field("growth", pa.float64()),
            pa.field("is_partial", pa.bool_()),
        ]
    )
    return pa.Table.from_pylist([*_rows(analysis), *_revenue(analysis.business)], schema)


def _rows(analysis: Analysis) -> Iterator[dict[str, Any]]:
    for name, series in analysis.series.items():
        of = {"dataset": name, "measure": "rows"}
        partial = {}
        for unit, periods in series.periods.items():
            for each in periods:
                partial[unit, each.start] = each.is_partial
                yield of | {
                    "period": unit.value,
                    "start": each.start,
                    "is_total": True,
                    "value": Decimal(each.rows),
                    "growth": each.growth,
                    "is_partial": each.is_partial,
                }
        for (unit, start, status), rows in sorted(
            series.by_status.items(), key=lambda one: (one[0][0], one[0][1], one[0][2] or "")
        ):
            if (unit, start) in partial:
                yield of | {
                    "period": unit.value,
                    "start": start,
                    "status": status,
                    "is_total": False,
                    "value": Decimal(rows),
                    "is_partial": partial[unit, start],
                }


def _revenue(business: Business) -> Iterator[dict[str, Any]]:
    told: dict[Unit, Sequence[Period]] = {
        Unit.DAY: business.days,
        Unit.WEEK: business.weeks,
        Unit.MONTH: business.months,
    }
    for unit, periods in told.items():
        for each in periods:
            for currency, amount in (each.revenue or {}).items():
                yield {
                    "dataset": "payments",
                    "measure": "revenue",
                    "period": unit.value,
                    "start": each.start,
                    "is_total": True,
                    "currency": currency,
                    "value": amount,
                }


def to_parquet(table: pa.Table) -> bytes:
    """``table`` as a file; it is small."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
