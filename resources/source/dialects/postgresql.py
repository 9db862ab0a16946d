"""PostgreSQL as a source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from psycopg2 import DatabaseError, extensions
from psycopg2.extensions import new_array_type, new_type, register_type
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    NullPool,
    Select,
    Text,
    cast,
    create_engine,
    func,
    inspect,
    literal_column,
    select,
    text,
)
from sqlalchemy import event as events
from sqlalchemy import types as sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.dialects.postgresql.ranges import AbstractRange
from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from resources.source.columns import (
    FIXED_SIZE_KINDS,
    Column,
    Kind,
    Storage,
    UnsupportedColumn,
    decimal,
)
from resources.source.dialects.base import (
    CONNECT_TIMEOUT_SECONDS,
    Dialect,
    Reflected,
    escaped_last,
    plain,
    quoted,
)
from resources.source.dialects.domains import base_types
from resources.source.dialects.foreign_keys import ForeignKey, of_postgresql
from resources.store.database import DEAD_PEER

# How values look that are read as texts, whatever the database is configured to.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
}
# How often the server looks whether the process that asked is still there.
CLIENT_CHECK_SECONDS = 5
_LOOKS_SINCE = 140_000
_QUERY_CANCELED = "57014"
_NO_CONNECTION = "08000"
# By the class of their codes: no connection, no resources, an operator's doing, the system's fault;
# what a standby ends because it must catch up, and what waited for a lock or for too long.
_OUTAGES = ("08", "53", "57", "58", "40", "55P03", "25P03", "72000")
_OID: ColumnElement[int] = literal_column("c.oid")
_SCHEMA: ColumnElement[str] = literal_column("n.nspname")
_PARTITIONS: Select[Any] = select(literal_column("c.relname")).select_from(
    text(
        "pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace"
    )
)

# The ids of PostgreSQL's types, and of arrays of them: time, date, timestamp, timestamptz.
_TIMES = (
    (1083, 1183, "TIME", extensions.PYTIME),
    (1082, 1182, "DATE", extensions.PYDATE),
    (1114, 1115, "TIMESTAMP", extensions.PYDATETIME),
    (1184, 1185, "TIMESTAMPTZ", extensions.PYDATETIMETZ),
)

# A partitioned table's own constraints do hold for its partitions.
_HAS_HEIRS = text(
    """
    SELECT 1 FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON oid = inhparent
    WHERE relkind = 'r' AND oid = pg_catalog.to_regclass(
        coalesce(pg_catalog.quote_ident(:schema) || '.', '') || pg_catalog.quote_ident(:table)
    )
    LIMIT 1
    """
)
# Where a table is that is named without its schema: the first of the search path that has one.
_VISIBLE_IN = text(
    "SELECT n.nspname FROM pg_catalog.pg_class c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(:table))"
)

# What has no counterpart in a file, but a text form that loses nothing.
_OPAQUE: tuple[type[Any], ...] = (
    postgresql.INTERVAL,
    AbstractRange,
    postgresql.TSVECTOR,
    postgresql.TSQUERY,
    postgresql.INET,
    postgresql.CIDR,
    postgresql.MACADDR,
    postgresql.MACADDR8,
    postgresql.BIT,
    postgresql.MONEY,
    postgresql.OID,
    postgresql.REGCLASS,
    postgresql.HSTORE,
)
_KINDS: Sequence[tuple[type[sql.TypeEngine[Any]], Kind]] = (
    (sql.Boolean, Kind.BOOLEAN),
    (sql.Date, Kind.DATE),
    (sql.Time, Kind.TIME),
    (sql.Uuid, Kind.UUID),
    (sql.JSON, Kind.JSON),
    (sql.LargeBinary, Kind.BINARY),
    (sql.String, Kind.TEXT),
)
# Of arrays of these the driver makes lists of the right values.
_ELEMENTS = {
    Kind.INTEGER,
    Kind.FLOAT,
    Kind.DECIMAL,
    Kind.BOOLEAN,
    Kind.TIMESTAMP,
    Kind.INSTANT,
    Kind.DATE,
}


# Option of an execution: its query is carried out as a COPY into the value, which is written to.
COPY_TO = "workers_copy_to"
_COPY = "COPY ({}) TO STDOUT (FORMAT csv)"
_COPIED = FIXED_SIZE_KINDS | {Kind.TEXT}
_COPIED_AS_TEXT = {Kind.TEXT, Kind.JSON, Kind.OPAQUE, Kind.BOOLEAN}


class PostgreSQL(Dialect):
    """PostgreSQL, by psycopg 2."""

    name = "postgresql"
    product = "postgres"
    # Texts whose column has no collation of its own are equal only where they are the same.
    resumable_kinds = Dialect.resumable_kinds | {Kind.TEXT, Kind.UUID}

    def connect(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect`."""
        return _connect(url, statement_timeout_seconds, default_transaction_read_only="on")

    def connect_to_write(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect_to_write`. What a policy hides is refused, and not left out."""
        return _connect(
            url,
            statement_timeout_seconds,
            lock_timeout=str(statement_timeout_seconds * 1000),
            row_security="off",
        )

    def begin_snapshot(self, connection: Connection) -> Connection:
        """See `Dialect.begin_snapshot`."""
        return connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def see_every_row(self, connection: Connection) -> None:
        """See `Dialect.see_every_row`: what a policy would hide is an error then."""
        connection.exec_driver_sql("SET LOCAL row_security = off")

    def cancel(self, connection: Connection) -> None:
        """See `Dialect.cancel`."""
        driver: Any = connection.connection.driver_connection
        driver.cancel()

    def has_fast_way(self, columns: Sequence[Column]) -> bool:
        """See `Dialect.has_fast_way`: what has a text form that Arrow's parser takes for it."""
        known = {Storage.NATIVE: _COPIED, Storage.CAST: _COPIED_AS_TEXT}
        return all(each.kind in known.get(each.storage, ()) for each in columns)

    def is_timeout(self, error: DBAPIError) -> bool:
        """See `Dialect.is_timeout`."""
        return _code(error) == _QUERY_CANCELED

    def is_outage(self, error: DBAPIError) -> bool:
        """See `Dialect.is_outage`. An error of the connection itself has no code."""
        return (_code(error) or _NO_CONNECTION).startswith(_OUTAGES)

    def tables(self, connection: Connection, schema: str | None) -> list[str]:
        """See `Dialect.tables`. Foreign tables and materialized views are tables to a query."""
        inspector = _inspector(connection)
        besides = [
            *inspector.get_foreign_table_names(schema),
            *inspector.get_materialized_view_names(schema),
        ]
        return sorted([*super().tables(connection, schema), *besides])

    def views(self, connection: Connection, schema: str | None) -> set[str]:
        """See `Dialect.views`."""
        inspector = _inspector(connection)
        return super().views(connection, schema) | set(
            inspector.get_materialized_view_names(schema)
        )

    def partitions(self, connection: Connection, schema: str | None) -> set[str]:
        """See `Dialect.partitions`: by declaration or by inheritance."""
        own = func.pg_table_is_visible(_OID) if schema is None else _SCHEMA.in_([schema])
        return set(connection.scalars(_PARTITIONS.where(own)))

    def has_heirs(self, connection: Connection, table: str, schema: str | None) -> bool:
        """See `Dialect.has_heirs`: those that inherit; partitions have the same columns."""
        return bool(connection.scalar(_HAS_HEIRS, {"table": table, "schema": schema}))

    def schemas(self, connection: Connection) -> list[str | None]:
        """See `Dialect.schemas`."""
        return [name for name in super().schemas(connection) if name != "information_schema"]

    def foreign_keys(self, connection: Connection) -> list[ForeignKey]:
        """See `Dialect.foreign_keys`."""
        return of_postgresql(connection)

    def named(self, connection: Connection, schema: str | None, name: str) -> tuple[str, str]:
        """See `Dialect.named`: a table without a schema may be in any of the search path."""
        if schema is None:
            schema = connection.scalar(_VISIBLE_IN, {"table": name})
        return super().named(connection, schema, name)

    def reflect(
        self, connection: Connection, table: str, schema: str | None
    ) -> Mapping[str, Reflected]:
        """See `Dialect.reflect`. A domain is what it is based on."""
        found = super().reflect(connection, table, schema)
        bases = base_types(connection, table, schema)
        return {
            name: replace(each, type=bases.get(name, each.type)) for name, each in found.items()
        }

    def unique_keys(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`. A table's constraints do not hold for those that inherit."""
        if self.has_heirs(connection, table, schema):
            return []
        return super().unique_keys(connection, table, schema)

    def column(self, name: str, declared: Any) -> Column:
        """See `Dialect.column`."""
        if isinstance(declared, postgresql.DOMAIN):
            return self.column(name, declared.data_type)
        if isinstance(declared, sql.ARRAY):
            return Column(name, Kind.ARRAY, element=self._element(declared.item_type))
        number = _number(name, declared)
        if number is not None:
            return number
        if isinstance(declared, sql.DateTime):
            return Column(name, Kind.INSTANT if declared.timezone else Kind.TIMESTAMP)
        if isinstance(declared, _OPAQUE) or getattr(declared, "timezone", False):
            return Column(name, Kind.OPAQUE, storage=Storage.CAST)
        for known, kind in _KINDS:
            if isinstance(declared, known):
                storage = Storage.CAST if kind is Kind.JSON else Storage.NATIVE
                return Column(name, kind, storage=storage, collated=_is_collated(declared))
        msg = f'column "{name}" is of a type that files do not have'
        raise UnsupportedColumn(msg)

    def _element(self, declared: Any) -> Column:
        if isinstance(declared, sql.CHAR):
            return Column("element", Kind.TEXT)  # a cast would cut the blanks at its end
        if isinstance(declared, postgresql.DOMAIN):
            # The driver does not know arrays of somebody's own type.
            return Column("element", Kind.TEXT, storage=Storage.CAST)
        try:
            element = self.column("element", declared)
        except UnsupportedColumn:
            return Column("element", Kind.TEXT, storage=Storage.CAST)
        if element.kind in _ELEMENTS:
            return element
        return replace(element, kind=Kind.TEXT, storage=Storage.CAST)

    def selected(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.selected`."""
        if of.kind is Kind.BOOLEAN:
            return plain(of)
        if of.storage is Storage.CAST:
            return cast(plain(of), Text).label(quoted(of.name))
        if of.element is not None and of.element.storage is Storage.CAST:
            return cast(plain(of), postgresql.ARRAY(Text)).label(quoted(of.name))
        return plain(of)

    def compared(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.compared`."""
        # An enum compares with its own labels only; a text compares with any.
        if of.kind not in {Kind.TEXT, Kind.OPAQUE}:
            return plain(of)
        as_text = cast(plain(of), Text)
        return as_text.collate("C") if of.collated else as_text

    def like(self, of: Column, pattern: str) -> ColumnElement[bool]:
        """See `Dialect.like`."""
        return self.compared(of).like(escaped_last(pattern), escape="\\")


def _connect(url: URL, statement_timeout_seconds: int, **besides: str) -> Engine:
    session = {
        **_SESSION,
        "statement_timeout": str(statement_timeout_seconds * 1000),
        **besides,
    }
    own = url.query.get("options", ())
    options = [own] if isinstance(own, str) else list(own)
    options += [f"-c {name}={value}" for name, value in session.items()]
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            **DEAD_PEER,
            "application_name": "workers",
            "options": " ".join(options),
        },
    )
    events.listen(engine, "connect", _keep_unreadable_times)
    events.listen(engine, "connect", _have_server_look_for_us)
    events.listen(engine, "do_execute", _copy)
    return engine


def _copy(cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool | None:
    """Carry out the query as a COPY, where its execution asks for that."""
    to = context.execution_options.get(COPY_TO)
    if to is None:
        return None
    query = cursor.mogrify(statement, parameters).decode()
    cursor.copy_expert(_COPY.format(query), to)
    return True


def _code(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)


def _inspector(connection: Connection) -> PGInspector:
    found: Any = inspect(connection)
    return found  # type: ignore[no-any-return]


def _is_collated(declared: Any) -> bool:
    """Whether texts may be equal that are not the same; only a collation of its own allows it."""
    return getattr(declared, "collation", None) not in {None, "default"}


def _number(name: str, declared: Any) -> Column | None:
    match declared:
        case sql.SmallInteger():
            return Column(name, Kind.INTEGER, bits=16)
        case sql.BigInteger():
            return Column(name, Kind.INTEGER, bits=64)
        case sql.Integer():
            return Column(name, Kind.INTEGER, bits=32)
        case sql.REAL():
            return Column(name, Kind.FLOAT, bits=32)
        case sql.Float() | sql.Double():
            return Column(name, Kind.FLOAT)
        case sql.Numeric():
            return decimal(name, declared.precision, declared.scale)
    return None


def _keep_unreadable_times(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Have times that Python cannot hold come as texts.

    The driver would make year 9999 of PostgreSQL's "infinity", and end the whole query at a year
    after that. It would make midnight of 24 o'clock. A text is refused later, by the row's key.
    """
    for oid, array_oid, name, make in _TIMES:
        kind = new_type((oid,), name, partial(_time_or_text, make))
        register_type(kind, connection)
        register_type(new_array_type((array_oid,), f"{name}ARRAY", kind), connection)


def _have_server_look_for_us(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Have a query end when this process is gone: a server looks only when it sends something.

    A query of minutes would run on for a process that was killed. PostgreSQL can look since
    version 14, where the system lets it.
    """
    driver: Any = connection
    if driver.server_version < _LOOKS_SINCE:
        return
    try:
        with driver.cursor() as cursor:
            cursor.execute(f"SET client_connection_check_interval = '{CLIENT_CHECK_SECONDS}s'")
        driver.commit()
    except DatabaseError:
        driver.rollback()


def _time_or_text(make: Callable[[str | None, Any], Any], value: str | None, cursor: Any) -> Any:
    if value is None or value.endswith("infinity") or value.startswith("24:"):
        return value
    try:
        return make(value, cursor)
    except ValueError:
        return value
