"""A source database to make tables in and to ask as the service does, of each kind."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import URL, Engine, create_engine, text

from resources.source import reader
from resources.source.catalog import Catalog
from resources.source.connection import connect_source, snapshot
from resources.source.dataset import Dataset
from resources.source.declarations import Declaration
from resources.source.filters import parse_filters
from resources.source.query import Selection

TABLE = "facts"
# There a timestamp is an instant, and a key has no text of any length.
MYSQL_TYPES = {
    "timestamp": "datetime(6)",
    "time": "time(6)",
    "text": "varchar(200) CHARACTER SET utf8mb4",
}


@dataclass(frozen=True)
class Source:
    """A source with one table; `engine` is the service's, `writer` its owner's."""

    engine: Engine
    writer: Engine
    # Where a boolean is a number, those that are declared to be read as one.
    booleans: set[str] = field(default_factory=set)
    # The columns that the table was made with, while it has just these.
    made: list[str] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    def make(self, columns: str, rows: Sequence[Sequence[Any]] = ()) -> None:
        """Make the table anew, with ``columns`` as in CREATE TABLE."""
        if self.made == [columns]:
            self.run(f"DELETE FROM {TABLE}")  # which takes a tenth of the time
        else:
            self.run(f"DROP TABLE IF EXISTS {TABLE}")
            self.run(f"CREATE TABLE {TABLE} ({self.spelled(columns)})")
            self.made[:] = [columns]
        self.add(rows)

    def spelled(self, columns: str) -> str:
        """Column definitions as this database has them."""
        if self.dialect != "mysql":
            return columns
        self.booleans.clear()
        self.booleans.update(re.findall(r"(\w+) boolean", columns))
        for usual, own in MYSQL_TYPES.items():
            columns = re.sub(rf"\b{usual}\b(?!\()", own, columns)
        return columns.replace('"', "`")

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            names = [f"v{index}" for index in range(len(rows[0]))]
            values = ", ".join(f":{name}" for name in names)
            with self.writer.begin() as connection:
                connection.execute(
                    text(f"INSERT INTO {TABLE} VALUES ({values})"),
                    [dict(zip(names, row, strict=True)) for row in rows],
                )

    def run(self, statement: str) -> None:
        if not statement.startswith(("DELETE", "INSERT")):
            self.made.clear()  # whatever it changes, the table may not be as it was made
        with self.writer.begin() as connection:
            connection.execute(text(statement))

    def dataset(self, **declared: Any) -> Dataset:
        """The table as the catalog sees it; its key is "id" where nothing else is declared."""
        columns = {name: {"as": "boolean"} for name in self.booleans}
        columns |= declared.pop("columns_", {})
        declaration = Declaration(**{"table": TABLE, "key": "id", **declared, "columns": columns})
        return Catalog(self.engine, {TABLE: declaration}).dataset(TABLE)

    def selection(
        self,
        filters: dict[str, Any] | None = None,
        date_from: str | None = None,
        date_to: str | None = None,
        *,
        columns: Sequence[str] = (),
        dataset: Dataset | None = None,
        **declared: Any,
    ) -> Selection:
        dataset = dataset or self.dataset(**declared)
        conditions, errors = parse_filters(filters or {}, dataset.columns)
        assert errors == []
        return Selection(
            dataset=dataset,
            columns=[dataset.columns[name] for name in columns or dataset.columns],
            conditions=conditions,
            date_from=date_from,
            date_to=date_to,
        )

    def keys(self, *arguments: Any, **named: Any) -> list[Any]:
        """The keys that `selection` selects, in the order they come; the count agrees."""
        selection = self.selection(*arguments, **named)
        key = selection.read_names.index(selection.dataset.key[0])
        with snapshot(self.engine) as connection:
            rows = connection.execute(selection.rows_query()).all()
            assert connection.scalar(selection.count_query()) == len(rows)
        return [row[key] for row in rows]


def _opened(url: URL) -> Iterator[Source]:
    source = Source(engine=connect_source(url), writer=create_engine(url))
    yield source
    source.run(f"DROP TABLE IF EXISTS {TABLE}")
    source.engine.dispose()
    source.writer.dispose()


@pytest.fixture(scope="module")
def sqlite_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    path = tmp_path_factory.mktemp("source") / "source.sqlite"
    yield from _opened(URL.create("sqlite", database=str(path)))


@pytest.fixture(scope="module")
def postgresql_source(postgres_source: URL) -> Iterator[Source]:
    yield from _opened(postgres_source)


@pytest.fixture(scope="module")
def mysql_tables(mysql_source: URL) -> Iterator[Source]:
    yield from _opened(mysql_source)


@pytest.fixture(scope="module", params=["sqlite_source", "postgresql_source", "mysql_tables"])
def source(request: pytest.FixtureRequest) -> Source:
    """A source of each kind."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Source)
    return made


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were carried already, each time that the cursor took over."""
    calls: list[int] = []
    fetch = reader._fetched

    def note(*arguments: Any) -> Iterator[Sequence[pa.Array]]:
        calls.append(arguments[-1])
        yield from fetch(*arguments)

    monkeypatch.setattr(reader, "_fetched", note)
    return calls
