"""Rows of SQLite by a process of its own: several times as fast as by Python's cursor.

That process (`sqlite_child`) reads them into Arrow without a Python object for each cell. It has a
snapshot of its own, which is used only where it is the same as the connection's.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from sqlalchemy import Connection, Select

from resources.ahead import Ahead
from resources.errors import SourceUnavailable
from resources.processes import widen_pipe
from resources.source.arrow import NOT_REPRESENTABLE, arrow_type, plain_decimals, times, to_array
from resources.source.batches import gathered
from resources.source.columns import Column, Kind, Storage
from resources.source.copying import NotCopied
from resources.source.dialects.sqlite import CARRY_OUT, OWN_FUNCTIONS, SQLite

# A process takes about as long to start as the cursor takes for so many rows.
FROM_ROWS = 50_000
STOP_SECONDS = 10

# What stands for a column in the rows that fix the types, by how SQLite keeps its values: ADBC
# takes the types from the first batch, whatever comes later.
_INTEGER, _REAL, _BYTES = "0", "0.5", "x''"
_FIRST = {
    Kind.INTEGER: _INTEGER,
    Kind.BOOLEAN: _INTEGER,
    Kind.FLOAT: _REAL,
    Kind.DECIMAL: _REAL,
}
_TYPES = {_INTEGER: pa.int64(), _REAL: pa.float64(), _BYTES: pa.binary()}
# Instants as whole numbers.
_WHOLE = {Storage.UNIX, Storage.UNIX_MS}
SQLITE = SQLite()
_logger = logging.getLogger(__name__)
# A name that no table of the source has.
_COUNTED = "workers_counted"
# Up to here every whole number is a double.
_LARGEST_WHOLE_DOUBLE = 2**53


def streamed_batches(
    connection: Connection,
    query: Select[Any],
    columns: Sequence[Column],
    step_rows: int,
    batch_rows: int,
) -> Generator[Sequence[pa.Array]]:
    """The rows of ``query``, which selects ``columns`` first, as arrays of them.

    Args:
        connection: In the snapshot.
        query: What to read.
        columns: What its first columns are.
        step_rows: How many rows are read at a time.
        batch_rows: How many rows are carried on at a time, at most.

    Raises:
        NotCopied: They cannot be had so, all of them or the rest.
        SourceUnavailable: It was cancelled.
    """
    if any(name in str(query.compile(connection)) for name in OWN_FUNCTIONS):
        raise NotCopied  # that process does not have them
    reader = _Reader(connection, columns, step_rows)
    with SQLITE.cancelling(connection, reader.cancel), closing(reader):
        connection.execute(query, execution_options={CARRY_OUT: reader.start})
        if not reader.is_pinned() or not SQLITE.is_unchanged(connection):
            raise NotCopied
        with Ahead(reader.batches(), reader.cancel) as batches:
            for batch in gathered(batches, batch_rows):
                yield _arrays(batch, columns)


class _Reader:
    """The process that reads."""

    def __init__(self, connection: Connection, columns: Sequence[Column], step_rows: int) -> None:
        self._uri = f"{connection.engine.url.database}?mode=ro"
        self._quote = connection.dialect.identifier_preparer.quote_identifier
        self._columns = columns
        self._step_rows = step_rows
        self._process = _started()
        widen_pipe(self._output.fileno())
        self._cancelled = False

    def start(self, statement: str, parameters: Sequence[Any]) -> None:
        """Have it read the rows of ``statement``."""
        order = {
            "uri": self._uri,
            "statement": self._typed(statement),
            "parameters": parameters,
            "batch_rows": self._step_rows,
            "parent": os.getpid(),
        }
        orders = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError), orders:
            orders.write(json.dumps(order).encode())

    def _typed(self, statement: str) -> str:
        """The statement, after rows that fix the types; whether a row is odd comes last."""
        first = ", ".join(_FIRST.get(each.kind, _BYTES) for each in map(_stored, self._columns))
        names = [self._quote(each.name) for each in self._columns]
        odd = [_odd(each, name) for each, name in zip(self._columns, names, strict=True)]
        # All of the first batch is of such rows: in it, ADBC would make texts of numbers. And a
        # subquery with a limit keeps its order.
        next_one = f"SELECT i + 1 FROM {_COUNTED} LIMIT {self._step_rows}"  # noqa: S608
        is_odd = " OR ".join(filter(None, odd)) or "0"
        return (  # names are quoted
            f"WITH RECURSIVE {_COUNTED}(i) AS (VALUES (1) UNION ALL {next_one}) "  # noqa: S608
            f"SELECT {first}, 0 FROM {_COUNTED} UNION ALL "
            f"SELECT {', '.join(names)}, {is_odd} FROM ({statement} LIMIT -1)"
        )

    @property
    def _output(self) -> IO[bytes]:
        return cast("IO[bytes]", self._process.stdout)

    def is_pinned(self) -> bool:
        """Whether it has taken its snapshot; waits until it has."""
        return self._output.readline() == b"\n"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What it sends, without the first batch."""
        try:
            yield from islice(pa.ipc.open_stream(self._output), 1, None)
        except (pa.ArrowException, OSError) as error:
            raise self._failure() from error
        # A stream that breaks off looks like one that ends.
        if self._exit_code() != 0:
            raise self._failure()

    def _exit_code(self) -> int | None:
        """How it ended; None: it has not."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(STOP_SECONDS)
        return None

    def _failure(self) -> Exception:
        if self._cancelled:
            msg = "The source database ended a query (cancelled)."
            return SourceUnavailable(msg)
        _logger.warning("SQLite's rows are read by the cursor (exit code %s).", self._exit_code())
        return NotCopied()

    def cancel(self) -> None:
        """End it; called from another thread."""
        self._cancelled = True
        self._process.kill()

    def close(self) -> None:
        """See that nothing is left of it."""
        self._process.kill()
        self._process.wait()
        self._output.close()


def _started() -> subprocess.Popen[bytes]:
    """The process, which waits for its order.

    Raises:
        NotCopied: The system has none to give.
    """
    try:
        return subprocess.Popen(
            # -P: whatever lies in the working folder is not imported.
            [sys.executable, "-P", "-m", "resources.source.sqlite_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # SQL and values are for nobody's log
        )
    except OSError as error:
        raise NotCopied from error


def _stored(column: Column) -> Column:
    """The column as SQLite keeps it: instants are whole numbers or texts."""
    return replace(column, kind=Kind.INTEGER) if column.storage in _WHOLE else column


def _odd(column: Column, name: str) -> str | None:
    """Which values of a column are not of its type, though ADBC would take them for such.

    By SQLite's order, texts are less than bytes.
    """
    match _FIRST.get(_stored(column).kind), column.kind:
        case None, Kind.BINARY:
            return f"{name} < x''"
        case None, _:
            return f"{name} >= x''"
        case _, Kind.FLOAT:
            return f"typeof({name}) = 'integer' AND abs({name}) > {_LARGEST_WHOLE_DOUBLE}"
    return None


def _arrays(batch: pa.RecordBatch, columns: Sequence[Column]) -> list[pa.Array]:
    *arrays, odd = batch.columns
    if pc.max(odd).as_py():
        raise NotCopied
    try:
        return [_array(each, array) for each, array in zip(columns, arrays, strict=True)]
    except NOT_REPRESENTABLE as error:
        raise NotCopied from error


def _array(column: Column, array: pa.Array) -> pa.Array:
    """What was read for a column, in its type."""
    expected = _TYPES[_FIRST.get(_stored(column).kind, _BYTES)]
    if array.type != expected:
        raise NotCopied
    if column.storage in _WHOLE or column.storage is Storage.ISO:
        cells = (array if column.storage in _WHOLE else array.cast(pa.string())).to_pylist()
        return to_array(column, cells, SQLITE.name)
    match column.kind:
        case Kind.DECIMAL:
            decimals = plain_decimals(array, column)
            if decimals is None:
                raise NotCopied
            return decimals
        case Kind.BOOLEAN:
            if not pc.all(pc.is_in(array.drop_null(), pa.array([0, 1])), min_count=0).as_py():
                raise NotCopied
            return array.cast(pa.bool_())
        case Kind.TIMESTAMP | Kind.DATE | Kind.TIME:
            return times(array.cast(pa.string()), column)
    return array.cast(arrow_type(column))
