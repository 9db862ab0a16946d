"""What it takes to archive rows of a database and to put them back, value by value."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Insert, Select, TableClause, insert

from resources.source.columns import Column, Kind, Storage, UnsupportedColumn
from resources.source.dialects.base import Dialect, bound


class Forms:
    """How values of one kind of database are archived.

    Attributes:
        name: The database, as its `Dialect` is called.
        plain_kinds: What is archived in Arrow's own type for it, because that holds every value.
            Everything else is archived as the text that the database itself makes of it.
    """

    name: str
    plain_kinds: frozenset[Kind]

    def column(self, dialect: Dialect, name: str, declared: Any) -> Column:
        """The column such that every value of it can be archived."""
        try:
            column = dialect.column(name, declared)
        except UnsupportedColumn:
            column = Column(name, Kind.TEXT, storage=Storage.CAST)
        if column.kind in self.plain_kinds and column.storage is Storage.NATIVE:
            return column
        return Column(name, Kind.TEXT, storage=Storage.CAST)

    def types(self, _connection: Connection, _table: str, _schema: str | None) -> Mapping[str, str]:
        """What values have to be cast to when they are put back, by column; where they have to."""
        return {}

    def prepare(self, _connection: Connection) -> None:
        """Make ready a connection on which rows are read as they are archived."""

    def value(self, _column: Column, _type: str | None, archived: Any) -> ColumnElement[Any]:
        """An archived value as SQL: what is compared with the column, and put into it."""
        return bound(archived)

    def is_lost(self, _array: pa.Array) -> bool:
        """Whether a value among these archived ones cannot be put back as it was."""
        return False

    def insert(self, into: TableClause, *, identities: bool) -> Insert:  # noqa: ARG002
        """An INSERT whose values stand, where the table numbers rows by itself as well."""
        return insert(into)

    def locking(self, query: Select[Any]) -> Select[Any]:
        """``query``, such that nobody changes the rows it finds until the transaction ends."""
        return query.with_for_update()

    def excluding(self, query: Select[Any]) -> Select[Any]:
        """``query``, whose rows refer to locked ones, such that nobody adds any that it would find.

        Most databases let nobody refer to a row that is locked.
        """
        return query
