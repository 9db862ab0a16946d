"""Rows of a table as they are archived: found by their keys, compared, deleted, put in again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    column,
    delete,
    literal_column,
    or_,
    select,
    table,
)

from resources.archives.references import Reference, clause_of
from resources.archives.tables import RawTable
from resources.source.arrow import to_array
from resources.source.dialects.base import quoted

# How many rows one statement names: by one column, and by several.
KEYS_AT_ONCE = 500
LONG_KEYS_AT_ONCE = 200
# How many keys of one column are looked for at a time among those that refer: where these have no
# index, each look reads all of them.
LOOKED_FOR_AT_ONCE = 10_000
# What one statement may hold: SQLite takes 32 766 parameters, MySQL 16 MiB where it is not set up.
MOST_PARAMETERS = 30_000
STATEMENT_BYTES = 2 * 2**20

Row = tuple[Any, ...]


class NotToldApart(Exception):
    """The database takes rows for the same that are not, by their key."""


@dataclass(frozen=True)
class Rows:
    """The rows of ``table``, on a connection that may write."""

    connection: Connection
    table: RawTable

    @classmethod
    def on(cls, connection: Connection, table: RawTable) -> "Rows":
        """The rows, on a connection that is made ready for them."""
        table.forms.prepare(connection)
        return cls(connection, table)

    @cached_property
    def _key_at(self) -> list[int]:
        names = [each.name for each in self.table.columns]
        return [names.index(name) for name in self.table.key]

    def key_of(self, row: Row) -> Row:
        """The key of a row."""
        return tuple(row[index] for index in self._key_at)

    def at_once(self) -> int:
        """How many rows may be named at a time."""
        return KEYS_AT_ONCE if len(self.table.key) == 1 else LONG_KEYS_AT_ONCE

    def looked_for_at_once(self) -> int:
        """How many rows may be named at a time to `referred_by`."""
        return LOOKED_FOR_AT_ONCE if len(self.table.key) == 1 else LONG_KEYS_AT_ONCE

    def found(self, keys: Sequence[Row], *, locked: bool = True) -> Mapping[Row, Row]:
        """The rows that have one of ``keys``, by their keys.

        Args:
            keys: The keys, `at_once` of them at most.
            locked: Whether nobody else may change them until the transaction ends.

        Raises:
            NotToldApart: Others were found as well.
        """
        dialect, columns = self.table.dialect, self.table.columns
        query = (
            select(*(dialect.selected(each) for each in columns))
            .select_from(self.table.clause)
            .where(self.named(keys))
        )
        cells = self.connection.execute(self.table.forms.locking(query) if locked else query).all()
        if not cells:
            return {}
        arrays = [
            to_array(each, [row[index] for row in cells], dialect.name)
            for index, each in enumerate(columns)
        ]
        by_key = {self.key_of(row): row for row in rows_of(arrays)}
        if len(by_key) < len(cells) or not by_key.keys() <= set(keys):
            raise NotToldApart
        return by_key

    def named(self, keys: Sequence[Row]) -> ColumnElement[bool]:
        """Which rows have one of ``keys``."""
        columns = [self.table.columns[index] for index in self._key_at]
        own: list[ColumnElement[Any]] = [column(quoted(each.name)) for each in columns]
        values = [
            [self.table.value(each, cell) for each, cell in zip(columns, key, strict=True)]
            for key in keys
        ]
        if len(own) == 1:
            return own[0].in_([value for (value,) in values])
        return or_(
            *(and_(*(one == value for one, value in zip(own, key, strict=True))) for key in values)
        )

    def delete_none(self) -> None:
        """Lock no row and delete none: a database says so where that is not allowed."""
        never = literal_column("1") == literal_column("0")
        one: Select[Any] = select(literal_column("1")).select_from(self.table.clause)
        self.connection.execute(self.table.forms.locking(one.where(never))).all()
        self.connection.execute(delete(self.table.clause).where(never))

    def delete(self, keys: Sequence[Row]) -> int:
        """Delete the rows that have one of ``keys``; how many there were."""
        gone = self.connection.execute(delete(self.table.clause).where(self.named(keys)))
        return int(gone.rowcount)

    def insert(self, rows: Sequence[Row]) -> None:
        """Put rows in, as they were: what the database computes it computes again."""
        columns = [each for each in self.table.columns if each.name not in self.table.generated]
        at = [self.table.columns.index(each) for each in columns]
        schema = self.table.name.schema
        into = table(
            quoted(self.table.name.name),
            *(column(quoted(each.name)) for each in columns),
            schema=quoted(schema) if schema else None,
        )
        for piece in self._insertable(rows):
            values = [
                {
                    each.name: self.table.value(each, row[index])
                    for each, index in zip(columns, at, strict=True)
                }
                for row in piece
            ]
            inserting = self.table.forms.insert(into, identities=self.table.identities)
            self.connection.execute(inserting.values(values))

    def _insertable(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """``rows``, so many at a time as a statement may have parameters and bytes."""
        most = max(1, min(KEYS_AT_ONCE, MOST_PARAMETERS // len(self.table.columns)))
        for piece in pieces(rows, most):
            size = sum(len(cell) for row in piece for cell in row if isinstance(cell, str | bytes))
            yield from pieces(piece, max(1, len(piece) * STATEMENT_BYTES // max(size, 1)))

    def referred_by(self, reference: Reference, keys: Sequence[Row]) -> bool:
        """Whether rows that have one of ``keys``, which are locked, are referred to by others.

        Where they are not, they will not be until the transaction ends.
        """
        one: Select[Any] = select(literal_column("1"))
        excluding = self.table.forms.excluding
        referring = one.select_from(clause_of(reference.child)).where(
            reference.rows_to(self.named(keys), excluding)
        )
        if reference.is_to_itself:
            referring = referring.where(reference.is_row_itself().is_not(True))
        return self.connection.execute(excluding(referring.limit(1))).first() is not None


def rows_of(arrays: Sequence[pa.Array]) -> list[Row]:
    """Rows of archived columns, such that what is equal is the same.

    Floats are told by their texts: NaN equals itself then, and zero is not minus zero.
    """
    return list(zip(*(_cells(array) for array in arrays), strict=True))


def _cells(array: pa.Array) -> list[Any]:
    cells: list[Any] = array.to_pylist()
    if pa.types.is_floating(array.type):
        return [None if cell is None else repr(cell) for cell in cells]
    return cells


def pieces(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    """``rows``, at most ``size`` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
