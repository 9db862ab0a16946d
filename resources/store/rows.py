"""One row of the task store by its key: what clients ask for most."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, Select

from resources.store.database import driver_cursor, read


class RowQuery:
    """A SELECT of at most one row.

    On PostgreSQL it is compiled once, and carried out by the driver: for a single row, what
    SQLAlchemy does around that takes longer than the driver and the database together.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._sql = ""

    def first(self, engine: Engine, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """The row's values, in the order of the columns.

        Raises:
            Unavailable: The database does not answer.
        """
        if engine.dialect.name != "postgresql":
            rows = read(engine, self._statement, parameters)
            return rows[0] if rows else None
        if not self._sql:
            self._sql = str(self._statement.compile(dialect=engine.dialect))
        with driver_cursor(engine) as cursor:
            cursor.execute(self._sql, parameters)
            row: Sequence[Any] | None = cursor.fetchone()
        return row
