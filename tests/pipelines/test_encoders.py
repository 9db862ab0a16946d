"""What the writers of CSV and Parquet make of the same rows."""

import csv
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import parquet_files
from pipelines.csv_files import CsvEncoder
from pipelines.parquet_files import ParquetEncoder

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"',;\n\r\t é😀"), max_size=8
)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "whole": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "positive": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "ratio": (pa.float64(), st.floats()),
    "single": (pa.float32(), st.floats(width=32)),
    "ok": (pa.bool_(), st.booleans()),
    "amount": (pa.decimal128(38, 10), st.decimals(-(10**20), 10**20, places=10)),
    'a "name", odd': (pa.string(), TEXTS),
    "at": (pa.timestamp("us"), st.datetimes()),
    "seen": (pa.timestamp("us", tz="UTC"), st.datetimes()),
    "day": (pa.date32(), st.dates()),
    "clock": (pa.time64("us"), st.times()),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])
ROW = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in KINDS.items()})


def batch_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), SCHEMA)


def written(encoder: Any, sink: pa.BufferOutputStream, batches: Sequence[pa.RecordBatch]) -> bytes:
    for batch in batches:
        encoder.write_batch(batch)
    encoder.close()
    return bytes(sink.getvalue())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(ROW, max_size=6), st.integers(0, 6))
def test_csv_is_byte_for_byte_what_arrows_own_writer_makes(
    rows: list[dict[str, Any]], start: int
) -> None:
    batches = [batch_of(rows), batch_of(rows).slice(start)]
    sinks = pa.BufferOutputStream(), pa.BufferOutputStream()

    ours = written(CsvEncoder(sinks[0], SCHEMA, gzipped=False), sinks[0], batches)

    assert ours == written(pyarrow.csv.CSVWriter(sinks[1], SCHEMA), sinks[1], batches)


# Full-width ones too, as East Asian input methods write them.
FORMULA_STARTS = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001
MADE_SAFE = pa.schema(
    {
        "=name": pa.string(),
        "-": pa.int64(),
        "day": pa.date32(),
        "raw": pa.binary(),
        "list": pa.list_(pa.string()),
    }
)


def safe_csv(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> list[list[str]]:
    """The cells of a file that is safe in spreadsheets, the header's first."""
    sink = pa.BufferOutputStream()
    encoder = CsvEncoder(sink, schema, gzipped=False, spreadsheet_safe=True)
    content = written(encoder, sink, [pa.RecordBatch.from_pylist(list(rows), schema)])
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(TEXTS | st.tuples(st.sampled_from(FORMULA_STARTS + "'"), TEXTS).map("".join)))
def test_a_text_that_begins_as_a_formula_has_one_apostrophe_in_front_and_no_other_text_has(
    texts: list[str],
) -> None:
    schema = pa.schema({"note": pa.string(), "id": pa.int64()})

    header, *rows = safe_csv([{"note": each, "id": -1} for each in texts], schema)

    assert header == ["note", "id"]
    for text, (cell, number) in zip(texts, rows, strict=True):
        risky = text.startswith(tuple(FORMULA_STARTS))
        assert cell == ("'" if risky else "") + text
        assert number == "-1"


def test_only_texts_and_names_are_made_safe_for_spreadsheets() -> None:
    row = {
        "=name": "-",
        "-": -(2**63),
        "day": date(1, 1, 1),
        "raw": b"=1",
        "list": ["=1", "-1"],
    }

    assert safe_csv([row, {}], MADE_SAFE) == [
        ["'=name", "'-", "day", "raw", "list"],
        ["'-", str(-(2**63)), "0001-01-01", "3d31", '["=1", "-1"]'],
        ["", "", "", "", ""],
    ]


def test_nulls_and_empty_texts_stay_apart_where_texts_are_made_safe() -> None:
    schema = pa.schema({"note": pa.string()})
    sink = pa.BufferOutputStream()
    encoder = CsvEncoder(sink, schema, gzipped=False, spreadsheet_safe=True)
    batch = pa.RecordBatch.from_pylist([{"note": None}, {"note": ""}, {"note": '="a"'}], schema)

    assert written(encoder, sink, [batch]) == b'"note"\n\n""\n"\'=""a"""\n'


def numbers(count: int) -> pa.RecordBatch:
    """Numbers of which none comes twice, and some of which each comes often."""
    return pa.record_batch(
        {"each": pa.array(range(count)), "often": pa.array([number % 3 for number in range(count)])}
    )


def parquet(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pyarrow.parquet.ParquetFile:
    sink = pa.BufferOutputStream()
    content = written(ParquetEncoder(sink, schema, "zstd"), sink, batches)
    return pyarrow.parquet.ParquetFile(io.BytesIO(content))


def test_small_frames_share_a_row_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_ROWS", 100)
    batches = [numbers(40)] * 6

    file = parquet(batches, batches[0].schema)

    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [120, 120]
    assert file.read().equals(pa.Table.from_batches(batches))


def test_a_row_group_has_so_many_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_BYTES", 2_000)

    file = parquet([numbers(40)] * 6, numbers(1).schema)

    assert file.num_row_groups == 2


def test_columns_that_repeat_themselves_are_written_as_dictionaries() -> None:
    file = parquet([numbers(1_000)], numbers(1).schema)

    group = file.metadata.row_group(0)
    encodings = [set(group.column(number).encodings) for number in range(2)]
    assert ["RLE_DICTIONARY" in each for each in encodings] == [False, True]


def test_a_file_without_rows_has_its_schema() -> None:
    file = parquet([], SCHEMA)

    assert file.read().equals(SCHEMA.empty_table())
