"""SQLite: any column may hold a value of any type, so each is archived as a literal that says it.

A literal is the value's text behind a mark of its type, which is SQL's own where SQL has one:
``42``, ``1.5`` (the shortest text of that double, always with a point, an exponent or a name),
``'text``, ``X0aff`` for bytes, ``Tff`` for a text that is not UTF-8.
"""

from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, Select, Text, cast

from resources.archives.forms.base import Forms
from resources.source.columns import Column, Kind, Storage
from resources.source.dialects.base import Dialect, bound
from resources.source.dialects.sqlite import LITERAL_FUNCTION

TEXT, BYTES, ODD_TEXT = "'", "X", "T"
# A text of a database in UTF-16 that is none: it could not be put back.
LOST = "L"
UTF8 = "UTF-8"


class SQLiteForms(Forms):
    """SQLite."""

    name = "sqlite"
    plain_kinds = frozenset()

    def column(self, _dialect: Dialect, name: str, _declared: Any) -> Column:
        """See `Forms.column`: whatever is declared, the value itself has the type."""
        return Column(name, Kind.TEXT, storage=Storage.LITERAL)

    def prepare(self, connection: Connection) -> None:
        """See `Forms.prepare`: have the function that makes literals."""
        encoding = connection.exec_driver_sql("PRAGMA encoding").scalar()
        make = to_literal if encoding == UTF8 else partial(to_literal_of_utf16, str(encoding))
        driver: Any = connection.connection.driver_connection
        driver.create_function(LITERAL_FUNCTION, 2, make, deterministic=True)

    def value(self, _column: Column, _type: str | None, archived: Any) -> ColumnElement[Any]:
        """See `Forms.value`."""
        if isinstance(archived, str) and archived.startswith(ODD_TEXT):
            return cast(bound(bytes.fromhex(archived[1:])), Text)
        return bound(None if archived is None else from_literal(archived))

    def is_lost(self, array: pa.Array) -> bool:
        """See `Forms.is_lost`."""
        return bool(pc.any(pc.equal(array, LOST), min_count=0).as_py())

    def locking(self, query: Select[Any]) -> Select[Any]:
        """See `Forms.locking`: a transaction that writes is alone from its start."""
        return query


def to_literal(value: Any, kind: str) -> str | None:
    """The literal of a value of SQLite's type ``kind``; of a text, ``value`` has its bytes."""
    if kind != "text":
        return _literal(value)
    try:
        return TEXT + bytes(value).decode()
    except UnicodeDecodeError:
        return ODD_TEXT + bytes(value).hex()


def to_literal_of_utf16(encoding: str, value: Any, kind: str) -> str | None:
    """As `to_literal`, where texts are kept in UTF-16, and bytes are no way to give one."""
    if kind != "text":
        return _literal(value)
    try:
        return TEXT + bytes(value).decode(encoding)
    except UnicodeDecodeError:
        return LOST


def _literal(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bytes():
            return BYTES + value.hex()
    return repr(value)


def from_literal(literal: str) -> int | float | str | bytes:
    """The value that ``literal`` says; of a text that is not UTF-8, its bytes."""
    match literal[0]:
        case "'":
            return literal[1:]
        case "X" | "T":
            return bytes.fromhex(literal[1:])
    try:
        return int(literal)
    except ValueError:
        return float(literal)
