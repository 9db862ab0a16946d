"""The connection to the source, and everything in which source databases differ."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

from psycopg2 import extensions
from psycopg2.extensions import new_type, register_type
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    NullPool,
    Text,
    cast,
    column,
    create_engine,
    event,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from resources.errors import SourceUnavailable
from resources.store.database import DEAD_PEER

CONNECT_TIMEOUT_SECONDS = 5
SQLITE_BUSY_TIMEOUT_SECONDS = 10

# By the ids of PostgreSQL's types: date, timestamp, timestamptz.
_POSTGRES_TIMES = (
    (1082, "DATE", extensions.PYDATE),
    (1114, "TIMESTAMP", extensions.PYDATETIME),
    (1184, "TIMESTAMPTZ", extensions.PYDATETIMETZ),
)


def connect_source(url: URL, *, statement_timeout_seconds: int = 0) -> Engine:
    """An engine for the source at ``url``: read-only, one connection for each use.

    Args:
        url: Where the source is.
        statement_timeout_seconds: The longest that one query may take; 0: as long as it
            needs, for runs, which cancel it when they are to stop.
    """
    if url.get_backend_name() == "sqlite":
        return _connect_sqlite(url)
    timeout = f"-c statement_timeout={statement_timeout_seconds * 1000}"
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            **DEAD_PEER,
            "application_name": "workers",
            "options": f"-c default_transaction_read_only=on -c timezone=UTC {timeout}",
        },
    )
    event.listen(engine, "connect", _keep_unreadable_times)
    return engine


def _keep_unreadable_times(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Have times that Python cannot hold come as texts.

    The driver would make year 9999 of PostgreSQL's "infinity", and end the whole query at a year
    after that; a text is refused later, by the row's key.
    """
    for oid, name, make in _POSTGRES_TIMES:
        kind = new_type((oid,), name, partial(_time_or_text, make))
        register_type(kind, connection)


def _time_or_text(make: Callable[[str | None, Any], Any], value: str | None, cursor: Any) -> Any:
    if value in {"infinity", "-infinity"}:
        return value
    try:
        return make(value, cursor)
    except ValueError:
        return value


def _connect_sqlite(url: URL) -> Engine:
    # "ro" never makes an empty database of a file that is missing.
    read_only = URL.create(
        "sqlite", database=f"file:{quote(url.database or '')}", query={"mode": "ro", "uri": "true"}
    )
    engine = create_engine(
        read_only,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction in which every query sees the source as it is at the first one.

    Raises:
        SourceUnavailable: The source does not answer.
    """
    try:
        with engine.connect() as connection:
            reader = _read_only(connection)
            with reader.begin():
                yield reader
    except DBAPIError as error:
        # Neither the SQL nor its values are to be read in a log: the cause ends here.
        reason = type(error.orig).__name__
        msg = f"The source database does not answer, or refused a query ({reason})."
        raise SourceUnavailable(msg) from None


def _read_only(connection: Connection) -> Connection:
    if connection.dialect.name == "postgresql":
        return connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    return connection  # SQLite: a transaction that has read is a snapshot


def cancel_query(connection: Connection) -> None:
    """End the query that runs on ``connection``; to be called from another thread."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        driver.interrupt()
    else:
        driver.cancel()


def as_text(dialect: str, name: str) -> ColumnElement[Any]:
    """The column ``name``, comparable with any text; PostgreSQL's enums know their own only."""
    return column(name) if dialect == "sqlite" else cast(column(name), Text)


def like(dialect: str, compared: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    """``compared LIKE pattern``, telling cases apart; a backslash escapes, a last one is itself.

    SQLite's LIKE does not tell them apart, its GLOB does.
    """
    if dialect == "sqlite":
        return compared.op("GLOB")(glob_from_like(pattern))
    escapes_nothing = (len(pattern) - len(pattern.rstrip("\\"))) % 2
    return compared.like(pattern + "\\" * escapes_nothing, escape="\\")


def glob_from_like(pattern: str) -> str:
    """The GLOB pattern that matches what the LIKE ``pattern`` does."""
    wildcards = {"%": "*", "_": "?"}
    glob: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            glob.append(_glob_literal(next(characters, "\\")))
        else:
            glob.append(wildcards.get(character) or _glob_literal(character))
    return "".join(glob)


def _glob_literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character
