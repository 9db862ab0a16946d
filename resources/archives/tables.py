"""A table of the source as it is, with all its columns, whatever is declared of it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, TableClause, inspect
from sqlalchemy.exc import SAWarning

from resources.archives.forms import forms_of
from resources.archives.forms.base import Forms
from resources.errors import TaskFailed
from resources.source.columns import Column, Kind, Storage
from resources.source.dataset import Dataset
from resources.source.dialects import dialect_of
from resources.source.dialects.base import Dialect
from resources.source.query import Selection


@dataclass(frozen=True, order=True)
class TableName:
    """A table; ``schema`` is empty where it is the connection's own."""

    schema: str
    name: str

    def __str__(self) -> str:
        """As people call it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @classmethod
    def of(cls, connection: Connection, schema: str | None, name: str) -> Self:
        """The table ``name`` in ``schema``, which may be the connection's own by its name.

        Two of one table are equal, however it is called.
        """
        return cls(*dialect_of(connection).named(connection, schema, name))


@dataclass(frozen=True)
class RawTable:
    """A table whose rows can be archived and put back.

    Attributes:
        name: Which one.
        columns: All its columns, such that every value of them can be archived.
        types: What the database calls the type of a column that values have to be cast to.
        key: The columns that tell its rows apart.
        generated: Those that the database computes.
        identities: Whether it numbers rows by itself, and takes no number from others.
        dialect: The kind of database.
    """

    name: TableName
    columns: tuple[Column, ...]
    types: Mapping[str, str]
    key: tuple[str, ...]
    generated: frozenset[str]
    identities: bool
    dialect: Dialect

    @property
    def forms(self) -> Forms:
        """How its values are spelled."""
        return forms_of(self.dialect)

    @cached_property
    def dataset(self) -> Dataset:
        """The table as queries and readers take it: nothing in it is masked or left out."""
        return Dataset(
            name=str(self.name),
            table_name=self.name.name,
            schema=self.name.schema or None,
            columns={each.name: each for each in self.columns},
            key=self.key,
            date_column=None,
            zone=ZoneInfo("UTC"),
            dialect=self.dialect,
        )

    @property
    def clause(self) -> TableClause:
        """The table as a query names it."""
        return self.dataset.table

    def rows(self, where: ColumnElement[bool]) -> Selection:
        """All columns of the rows that meet ``where``, in the order of the key."""
        return RawSelection(self.dataset, self.columns, (), None, None, met=where)

    def value(self, column: Column, archived: Any) -> ColumnElement[Any]:
        """An archived value of ``column`` as SQL."""
        return self.forms.value(column, self.types.get(column.name), archived)

    def document(self) -> dict[str, Any]:
        """All that a manifest tells of it, to read its archive by."""
        return {
            "schema": self.name.schema,
            "name": self.name.name,
            "key": list(self.key),
            "columns": [
                {
                    "name": each.name,
                    "kind": each.kind.value,
                    "bits": each.bits,
                    "signed": each.signed,
                    "storage": each.storage.value,
                    "type": self.types.get(each.name),
                    "generated": each.name in self.generated,
                }
                for each in self.columns
            ],
        }


@dataclass(frozen=True)
class RawSelection(Selection):
    """Rows of a table by any condition."""

    met: ColumnElement[bool] | None = None

    def where(self) -> list[ColumnElement[bool]]:
        """See `Selection.where`."""
        return [] if self.met is None else [self.met]


def columns_of(document: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns that a manifest tells of a table (`RawTable.document`)."""
    return tuple(
        Column(
            each["name"],
            Kind(each["kind"]),
            bits=each["bits"],
            signed=each["signed"],
            storage=Storage(each["storage"]),
        )
        for each in document["columns"]
    )


def raw_table(connection: Connection, name: TableName, key: Sequence[str] = ()) -> RawTable:
    """The table ``name``, as the source has it now.

    Args:
        connection: To the source.
        name: Which one.
        key: What tells its rows apart; where nothing is given, what the database itself keeps
            unique.

    Raises:
        TaskFailed: It is no table of rows of its own (``not_archivable``), or nothing tells its
            rows apart.
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    dialect, schema = dialect_of(connection), name.schema or None
    forms = forms_of(dialect)
    reflected = dialect.reflect(connection, name.name, schema)
    _refuse_others(connection, dialect, name, exists=bool(reflected))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        told = {each["name"]: each for each in inspect(connection).get_columns(name.name, schema)}
    nullable = {column for column, each in reflected.items() if each.nullable}
    return RawTable(
        name=name,
        columns=tuple(
            forms.column(dialect, column, each.type) for column, each in reflected.items()
        ),
        types=forms.types(connection, name.name, schema),
        key=tuple(key) or _kept_key(connection, dialect, name, nullable),
        generated=frozenset(column for column, each in told.items() if each.get("computed")),
        identities=any(each.get("identity") for each in told.values()),
        dialect=dialect,
    )


def _refuse_others(
    connection: Connection, dialect: Dialect, name: TableName, *, exists: bool
) -> None:
    schema = name.schema or None
    if not exists:
        why = "is not there"
    elif name.name in dialect.views(connection, schema):
        why = "is a view: declare the table that its rows are in"
    elif name.name in dialect.partitions(connection, schema):
        why = "is a part of another one, to which others may refer: declare the whole table"
    elif dialect.has_heirs(connection, name.name, schema):
        why = "has tables that inherit from it, whose rows have columns of their own"
    else:
        return
    raise not_archivable(f'The table "{name}" {why}.')


def _kept_key(
    connection: Connection, dialect: Dialect, name: TableName, nullable: set[str]
) -> tuple[str, ...]:
    primary = dialect.primary_key(connection, name.name, name.schema or None)
    if primary:
        return tuple(primary)
    for key in dialect.unique_keys(connection, name.name, name.schema or None):
        if not key & nullable:
            return tuple(sorted(key))
    raise not_archivable(
        f'The table "{name}" has no primary key and nothing else that tells its rows apart.'
    )


def not_archivable(detail: str) -> TaskFailed:
    """The error for what cannot be archived such that it can be put back as it was."""
    return TaskFailed("not_archivable", f"{detail} Nothing was deleted.", retryable=False)
