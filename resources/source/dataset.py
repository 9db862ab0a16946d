"""One dataset: its declaration, held against what the source really has."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnClause,
    Connection,
    Select,
    TableClause,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, UnreflectableTableError

from resources.errors import DeclarationError
from resources.source.columns import (
    TEMPORAL_KINDS,
    UNMASKABLE_KINDS,
    UNORDERED_KINDS,
    Column,
    Storage,
    UnsupportedColumn,
)
from resources.source.declarations import ColumnDeclaration, Declaration
from resources.source.dialects import dialect_of
from resources.source.dialects.base import Dialect, Reflected, quoted

# Schemas in which a table that is not found is looked for, to say where it is.
_SEARCHED_SCHEMAS = 20
# How much alike two names are of which one may be the other, misspelled (0 to 1).
_CLOSE = 0.75

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A table that may be exported, with all that is known of it."""

    name: str
    table_name: str
    schema: str | None
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    date_column: Column | None
    zone: ZoneInfo
    dialect: Dialect
    # What columns stand for, of those whose values may be seen: see `declarations.ROLES`.
    roles: Mapping[str, Column] = field(default_factory=dict)
    # Which values of the column with the role "status" mean what: see `declarations.MEANINGS`.
    statuses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # How old the newest row may be; None: nothing is said of it.
    fresh_within: timedelta | None = None
    # Columns that the table has besides, and that nobody sees.
    left_out: frozenset[str] = frozenset()

    @cached_property
    def table(self) -> TableClause:
        """The table as a query names it, with its key."""
        schema = None if self.schema is None else quoted(self.schema)
        key: list[ColumnClause[Any]] = [column(quoted(name)) for name in self.key]
        return table(quoted(self.table_name), *key, schema=schema)

    @property
    def is_resumable(self) -> bool:
        """Whether an export can go on after a row: its key may be noted, and compared as ordered.

        What is masked or left out is noted nowhere.
        """
        return all(self.tells(name) and self._is_comparable(name) for name in self.key)

    def _is_comparable(self, name: str) -> bool:
        of = self.columns[name]
        is_as_stored = of.storage is Storage.NATIVE and not of.collated
        return is_as_stored and of.kind in self.dialect.resumable_kinds

    def identity(self) -> str:
        """All that is declared and known of it, as text: another one where anything differs."""
        known = (self.name, self.schema, self.table_name, self.key, str(self.zone))
        return repr((*known, list(self.columns.values()), self.date_column))

    def tells(self, name: str) -> bool:
        """Whether values of the column may be seen outside the database."""
        return name in self.columns and self.columns[name].mask is None


def look_up(
    connection: Connection, name: str, declaration: Declaration, *, check_key: bool
) -> Dataset:
    """The dataset that ``declaration`` makes of the source.

    Args:
        connection: To the source.
        name: What the dataset is called.
        declaration: What is declared of it.
        check_key: Whether a key that no constraint holds is tried on the rows, all of them.

    Raises:
        DeclarationError: They do not fit, with a line for each finding.
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    dialect = dialect_of(connection)
    try:
        found = _Examination(connection, dialect, name, declaration).dataset(check_key=check_key)
    except UnreflectableTableError as error:
        raise _refused(name, declaration, error) from None
    except DBAPIError as error:
        if not dialect.is_refusal(error):
            raise
        raise _refused(name, declaration, error.orig) from None
    return found


def _refused(name: str, declaration: Declaration, error: BaseException | None) -> DeclarationError:
    return DeclarationError(
        f'{name}: the source refuses to read "{declaration.full_name}" ({type(error).__name__}): '
        "see that its user may SELECT each column that is not left out, that a view is whole, "
        'and that what is declared as "text" has one'
    )


class UnusableKey(DeclarationError):
    """Rows were found that the declared key does not tell apart; it takes time to find them."""


class _Examination:
    """Holds one declaration against the source, and gathers all that does not fit."""

    def __init__(
        self, connection: Connection, dialect: Dialect, name: str, declaration: Declaration
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._name = name
        self._declaration = declaration
        self._findings: list[str] = []

    def dataset(self, *, check_key: bool) -> Dataset:
        declared = self._declaration
        reflected = self._dialect.reflect(self._connection, declared.table, declared.schema_)
        if not reflected:
            self._find(f'the source has no table "{declared.full_name}"{self._where_it_is()}')
            self._raise_findings()
        self._find_missing(reflected)
        columns = self._columns(reflected)
        if not columns:
            self._find("no column is left to export: leave one of them in")
        self._find_unordered_key(reflected)
        self._find_unusable_dates(columns)
        self._raise_findings()
        dataset = Dataset(
            name=self._name,
            table_name=declared.table,
            schema=declared.schema_,
            columns=columns,
            key=tuple(declared.key),
            date_column=columns.get(declared.date_column or ""),
            zone=declared.zone,
            dialect=self._dialect,
            roles={
                role: columns[name]
                for role, name in declared.roles.items()
                if name in columns and columns[name].mask is None
            },
            statuses=declared.statuses,
            fresh_within=declared.freshness,
            left_out=frozenset(reflected) - set(columns),
        )
        self._read_nothing(dataset)
        self._order_nothing(dataset)
        self._raise_findings()
        if check_key and not self._is_kept_unique(reflected):
            self._try_key(dataset)
        if self._findings:
            raise UnusableKey("\n".join(self._findings))
        return dataset

    def _find(self, finding: str) -> None:
        # In one line, though a name may have two.
        self._findings.append("\\n".join(f"{self._name}: {finding}".splitlines()))

    def _raise_findings(self) -> None:
        if self._findings:
            raise DeclarationError("\n".join(self._findings))

    def _where_it_is(self) -> str:
        """Where a table of such a name is, or one of nearly that name."""
        wanted = self._declaration.table
        for schema in self._dialect.schemas(self._connection)[:_SEARCHED_SCHEMAS]:
            if wanted in (tables := self._dialect.tables(self._connection, schema)):
                write = "leave schema out" if schema is None else f'add schema = "{schema}"'
                return f", but there is one elsewhere: {write}"
            if schema == self._declaration.schema_ and (close := _closest(wanted, tables)):
                return f'; did you mean "{close}"?'
        return ""

    def _find_missing(self, reflected: Mapping[str, Reflected]) -> None:
        for name in self._declaration.named_columns():
            if name not in reflected:
                close = _closest(name, reflected)
                hint = f'; did you mean "{close}"?' if close else ""
                table_name = self._declaration.full_name
                self._find(f'the table "{table_name}" has no column "{name}"{hint}')

    def _columns(self, reflected: Mapping[str, Reflected]) -> dict[str, Column]:
        columns: dict[str, Column] = {}
        for name, each in reflected.items():
            if name in self._declaration.leave_out:
                if name in self._declaration.columns:
                    self._find(f'column "{name}" is left out, yet declared: remove one of the two')
                continue
            declared = self._declaration.columns.get(name, ColumnDeclaration())
            try:
                columns[name] = self._column(name, each, declared)
            except UnsupportedColumn as error:
                self._find(f"{error}; {_remedy(name, declared)}")
        return columns

    def _column(self, name: str, reflected: Reflected, declared: ColumnDeclaration) -> Column:
        if declared.read_as is not None:
            column = self._dialect.read_as(name, reflected.type, declared.read_as)
        elif declared.storage is not None:
            column = self._dialect.stored_as(name, reflected.type, declared.storage)
        else:
            column = self._dialect.column(name, reflected.type)
        if declared.mask is not None and column.kind in UNMASKABLE_KINDS:
            msg = f'column "{name}" holds {column.kind} values, which have no mask'
            raise UnsupportedColumn(msg)
        return replace(column, mask=declared.mask, zone=self._declaration.time_zone)

    def _find_unordered_key(self, reflected: Mapping[str, Reflected]) -> None:
        for name in self._declaration.key:
            if name not in reflected:
                continue
            try:
                kind = self._dialect.column(name, reflected[name].type).kind
            except UnsupportedColumn:
                continue  # the database itself is asked in the end
            if kind in UNORDERED_KINDS:
                self._find(f'key column "{name}" holds {kind} values: rows cannot be ordered by it')

    def _find_unusable_dates(self, columns: Mapping[str, Column]) -> None:
        name = self._declaration.date_column
        if name in self._declaration.leave_out:
            self._find(f'date_column "{name}" is left out as well')
        column = columns.get(name or "")
        if column is None:
            return
        if column.mask is not None:
            self._find(f'date_column "{name}" is masked: dates would tell what the mask hides')
        if column.kind not in TEMPORAL_KINDS:
            self._find(f'date_column "{name}" holds no dates or times, but {column.kind} values')

    def _read_nothing(self, dataset: Dataset) -> None:
        """Ask for every column, and no row: what may not be read is refused here, not in a run."""
        read = [self._dialect.selected(column) for column in dataset.columns.values()]
        read += [plain for plain in dataset.table.c if plain.name not in dataset.columns]
        query = select(*read).select_from(dataset.table)
        self._connection.execute(query.where(literal_column("1") == literal_column("0"))).all()

    def _order_nothing(self, dataset: Dataset) -> None:
        """Ask for no row in the order of the key: PostgreSQL has types that have none."""
        none: Select[Any] = select(literal_column("1")).select_from(dataset.table)
        ordered = none.where(literal_column("1") == literal_column("0")).order_by(*dataset.table.c)
        try:
            self._connection.execute(ordered).all()
        except DBAPIError as error:
            if not self._dialect.is_refusal(error):
                raise
            named = ", ".join(dataset.key)
            self._find(f'key "{named}" is of a type that rows cannot be ordered by')

    def _is_kept_unique(self, reflected: Mapping[str, Reflected]) -> bool:
        """Whether the database itself sees to it that each row has a key of its own."""
        key = self._declaration.key
        if any(reflected[name].nullable for name in key):
            return False
        kept = self._dialect.unique_keys(
            self._connection, self._declaration.table, self._declaration.schema_
        )
        return any(unique <= set(key) for unique in kept)

    def _try_key(self, dataset: Dataset) -> None:
        key = list(dataset.table.c)
        compared = [
            self._dialect.compared(dataset.columns[name]) if name in dataset.columns else plain
            for name, plain in zip(dataset.key, key, strict=True)
        ]
        one: Select[Any] = select(literal_column("1")).select_from(dataset.table).limit(1)
        named = ", ".join(dataset.key)
        try:
            if self._connection.scalar(one.where(or_(*(each.is_(None) for each in key)))):
                self._find(f'key "{named}" is null in some rows: declare one that never is')
            elif self._connection.scalar(one.group_by(*compared).having(func.count() > 1)):
                self._find(f'key "{named}" is not unique: add columns until it tells rows apart')
        except DBAPIError as error:
            if not self._dialect.is_timeout(error):
                raise
            _logger.warning(
                '%s: it takes too long to try whether its key "%s" is unique: see that it is. '
                "`workers check --timeout SECONDS` can take longer.",
                self._name,
                named,
            )


def _closest(name: str, names: Mapping[str, object] | list[str]) -> str | None:
    """The one of ``names`` that ``name`` most likely stands for."""
    by_lower = {each.lower(): each for each in names}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=_CLOSE)
    return by_lower[found[0]] if found else None


def _remedy(name: str, declared: ColumnDeclaration) -> str:
    name = json.dumps(name, ensure_ascii=False)  # such texts are TOML's too
    leave_out = f"add {name} to leave_out"
    if declared.as_ or declared.stored or declared.mask:
        return f"change its declaration, or {leave_out}"
    return f'write columns.{name} = {{ as = "text" }}, or {leave_out}'
