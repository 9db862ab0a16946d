"""Which reads of a dataset no index of the source helps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from resources.source.columns import Storage
from resources.source.dataset import Dataset


@dataclass(frozen=True)
class Indexes:
    """The indexes of a dataset's table, each as its columns; None: it is a view."""

    dataset: Dataset
    indexes: Sequence[Sequence[str]] | None

    @property
    def lead_to_newest(self) -> bool:
        """Whether one leads to the newest row; of a view that is not known."""
        if self.dataset.date_column is None or self.indexes is None:
            return False
        return not any(_slow_windows(self.dataset, self.indexes))

    def slow_reads(self, *, of_window: bool) -> list[str]:
        """As the function `slow_reads`."""
        if self.indexes is None:
            return []
        slow = list(_slow_order(self.dataset, self.indexes))
        if of_window:
            slow += _slow_windows(self.dataset, self.indexes)
        return slow


def indexes_of(connection: Connection, dataset: Dataset) -> Indexes:
    """The indexes of ``dataset``.

    Raises:
        sqlalchemy.exc.DBAPIError: The source does not answer, or does not tell its indexes.
    """
    dialect = dataset.dialect
    if dataset.table_name in dialect.views(connection, dataset.schema):
        return Indexes(dataset, None)
    return Indexes(dataset, dialect.indexes(connection, dataset.table_name, dataset.schema))


def slow_reads(connection: Connection, dataset: Dataset, *, of_window: bool) -> list[str]:
    """What makes exports of ``dataset`` slow, and the index to make: a sentence for each.

    Nothing is said of a view: its indexes are those of the tables beneath, which only the source
    knows.

    Args:
        connection: To the source.
        dataset: The dataset.
        of_window: Whether exports of a window count, too.

    Raises:
        sqlalchemy.exc.DBAPIError: The source does not answer, or does not tell its indexes.
    """
    return indexes_of(connection, dataset).slow_reads(of_window=of_window)


def _slow_order(dataset: Dataset, indexes: Sequence[Sequence[str]]) -> Iterator[str]:
    key = list(dataset.key)
    if not any(_serves(list(index), key) for index in indexes):
        columns = ", ".join(key)
        yield (
            f"no index has the key ({columns}), so that every export sorts the whole table: "
            f"make one on ({columns})"
        )


def _slow_windows(dataset: Dataset, indexes: Sequence[Sequence[str]]) -> Iterator[str]:
    dates = dataset.date_column
    if dates is None:
        return
    if dates.storage is Storage.ISO:
        yield (
            f'the texts of date column "{dates.name}" are converted to be compared, so that every '
            "export of a window reads the whole table: an index cannot help"
        )
    elif not any(index[0] == dates.name for index in indexes):
        yield (
            f'no index begins with the date column "{dates.name}", so that every export of a '
            f"window reads the whole table: make one on ({dates.name})"
        )


def _serves(index: list[str], key: list[str]) -> bool:
    """Whether rows in the order of the index are in that of the key, or all but."""
    shared = min(len(index), len(key))
    return index[:shared] == key[:shared]
