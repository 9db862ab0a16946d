"""Files as DuckDB reads them, and a driver's rows in the same terms. None of it is the service's.

A value of a driver becomes what a file of the column's type must hold: SQLite's driver has texts
for times and numbers for booleans, MySQL's has times of day as durations.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

Rows = list[tuple[Any, ...]]
Column = tuple[str, str]


def read_parquet(path: Path) -> tuple[list[Column], Rows]:
    """The columns with DuckDB's types, and the rows in their order."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        relation = db.read_parquet(str(path))
        columns = _names(path, [str(each) for each in relation.types])
        return columns, relation.fetchall()


def _names(path: Path, types: list[str]) -> list[Column]:
    """The names in the file: DuckDB tells two that differ in case apart by renaming one."""
    with duckdb.connect() as db:
        schema = db.execute(
            f"SELECT name FROM parquet_schema('{path}') WHERE name IS NOT NULL "
            "AND name NOT IN ('list', 'element', 'schema')"
        ).fetchall()
    names = [str(name) for (name,) in schema]
    return list(zip(names, types, strict=True))


def read_csv(path: Path, columns: Sequence[Column]) -> Rows:
    """The rows of a CSV file whose columns have these types; bytes and arrays are texts there."""
    types = {f"c{i}": _csv_type(type_) for i, (_, type_) in enumerate(columns)}
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        return db.execute(
            "SELECT * FROM read_csv($path, auto_detect = false, header = true, delim = ',', "
            "quote = '\"', escape = '\"', allow_quoted_nulls = false, nullstr = '', "
            f"columns = {types!r})",
            {"path": str(path)},
        ).fetchall()


def _csv_type(of: str) -> str:
    return "VARCHAR" if of == "BLOB" or of.endswith("[]") else of


def comparable(value: Any) -> Any:
    """``value`` such that it equals itself: no number equals NaN."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    return value


def in_parquet(value: Any, type_: str) -> Any:
    """A driver's value as a Parquet file of the column's type has it."""
    if value is None:
        return None
    if type_.endswith("[]"):
        return [in_parquet(each, type_.removesuffix("[]")) for each in value]
    return comparable(_of_type(value, type_))


_FROM_TEXT: Mapping[str, Callable[[str], Any]] = {
    "TIMESTAMP": datetime.fromisoformat,
    "TIMESTAMP WITH TIME ZONE": datetime.fromisoformat,
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
}


def _of_type(value: Any, type_: str) -> Any:
    if isinstance(value, str) and type_ in _FROM_TEXT:
        return _FROM_TEXT[type_](value)
    match type_, value:
        case ("BOOLEAN", int()):
            return bool(value)
        case ("TIMESTAMP WITH TIME ZONE", datetime()) if value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        case ("TIME", timedelta()):
            return (datetime(1, 1, 1) + value).time()
        case ("BLOB", _):
            return bytes(value)
        case ("FLOAT", float()):
            return struct.unpack("f", struct.pack("f", value))[0]
        case ("VARCHAR", _):
            return str(value)
    return Decimal(str(value)) if type_.startswith("DECIMAL") else value


def in_csv(value: Any, type_: str) -> Any:
    """A driver's value as a CSV file has it."""
    value = in_parquet(value, type_)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_in_json(each) for each in value]
    return value


def _in_json(value: Any) -> Any:
    match value:
        case float() if math.isinf(value):
            return str(value).replace("inf", "Infinity")
        case Decimal() | date() | time():
            return str(value)
    return value


def from_csv(value: Any, type_: str) -> Any:
    """What a cell of a CSV file says."""
    if value is not None and type_.endswith("[]"):
        return json.loads(value, parse_constant=_no_constant)
    return comparable(value)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")
