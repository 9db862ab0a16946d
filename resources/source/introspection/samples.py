"""A look at some rows of a table."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, TableClause, select
from sqlalchemy.exc import DBAPIError

from resources.source.columns import Column
from resources.source.connection import snapshot
from resources.source.dialects import dialect_of

ROWS = 100

Cells = Sequence[Any]


class Samples:
    """The first rows of one table, column by column, as an export would read them."""

    def __init__(self, engine: Engine, table: TableClause) -> None:
        self._engine = engine
        self._table = table
        # A view that takes too long for one query is not asked for others.
        self._too_slow = False

    def of_all(self, columns: Sequence[Column]) -> dict[str, Cells | None]:
        """The cells of each column by its name; None: the source refuses to read it.

        Raises:
            SourceUnavailable: The source does not answer.
        """
        together = self._read(columns)
        if together is not None:
            return dict(zip([each.name for each in columns], together, strict=True))
        return {each.name: self.of(each) for each in columns}

    def of(self, column: Column) -> Cells | None:
        """The cells of one column; None: the source refuses to read it.

        Raises:
            SourceUnavailable: The source does not answer.
        """
        read = self._read([column])
        return None if read is None else read[0]

    def _read(self, columns: Sequence[Column]) -> list[Cells] | None:
        if self._too_slow or not columns:
            return [() for _ in columns]
        with snapshot(self._engine) as connection:
            dialect = dialect_of(connection)
            read = [dialect.selected(each) for each in columns]
            try:
                rows = connection.execute(select(*read).select_from(self._table).limit(ROWS)).all()
            except DBAPIError as error:
                if dialect.is_timeout(error):
                    self._too_slow = True
                    return [() for _ in columns]
                if dialect.is_refusal(error):
                    return None
                raise
        return [[row[index] for row in rows] for index in range(len(columns))]
