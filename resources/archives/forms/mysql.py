"""MySQL and MariaDB: they make values of texts by themselves, in the column's own type."""

from typing import Any

from sqlalchemy import Select

from resources.archives.forms.base import Forms
from resources.source.columns import Column, Kind
from resources.source.dialects.base import Dialect
from resources.source.dialects.mysql import Shape


class MySQLForms(Forms):
    """MySQL and MariaDB. Shapes are archived as the bytes that they are kept as."""

    name = "mysql"
    plain_kinds = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.TEXT, Kind.BINARY})

    def column(self, dialect: Dialect, name: str, declared: Any) -> Column:
        """See `Forms.column`."""
        if isinstance(declared, Shape):
            return Column(name, Kind.BINARY)
        return super().column(dialect, name, declared)

    def excluding(self, query: Select[Any]) -> Select[Any]:
        """See `Forms.excluding`.

        A row is locked in the index that it was found by alone, and foreign keys may look it up in
        another one; so the gap in the index of those that refer is locked.
        """
        return query.with_for_update(read=True)
