"""The connection to the source: one snapshot, read-only, and queries that can be ended."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from resources.errors import SourceAway, SourceRefused, SourceUnavailable
from resources.source.dialects import dialect_of


def connect_source(url: URL, *, statement_timeout_seconds: int = 0) -> Engine:
    """An engine for the source at ``url``: read-only, one connection for each use.

    Args:
        url: Where the source is.
        statement_timeout_seconds: The longest that one query may take; 0: as long as it
            needs, for runs, which cancel it when they are to stop.
    """
    return dialect_of(url).connect(url, statement_timeout_seconds)


def connect_to_write(url: URL, *, statement_timeout_seconds: int) -> Engine:
    """An engine for the source at ``url`` that may write, one connection for each use.

    Args:
        url: Where the source is.
        statement_timeout_seconds: The longest that one statement may take, and wait for a lock.
    """
    return dialect_of(url).connect_to_write(url, statement_timeout_seconds)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction in which every query sees the source as it is at the first one.

    Raises:
        SourceAway: The source cannot be reached, or answers nobody now.
        SourceRefused: It answers, and does not carry out the query.
        SourceUnavailable: It ended the query, which took too long or was cancelled.
    """
    with told_as_ours(engine.url), engine.connect() as connection:
        reader = dialect_of(connection).begin_snapshot(connection)
        with reader.begin():
            yield reader


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write (`connect_to_write`); an error ends it, and undoes it.

    Raises:
        SourceUnavailable: As `snapshot` does.
    """
    with told_as_ours(engine.url), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def told_as_ours(url: URL) -> Iterator[None]:
    """What the database at ``url`` raises while inside, as errors of this service."""
    try:
        yield
    except DBAPIError as error:
        # Neither the SQL nor its values are to be read in a log: the cause ends here.
        reason = type(error.orig).__name__
        dialect = dialect_of(url)
        if dialect.is_refusal(error):
            msg = f"The source database refused a query ({reason})."
            raise SourceRefused(msg) from None
        if dialect.is_timeout(error):
            msg = f"The source database ended a query ({reason})."
            raise SourceUnavailable(msg) from None
        msg = f"The source database does not answer ({reason})."
        raise SourceAway(msg) from None


def cancel_query(connection: Connection) -> None:
    """End the query that runs on ``connection``; to be called from another thread."""
    dialect_of(connection).cancel(connection)
