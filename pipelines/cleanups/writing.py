"""The source as a cleanup deletes from it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from pipelines.assignments import Assignment
from pipelines.stoppable import stoppable
from resources.archives.rows import Rows
from resources.archives.tables import RawTable
from resources.errors import SourceRefused, TaskFailed
from resources.source.connection import connect_to_write, transaction

# How long one statement of a deletion may take, and wait for somebody's lock.
STATEMENT_SECONDS = 30


@contextmanager
def writer(assignment: Assignment) -> Iterator[Engine]:
    """An engine for the source that may write, while inside."""
    engine = connect_to_write(
        assignment.settings.source, statement_timeout_seconds=STATEMENT_SECONDS
    )
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def writing(assignment: Assignment, engine: Engine, table: RawTable) -> Iterator[Connection]:
    """A transaction that deletes from ``table``; a statement ends when the run must stop.

    Raises:
        TaskFailed: The source does not let its user (``source_refused``).
        SourceUnavailable: The source does not answer.
        AttemptSuperseded: The run must stop.
    """
    try:
        with stoppable(transaction(engine), assignment.control) as connection:
            yield connection
    except SourceRefused:
        raise _refused(table) from None


def _refused(table: RawTable) -> TaskFailed:
    return TaskFailed(
        "source_refused",
        f"The source database refuses to delete rows of {table.name}: its user needs the rights to "
        "read, lock and delete them, which in PostgreSQL are SELECT, UPDATE and DELETE, and "
        "something the service does not see may refer to them. The operator finds the reason in "
        "the source's log.",
        retryable=False,
    )


def check_rights(assignment: Assignment, tables: Sequence[RawTable]) -> None:
    """Make sure that rows of ``tables`` may be deleted, by deleting none.

    Raises:
        TaskFailed: They may not (``source_refused``).
        SourceUnavailable: The source does not answer.
    """
    with writer(assignment) as engine:
        for table in tables:
            with writing(assignment, engine, table) as connection:
                Rows.on(connection, table).delete_none()
