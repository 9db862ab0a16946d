"""Which rows of which tables refer to others: the source's foreign keys."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TableClause,
    column,
    func,
    or_,
    select,
    table,
    true,
    tuple_,
)

from resources.archives.tables import TableName
from resources.errors import TaskFailed
from resources.source.dialects import dialect_of
from resources.source.dialects.base import quoted


@dataclass(frozen=True)
class Reference:
    """A foreign key: ``columns`` of ``child`` hold values of ``referred`` of ``parent``.

    Where it refers to a ``part`` of the parent, a partition, they are those of its rows alone.
    """

    child: TableName
    columns: tuple[str, ...]
    parent: TableName
    referred: tuple[str, ...]
    part: TableName | None = None

    @property
    def is_to_itself(self) -> bool:
        """Whether rows of a table refer to rows of the same one."""
        return self.child == self.parent

    def rows_to(
        self,
        parents: ColumnElement[bool],
        read: Callable[[Select[Any]], Select[Any]] = lambda query: query,
    ) -> ColumnElement[bool]:
        """Which rows of the child refer to rows of the parent that meet ``parents``.

        Args:
            parents: The condition.
            read: How the query of the parent's rows is to read them.
        """
        wanted: list[ColumnElement[Any]] = [column(quoted(name)) for name in self.referred]
        query: Select[Any] = select(*wanted)
        query = query.select_from(clause_of(self.part or self.parent)).where(parents)
        found = read(query).correlate(None)
        own: list[ColumnElement[Any]] = [column(quoted(name)) for name in self.columns]
        return own[0].in_(found) if len(own) == 1 else tuple_(*own).in_(found)

    def is_row_itself(self) -> ColumnElement[bool]:
        """Which rows of the child refer to themselves, where they refer to their own table."""
        pairs = zip(self.columns, self.referred, strict=True)
        same = [column(quoted(one)) == column(quoted(other)) for one, other in pairs]
        met = same[0]
        for each in same[1:]:
            met = met & each
        return met


def clause_of(name: TableName) -> TableClause:
    """The table as a query names it."""
    return table(quoted(name.name), schema=quoted(name.schema) if name.schema else None)


def references(connection: Connection) -> list[Reference]:
    """Every foreign key of the source, in every schema.

    Raises:
        TaskFailed: The source does not tell all of them (``source_refused``).
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """

    @cache
    def named(schema: str | None, name: str) -> TableName:
        return TableName.of(connection, schema, name)

    return [
        Reference(
            child=named(each.schema, each.table),
            columns=each.columns,
            parent=named(each.referred_schema, each.referred_table),
            referred=each.referred_columns,
            part=each.part and named(*each.part),
        )
        for each in dialect_of(connection).foreign_keys(connection)
    ]


@dataclass(frozen=True)
class Referring:
    """How many rows refer to rows that are to go, by one foreign key.

    Attributes:
        reference: The foreign key.
        rows: How many.
        goes: Whether they go too.
    """

    reference: Reference
    rows: int
    goes: bool

    def document(self) -> dict[str, Any]:
        """As a plan tells it."""
        return {
            "table": str(self.reference.child),
            "columns": list(self.reference.columns),
            "refers_to": str(self.reference.parent),
            "rows": self.rows,
            "cascade": self.goes,
        }


@dataclass(frozen=True)
class Doomed:
    """The rows that are to go: of one table by a condition, of others because they refer to them.

    Attributes:
        conditions: Which rows of each table, parents before children.
        references: All foreign keys of the source.
    """

    conditions: Mapping[TableName, ColumnElement[bool]]
    references: Sequence[Reference] = field(repr=False)

    def count(self, connection: Connection, name: TableName) -> int:
        """How many rows of the table ``name`` are to go."""
        counted = select(func.count()).select_from(clause_of(name)).where(self.conditions[name])
        return int(connection.scalar(counted) or 0)

    def to(self, name: TableName) -> list[Reference]:
        """The foreign keys to a table that rows go from."""
        return [each for each in self.references if each.parent == name]

    def referring(self, connection: Connection) -> list[Referring]:
        """What refers to the rows that are to go, foreign key by foreign key."""
        told = []
        for name in self.conditions:
            for reference in self.to(name):
                goes = reference.child in self.conditions and not reference.is_to_itself
                rows = int(connection.scalar(self._rows_of(reference)) or 0)
                told.append(Referring(reference, rows, goes))
        return told

    def _rows_of(self, reference: Reference) -> Select[Any]:
        counted = (
            select(func.count())
            .select_from(clause_of(reference.child))
            .where(reference.rows_to(self.conditions[reference.parent]))
        )
        if reference.is_to_itself:
            counted = counted.where(
                or_(
                    self.conditions[reference.child].is_not(true()),
                    reference.is_row_itself().is_not(true()),
                )
            )
        return counted


def doom(
    connection: Connection,
    name: TableName,
    where: ColumnElement[bool],
    cascade: Sequence[str],
) -> Doomed:
    """The rows of ``name`` that meet ``where``, and those of ``cascade`` that refer to them.

    Raises:
        TaskFailed: A name in ``cascade`` is no table's that refers to rows that go, by itself or
            by others of ``cascade`` (``unknown_table``); tables refer to each other in a circle
            (``circular_references``).
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    found = references(connection)
    listed = {name, *(each.child for each in found if str(each.child) in cascade)}
    conditions: dict[TableName, ColumnElement[bool]] = {}
    for each in _parents_first(name, [ref for ref in found if ref.child in listed]):
        to_gone = [
            reference.rows_to(conditions[reference.parent])
            for reference in found
            if reference.child == each and reference.parent in conditions
        ]
        conditions[each] = where if each == name else or_(*to_gone)
    _refuse_others({str(each) for each in conditions}, cascade)
    return Doomed(conditions, found)


def _refuse_others(reached: Collection[str], cascade: Sequence[str]) -> None:
    others = [each for each in cascade if each not in reached]
    if others:
        raise TaskFailed(
            "unknown_table",
            f"No table of such a name refers to rows that go: {', '.join(others)}. Name tables in "
            '"cascade" as the plan\'s "references" do, and those too by which they refer.',
            retryable=False,
        )


def _parents_first(name: TableName, found: Sequence[Reference]) -> list[TableName]:
    """``name`` and the tables whose rows refer to its, or to theirs, children after parents."""
    order: list[TableName] = []
    open_: list[TableName] = []

    def visit(each: TableName) -> None:
        if each in open_:
            circle = " → ".join(str(step) for step in [*open_[open_.index(each) :], each])
            raise TaskFailed(
                "circular_references",
                f"Tables refer to each other in a circle ({circle}), so that no order is right to "
                'delete their rows in. Leave one of them out of "cascade". Nothing was deleted.',
                retryable=False,
            )
        if each in order:
            return
        open_.append(each)
        for child in sorted(_children(each, found)):
            visit(child)
        open_.pop()
        order.append(each)

    visit(name)
    return order[::-1]


def _children(name: TableName, found: Sequence[Reference]) -> Iterator[TableName]:
    seen = set()
    for each in found:
        if each.parent == name and not each.is_to_itself and each.child not in seen:
            seen.add(each.child)
            yield each.child
