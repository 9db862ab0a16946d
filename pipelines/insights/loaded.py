"""One dataset as it was loaded: where its columns are, and what they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from resources.source.columns import Column, Kind
from resources.source.dataset import Dataset

# The instant of a row in microseconds since 1970, by the dataset's date column; null: it has none.
AT = "moment"
# A sum of so many digits has room for ten thousand million rows in the 38 that there are.
SUMMABLE_DIGITS = 28
# What an amount that is kept as a float is rounded to.
FLOAT_SCALE = 4
# What one row can refer to another by.
_REFERABLE = frozenset({Kind.INTEGER, Kind.TEXT, Kind.UUID})
_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT})


@dataclass(frozen=True)
class Loaded:
    """The rows of a dataset in DuckDB, in a table of the dataset's name.

    Attributes:
        dataset: The dataset.
        columns: Those that were loaded: all whose values may be seen.
        rows: How many rows.
        is_whole: Whether these are all rows that the source has.
    """

    dataset: Dataset
    columns: Sequence[Column]
    rows: int
    is_whole: bool

    @cached_property
    def _names(self) -> dict[str, str]:
        # DuckDB takes names that differ in case for one.
        return {column.name: f"c{index}" for index, column in enumerate(self.columns)}

    def sql(self, column: Column) -> str:
        """The column as it is called in DuckDB."""
        return self._names[column.name]

    def role(self, role: str) -> str | None:
        """Likewise the column that has the role."""
        column = self.dataset.roles.get(role)
        return None if column is None else self.sql(column)

    def text(self, role: str) -> str:
        """SQL for the role's values as texts; nulls where no column has it."""
        column = self.role(role)
        return "NULL::VARCHAR" if column is None else f"CAST({column} AS VARCHAR)"

    def means(self, meaning: str, status: str | None = None) -> str:
        """SQL for whether a row's status has the meaning; false where nothing is declared of it.

        Args:
            meaning: One of `declarations.MEANINGS`.
            status: SQL for the status; None: that of the column.
        """
        values = self.dataset.statuses.get(meaning, ())
        if not values or "status" not in self.dataset.roles:
            return "false"
        text = self.text("status") if status is None else f"CAST({status} AS VARCHAR)"
        return f"coalesce({text} IN ({', '.join(map(_literal, values))}), false)"

    def amount(self) -> str:
        """SQL for the amount, a decimal."""
        column = self.dataset.roles.get("amount")
        if column is None or not is_amount(column):
            return f"NULL::DECIMAL({SUMMABLE_DIGITS}, 2)"
        if column.kind is Kind.DECIMAL:
            return self.sql(column)
        scale = FLOAT_SCALE if column.kind is Kind.FLOAT else 0
        return f"TRY_CAST({self.sql(column)} AS DECIMAL({SUMMABLE_DIGITS}, {scale}))"

    def scale(self) -> int:
        """The digits that amounts have after the point."""
        column = self.dataset.roles.get("amount")
        if column is None or not is_amount(column):
            return 0
        return FLOAT_SCALE if column.kind is Kind.FLOAT else column.scale

    @property
    def key(self) -> Column | None:
        """The column by which other rows refer to one of these; None: they cannot."""
        dataset = self.dataset
        if len(dataset.key) > 1 or not dataset.tells(dataset.key[0]):
            return None
        column = dataset.columns[dataset.key[0]]
        return column if column.kind in _REFERABLE else None


def _literal(text: str) -> str:
    """A text of ``datasets.toml`` as SQL. A NUL, which SQL's text cannot have, ends none."""
    pieces = text.split("\0")
    quoted = ["'" + piece.replace("'", "''") + "'" for piece in pieces]
    return " || chr(0) || ".join(quoted)


def is_amount(column: Column) -> bool:
    """Whether the values of a column can be summed exactly."""
    return column.kind in _NUMBERS and column.precision <= SUMMABLE_DIGITS
