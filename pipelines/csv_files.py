"""CSV as the exports write it (RFC 4180), with what it lacks of its own spelled as text.

Texts are quoted and nulls are not, so that an empty text and null can be told apart. Bytes are
hexadecimal; arrays are JSON, in which decimals, dates, times, NaN and Infinity are texts.
"""

import json
from typing import Any

import pyarrow as pa
import pyarrow.csv

# Floats that JSON has no numbers for, by Python's names of them.
_NO_JSON = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class CsvEncoder:
    """Writes batches of one schema into a stream, gzipped where that is asked for."""

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema, *, gzipped: bool) -> None:
        self._schema = pa.schema([field.with_type(_csv_type(field.type)) for field in schema])
        self._stream = pa.CompressedOutputStream(sink, "gzip") if gzipped else sink
        self._gzipped = gzipped
        self._writer = pyarrow.csv.CSVWriter(self._stream, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append the rows of ``batch``."""
        arrays = [_spelled(array) for array in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write what is buffered; who opened the sink closes it."""
        self._writer.close()
        if self._gzipped:
            self._stream.close()


def _csv_type(of: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_binary(of) or pa.types.is_list(of) else of


def _spelled(array: pa.Array) -> pa.Array:
    if pa.types.is_binary(array.type):
        return _texts(array, bytes.hex)
    if pa.types.is_list(array.type):
        return _texts(array, _json)
    return array


def _json(items: list[Any]) -> str:
    numbers = [_NO_JSON.get(repr(each), each) for each in items]
    return json.dumps(numbers, ensure_ascii=False, allow_nan=False, default=str)


def _texts(array: pa.Array, spell: Any) -> pa.Array:
    cells = (None if cell is None else spell(cell) for cell in array.to_pylist())
    return pa.array(list(cells), pa.string())
