"""Events of runs in fewer transactions: each commit waits for the disk."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy import Connection

# What a run's own process tells of, always followed by another event of the same thread, within a
# moment, and of no use without: it is written with that one. Each run ends with one that is not
# among these.
HELD = frozenset(
    {
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
        DagsterEventType.LOGS_CAPTURED,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.ASSET_CHECK_EVALUATION,
    }
)


class BatchedEvents(PostgresEventLogStorage):
    """Stores some events with the next one, all in one transaction, in their order.

    A process that dies in between takes them with it, as if it had died a moment earlier.
    """

    _thread: ClassVar[threading.local] = threading.local()

    def _connect(self) -> AbstractContextManager[Connection]:
        """The transaction this thread is in, else a connection of the stock storage's kind."""
        joined: Connection | None = getattr(self._thread, "connection", None)
        return super()._connect() if joined is None else _left_open(joined)

    def store_event(self, event: EventLogEntry) -> None:
        """Store ``event`` and what was held before it; or hold it."""
        held: list[EventLogEntry] = getattr(self._thread, "held", [])
        if _is_held(event):
            self._thread.held = [*held, event]
            return
        self._thread.held = []  # what cannot be stored must not keep others from it
        with self._transaction() as connection:
            self._insert(connection, [*held, event])

    def _insert(self, connection: Connection, events: Sequence[EventLogEntry]) -> None:
        """What stock does for each, in one statement, and without the NOTIFY: nobody listens."""
        insert = self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
        # They are numbered in the order of the rows; what is returned need not be in it.
        ids = sorted(connection.execute(insert).scalars())
        for event, number in zip(events, ids, strict=True):
            kind = event.dagster_event_type
            if kind in ASSET_EVENTS and event.get_dagster_event().asset_key:
                self._store_asset_event_tags(connection, [event], [number])
                self._store_asset_event(connection, event, number)
            if kind in ASSET_CHECK_EVENTS:
                self.store_asset_check_event(event, number)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with super()._connect() as autocommitting:
            connection = autocommitting.execution_options(isolation_level="READ COMMITTED")
            self._thread.connection = connection
            try:
                with connection.begin():
                    yield connection
            finally:
                self._thread.connection = None


def _is_held(event: EventLogEntry) -> bool:
    """Whether it waits for the next; the result of a check may also be told without a run."""
    of_dagster = event.dagster_event
    return of_dagster is not None and of_dagster.event_type in HELD and bool(event.run_id)


@contextmanager
def _left_open(connection: Connection) -> Iterator[Connection]:
    yield connection
