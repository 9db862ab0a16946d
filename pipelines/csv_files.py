"""CSV as the exports write it (RFC 4180), with what it lacks of its own spelled as text.

Texts are quoted and nulls are not, so that an empty text and null can be told apart. Bytes are
hexadecimal; arrays are JSON, in which decimals, dates, times, NaN and Infinity are texts.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Floats that JSON has no numbers for, by Python's names of them.
_NO_JSON = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

# Pieces of lines, and how lines are made of cells that may be null.
_NOTHING, _QUOTE, _APOSTROPHE, _COMMA, _END, _Z = (
    pa.scalar(each, pa.large_string()) for each in ("", '"', "'", ",", "\n", "Z")
)
_NULLS_EMPTY = {"null_handling": "replace", "null_replacement": ""}
# What a spreadsheet takes for the start of a formula, by OWASP's list for CSV injection; the last
# four are full-width "=+-@", as East Asian input methods write them.
_FORMULA_STARTS = pa.array(list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
# Where in an array's values each of its large strings begins.
_OFFSET = struct.Struct("=q")

# Makes cells of an array of texts.
_AsTexts = Callable[[pa.Array], pa.LargeStringArray]


class CsvEncoder:
    """Writes batches of one schema into a stream, gzipped where that is asked for.

    The lines of a batch are put together by Arrow's own functions, column by column: its CSV writer
    takes a second for a million times with a zone.

    Attributes:
        buffered_bytes: Nothing; everything is written at once.
    """

    buffered_bytes = 0

    def __init__(
        self,
        sink: pa.NativeFile,
        schema: pa.Schema,
        *,
        gzipped: bool,
        spreadsheet_safe: bool = False,
    ) -> None:
        """Begin a file.

        Args:
            sink: Where it is written.
            schema: The schema of every batch.
            gzipped: Whether it is compressed.
            spreadsheet_safe: Whether texts that a spreadsheet would take for formulas, in the
                header too, get an apostrophe in front.
        """
        self._stream = pa.CompressedOutputStream(sink, "gzip") if gzipped else sink
        self._gzipped = gzipped
        self._as_texts = _as_safe_texts if spreadsheet_safe else _as_texts
        header = ",".join(self._as_texts(pa.array(schema.names, pa.string())).to_pylist())
        self._stream.write(f"{header}\n".encode())

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append the rows of ``batch``."""
        if batch.num_rows:
            self._stream.write(_lines(batch, self._as_texts))

    def close(self) -> None:
        """Write what is buffered; who opened the sink closes it."""
        if self._gzipped:
            self._stream.close()


def _lines(batch: pa.RecordBatch, as_texts: _AsTexts) -> pa.Buffer:
    """The batch as CSV: the values of an array of its lines, which lie one behind the other."""
    *first, last = (_spelled(array, as_texts) for array in batch.columns)
    ended = pc.binary_join_element_wise(last, _END, _NOTHING, **_NULLS_EMPTY)
    lines = pc.binary_join_element_wise(*first, ended, _COMMA, **_NULLS_EMPTY)
    _, offsets, values = lines.buffers()
    (length,) = _OFFSET.unpack_from(offsets, len(lines) * _OFFSET.size)
    return values.slice(0, length)


def _spelled(array: pa.Array, as_texts: _AsTexts) -> pa.LargeStringArray:
    """The cells as they stand in a file; nulls stay null."""
    of = array.type
    if pa.types.is_binary(of):
        return _as_texts(_each(array, bytes.hex))
    if pa.types.is_list(of):
        return _as_texts(_each(array, _json))
    if pa.types.is_string(of):
        return as_texts(array)
    if pa.types.is_timestamp(of) and of.tz is not None:
        # Arrow's way to spell these is thirty times as slow as that of times without a zone.
        local = array.cast(pa.timestamp(of.unit)).cast(pa.large_string())
        return pc.binary_join_element_wise(local, _Z, _NOTHING, null_handling="emit_null")
    return array.cast(pa.large_string())


def _as_texts(array: pa.Array) -> pa.LargeStringArray:
    doubled = pc.replace_substring(array.cast(pa.large_string()), '"', '""')
    return pc.binary_join_element_wise(_QUOTE, doubled, _QUOTE, _NOTHING, null_handling="emit_null")


def _as_safe_texts(array: pa.Array) -> pa.LargeStringArray:
    risky = pc.is_in(pc.utf8_slice_codeunits(array, 0, 1), value_set=_FORMULA_STARTS)
    if not pc.any(risky).as_py():
        return _as_texts(array)
    marks = pc.if_else(risky, _APOSTROPHE, _NOTHING)
    texts = array.cast(pa.large_string())
    return _as_texts(pc.binary_join_element_wise(marks, texts, _NOTHING, null_handling="emit_null"))


def _json(items: list[Any]) -> str:
    numbers = [_NO_JSON.get(repr(each), each) for each in items]
    return json.dumps(numbers, ensure_ascii=False, allow_nan=False, default=str)


def _each(array: pa.Array, spell: Any) -> pa.Array:
    cells = (None if cell is None else spell(cell) for cell in array.to_pylist())
    return pa.array(list(cells), pa.string())
