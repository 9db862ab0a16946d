"""MySQL and MariaDB as a source."""

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    NullPool,
    cast,
    create_engine,
    func,
    inspect,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy import event as events
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.engine.interfaces import Dialect as Driver
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from resources.source.columns import (
    SINGLE_BITS,
    Column,
    Kind,
    Storage,
    UnsupportedColumn,
    decimal,
)
from resources.source.declarations import ReadAs
from resources.source.dialects.base import (
    CONNECT_TIMEOUT_SECONDS,
    Dialect,
    Reflected,
    escaped_last,
    plain,
    quoted,
)
from resources.source.dialects.foreign_keys import ForeignKey, of_innodb
from resources.store.database import DEAD_PEER

# Ended by MariaDB's max_statement_time, by MySQL's max_execution_time.
_TIMEOUT_CODES = {1969, 3024}
# Too many connections; not let in, by host or password; ended, shutting down; limits of a user.
_OUTAGE_CODES = {0, 1040, 1043, 1045, 1053, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1184}
_OUTAGE_CODES |= {1203, 1226, 1317, 1698, 1927}
# No room, no memory, a lock that was waited for, a node that is not ready, a table that changed.
_OUTAGE_CODES |= {1021, 1037, 1041, 1047, 1114, 1205, 1213, 1412}
_CLIENT_CODES = range(2000, 2100)
_SYSTEM_SCHEMAS = {"information_schema", "mysql", "performance_schema", "sys"}
# What the answer to a look-up may take longer than the look-up itself.
_READ_MARGIN_SECONDS = 5
_READING = ["SET SESSION TRANSACTION READ ONLY"]
# Only at this level does a locking read keep others from adding rows that it would find; it sees
# what is committed when it begins. And every value that the database has may be written, whatever
# it would take from others: dates of zeroes, a zero as a row's number.
_WRITING = [
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
]
_UTF8 = mysql.CHAR(charset="utf8mb4")
_COLUMNS = text(
    "SELECT column_name AS name, data_type AS type FROM information_schema.columns "
    "WHERE table_name = :table AND table_schema = coalesce(:schema, database()) "
    "ORDER BY ordinal_position"
)
_SHAPES = {
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
}

_INTEGER_BITS: Sequence[tuple[type[Any], int]] = (
    (mysql.TINYINT, 8),
    (mysql.SMALLINT, 16),
    (mysql.MEDIUMINT, 32),
    (mysql.BIGINT, 64),
    (mysql.INTEGER, 32),
)
_BINARIES: Sequence[type[sql.TypeEngine[Any]]] = (
    sql.BINARY,
    sql.VARBINARY,
    mysql.TINYBLOB,
    sql.BLOB,
    mysql.MEDIUMBLOB,
    mysql.LONGBLOB,
    mysql.BIT,
)
# A TIMESTAMP is kept in UTC, and so an instant; it is a DATETIME to SQLAlchemy as well.
_KINDS: Sequence[tuple[type[sql.TypeEngine[Any]], Kind]] = (
    (sql.TIMESTAMP, Kind.INSTANT),
    (sql.DateTime, Kind.TIMESTAMP),
    (sql.Date, Kind.DATE),
    (sql.Time, Kind.TIME),
    (sql.Uuid, Kind.UUID),
    (sql.JSON, Kind.JSON),
    *((binary, Kind.BINARY) for binary in _BINARIES),
    (sql.String, Kind.TEXT),
    (sql.Enum, Kind.TEXT),
)


class Shape(sql.TypeEngine[Any]):
    """Any geometry."""


class MySQL(Dialect):
    """MySQL and MariaDB, by PyMySQL."""

    name = "mysql"
    product = "mysql"
    schemas_are_databases = True

    def connect(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect`."""
        return _engine(url, statement_timeout_seconds, _READING)

    def connect_to_write(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect_to_write`."""
        waiting = f"SET SESSION innodb_lock_wait_timeout = {max(1, statement_timeout_seconds)}"
        return _engine(url, statement_timeout_seconds, [*_WRITING, waiting])

    def cancel(self, connection: Connection) -> None:
        """See `Dialect.cancel`."""
        driver: Any = connection.connection.driver_connection
        with connection.engine.connect() as other:
            other.exec_driver_sql("KILL QUERY %s", (driver.thread_id(),))

    def end_stream(self, connection: Connection) -> None:
        """See `Dialect.end_stream`: the driver reads all that is sent before it closes."""
        self.cancel(connection)

    def is_timeout(self, error: DBAPIError) -> bool:
        """See `Dialect.is_timeout`."""
        return _code(error) in _TIMEOUT_CODES

    def is_outage(self, error: DBAPIError) -> bool:
        """See `Dialect.is_outage`. The driver's own errors have the codes of MySQL's client."""
        code = _code(error)
        return not isinstance(code, int) or code in _OUTAGE_CODES or code in _CLIENT_CODES

    def schemas(self, connection: Connection) -> list[str | None]:
        """See `Dialect.schemas`."""
        return [name for name in super().schemas(connection) if name not in _SYSTEM_SCHEMAS]

    def foreign_keys(self, connection: Connection) -> list[ForeignKey]:
        """See `Dialect.foreign_keys`. No other engine of theirs has any."""
        return of_innodb(connection)

    def named(self, connection: Connection, schema: str | None, name: str) -> tuple[str, str]:
        """See `Dialect.named`. Where the files' names are in any case, InnoDB has small letters."""
        if not connection.scalar(text("SELECT @@lower_case_table_names")):
            return super().named(connection, schema, name)
        own = (inspect(connection).default_schema_name or "").lower()
        folded = (schema or "").lower()
        return "" if folded == own else folded, name.lower()

    def reflect(
        self, connection: Connection, table: str, schema: str | None
    ) -> Mapping[str, Reflected]:
        """See `Dialect.reflect`. SQLAlchemy does not read every name that may be quoted."""
        found = super().reflect(connection, table, schema)
        by_name = {name.replace("``", "`"): each for name, each in found.items()}
        rows = connection.execute(_COLUMNS, {"table": table, "schema": schema})
        unread = Reflected(sql.NullType(), nullable=True)
        columns = {row.name: (by_name.get(row.name, unread), row.type) for row in rows}
        return {
            name: replace(each, type=Shape()) if type_ in _SHAPES else each
            for name, (each, type_) in columns.items()
            if found
        }

    def read_as(self, name: str, declared: Any, wanted: ReadAs) -> Column:
        """See `Dialect.read_as`."""
        column = super().read_as(name, declared, wanted)
        if wanted.kind is not Kind.TEXT:
            return column
        match declared:
            case Shape():
                return replace(column, kind=Kind.OPAQUE)
            case mysql.FLOAT():
                return replace(column, bits=SINGLE_BITS)
            case _ if isinstance(declared, tuple(_BINARIES)):
                # A cast would make "?" of what is no text; the bytes themselves are refused then.
                return replace(column, storage=Storage.NATIVE)
        return column

    def column(self, name: str, declared: Any) -> Column:
        """See `Dialect.column`."""
        number = _number(name, declared)
        if number is not None:
            return number
        for known, kind in _KINDS:
            if isinstance(declared, known):
                return Column(name, kind)
        msg = f'column "{name}" is of a type that files do not have'
        raise UnsupportedColumn(msg)

    def selected(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.selected`."""
        if of.kind is Kind.OPAQUE or (of.kind is Kind.TEXT and of.storage is Storage.CAST):
            return cast(_exact(of), _UTF8).label(quoted(of.name))
        if of.kind is Kind.FLOAT and of.bits == SINGLE_BITS:
            return _exact(of).label(quoted(of.name))
        return plain(of)

    def compared(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.compared`."""
        # Its collations take cases, accents and blanks at the end for the same; bytes differ.
        if of.kind in {Kind.TEXT, Kind.OPAQUE}:
            return type_coerce(cast(cast(_exact(of), _UTF8), mysql.BINARY()), sql.Text())
        return plain(of)

    def like(self, of: Column, pattern: str) -> ColumnElement[bool]:
        """See `Dialect.like`."""
        compared = cast(_exact(of), _UTF8).collate("utf8mb4_bin")
        return compared.like(escaped_last(pattern), escape="\\")

    def spelled(self, _of: Column, value: Any) -> Any:
        """See `Dialect.spelled`: the driver writes times without their zone."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value


def _exact(of: Column) -> ColumnElement[Any]:
    """The column, as it loses nothing when it is written.

    A FLOAT is written with six digits, which are too few; a DOUBLE with all.
    """
    if of.kind is Kind.OPAQUE:
        return func.ST_AsText(plain(of))
    return plain(of) * literal_column("1e0") if of.bits == SINGLE_BITS else plain(of)


def _number(name: str, declared: Any) -> Column | None:
    for known, bits in _INTEGER_BITS:
        if isinstance(declared, known):
            return Column(name, Kind.INTEGER, bits=bits, signed=not declared.unsigned)
    match declared:
        case mysql.YEAR():
            return Column(name, Kind.INTEGER, bits=16)
        case mysql.FLOAT():
            return Column(name, Kind.FLOAT, bits=SINGLE_BITS)
        case sql.Float() | sql.Double():
            return Column(name, Kind.FLOAT)
        case sql.Numeric():
            return decimal(name, declared.precision, declared.scale)
    return None


def _code(error: DBAPIError) -> int | None:
    return error.orig.args[0] if error.orig and error.orig.args else None


def _engine(url: URL, statement_timeout_seconds: int, setting_up: Sequence[str]) -> Engine:
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "charset": "utf8mb4",
    }
    if statement_timeout_seconds:
        arguments["read_timeout"] = statement_timeout_seconds + _READ_MARGIN_SECONDS
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    session = _Session(statement_timeout_seconds, setting_up)
    events.listen(engine, "do_connect", _connect)
    events.listen(engine, "connect", session.prepare)
    return engine


def _connect(
    driver: Driver, _entry: ConnectionPoolEntry, arguments: Any, named: Any
) -> DBAPIConnection:
    try:
        return driver.connect(*arguments, **named)
    except (RuntimeError, TypeError, ValueError) as error:
        # How the driver tells of a URL's option that it does not know, and of an authentication
        # for which a package is missing: no connection either.
        raise driver.loaded_dbapi.OperationalError(str(error)) from None


class _Session:
    """How every connection is set up."""

    def __init__(self, statement_timeout_seconds: int, setting_up: Sequence[str]) -> None:
        self._timeout = statement_timeout_seconds
        self._setting_up = setting_up

    def prepare(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        driver: Any = connection
        _keep_alive(driver._sock)  # noqa: SLF001 - there is no other way to its socket
        with driver.cursor() as cursor:
            for statement in self._setting_up:
                cursor.execute(statement)
            cursor.execute("SET SESSION time_zone = '+00:00'")
            if self._timeout and "MariaDB" in driver.get_server_info():
                cursor.execute("SET SESSION max_statement_time = %s", (self._timeout,))
            elif self._timeout:
                cursor.execute("SET SESSION max_execution_time = %s", (self._timeout * 1000,))


def _keep_alive(peer: socket.socket) -> None:
    """Notice a server that vanished in half a minute, and not after two hours."""
    if sys.platform != "linux" or peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER["keepalives_idle"])
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER["keepalives_interval"])
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, DEAD_PEER["keepalives_count"])
