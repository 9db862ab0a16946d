"""The tables and views of a source, and which of them is which dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, TableClause, table

from resources.source.dialects.base import Dialect, quoted
from resources.source.introspection.names import likeness


@dataclass(frozen=True)
class Relation:
    """A table or view."""

    schema: str | None
    name: str
    is_view: bool = False

    @property
    def full_name(self) -> str:
        """With its schema, for people."""
        return f"{self.schema}.{self.name}" if self.schema else self.name

    @property
    def clause(self) -> TableClause:
        """The relation as a query names it."""
        schema = None if self.schema is None else quoted(self.schema)
        return table(quoted(self.name), schema=schema)


def relations(connection: Connection, dialect: Dialect) -> list[Relation]:
    """All tables and views that may be somebody's, without the partitions of others."""
    found: list[Relation] = []
    schemas = dialect.schemas(connection)
    if dialect.schemas_are_databases and None in schemas:
        schemas = [None]  # the URL names the one that is meant
    for schema in schemas:
        views = dialect.views(connection, schema)
        partitions = dialect.partitions(connection, schema)
        found += [
            Relation(schema, name, is_view=name in views)
            for name in dialect.tables(connection, schema)
            if name not in partitions
        ]
    return found


def candidates(dataset: str, found: Sequence[Relation]) -> list[Relation]:
    """Those that may be the dataset by their names, the likeliest first."""
    alike = [(likeness(dataset, each.schema, each.name), each) for each in found]
    ranked = [(rank, each) for rank, each in alike if rank is not None]
    ranked.sort(
        key=lambda one: (
            one[0],
            one[1].is_view,
            one[1].schema is not None,
            len(one[1].name),
            one[1].full_name,
        )
    )
    return [each for _, each in ranked]
