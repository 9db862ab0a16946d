"""SQLite as a source. It keeps what it is given, of whatever type, and has no times of its own."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation
from itertools import takewhile
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    NullPool,
    Numeric,
    Text,
    and_,
    case,
    cast,
    create_engine,
    func,
    not_,
    or_,
    type_coerce,
)
from sqlalchemy import event as events
from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.sql.functions import Function

from resources.source.columns import (
    DECIMAL_TEXT,
    Column,
    Kind,
    Storage,
    UnsupportedColumn,
    decimal,
)
from resources.source.declarations import ReadAs
from resources.source.dialects.base import Dialect, Reflected, plain, quoted
from resources.source.moments import iso_to_microseconds

BUSY_TIMEOUT_SECONDS = 10
# Execution option: a callable that carries out the query; it is given the statement and its values.
CARRY_OUT = "workers_carry_out"
# What is kept beside a connection (`Connection.info`).
_WITNESS = "workers_witness"
_CANCELLABLE = "workers_cancellable"
_ENDS_AT = "workers_ends_at"
# How many of SQLite's steps pass between two looks at the clock: a millisecond or so.
_STEPS_PER_LOOK = 50_000
_GREATEST_INTEGER = 2**63 - 1
# No digit of a filter's decimal or of a column's is lost.
_EXACT = Context(prec=200)
# Functions of ours in the source's SQL.
_ISO_FUNCTION = "workers_iso_microseconds"
_DECIMAL_FUNCTION = "workers_decimal"
_TEXT_FUNCTION = "workers_text"
# Makes a literal of a value and its type: see `resources.archives.forms.sqlite`.
LITERAL_FUNCTION = "workers_literal"
OWN_FUNCTIONS = (_ISO_FUNCTION, _DECIMAL_FUNCTION, _TEXT_FUNCTION)
# Decimals compare as texts of so many digits, after this is added to have none below zero.
_DECIMAL_OFFSET = 10**79

# Those whose values are of several types, and are made the declared one.
_CONVERTED = {Kind.TEXT, Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL}

_PRIMARY_CODE = 0xFF
_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}

_DECLARED = re.compile(r"\s*([^(]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")
_KINDS = {
    "BOOLEAN": Kind.BOOLEAN,
    "BOOL": Kind.BOOLEAN,
    "DATE": Kind.DATE,
    "DATETIME": Kind.TIMESTAMP,
    "TIMESTAMP": Kind.TIMESTAMP,
    "TIMESTAMP WITHOUT TIME ZONE": Kind.TIMESTAMP,
    "TIME": Kind.TIME,
    "JSON": Kind.JSON,
    "UUID": Kind.TEXT,
    "BLOB": Kind.BINARY,
    "BINARY": Kind.BINARY,
    "VARBINARY": Kind.BINARY,
    "BYTEA": Kind.BINARY,
    "REAL": Kind.FLOAT,
    "FLOAT": Kind.FLOAT,
    "DOUBLE": Kind.FLOAT,
    "DOUBLE PRECISION": Kind.FLOAT,
}
_WITH_ZONE = {"TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "DATETIME WITH TIME ZONE"}
_INTEGER_WORD = re.compile(r"(TINY|SMALL|MEDIUM|BIG)?INT(EGER)?\d?")
_TEXT_WORDS = ("CHAR", "TEXT", "CLOB")

_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIME = "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
_FRACTIONS = ("", *("." + "[0-9]" * digits for digits in range(1, 7)))
# How times are spelled, as GLOB patterns.
_SPELLINGS = {
    Kind.DATE: [_DATE],
    Kind.TIMESTAMP: [f"{_DATE} {_TIME}{fraction}" for fraction in _FRACTIONS],
    Kind.TIME: [_TIME + fraction for fraction in _FRACTIONS],
}


class SQLite(Dialect):
    """SQLite, by Python's own driver."""

    name = "sqlite"
    product = "sqlite"
    # Times and decimals may be kept in several ways, of which a value does not say which.
    resumable_kinds = frozenset({Kind.INTEGER, Kind.DATE})

    def connect(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect`."""
        return self._connect(url, statement_timeout_seconds, mode="ro", begin="BEGIN")

    def connect_to_write(self, url: URL, statement_timeout_seconds: int) -> Engine:
        """See `Dialect.connect_to_write`: a transaction waits until nobody else writes."""
        return self._connect(url, statement_timeout_seconds, mode="rw", begin="BEGIN IMMEDIATE")

    def _connect(self, url: URL, statement_timeout_seconds: int, mode: str, begin: str) -> Engine:
        # "ro" and "rw" never make an empty database of a file that is missing.
        existing = URL.create(
            "sqlite",
            database=f"file:{quote(url.database or '')}",
            query={"mode": mode, "uri": "true"},
        )
        engine = create_engine(
            existing,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        events.listen(engine, "connect", _prepare)
        if statement_timeout_seconds:
            _Deadline(statement_timeout_seconds).listen(engine)
        events.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        events.listen(engine, "do_execute", _carry_out)
        events.listen(engine, "close", _close_witness)
        return engine

    def begin_snapshot(self, connection: Connection) -> Connection:
        """See `Dialect.begin_snapshot`."""
        connection.info[_WITNESS] = _Witness.beside(connection)
        return connection  # a transaction that has read is a snapshot

    def is_unchanged(self, connection: Connection) -> bool:
        """Whether the database still is as the connection's snapshot has it."""
        witness: _Witness | None = connection.info.get(_WITNESS)
        return witness is not None and witness.has_seen_nothing()

    @contextmanager
    def cancelling(self, connection: Connection, cancel: Callable[[], None]) -> Iterator[None]:
        """While inside, whoever cancels what runs on the connection calls ``cancel`` too."""
        connection.info[_CANCELLABLE] = cancel
        try:
            yield
        finally:
            del connection.info[_CANCELLABLE]

    def cancel(self, connection: Connection) -> None:
        """See `Dialect.cancel`."""
        driver: Any = connection.connection.driver_connection
        driver.interrupt()
        connection.info.get(_CANCELLABLE, _nothing)()

    def has_fast_way(self, columns: Sequence[Column]) -> bool:
        """See `Dialect.has_fast_way`."""
        return not any(
            each.storage is Storage.LITERAL
            or (each.storage is Storage.CAST and each.kind in _CONVERTED)
            for each in columns
        )

    def is_timeout(self, error: DBAPIError) -> bool:
        """See `Dialect.is_timeout`."""
        return str(error.orig) == "interrupted"

    def is_outage(self, error: DBAPIError) -> bool:
        """See `Dialect.is_outage`."""
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & _PRIMARY_CODE in _OUTAGES

    def schemas(self, _connection: Connection) -> list[str | None]:
        """See `Dialect.schemas`."""
        return [None]

    def named(self, connection: Connection, schema: str | None, name: str) -> tuple[str, str]:
        """See `Dialect.named`: SQLite takes names in any case."""
        query = (
            "SELECT name FROM main.sqlite_master WHERE name = ? COLLATE NOCASE AND type IN (?, ?)"
        )
        called = connection.exec_driver_sql(query, (name, "table", "view")).scalar()
        return super().named(connection, schema, called or name)

    def reflect(
        self, connection: Connection, table: str, schema: str | None
    ) -> Mapping[str, Reflected]:
        """See `Dialect.reflect`. A type is the text that was declared: SQLite takes any."""
        if schema is not None:
            return {}
        preparer = connection.dialect.identifier_preparer
        rows = connection.exec_driver_sql(
            f"PRAGMA main.table_xinfo({preparer.quote_identifier(table)})"
        ).all()
        alone = sum(bool(row.pk) for row in rows) == 1
        # Those hidden as 1 belong to a virtual table itself; generated ones are hidden as 2 and 3.
        return {
            row.name: Reflected(row.type, not (row.notnull or (alone and _is_row_id(row))))
            for row in rows
            if row.hidden != 1
        }

    def unique_keys(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[frozenset[str]]:
        """See `Dialect.unique_keys`."""
        primary = frozenset(self.primary_key(connection, table, schema))
        others = [
            frozenset(name for name in columns if name is not None)
            for unique, columns in _indexes(connection, table)
            if unique and None not in columns
        ]
        return [primary, *others] if primary else others

    def indexes(
        self, connection: Connection, table: str, schema: str | None
    ) -> list[Sequence[str]]:
        """See `Dialect.indexes`."""
        found = [list(self.primary_key(connection, table, schema))]
        for _, columns in _indexes(connection, table):
            found.append([name for name in takewhile(bool, columns) if name])
        return [columns for columns in found if columns]

    def column(self, name: str, declared: Any) -> Column:
        """See `Dialect.column`."""
        match = _DECLARED.fullmatch(declared)
        word = " ".join(match[1].upper().split()) if match else ""
        if word in _KINDS:
            return Column(name, _KINDS[word])
        if word in _WITH_ZONE:
            return Column(name, Kind.INSTANT, storage=Storage.ISO)
        if match and word in {"DECIMAL", "NUMERIC"}:
            return decimal(
                name, *(None if each is None else int(each) for each in match.group(2, 3))
            )
        if any(_INTEGER_WORD.fullmatch(each) for each in word.split()):
            return Column(name, Kind.INTEGER)
        if any(each in word for each in _TEXT_WORDS):
            return Column(name, Kind.TEXT)
        of_type = f'is of the type "{declared}", which says' if declared else "has no type to say"
        msg = f'column "{name}" {of_type} not what it holds'
        raise UnsupportedColumn(msg)

    def read_as(self, name: str, declared: Any, wanted: ReadAs) -> Column:
        """See `Dialect.read_as`."""
        return Column(
            name,
            wanted.kind,
            precision=wanted.precision,
            scale=wanted.scale,
            storage=Storage.NATIVE if self._is_already(name, declared, wanted) else Storage.CAST,
        )

    def _is_already(self, name: str, declared: Any, wanted: ReadAs) -> bool:
        try:
            return self.column(name, declared).kind is wanted.kind
        except UnsupportedColumn:
            return False

    def stored_as(self, name: str, _declared: Any, storage: Storage) -> Column:
        """See `Dialect.stored_as`."""
        return Column(name, Kind.INSTANT, storage=storage)

    def selected(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.selected`."""
        if of.storage is not Storage.LITERAL:
            return plain(of)
        kind = func.typeof(plain(of))
        # Of a text that is not UTF-8 the driver would make none for a function.
        whole = case((kind == "text", cast(plain(of), LargeBinary)), else_=plain(of))
        return Function(LITERAL_FUNCTION, whole, kind).label(quoted(of.name))

    def compared(self, of: Column) -> ColumnElement[Any]:
        """See `Dialect.compared`."""
        if of.storage is Storage.ISO:
            return Function(_ISO_FUNCTION, plain(of), of.zone)
        if _is_converted_decimal(of):
            return Function(_DECIMAL_FUNCTION, plain(of), of.scale)
        if of.storage is Storage.CAST and of.kind is Kind.TEXT:
            return Function(_TEXT_FUNCTION, plain(of), type_=Text())
        if of.storage is Storage.CAST and of.kind in {Kind.INTEGER, Kind.FLOAT}:
            return cast(plain(of), Numeric)
        if of.kind is Kind.TEXT:
            # Whatever the column's own collation takes for the same.
            return type_coerce(plain(of), Text()).collate("BINARY")
        return plain(of)

    def like(self, of: Column, pattern: str) -> ColumnElement[bool]:
        """See `Dialect.like`. SQLite's own LIKE does not tell cases apart, its GLOB does."""
        return self.compared(of).op("GLOB", is_comparison=True)(glob_from_like(pattern))

    def least(self, of: Column, value: Any) -> Any:
        """See `Dialect.least`: the shortest of the texts that a time may be spelled as.

        Texts compare by character: "00:00:00" is less than "00:00:00.000000".
        """
        if _is_converted_decimal(of):
            return _comparable(value.scaleb(of.scale, _EXACT).to_integral_value(ROUND_CEILING))
        least = super().least(of, value)
        return _shortest(least) if _has_spellings(of) else least

    def greatest(self, of: Column, value: Any) -> Any:
        """See `Dialect.greatest`: the longest of the texts that a time may be spelled as."""
        if _is_converted_decimal(of):
            return _comparable(value.scaleb(of.scale, _EXACT).to_integral_value(ROUND_FLOOR))
        return self.spelled(of, value) if _has_spellings(of) else super().least(of, value)

    def every(self, of: Column, value: Any) -> Sequence[Any]:
        """See `Dialect.every`."""
        if _is_converted_decimal(of):
            least, greatest = self.least(of, value), self.greatest(of, value)
            return [least] if least == greatest else []  # else it has more digits than they
        if not _has_spellings(of):
            return super().every(of, value)
        first, last = self.least(of, value), self.greatest(of, value)
        return [
            last[:length] for length in range(len(first), len(last) + 1) if last[length - 1] != "."
        ]

    def spelled(self, _of: Column, value: Any) -> Any:
        """See `Dialect.spelled`."""
        match value:
            case datetime():
                return value.isoformat(sep=" ", timespec="microseconds")
            case time_of_day():
                return value.isoformat(timespec="microseconds")
            case date():
                return value.isoformat()
            case bool():
                return int(value)
            case Decimal():
                whole = value == value.to_integral_value() and abs(value) <= _GREATEST_INTEGER
                return int(value) if whole else float(value)
        return value

    def misspelled(self, of: Column) -> ColumnElement[bool] | None:
        """See `Dialect.misspelled`: times are texts, and so may be spelled in any way."""
        if of.storage is Storage.ISO or _is_converted_decimal(of):
            return and_(plain(of).is_not(None), self.compared(of).is_(None))
        if of.storage in {Storage.UNIX, Storage.UNIX_MS}:
            return func.typeof(plain(of)).not_in(["integer", "null"])
        if of.kind not in _SPELLINGS:
            return None
        known = or_(*(plain(of).op("GLOB")(pattern) for pattern in _SPELLINGS[of.kind]))
        return and_(plain(of).is_not(None), not_(known))


def _indexes(connection: Connection, table: str) -> list[tuple[bool, Sequence[str | None]]]:
    """Each index over all rows: whether it is unique, and its columns; None: an expression.

    SQLAlchemy tells of constraints what it reads from the table's SQL, which is not all.
    """
    quote_name = connection.dialect.identifier_preparer.quote_identifier
    found = connection.exec_driver_sql(f"PRAGMA main.index_list({quote_name(table)})").all()
    return [
        (
            bool(index.unique),
            [
                column.name
                for column in connection.exec_driver_sql(
                    f"PRAGMA main.index_info({quote_name(index.name)})"
                )
            ],
        )
        for index in found
        if not index.partial
    ]


def _is_converted_decimal(of: Column) -> bool:
    """Whether these are decimals that are kept as texts, of which SQLite knows 15 digits."""
    return of.kind is Kind.DECIMAL and of.storage is Storage.CAST


def _has_spellings(of: Column) -> bool:
    return of.kind in {Kind.TIMESTAMP, Kind.TIME}


def _shortest(spelled: str) -> str:
    return spelled.rstrip("0").rstrip(".") if "." in spelled else spelled


def _is_row_id(row: Any) -> bool:
    """Whether this is what SQLite fills by itself, where it is the key alone.

    Any other column of a primary key may be null.
    """
    return bool(row.pk) and row.type.upper() == "INTEGER"


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    driver: Any = connection
    driver.isolation_level = None
    driver.text_factory = _text_or_bytes
    driver.create_function(_ISO_FUNCTION, 2, _iso_microseconds, deterministic=True)
    driver.create_function(_DECIMAL_FUNCTION, 2, _comparable_decimal, deterministic=True)
    driver.create_function(_TEXT_FUNCTION, 1, _exported_text, deterministic=True)


def _text_or_bytes(raw: bytes) -> str | bytes:
    """A text; what is none stays bytes, so that it can be refused by its row's key."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _iso_microseconds(value: Any, zone: str) -> int | None:
    try:
        return iso_to_microseconds(value, ZoneInfo(zone))
    except (TypeError, ValueError):
        return None


def _comparable_decimal(value: Any, scale: int) -> str | None:
    """A decimal such that it compares by character; None: there is none, or no such one."""
    if isinstance(value, str) and not DECIMAL_TEXT.fullmatch(value):
        return None
    try:
        scaled = Decimal(str(value)).scaleb(scale, _EXACT)
    except (InvalidOperation, TypeError):
        return None
    whole = scaled.to_integral_value()
    return _comparable(whole) if whole == scaled else None


def _comparable(number: Decimal) -> str:
    return f"{int(number) + _DECIMAL_OFFSET:080d}"


def _exported_text(value: Any) -> Any:
    """What is exported of a value that is read as text."""
    return str(value) if isinstance(value, int | float) else value


class _Witness:
    """Another connection, which sees whether somebody has changed the database.

    It must be there before the snapshot is taken. PRAGMA data_version gives another number after
    each change that another connection has committed (https://sqlite.org/pragma.html). That another
    file has taken the place of the database, the file's number tells.
    """

    def __init__(self, connection: PoolProxiedConnection) -> None:
        self._connection = connection
        self._ask("PRAGMA busy_timeout = 0")  # it need not tell, and holds up nobody
        self._path = str(self._ask("PRAGMA database_list")[2])
        self._file = self._file_number()
        self._version = self._data_version()

    @classmethod
    def beside(cls, connection: Connection) -> Self | None:
        """A witness of the connection's database; None: it cannot be read."""
        try:
            return cls(connection.engine.raw_connection())
        except (sqlite3.Error, DBAPIError, OSError):
            return None  # which its own query is about to tell

    def _ask(self, pragma: str) -> Sequence[Any]:
        """The pragma's first row."""
        cursor = self._connection.cursor()
        cursor.execute(pragma)
        row = cursor.fetchone()
        cursor.close()
        return row or ()

    def _data_version(self) -> int:
        return int(self._ask("PRAGMA data_version")[0])

    def _file_number(self) -> tuple[int, int]:
        found = Path(self._path).stat()
        return found.st_dev, found.st_ino

    def has_seen_nothing(self) -> bool:
        """Whether nobody has committed anything since this one is there."""
        try:
            return self._data_version() == self._version and self._file_number() == self._file
        except (sqlite3.Error, OSError):
            return False

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _close_witness(_connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    witness: _Witness | None = entry.info.pop(_WITNESS, None)
    if witness is not None:
        witness.close()


def _carry_out(_cursor: Any, statement: str, parameters: Any, context: ExecutionContext) -> bool:
    """Have the query carried out by what its execution names for that, if anything."""
    carry_out = context.execution_options.get(CARRY_OUT)
    if carry_out is None:
        return False
    carry_out(statement, list(parameters))
    return True


def _nothing() -> None:
    """What is cancelled where nothing else runs."""


class _Deadline:
    """Ends a statement that takes too long, counted from its own beginning."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def listen(self, engine: Engine) -> None:
        """Watch every connection of ``engine``."""
        events.listen(engine, "connect", self._watch)
        events.listen(engine, "before_cursor_execute", self._begin)

    def _watch(self, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        kept = entry.info  # what is kept beside the connection
        kept[_ENDS_AT] = time.monotonic() + self._seconds
        driver: Any = connection
        driver.set_progress_handler(lambda: time.monotonic() > kept[_ENDS_AT], _STEPS_PER_LOOK)

    def _begin(self, connection: Connection, *_: Any) -> None:
        connection.info[_ENDS_AT] = time.monotonic() + self._seconds


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
