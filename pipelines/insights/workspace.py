"""The rows of several datasets, as of one moment, in a DuckDB database of the run's own.

Each row is read once. What the rows of a window refer to outside of it (the booking of a payment,
the account of a booker) is looked up besides, by its key, in the same snapshot.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection

from pipelines.assignments import Assignment
from pipelines.insights.duck import Duck, duck_in
from pipelines.insights.facts import make_facts
from pipelines.insights.figures import Window
from pipelines.insights.loaded import AT, Loaded
from pipelines.insights.lookups import NO_MASKING, Lookups
from pipelines.insights.needs import Needs
from pipelines.insights.scratch import scratch_folder
from pipelines.insights.windows import bounds, within
from pipelines.insights.zones import instants
from pipelines.run_control import Progress
from pipelines.stoppable import stoppable
from resources.ahead import Ahead
from resources.errors import TaskFailed
from resources.results.failures import storage_failures
from resources.source.columns import Column
from resources.source.connection import cancel_query, snapshot
from resources.source.dataset import Dataset
from resources.source.filters import Condition
from resources.source.query import Selection
from resources.source.reader import arrow_schema, check_spelling, read_batches
from resources.timestamps import now

# How many rows are carried at a time.
BATCH_ROWS = 100_000


@dataclass(frozen=True)
class Workspace:
    """What was loaded, to be asked for figures.

    Attributes:
        duck: The database, with a table for each dataset and what `facts` makes of them.
        loaded: The datasets, by their names.
        window: What was loaded of those that have dates.
        taken_at: The moment as of which the source was read.
    """

    duck: Duck
    loaded: Mapping[str, Loaded]
    window: Window
    taken_at: datetime

    @property
    def needs(self) -> Needs:
        """What the datasets have of what figures need."""
        return Needs(self.loaded)

    def within(self, dataset: str, window: Window) -> str:
        """SQL for whether a row of ``dataset``, or a fact made of it, lies in ``window``.

        Every row does where no bounds are, or no dates.
        """
        has_dates = self.needs.has(f"{dataset}.date_column")
        return within(window, AT) if has_dates else "true"

    @property
    def rows(self) -> int:
        """How many rows were loaded."""
        return sum(each.rows for each in self.loaded.values())


@contextmanager
def workspace(
    assignment: Assignment,
    datasets: Sequence[Dataset],
    window: Window,
    conditions: Sequence[Condition] = (),
) -> Iterator[Workspace]:
    """The rows of ``datasets`` that lie in ``window``, loaded; progress is told meanwhile.

    A dataset without a date column is loaded as a whole. The database lies in a folder of the
    service's home, and is gone at the end of the block.

    The block is interrupted when the run must stop: the query that DuckDB is in ends.

    Args:
        assignment: The task that it is for.
        datasets: What to load.
        window: Which rows: all windows that figures will be asked for lie in it.
        conditions: What rows must meet besides; for a single dataset.

    Raises:
        TaskFailed: A value is not of its column's type, or there is no room.
        SourceUnavailable: The source does not answer, or refuses a query.
        AttemptSuperseded: The task was cancelled or given to another run.
    """
    with (
        _scratch(assignment) as folder,
        duck_in(folder, assignment.control) as duck,
    ):
        date_from, date_to = bounds(window)
        selections = [
            Selection(each, _visible(each), conditions, date_from, date_to) for each in datasets
        ]
        loading = _Loading(assignment, duck)
        loaded, taken_at = loading.load(selections)
        with assignment.control.interruptible(duck.interrupt):
            make_facts(duck, Needs(loaded))
            yield Workspace(duck, loaded, window, taken_at)


@contextmanager
def _scratch(assignment: Assignment) -> Iterator[Path]:
    with ExitStack() as stack:
        with storage_failures():
            home, name = assignment.settings.home, assignment.attempt.run_id
            folder = stack.enter_context(scratch_folder(home, name))
        yield folder


def _visible(dataset: Dataset) -> list[Column]:
    return [column for column in dataset.columns.values() if column.mask is None]


@dataclass(frozen=True)
class _Loading:
    """Brings rows from the source into DuckDB."""

    assignment: Assignment
    duck: Duck

    def load(self, selections: Sequence[Selection]) -> tuple[dict[str, Loaded], datetime]:
        """What was loaded, and as of when."""
        with self._source() as connection:
            counts = [_count(connection, each) for each in selections]
            taken_at = now()  # the snapshot is that of the first query
            progress = Progress(self.assignment.attempt, sum(counts))
            for selection, count in zip(selections, counts, strict=True):
                self._copy(connection, selection, count, progress)
            loaded = {
                each.dataset.name: Loaded(each.dataset, each.columns, count, _is_whole(each))
                for each, count in zip(selections, counts, strict=True)
            }
            Lookups(connection, self.duck, Needs(loaded)).look_up()
        return loaded, taken_at

    def _source(self) -> AbstractContextManager[Connection]:
        """The source's snapshot; what is done in it ends when the run must stop."""
        opening = snapshot(self.assignment.source)
        return stoppable(opening, self.assignment.control, interrupt_too=self.duck.interrupt)

    def _copy(
        self, connection: Connection, selection: Selection, count: int, progress: Progress
    ) -> None:
        name = selection.dataset.name
        stored = _Stored(selection)
        self.duck.make_table(name, stored.schema)
        copied = 0
        batches = read_batches(connection, selection, BATCH_ROWS, NO_MASKING, count)
        with Ahead(batches, partial(cancel_query, connection)) as ahead:
            for batch in ahead:
                self.duck.append(name, stored(batch))
                copied += batch.num_rows
                progress.advance(batch.num_rows)
        if copied != count:
            raise _count_mismatch(copied, count)


def _count(connection: Connection, selection: Selection) -> int:
    check_spelling(connection, selection)
    return int(connection.scalar(selection.count_query()))


def _is_whole(selection: Selection) -> bool:
    bounded = selection.date_from is not None or selection.date_to is not None
    is_cut = bounded and selection.dataset.date_column is not None
    return not (is_cut or selection.conditions)


def _count_mismatch(copied: int, counted: int) -> TaskFailed:
    return TaskFailed(
        "count_mismatch",
        f"{copied} rows were read, but the source counts {counted} in the same snapshot. "
        "Nothing was published.",
        retryable=True,
    )


class _Stored:
    """Makes of the source's batches those that DuckDB is given."""

    def __init__(self, selection: Selection) -> None:
        self._dates = selection.dataset.date_column
        self._zone = str(selection.dataset.zone)
        self._names = [column.name for column in selection.columns]
        types = arrow_schema(selection.columns).types
        fields = [pa.field(f"c{index}", each) for index, each in enumerate(types)]
        self.schema = pa.schema([*fields, pa.field(AT, pa.int64())])

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` with the instant of each row."""
        if self._dates is None:
            at = pa.nulls(batch.num_rows, pa.int64())
        else:
            dates = batch.column(self._names.index(self._dates.name))
            at = instants(dates, self._dates.kind, self._zone)
        return pa.RecordBatch.from_arrays([*batch.columns, at], schema=self.schema)
