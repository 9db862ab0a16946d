"""What comes out equals what is in: random rows, exported, and read by a reader of another make."""

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, create_engine, text

from pipelines.exports import to_frame
from pipelines.journal import Journal
from pipelines.parts import PartWriter
from resources.results import ResultStore
from resources.source.catalog import Catalog
from resources.source.connection import connect_source, snapshot
from resources.source.declarations import Declaration
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import arrow_schema, read_batches
from resources.task_types.export_options import ExportOptions, FileFormat

TABLE = "facts"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# --- What may stand in a column, and how the other reader is asked for it ---

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    | st.sampled_from("\"',;\n\r\t\\ N😀é\u2028\ufeff"),
    max_size=12,
)
# MySQL reads -0.0 as a decimal, SQLite keeps it as an integer: they have one zero.
DOUBLES = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False).map(
    lambda number: number + 0.0
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda number: Decimal(f"{number}e-{scale}"))


def moments(first_year: int, last_year: int = 9999) -> st.SearchStrategy[datetime]:
    return st.datetimes(
        datetime.fromisoformat(f"{first_year:04}-01-01"),
        datetime.fromisoformat(f"{last_year}-12-31 23:59:59.999999"),
    )


def microseconds(moment: datetime) -> int:
    return (moment.replace(tzinfo=UTC) - EPOCH) // (datetime.resolution)


@dataclass(frozen=True)
class Kind:
    """One kind of column.

    `declared` is its type in the database; `csv_type` what the reader takes it for in a CSV file;
    `asked` the expression it is asked for, in each format; `stored` what is given to the driver.
    """

    declared: str
    values: st.SearchStrategy[Any]
    csv_type: str = "VARCHAR"
    asked: str = "{}"
    asked_of_csv: str | None = None
    stored: Callable[[Any], Any] = lambda value: value
    expected: Callable[[Any], Any] = lambda value: value
    as_: Mapping[str, str] | None = None


DOUBLE: dict[str, Any] = {"csv_type": "DOUBLE", "expected": repr}
MOMENT: dict[str, Any] = {
    "csv_type": "TIMESTAMP",
    "asked": "epoch_us({})",
    "expected": microseconds,
}
INSTANT: dict[str, Any] = {
    "csv_type": "TIMESTAMPTZ",
    "asked": "epoch_us({})",
    "expected": microseconds,
}
BYTES: dict[str, Any] = {"asked_of_csv": "unhex({})", "expected": bytes}
AS_JSON: dict[str, Any] = {"stored": json.dumps, "expected": lambda value: value}


def a_list(of: str) -> dict[str, Any]:
    return {"asked_of_csv": f"from_json_strict({{}}, '[\"{of}\"]')"}


POSTGRESQL = {
    "whole": Kind("bigint", st.integers(-(2**63), 2**63 - 1), "BIGINT"),
    "small": Kind("smallint", st.integers(-(2**15), 2**15 - 1), "SMALLINT"),
    "amount": Kind("numeric(38, 10)", decimals(38, 10), "DECIMAL(38, 10)"),
    "free": Kind(
        "numeric",
        decimals(60, 30),
        stored=str,
        expected=lambda value: f"{value:f}",
        as_={"as": "text"},
    ),
    # As texts: the driver would write -0.0 as a decimal, which has one zero.
    "ratio": Kind("double precision", st.floats(), stored=repr, **DOUBLE),
    "single": Kind("real", st.floats(width=32), "FLOAT", stored=repr, expected=repr),
    "note": Kind("text", TEXTS),
    "ok": Kind("boolean", st.booleans(), "BOOLEAN"),
    "at": Kind("timestamp", moments(1), **MOMENT),
    "seen": Kind(
        "timestamptz", moments(1), stored=lambda value: value.replace(tzinfo=UTC), **INSTANT
    ),
    "day": Kind("date", st.dates(), "DATE"),
    "clock": Kind("time", st.times(), "TIME"),
    "raw": Kind("bytea", st.binary(max_size=20), **BYTES),
    "doc": Kind("jsonb", JSON, **AS_JSON),
    "ident": Kind("uuid", st.uuids(), stored=str, expected=str),
    "tags": Kind("text[]", st.lists(st.none() | TEXTS, max_size=4), **a_list("VARCHAR")),
    "numbers": Kind(
        "bigint[]", st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)), **a_list("BIGINT")
    ),
}
MYSQL = {
    "whole": Kind("bigint", st.integers(-(2**63), 2**63 - 1), "BIGINT"),
    "positive": Kind("bigint unsigned", st.integers(0, 2**64 - 1), "UBIGINT"),
    "tiny": Kind("tinyint", st.integers(-128, 127), "TINYINT"),
    "amount": Kind("decimal(38, 10)", decimals(38, 10), "DECIMAL(38, 10)"),
    "ratio": Kind("double", DOUBLES, **DOUBLE),
    "single": Kind(
        "float",
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
        "FLOAT",
        expected=repr,
    ),
    "note": Kind("text character set utf8mb4", TEXTS),
    "flag": Kind("boolean", st.booleans(), "BOOLEAN", as_={"as": "boolean"}),
    "at": Kind("datetime(6)", moments(1000), **MOMENT),
    "seen": Kind("timestamp(6) NULL", moments(1971, 2037), **INSTANT),
    "day": Kind("date", st.dates(date(1000, 1, 1)), "DATE"),
    "clock": Kind("time(6)", st.times(), "TIME"),
    "raw": Kind("blob", st.binary(max_size=20), **BYTES),
    "doc": Kind("json", JSON, **AS_JSON),
}
SQLITE = {
    "whole": Kind("bigint", st.integers(-(2**63), 2**63 - 1), "BIGINT"),
    "amount": Kind("numeric(15, 2)", decimals(15, 2), "DECIMAL(15, 2)", stored=str),
    "exact": Kind(
        "text",
        decimals(38, 10),
        "DECIMAL(38, 10)",
        stored=lambda value: f"{value:f}",
        as_={"as": "decimal(38, 10)"},
    ),
    "ratio": Kind("double", DOUBLES | st.sampled_from([float("inf"), float("-inf")]), **DOUBLE),
    "note": Kind("text", TEXTS),
    "ok": Kind("boolean", st.booleans(), "BOOLEAN"),
    "at": Kind("timestamp", moments(1), stored=lambda value: value.isoformat(sep=" "), **MOMENT),
    "iso": Kind(
        "text",
        moments(1),
        stored=lambda value: f"{value.isoformat()}Z",
        as_={"stored": "iso"},
        **INSTANT,
    ),
    "unix": Kind(
        "integer",
        moments(1).map(
            lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        ),
        stored=lambda value: microseconds(value) // 1000,
        as_={"stored": "unix_ms"},
        **INSTANT,
    ),
    "day": Kind("date", st.dates(), "DATE", stored=date.isoformat),
    "clock": Kind("time", st.times(), "TIME", stored=time.isoformat),
    "raw": Kind("blob", st.binary(max_size=20), **BYTES),
    "doc": Kind("json", JSON.filter(lambda value: isinstance(value, dict | list)), **AS_JSON),
}

# --- The way out, and back in ---


@dataclass(frozen=True)
class Setting:
    """A database with one table of every kind of column, and where its exports go."""

    kinds: Mapping[str, Kind]
    writer: Engine
    engine: Engine
    folder: Path

    def make(self) -> None:
        columns = ", ".join(f"{name} {kind.declared}" for name, kind in self.kinds.items())
        with self.writer.begin() as connection:
            connection.execute(text(f"CREATE TABLE {TABLE} (id integer PRIMARY KEY, {columns})"))

    def fill(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put ``rows`` into the empty table, in another order than that of the key."""
        names = ", ".join(["id", *self.kinds])
        places = ", ".join(f":{name}" for name in ["id", *self.kinds])
        stored = [
            {"id": index}
            | {
                name: None if row[name] is None else kind.stored(row[name])
                for name, kind in self.kinds.items()
            }
            for index, row in enumerate(rows)
        ]
        with self.writer.begin() as connection:
            connection.execute(text(f"DELETE FROM {TABLE}"))
            if stored:
                insert = text(f"INSERT INTO {TABLE} ({names}) VALUES ({places})")
                connection.execute(insert, stored[::-1])

    def export(self, file_format: FileFormat) -> Path:
        """The one file of an export of everything."""
        declared = {name: kind.as_ for name, kind in self.kinds.items() if kind.as_}
        declaration = Declaration.model_validate({"table": TABLE, "key": "id", "columns": declared})
        dataset = Catalog(self.engine, {TABLE: declaration}).dataset(TABLE)
        selection = Selection(dataset, list(dataset.columns.values()), [], None, None)
        folder = ResultStore(self.folder).attempt(1, uuid.uuid4().hex)
        folder.create()
        schema = arrow_schema(selection.columns)
        writer = PartWriter(folder, schema, ExportOptions(format=file_format), Journal(folder))
        with snapshot(self.engine) as connection:
            for batch in read_batches(connection, selection, 3, Masking(b"")):
                writer.write(to_frame(batch))
        (file,) = writer.close()
        return self.folder / folder.name / file.name

    def read(self, path: Path) -> list[dict[str, Any]]:
        """What the other reader finds in the file."""
        is_csv = path.suffix == ".csv"
        asked = ", ".join(
            ((is_csv and kind.asked_of_csv) or kind.asked).format(f'"{name}"')
            for name, kind in self.kinds.items()
        )
        source = self._as_csv(path) if is_csv else f"'{path}'"
        with duckdb.connect() as db:
            rows = db.execute(f"SELECT {asked} FROM {source}").fetchall()
        return [dict(zip(self.kinds, row, strict=True)) for row in rows]

    def _as_csv(self, path: Path) -> str:
        types = {"id": "INTEGER"} | {name: kind.csv_type for name, kind in self.kinds.items()}
        return (
            f"read_csv('{path}', columns={types}, header=true, delim=',', quote='\"', "
            "escape='\"', auto_detect=false, allow_quoted_nulls=false, parallel=false)"
        )


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> URL:
    return URL.create("sqlite", database=str(tmp_path_factory.mktemp("values") / "source.sqlite"))


DATABASES = {
    "sqlite": (SQLITE, "sqlite_url"),
    "postgresql": (POSTGRESQL, "postgres_source"),
    "mysql": (MYSQL, "mysql_source"),
}


@pytest.fixture(scope="module", params=DATABASES)
def setting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setting]:
    kinds, url_fixture = DATABASES[request.param]
    url = request.getfixturevalue(url_fixture)
    made = Setting(kinds, create_engine(url), connect_source(url), tmp_path_factory.mktemp("files"))
    made.make()
    yield made
    with made.writer.begin() as connection:
        connection.execute(text(f"DROP TABLE {TABLE}"))
    made.writer.dispose()
    made.engine.dispose()


def as_told(kind: Kind, value: Any) -> Any:
    """A value that was read, as it compares: a NaN equals itself, JSON is what it says."""
    if value is None:
        return None
    if kind.expected is repr:
        return repr(0.0 if value == 0 and math.copysign(1, value) > 0 else value)
    if isinstance(value, uuid.UUID):
        return str(value)
    return json.loads(value) if kind.declared in {"json", "jsonb"} else value


@pytest.mark.parametrize("file_format", FileFormat)
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_what_comes_out_equals_what_is_in(
    setting: Setting, file_format: FileFormat, data: st.DataObject
) -> None:
    row = st.fixed_dictionaries(
        {name: st.none() | kind.values for name, kind in setting.kinds.items()}
    )
    rows = data.draw(st.lists(row, max_size=7))
    setting.fill(rows)

    found = setting.read(setting.export(file_format))

    assert len(found) == len(rows)
    for read, given_row in zip(found, rows, strict=True):
        for name, kind in setting.kinds.items():
            value = given_row[name]
            expected = None if value is None else kind.expected(value)
            assert as_told(kind, read[name]) == expected, name
