"""PostgreSQL: its text form of a value loses nothing, and a cast makes the value of it again."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, TableClause, cast, insert, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import UserDefinedType

from resources.archives.forms.base import Forms
from resources.source.columns import Column, Kind
from resources.source.dialects.base import bound

_TYPES = text(
    """
    SELECT attname AS name, pg_catalog.format_type(atttypid, atttypmod) AS type
    FROM pg_catalog.pg_attribute
    WHERE attnum > 0 AND NOT attisdropped AND attrelid = pg_catalog.to_regclass(
        coalesce(pg_catalog.quote_ident(:schema) || '.', '') || pg_catalog.quote_ident(:table)
    )
    """
)


class _Named(UserDefinedType[Any]):
    """A type that is called as the database itself calls it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The name, as the driver takes it in a statement."""
        return self.name.replace("%", "%%")


class _Overriding(Insert):
    """An INSERT that gives identity columns their values, which SQLAlchemy has no words for."""

    inherit_cache = False


@compiles(_Overriding, "postgresql")
def _compiled(statement: _Overriding, compiler: SQLCompiler, **named: Any) -> str:
    said: str = compiler.visit_insert(statement, **named)  # type: ignore[no-untyped-call]
    return said.replace(") VALUES (", ") OVERRIDING SYSTEM VALUE VALUES (", 1)


class PostgreSQLForms(Forms):
    """PostgreSQL.

    Decimals and times are archived as text: NaN, infinity, years before Christ and more than 38
    digits have no place in Arrow's types.
    """

    name = "postgresql"
    plain_kinds = frozenset(
        {Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.TEXT, Kind.UUID, Kind.BINARY}
    )

    def types(self, connection: Connection, table: str, schema: str | None) -> Mapping[str, str]:
        """See `Forms.types`: the type of each column, as the database writes it."""
        rows = connection.execute(_TYPES, {"table": table, "schema": schema})
        return {row.name: row.type for row in rows}

    def insert(self, into: TableClause, *, identities: bool) -> Insert:
        """See `Forms.insert`."""
        return _Overriding(into) if identities else insert(into)

    def value(self, _column: Column, type_: str | None, archived: Any) -> ColumnElement[Any]:
        """See `Forms.value`."""
        return cast(bound(archived), _Named(type_ or "text"))
