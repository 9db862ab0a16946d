"""The connection to the state database, and everything in which SQLite and PostgreSQL differ.

Other modules see an `Engine`, two kinds of transaction and "something changed".
"""

import select
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Executable,
    Row,
    Select,
    TypeDecorator,
    create_engine,
    event,
    func,
)
from sqlalchemy import select as sql_select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from resources.errors import Unavailable
from resources.store.dialect import with_state_dialect

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 15
SQLITE_BUSY_TIMEOUT_SECONDS = 10
# libpq: a server that vanished is noticed within about 20 seconds, and not after two hours.
DEAD_PEER = {
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
SQLITE_RETRY_SECONDS = 0.01
SQLITE_CHANGE_POLL_SECONDS = 0.1
CHANGES_CHANNEL = "workers_tasks"
_WRITES = "workers_writes"
_FILE = "workers_file"
_MIGRATION_LOCK = 0x776F726B657273  # "workers": any number that nobody else locks
_SQLITE_PRIMARY_CODE = 0xFF
_OUTAGES = {"OperationalError", "InterfaceError"}


# How a statement is carried out that is a transaction of its own.
_SINGLE_STATEMENT: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {"isolation_level": "AUTOCOMMIT"},
    "sqlite": {_WRITES: False},
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant; SQLite, which has no such type, keeps it as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, and naive where the database knows no zones."""
        if value is None:
            return None
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def connect(url: URL, *, pool_size: int = 4) -> Engine:
    """An engine for the state database at ``url``, pooled, with time-outs everywhere."""
    if url.get_backend_name() == "sqlite":
        return _connect_sqlite(url, pool_size)
    engine = create_engine(
        with_state_dialect(url),
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        use_native_hstore=False,  # looking for that type takes two statements
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "workers",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c timezone=UTC"
            r" -c default_transaction_isolation=read\ committed",
            **DEAD_PEER,
        },
    )
    event.listen(engine, "checkout", partial(_check_alive, engine.dialect))
    return engine


def _check_alive(
    dialect: Dialect, connection: DBAPIConnection, _entry: ConnectionPoolEntry, _proxy: Any
) -> None:
    """Give up a connection that broke while it was idle, and those that are older still.

    A server that ends a connection says so first; only to one that said something is a statement
    sent to try it. (SQLAlchemy's own `pool_pre_ping` sends one each time.)
    """
    if not _has_something_to_say(connection):
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        if dialect.is_disconnect(error, None, None):
            raise InvalidatePoolError from error
        raise


def _has_something_to_say(connection: Any) -> bool:
    try:
        readable, _, _ = select.select([connection], [], [], 0)
    except (OSError, ValueError):  # closed at this end
        return True
    return bool(readable)


def _connect_sqlite(url: URL, pool_size: int) -> Engine:
    path = url.database or ""
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=SQLITE_BUSY_TIMEOUT_SECONDS,
        creator=partial(_open_sqlite, path),
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "connect", partial(_note_file, path))
    event.listen(engine, "checkout", partial(_check_file, path))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(path: str) -> sqlite3.Connection:
    # "rw" never makes an empty database of a file that is missing.
    return sqlite3.connect(
        f"file:{quote(path)}?mode=rw",
        uri=True,
        timeout=SQLITE_BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
    )


def _note_file(path: str, _connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info[_FILE] = _file_id(path)


def _check_file(
    path: str, _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: Any
) -> None:
    """Give up a connection whose file was moved away: what it writes may never be read again."""
    if entry.info[_FILE] != _file_id(path):
        raise DisconnectionError


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transaction control starts too late; `_begin_sqlite` takes its place.
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Once in a file's life. SQLite does not wait here while others use the file; this does."""
    deadline = time.monotonic() + SQLITE_BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _SQLITE_PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(SQLITE_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A writer that starts as a reader fails at once when another wrote in between;
    # one that says so first waits for its turn.
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: committed at the end, rolled back on an error.

    Raises:
        Unavailable: The database does not answer in time.
    """
    with _translated(), engine.begin() as connection:
        yield connection


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads.

    Raises:
        Unavailable: The database does not answer in time.
    """
    with _translated(), engine.connect() as connection:
        reader = connection.execution_options(**{_WRITES: False})
        with reader.begin():
            yield reader


def read(
    engine: Engine, statement: Executable, parameters: Mapping[str, Any] | None = None
) -> Sequence[Row[Any]]:
    """The rows of one SELECT: it sees one state without a transaction, in a single round trip.

    Raises:
        Unavailable: The database does not answer in time.
    """
    with _translated(), engine.connect() as connection:
        connection.execution_options(**_SINGLE_STATEMENT[engine.dialect.name])
        return connection.execute(statement, parameters).all()


@contextmanager
def driver_cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of psycopg 2, on a connection of the pool; each statement is a transaction.

    Raises:
        Unavailable: The database does not answer, or refuses the statement.
    """
    with _driver_translated():
        pooled = engine.raw_connection()
        connection: Any = pooled.driver_connection
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
            connection.autocommit = False
        except BaseException:
            pooled.invalidate()  # whatever became of it
            raise
        finally:
            pooled.close()


def can_estimate(engine: Engine) -> bool:
    """Whether the database knows about how many rows a query has; SQLite counts fast instead."""
    return engine.dialect.name == "postgresql"


def estimated_rows(engine: Engine, statement: Select[Any], parameters: Mapping[str, Any]) -> int:
    """How many rows PostgreSQL's planner expects of ``statement``.

    Raises:
        Unavailable: The database does not answer in time.
    """
    sql = statement.compile(dialect=engine.dialect).construct_expanded_state(parameters)
    with read_transaction(engine) as connection:
        explain = f"EXPLAIN (FORMAT JSON) {sql.statement}"
        (plans,) = connection.exec_driver_sql(explain, sql.parameters).one()
    return int(plans[0]["Plan"]["Plan Rows"])


@contextmanager
def _translated() -> Iterator[None]:
    """The driver's "cannot be reached" and "took too long" become `Unavailable`."""
    try:
        yield
    except PoolTimeout as error:
        msg = "The task database has no free connection."
        raise Unavailable(msg) from error
    except DBAPIError as error:
        if _is_outage(error):
            msg = "The task database does not answer."
            raise Unavailable(msg) from error
        raise


def _is_outage(error: DBAPIError) -> bool:
    # Class names are the DB API's own (PEP 249), so they hold for every driver.
    names = [cls.__name__ for cls in type(error.orig).__mro__]
    # "DatabaseError" as such: the file is damaged, or the connection broke in the middle.
    is_damage = names[0] == "DatabaseError"
    return error.connection_invalidated or is_damage or not _OUTAGES.isdisjoint(names)


@contextmanager
def _driver_translated() -> Iterator[None]:
    """Where the driver is used past SQLAlchemy, each of its errors becomes `Unavailable`."""
    try:
        yield
    except Exception as error:
        msg = "The task database does not answer."
        raise Unavailable(msg) from error


def lock_migrations(connection: Connection) -> None:
    """Wait for whoever else is migrating the database; hold others off until the commit."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a large table takes a while
        connection.execute(sql_select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def announce_change(connection: Connection) -> None:
    """Wake every `ChangeListener` when this transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(sql_select(func.pg_notify(CHANGES_CHANNEL, "")))


class ChangeListener(Protocol):
    """Waits until a task may have changed."""

    def wait(self, seconds: float) -> bool:
        """Block until a change is announced (true) or ``seconds`` are over (false)."""

    def close(self) -> None:
        """Let go of the connection."""


def listen(engine: Engine) -> ChangeListener:
    """A listener on the changes that `announce_change` tells of.

    Raises:
        Unavailable: The database does not answer.
    """
    if engine.dialect.name == "sqlite":
        return _SqliteListener(engine)
    return _PostgresListener(engine)


class _PostgresListener:
    """LISTEN on a connection of its own; a lost one is taken anew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._owner: Any = None  # closes the connection when it is forgotten
        self._connection: Any = None
        self._listen()

    def _listen(self) -> None:
        with _driver_translated():
            owner = self._engine.raw_connection()
            connection: Any = owner.driver_connection
            owner.detach()
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANGES_CHANNEL}")
        self._owner, self._connection = owner, connection

    def wait(self, seconds: float) -> bool:
        if self._connection is None:
            self._listen()
            return True  # what came while nobody listened counts as a change
        try:
            with _driver_translated():
                select.select([self._connection], [], [], seconds)
                self._connection.poll()
        except Unavailable:
            self.close()
            raise
        changed = bool(self._connection.notifies)
        self._connection.notifies.clear()
        return changed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._owner = None


class _SqliteListener:
    """Asks for the file's change counter: one cheap pragma, no read of any table."""

    def __init__(self, engine: Engine) -> None:
        database = engine.url.database or ""
        with _driver_translated():
            self._connection = _open_sqlite(database)
        self._version = self._read_version()

    def _read_version(self) -> int:
        with _driver_translated():
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (version := self._read_version()) == self._version:
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(SQLITE_CHANGE_POLL_SECONDS, seconds))
        self._version = version
        return True

    def close(self) -> None:
        self._connection.close()
