"""What a source database must be able to do, and what most of them do alike."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    URL,
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    column,
    inspect,
)
from sqlalchemy import types as sql
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.exc import DBAPIError, NoSuchTableError, SAWarning
from sqlalchemy.sql.elements import quoted_name

from resources.source.columns import UNITS, Column, Kind, Storage, UnsupportedColumn
from resources.source.declarations import ReadAs
from resources.source.dialects.foreign_keys import ForeignKey
from resources.source.moments import to_microseconds

CONNECT_TIMEOUT_SECONDS = 5


def quoted(name: str) -> quoted_name:
    """A name as SQL may have it: quoted always, for it may be any word in any case."""
    return quoted_name(name, quote=True)


def plain(of: Column) -> ColumnElement[Any]:
    """The column, as the database has it; untyped, so that the driver's values stay raw."""
    return column(quoted(of.name))


def bound(value: Any) -> ColumnElement[Any]:
    """``value`` as a parameter: never a part of the statement's text."""
    return bindparam(None, value, unique=True)


def bound_list(values: Sequence[Any]) -> BindParameter[Any]:
    """``values`` as the parameters of an IN; SQLAlchemy would name them after the column."""
    return bindparam(None, list(values), unique=True, expanding=True)


@dataclass(frozen=True)
class Reflected:
    """What a database declares of a column.

    Attributes:
        type: The type, in the terms of the dialect.
        nullable: Whether the column may be null.
    """

    type: Any
    nullable: bool


class Dialect(ABC):
    """One kind of source database.

    Attributes:
        name: As SQLAlchemy calls it.
        product: As people and Dagster's UI call it.
        schemas_are_databases: Whether what it calls a schema is a database of its own.
        resumable_kinds: What key columns may be of which a value says just where its row is in
            their order. Texts mostly do not: in many orders different ones are equal.
    """

    name: str
    product: str
    schemas_are_databases = False
    resumable_kinds: AbstractSet[Kind] = frozenset(
        {
            Kind.INTEGER,
            Kind.DECIMAL,
            Kind.TIMESTAMP,
            Kind.INSTANT,
            Kind.DATE,
        }
    )

    # --- Connections ---

    @abstractmethod
    def connect(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """An engine whose connections only read; no query takes longer, unless that is 0."""

    @abstractmethod
    def connect_to_write(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """An engine whose connections may write, and wait for locks no longer than that."""

    def begin_snapshot(self, connection: Connection) -> Connection:
        """The connection such that its next transaction sees one state of the source."""
        return connection.execution_options(isolation_level="REPEATABLE READ")

    def see_every_row(self, connection: Connection) -> None:  # noqa: B027 - most hide none
        """Have queries of the transaction be refused that would leave out rows unseen."""

    @abstractmethod
    def cancel(self, connection: Connection) -> None:
        """End the query that runs on ``connection``; called from another thread."""

    def has_fast_way(self, _columns: Sequence[Column]) -> bool:
        """Whether rows of these columns can be had without the driver's cursor."""
        return False

    def end_stream(self, _connection: Connection) -> None:  # noqa: B027 - most need nothing
        """See that the rest of a streamed result, which nobody wants, is not sent."""

    @abstractmethod
    def is_timeout(self, error: DBAPIError) -> bool:
        """Whether a query was ended because it took too long."""

    @abstractmethod
    def is_outage(self, error: DBAPIError) -> bool:
        """Whether the database cannot be reached, or cannot answer anybody now."""

    def is_refusal(self, error: DBAPIError) -> bool:
        """Whether the database answers, and refuses this query: it has no right, or no sense."""
        passing = error.connection_invalidated or self.is_timeout(error)
        return not (passing or self.is_outage(error))

    # --- What is there ---

    def tables(self, connection: Connection, schema: str | None) -> list[str]:
        """The names of the tables and views."""
        inspector = inspect(connection)
        names = inspector.get_table_names(schema) + inspector.get_view_names(schema)
        return sorted(names)

    def views(self, connection: Connection, schema: str | None) -> set[str]:
        """Which of `tables` are views."""
        return set(inspect(connection).get_view_names(schema))

    def has_heirs(self, _connection: Connection, _table: str, _schema: str | None) -> bool:
        """Whether rows of other tables, with columns of their own, are rows of this one too."""
        return False

    def partitions(self, _connection: Connection, _schema: str | None) -> set[str]:
        """Which of `tables` are parts of another one of them."""
        return set()

    def schemas(self, connection: Connection) -> list[str | None]:
        """The schemas that may hold somebody's tables; None: the connection's own."""
        inspector = inspect(connection)
        own = inspector.default_schema_name
        # MySQL has no own one where the URL names no database.
        owned: list[str | None] = [] if own is None else [None]
        return owned + [name for name in inspector.get_schema_names() if name != own]

    def reflect(
        self, connection: Connection, table: str, schema: str | None
    ) -> Mapping[str, Reflected]:
        """The columns of a table or view, in their order; none: there is no such table."""
        with warnings.catch_warnings():
            # What SQLAlchemy does not know is refused by name, with what to declare instead.
            warnings.simplefilter("ignore", SAWarning)
            try:
                found = inspect(connection).get_columns(table, schema=schema)
            except NoSuchTableError:
                return {}
        return {each["name"]: Reflected(each["type"], each["nullable"]) for each in found}

    def primary_key(self, connection: Connection, table: str, schema: str | None) -> Sequence[str]:
        """The columns of the primary key in its order; none: there is no such key."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            constraint = inspect(connection).get_pk_constraint(table, schema=schema)
        return constraint["constrained_columns"]

    def unique_keys(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[frozenset[str]]:
        """The sets of columns in which the database itself keeps rows apart, primary key first."""
        inspector = inspect(connection)
        keys: list[Sequence[str | None]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            keys.append(self.primary_key(connection, table, schema))
            keys += [
                index["column_names"]
                for index in inspector.get_indexes(table, schema=schema)
                if index["unique"] and _has_every_row(index)
            ]
            constraints = inspector.get_unique_constraints(table, schema=schema)
            keys += [constraint["column_names"] for constraint in constraints]
        # An index on an expression has no name for it.
        return [frozenset(name for name in key if name) for key in keys if key and all(key)]

    def indexes(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[Sequence[str]]:
        """The columns of each index over all rows, in its order, those of the primary key first."""
        inspector = inspect(connection)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            found = [list(self.primary_key(connection, table, schema))]
            constraints = inspector.get_unique_constraints(table, schema=schema)
            found += [each["column_names"] for each in constraints]
            found += [
                [name for name in takewhile(bool, each["column_names"]) if name]
                for each in inspector.get_indexes(table, schema=schema)
                if _has_every_row(each)
            ]
        return [columns for columns in found if columns]

    def references(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[tuple[str, str | None, str, str]]:
        """The foreign keys of one column: it, and the schema, table and column it refers to."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            found = inspect(connection).get_foreign_keys(table, schema=schema)
        return [
            (of, each["referred_schema"], each["referred_table"], to)
            for each in found
            if len(each["constrained_columns"]) == len(each["referred_columns"]) == 1
            for of, to in zip(each["constrained_columns"], each["referred_columns"], strict=True)
        ]

    def foreign_keys(self, connection: Connection) -> list[ForeignKey]:
        """All foreign keys of the source, in every schema.

        Raises:
            TaskFailed: The source does not tell all of them (``source_refused``).
            sqlalchemy.exc.DBAPIError: The source does not answer.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            return [
                ForeignKey(
                    schema,
                    name,
                    tuple(key["constrained_columns"]),
                    key["referred_schema"] or schema,
                    key["referred_table"],
                    tuple(key["referred_columns"]),
                )
                for schema in self.schemas(connection)
                for (_, name), keys in inspect(connection)
                .get_multi_foreign_keys(schema=schema)
                .items()
                for key in keys
            ]

    def named(self, connection: Connection, schema: str | None, name: str) -> tuple[str, str]:
        """Schema and name of a table, the same however it is called.

        The schema is empty where it is the connection's own.
        """
        own = inspect(connection).default_schema_name
        return "" if schema is None or schema == own else schema, name

    @abstractmethod
    def column(self, name: str, declared: Any) -> Column:
        """The column that the database declares so.

        Raises:
            UnsupportedColumn: The type has no counterpart in a file.
        """

    def read_as(self, name: str, declared: Any, wanted: ReadAs) -> Column:
        """The column, read as something else than what the database declares.

        Raises:
            UnsupportedColumn: It cannot be read so.
        """
        match wanted.kind:
            case Kind.TEXT:
                return Column(name, Kind.TEXT, storage=Storage.CAST)
            # As the driver gives them: a cast would round what has more digits.
            case Kind.DECIMAL if isinstance(declared, sql.Numeric | sql.Integer):
                return Column(name, Kind.DECIMAL, precision=wanted.precision, scale=wanted.scale)
            case Kind.BOOLEAN if isinstance(declared, sql.Integer):
                return Column(name, Kind.BOOLEAN, storage=Storage.CAST)
        natural = self.column(name, declared)
        if natural.kind is wanted.kind:
            return natural
        msg = (
            f'column "{name}" holds {natural.kind} values, which cannot be read as '
            f'"{wanted.kind}"; "text" is always possible'
        )
        raise UnsupportedColumn(msg)

    def stored_as(self, name: str, declared: Any, storage: Storage) -> Column:
        """The column, of whose numbers the declaration says that they are instants.

        Raises:
            UnsupportedColumn: It holds nothing of the kind.
        """
        if storage is Storage.ISO or self.column(name, declared).kind is not Kind.INTEGER:
            wanted = "texts in SQLite" if storage is Storage.ISO else "integers"
            msg = f'column "{name}" cannot be stored = "{storage}", which is for {wanted}'
            raise UnsupportedColumn(msg)
        return Column(name, Kind.INSTANT, storage=storage)

    # --- Queries ---

    def selected(self, of: Column) -> ColumnElement[Any]:
        """What is read for the column."""
        return plain(of)

    def compared(self, of: Column) -> ColumnElement[Any]:
        """What conditions compare: in it, a value equals itself alone."""
        return plain(of)

    @abstractmethod
    def like(self, of: Column, pattern: str) -> ColumnElement[bool]:
        """Column LIKE pattern, telling cases apart; a backslash escapes, a last one is itself."""

    def least(self, of: Column, value: Any) -> Any:
        """The least value that the column may have for ``value``: the bound of ``>=`` and ``<``."""
        if of.storage in UNITS:
            return -(-to_microseconds(value) // UNITS[of.storage])
        if of.kind is Kind.BOOLEAN and of.storage is Storage.CAST:
            return int(value)
        return self.spelled(of, value)

    def greatest(self, of: Column, value: Any) -> Any:
        """The greatest value that it may have for ``value``: the bound of ``<=`` and ``>``."""
        return self.least(of, value)

    def every(self, of: Column, value: Any) -> Sequence[Any]:
        """Every value that the column may have for ``value``."""
        if of.storage in UNITS and to_microseconds(value) % UNITS[of.storage]:
            return []  # it lies between two of them
        return [self.least(of, value)]

    def spelled(self, _of: Column, value: Any) -> Any:
        """``value`` as the driver takes it for the column."""
        return value

    def misspelled(self, _of: Column) -> ColumnElement[bool] | None:
        """Which of its values conditions cannot be compared with; None: there can be none."""
        return None


def _has_every_row(index: ReflectedIndex) -> bool:
    options = index.get("dialect_options", {})
    partial = any(option.endswith("_where") for option in options)
    # PostgreSQL keeps an index that it could not finish, for one because rows were not unique.
    return not partial and not options.get("postgresql_invalid", False)


def escaped_last(pattern: str) -> str:
    """``pattern`` with a backslash at its end, which escapes nothing, as one that means itself."""
    escapes_nothing = (len(pattern) - len(pattern.rstrip("\\"))) % 2
    return pattern + "\\" * escapes_nothing
