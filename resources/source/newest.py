"""How new the newest row of a dataset is, by its date column, without reading the whole table."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnClause, Connection, Select, column, select

from resources.source.arrow import NOT_REPRESENTABLE, to_array
from resources.source.columns import Column
from resources.source.connection import cancel_query
from resources.source.dataset import Dataset
from resources.source.dialects.base import quoted
from resources.source.indexes import Indexes

# The longest that the query for the newest row may take; it should take a millisecond.
MOST_SECONDS = 2.0


def newest_row(connection: Connection, indexes: Indexes) -> datetime | None:
    """When the newest row is of; None: no index leads to it, or there is none with a date.

    Args:
        connection: In a transaction of its own: the query may be cancelled.
        indexes: Those of the dataset.

    Raises:
        sqlalchemy.exc.DBAPIError: The source does not answer, or the query took too long.
    """
    dataset = indexes.dataset
    dates = dataset.date_column
    if dates is None or not indexes.lead_to_newest:
        return None
    with _cancelled_after(connection, MOST_SECONDS):
        cell = connection.scalar(_newest_query(dataset, dates))
    try:
        return instant_of(to_array(dates, [cell], dataset.dialect.name)[0], dataset)
    except NOT_REPRESENTABLE:
        return None


def _newest_query(dataset: Dataset, dates: Column) -> Select[Any]:
    # As it is stored, which is what an index has the order of.
    stored: ColumnClause[Any] = column(quoted(dates.name))
    return (
        select(dataset.dialect.selected(dates))
        .select_from(dataset.table)
        .where(stored.is_not(None))
        .order_by(stored.desc())
        .limit(1)
    )


@contextmanager
def _cancelled_after(connection: Connection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, cancel_query, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Newest:
    """The newest of the rows that go by."""

    def __init__(self, dataset: Dataset) -> None:
        """Of ``dataset``, which has a date column; batches need not have it."""
        self._dataset = dataset
        self._value: pa.Scalar | None = None

    def see(self, batch: pa.RecordBatch) -> None:
        """Look at the rows of ``batch``."""
        dates = self._dataset.date_column
        if dates is None or dates.name not in batch.schema.names:
            return
        newest = pc.max(batch.column(dates.name))
        if newest.is_valid and (self._value is None or newest.as_py() > self._value.as_py()):
            self._value = newest

    @property
    def instant(self) -> datetime | None:
        """When the newest was of; None: none had a date."""
        return None if self._value is None else instant_of(self._value, self._dataset)


def instant_of(value: pa.Scalar, dataset: Dataset) -> datetime | None:
    """The moment that a value of the date column means, in UTC."""
    told = value.as_py()
    if told is None:
        return None
    if not isinstance(told, datetime):  # a date stands for its midnight
        assert isinstance(told, date)  # noqa: S101 - other kinds are no date column
        told = datetime.combine(told, time.min)
    try:
        return (told if told.tzinfo else told.replace(tzinfo=dataset.zone)).astimezone(UTC)
    except OverflowError:  # at the very end of the years 1 to 9999
        return None
