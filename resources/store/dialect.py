"""SQLAlchemy's dialect for the state database on PostgreSQL, with fewer round trips."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine.interfaces import IsolationLevel

_NAME = "workers"


class StateDialect(PGDialect_psycopg2):
    """psycopg 2, whose connections change between autocommit and transactions at no cost.

    Dagster's storages work in autocommit, the task store in transactions, on one pool. Stock
    sends a statement for each change, twice for each use of a connection; the driver itself needs
    none.
    """

    supports_statement_cache = True

    def get_isolation_level_values(self, _dbapi_conn: Any) -> Sequence[IsolationLevel]:
        """The two that are used; `connect` makes the second one the sessions' default."""
        return ("AUTOCOMMIT", "READ COMMITTED")

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Between transactions, which is when SQLAlchemy calls this."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"


registry.register(f"postgresql.{_NAME}", __name__, StateDialect.__name__)


def with_state_dialect(url: URL) -> URL:
    """``url`` for an engine that uses `StateDialect`."""
    return url.set(drivername=f"postgresql+{_NAME}")
