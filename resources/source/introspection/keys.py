"""Which columns may tell the rows of a table apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from resources.source.dialects.base import Dialect, Reflected
from resources.source.introspection.names import key_rank
from resources.source.introspection.tables import Relation


@dataclass(frozen=True)
class Key:
    """Columns that may tell rows apart, and why they should."""

    columns: tuple[str, ...]
    reason: str


def possible_keys(
    connection: Connection,
    dialect: Dialect,
    dataset: str,
    relation: Relation,
    reflected: Mapping[str, Reflected],
) -> Iterator[Key]:
    """The keys that a table may have, the likeliest first; none of them is tried."""
    named = (connection, relation.name, relation.schema)
    unique = [key for key in dialect.unique_keys(*named) if key <= reflected.keys()]
    primary, indexes = dialect.primary_key(*named), dialect.indexes(*named)
    keys = _Keys(dataset, relation.name, reflected, primary, unique, indexes)
    return keys.likeliest_first()


@dataclass(frozen=True)
class _Keys:
    """The keys that a table may have."""

    dataset: str
    table: str
    reflected: Mapping[str, Reflected]
    primary: Sequence[str]
    unique: Sequence[frozenset[str]]
    ordered: Sequence[Sequence[str]]

    def likeliest_first(self) -> Iterator[Key]:
        """Those that the database keeps, then those that look like one."""
        kept = [key for key in self.unique if not self._may_be_null(key)]
        primary = frozenset(self.primary)
        for key in sorted(kept, key=lambda key: (key != primary, len(key))):
            told = "the primary key" if key == primary else "unique and never null"
            yield Key(self._in_order(key), told)
        for key in self.unique:
            if self._may_be_null(key):
                yield Key(self._in_order(key), "unique, and null in no row today")
        ranked = [
            (rank, name)
            for name in self.reflected
            if (rank := key_rank(self.dataset, self.table, name)) is not None
        ]
        ranked.sort(key=lambda one: one[0])
        for _, name in ranked:
            yield Key((name,), "by its name, and unique in all rows of today")

    def _may_be_null(self, key: frozenset[str]) -> bool:
        return any(self.reflected[name].nullable for name in key)

    def _in_order(self, key: frozenset[str]) -> tuple[str, ...]:
        """As an index has them, so that the order of the key can be read from it."""
        for each in self.ordered:
            if len(each) == len(key) and key == set(each):
                return tuple(each)
        return tuple(name for name in self.reflected if name in key)
