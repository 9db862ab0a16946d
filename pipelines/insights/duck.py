"""DuckDB as a run uses it: on disk, within bounds of memory, and to be interrupted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.insights.values import Unmeasurable
from pipelines.run_control import RunControl
from resources.errors import TaskFailed

if TYPE_CHECKING:
    import duckdb

# What DuckDB may hold; what does not fit goes into files beside its database. The process needs
# as much again for Python, Arrow, and batches on their way.
MEMORY_LIMIT = "112MB"
THREADS = 2
# It asks nobody else, and reads and writes no file but its own.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY_LIMIT,
    "threads": THREADS,
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_BATCH = "batch"

Row = tuple[Any, ...]


class Duck:
    """A DuckDB database of one run. Whoever has it sees that `interrupt` is called in time."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", control: RunControl) -> None:
        self._connection = connection
        self._control = control

    def interrupt(self) -> None:
        """End the query that runs; to be called from another thread."""
        self._connection.interrupt()

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Carry out a statement; raises as `rows`."""
        self._control.raise_if_stopped()
        with _failures_told(self._control):
            self._connection.execute(statement, parameters)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """What a query finds, which must be little.

        Raises:
            AttemptSuperseded: The run must stop, and the query was interrupted.
            TaskFailed: There is no room left on the disk (``storage_unavailable``).
            Unmeasurable: A value is beyond what DuckDB can reckon with.
        """
        self._control.raise_if_stopped()
        with _failures_told(self._control):
            return self._connection.execute(query, parameters).fetchall()

    def row(self, query: str, parameters: Sequence[Any] = ()) -> Row:
        """The one row that a query of aggregates finds."""
        (row,) = self.rows(query, parameters)
        return row

    def make_table(self, name: str, schema: pa.Schema) -> None:
        """An empty table for batches of ``schema``."""
        with _failures_told(self._control), self._batch(schema.empty_table()):
            self._connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {_BATCH} LIMIT 0")

    def append(self, name: str, batch: pa.RecordBatch) -> None:
        """Add rows; raises as `rows`."""
        self._control.raise_if_stopped()
        with _failures_told(self._control), self._batch(pa.Table.from_batches([batch])):
            self._connection.execute(f"INSERT INTO {name} SELECT * FROM {_BATCH}")

    @contextmanager
    def _batch(self, table: pa.Table) -> Iterator[None]:
        self._connection.register(_BATCH, table)
        try:
            yield
        finally:
            self._connection.unregister(_BATCH)


@contextmanager
def _failures_told(control: RunControl) -> Iterator[None]:
    import duckdb  # noqa: PLC0415 - as below

    try:
        yield
    except duckdb.InterruptException:
        control.raise_if_stopped()
        raise
    except (duckdb.DataError, duckdb.InvalidInputException, duckdb.NotSupportedError):
        raise Unmeasurable from None  # the reason quotes the value
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise TaskFailed(
            "storage_unavailable",
            "There is too little room to work on the rows in. The operator finds the reason in "
            "the run's log; submit the task again later, or for a shorter window.",
            retryable=True,
        ) from error


@contextmanager
def duck_in(folder: Path, control: RunControl) -> Iterator[Duck]:
    """An empty database in ``folder``, for as long as the block takes."""
    # Not in the fork server: at its end the library would tell of what it leaks.
    import duckdb  # noqa: PLC0415

    settings = {**_SETTINGS, "temp_directory": str(folder / "spilled")}
    with _failures_told(control):
        connection = duckdb.connect(str(folder / "work.duckdb"), config=settings)
    try:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET lock_configuration = true")
        yield Duck(connection, control)
    finally:
        connection.close()
