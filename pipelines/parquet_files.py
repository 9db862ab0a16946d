"""Parquet as the exports write it: row groups that suit readers, columns encoded as they need."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

# A row group is what a reader reads at a time; small ones cost it, and the file, dearly.
GROUP_ROWS = 100_000
GROUP_BYTES = 16 * 2**20
# Of a column with longer values than that, on average, nobody needs the least and the greatest: the
# file's end, which is kept in memory until it is written, would be large with them.
LONG_VALUE_BYTES = 256
# A column whose first rows repeat themselves so often is written as a dictionary and indices.
REPEATED = 10


class ParquetEncoder:
    """Writes batches of one schema into a stream.

    Attributes:
        buffered_bytes: What was given and not written yet, as it lies in memory.
    """

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema, compression: str) -> None:
        self._sink = sink
        self._schema = schema
        self._compression = compression
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._group: list[pa.RecordBatch] = []
        self._rows = 0
        self.buffered_bytes = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append the rows of ``batch``."""
        self._group.append(batch)
        self._rows += batch.num_rows
        self.buffered_bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self.buffered_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is buffered and the file's end; who opened the sink closes it."""
        if self._group or self._writer is None:
            self._write_group()
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        group = pa.Table.from_batches(self._group, self._schema)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(
                self._sink,
                self._schema,
                compression=self._compression,
                use_dictionary=_repeating(group),
                write_statistics=_short(group),
            )
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._group, self._rows, self.buffered_bytes = [], 0, 0


def _short(group: pa.Table) -> Sequence[str] | bool:
    """The columns whose least and greatest value a file may have for every row group."""
    long = {
        name
        for name, column in zip(group.column_names, group.columns, strict=True)
        if column.nbytes > LONG_VALUE_BYTES * group.num_rows
    }
    return [name for name in group.column_names if name not in long] or False


def _repeating(group: pa.Table) -> Sequence[str] | bool:
    """The columns whose values repeat themselves."""
    names = [
        name
        for name, column in zip(group.column_names, group.columns, strict=True)
        if not pa.types.is_nested(column.type)
        and pc.count_distinct(column, mode="all").as_py() * REPEATED <= group.num_rows
    ]
    return names or False
