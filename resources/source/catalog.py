"""The datasets: what is declared, joined with what the source really has."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, TableClause, column, inspect, table
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from resources.errors import DeclarationError, SourceUnavailable
from resources.source.columns import (
    TEMPORAL_KINDS,
    Column,
    UnsupportedColumn,
    column_from_type,
)
from resources.source.declarations import Declaration

# How long a failed look-up stands.
FAILURE_SECONDS = 2.0


@dataclass(frozen=True)
class Dataset:
    """A table that may be exported, with all that is known of it."""

    name: str
    table_name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    date_column: Column | None
    zone: ZoneInfo

    @property
    def table(self) -> TableClause:
        """The table as a query names it; its columns untyped: the driver's values stay raw."""
        return table(self.table_name, *(column(name) for name in self.columns))


class Catalog:
    """The datasets of one source, each looked up once. Safe to share between threads."""

    def __init__(self, engine: Engine, declarations: Mapping[str, Declaration]) -> None:
        self._engine = engine
        self._declarations = declarations
        self._datasets: dict[str, Dataset] = {}
        self._failures: dict[str, tuple[float, Exception]] = {}
        self._lock = threading.Lock()

    def dataset(self, name: str) -> Dataset:
        """The dataset ``name``.

        Raises:
            DeclarationError: It is not declared, or the declaration does not fit the source.
            SourceUnavailable: The source does not answer.
        """
        with self._lock:
            if name not in self._datasets:
                self._raise_if_just_failed(name)
                try:
                    self._datasets[name] = self._look_up(name)
                except (DeclarationError, SourceUnavailable) as error:
                    self._failures[name] = (time.monotonic(), error)
                    raise
            return self._datasets[name]

    def _raise_if_just_failed(self, name: str) -> None:
        """A source that does not answer is not asked again by everybody who waited for it."""
        failed_at, error = self._failures.get(name, (-FAILURE_SECONDS, None))
        if error is not None and time.monotonic() - failed_at < FAILURE_SECONDS:
            raise error

    def _look_up(self, name: str) -> Dataset:
        declaration = self._declarations.get(name)
        if declaration is None:
            msg = f'The dataset "{name}" is not declared: add a table [{name}] to datasets.toml.'
            raise DeclarationError(msg)
        try:
            reflected = inspect(self._engine).get_columns(declaration.table)
        except NoSuchTableError as error:
            msg = f'{name}: the source has no table "{declaration.table}".'
            raise DeclarationError(msg) from error
        except DBAPIError:
            msg = "The source database does not answer."
            raise SourceUnavailable(msg) from None
        return _dataset(name, declaration, reflected, self._engine.dialect.name)


def _dataset(
    name: str, declaration: Declaration, reflected: list[ReflectedColumn], dialect: str
) -> Dataset:
    known = {each["name"] for each in reflected}
    findings = [
        f'{name}: the table "{declaration.table}" has no column "{missing}"'
        for missing in _named_columns(declaration)
        if missing not in known
    ]
    columns: dict[str, Column] = {}
    for each in reflected:
        if each["name"] in declaration.leave_out:
            continue
        try:
            columns[each["name"]] = column_from_type(each["name"], each["type"], dialect)
        except UnsupportedColumn as error:
            findings.append(f"{name}: {error}; add it to leave_out")
    if declaration.date_column in declaration.leave_out:
        findings.append(f'{name}: date_column "{declaration.date_column}" is left out as well')
    date_column = columns.get(declaration.date_column or "")
    if date_column is not None and date_column.kind not in TEMPORAL_KINDS:
        findings.append(f'{name}: date_column "{date_column.name}" holds no dates or times')
    if findings:
        raise DeclarationError("\n".join(findings))
    return Dataset(
        name=name,
        table_name=declaration.table,
        columns=columns,
        key=tuple(declaration.key),
        date_column=date_column,
        zone=declaration.zone,
    )


def _named_columns(declaration: Declaration) -> list[str]:
    dates = [declaration.date_column] if declaration.date_column else []
    return [*declaration.key, *dates, *declaration.leave_out]
