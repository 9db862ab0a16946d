"""The files that frames are written into, read back by another program."""

import gc
import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines import parts
from pipelines.exports import to_frame
from pipelines.journal import Journal
from pipelines.parts import PartWriter
from resources.errors import TaskFailed
from resources.results import CHECKPOINT, AttemptFolder, ResultFile, ResultStore
from resources.task_types.export_options import Compression, ExportOptions, FileFormat
from tests.support.outages import files_of_at_most

SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "small": pa.int16(),
        "ratio": pa.float64(),
        "total": pa.decimal128(38, 2),
        "note": pa.string(),
        "ok": pa.bool_(),
        "created_at": pa.timestamp("us"),
        "seen_at": pa.timestamp("us", tz="UTC"),
        "day": pa.date32(),
    }
)
FULL: list[Any] = [
    2**63 - 1,
    -(2**15),
    0.1,
    Decimal("-123456789012345678901234567890123456.78"),
    'two\nlines, a "quote", 😀',
    True,
    datetime.fromisoformat("1969-07-20 20:17:40.000001"),
    datetime(2024, 1, 31, 23, 59, 59, 999_999, UTC),
    date(1969, 12, 31),
]
EMPTY: list[Any] = [None] * len(FULL)
ROWS: list[list[Any]] = [FULL, EMPTY, [1, *EMPTY[1:4], "", False, *EMPTY[6:]]]
NUMBERS = pa.schema({"id": pa.int64(), "note": pa.string()})


@pytest.fixture
def folder(tmp_path: Path) -> AttemptFolder:
    folder = ResultStore(tmp_path).attempt(1, "run")
    folder.create()
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the files lie."""
    return tmp_path / "1" / "run"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    return 10


def frame(rows: Any, schema: pa.Schema = SCHEMA) -> pd.DataFrame:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
    return to_frame(pa.RecordBatch.from_arrays(arrays, schema=schema))


def numbers(first: int, count: int) -> pd.DataFrame:
    return frame([[i, f"number {i}"] for i in range(first, first + count)], NUMBERS)


def written(
    folder: AttemptFolder, file_format: FileFormat, *frames: pd.DataFrame, schema: pa.Schema
) -> list[ResultFile]:
    writer = PartWriter(folder, schema, ExportOptions(format=file_format), Journal(folder))
    for each in frames:
        writer.write(each)
    files = writer.close()
    assert sum(file.rows for file in files) == sum(len(each) for each in frames)
    return files


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def read(path: Path) -> list[Any]:
    """The rows of every part, in the order of the parts' names."""
    if next(path.glob("part-*")).suffix == ".parquet":
        query = f"SELECT * FROM read_parquet('{path}/part-*.parquet')"
    else:
        query = (
            f"SELECT * FROM read_csv('{path}/part-*.csv', header = true, all_varchar = true, "
            "allow_quoted_nulls = false, auto_detect = false, delim = ',', quote = '\"', "
            f"escape = '\"', columns = {{{', '.join(_varchars(path))}}})"
        )
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        return list(duck.execute(query).fetchall())


def _varchars(path: Path) -> list[str]:
    header = (path / "part-00001.csv").read_text(encoding="utf-8").splitlines()[0]
    return [f"{name}: 'VARCHAR'" for name in header.split(",")]


def test_parquet_holds_what_was_written(folder: AttemptFolder, path: Path) -> None:
    written(folder, FileFormat.PARQUET, frame(ROWS), schema=SCHEMA)
    assert [list(row) for row in read(path)] == ROWS
    assert pa.parquet.read_schema(path / "part-00001.parquet").equals(SCHEMA)


def test_parquet_tells_not_a_number_from_null(folder: AttemptFolder, path: Path) -> None:
    schema = pa.schema({"ratio": pa.float64()})
    rows = [[float("nan")], [None], [float("-inf")]]
    written(folder, FileFormat.PARQUET, frame(rows, schema), schema=schema)
    assert str([value for (value,) in read(path)]) == "[nan, None, -inf]"


def test_csv_holds_what_was_written(folder: AttemptFolder, path: Path) -> None:
    written(folder, FileFormat.CSV, frame(ROWS), schema=SCHEMA)
    full, empty, _ = read(path)
    assert list(full) == [
        "9223372036854775807",
        "-32768",
        "0.1",
        "-123456789012345678901234567890123456.78",
        'two\nlines, a "quote", 😀',
        "true",
        "1969-07-20 20:17:40.000001",
        "2024-01-31 23:59:59.999999Z",
        "1969-12-31",
    ]
    assert list(empty) == EMPTY


def test_csv_tells_an_empty_text_from_null(folder: AttemptFolder, path: Path) -> None:
    texts = ["", None, "NULL", "\\N", '""', " ", ","]
    rows: list[list[Any]] = [[i, text] for i, text in enumerate(texts)]
    written(folder, FileFormat.CSV, frame(rows, NUMBERS), schema=NUMBERS)
    assert [note for _, note in read(path)] == texts


def test_csv_keeps_a_row_that_is_null_alone(folder: AttemptFolder, path: Path) -> None:
    schema = pa.schema({"note": pa.string()})
    rows: list[list[Any]] = [[None], ["a"], [None], [""]]
    written(folder, FileFormat.CSV, frame(rows, schema), schema=schema)
    assert [list(row) for row in read(path)] == rows


@pytest.mark.parametrize("file_format", FileFormat)
def test_parts_are_cut_where_they_are_full(
    folder: AttemptFolder,
    path: Path,
    small_parts: int,
    file_format: FileFormat,
) -> None:
    frames = [numbers(0, 4), numbers(4, 3), numbers(7, 25), numbers(32, 1)]
    files = written(folder, file_format, *frames, schema=NUMBERS)
    assert [file.rows for file in files] == [10, 10, 10, 3]
    assert [file.name for file in files] == [f"part-0000{i}.{file_format}" for i in range(1, 5)]
    assert [int(row[0]) for row in read(path)] == list(range(33))


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize("rows", [[10], [20], [5, 5, 10], [0, 10]])
def test_a_part_that_is_just_full_is_not_followed_by_an_empty_one(
    folder: AttemptFolder, small_parts: int, file_format: FileFormat, rows: list[int]
) -> None:
    frames = [numbers(0, count) for count in rows]
    files = written(folder, file_format, *frames, schema=NUMBERS)
    assert [file.rows for file in files] == [small_parts] * (sum(rows) // small_parts)


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_part_of_enough_bytes_is_full(
    folder: AttemptFolder, monkeypatch: pytest.MonkeyPatch, file_format: FileFormat
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 60)
    frames = [numbers(0, 100), numbers(100, 100)]
    files = written(folder, file_format, *frames, schema=NUMBERS)
    assert [file.rows for file in files] == [100, 100]


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_file_is_described_as_it_lies_on_the_disk(
    folder: AttemptFolder, path: Path, small_parts: int, file_format: FileFormat
) -> None:
    files = written(folder, file_format, numbers(0, 25), schema=NUMBERS)
    for file in files:
        content = (path / file.name).read_bytes()
        assert file.bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
    media_types = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv; charset=utf-8"}
    assert {file.media_type for file in files} == {media_types[file_format]}
    assert names(path) == sorted([CHECKPOINT, *(file.name for file in files)])


def test_every_csv_part_has_its_header(folder: AttemptFolder, path: Path, small_parts: int) -> None:
    files = written(folder, FileFormat.CSV, numbers(0, 25), schema=NUMBERS)
    assert len(files) == 3
    for file in files:
        header, *rows = (path / file.name).read_text().splitlines()
        assert header == '"id","note"'
        assert len(rows) == file.rows


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize("frames", [[], [frame([])]], ids=["no frame", "an empty frame"])
def test_no_rows_give_one_file_that_tells_the_columns(
    folder: AttemptFolder, path: Path, file_format: FileFormat, frames: list[pd.DataFrame]
) -> None:
    (file,) = written(folder, file_format, *frames, schema=SCHEMA)
    assert (file.name, file.rows) == (f"part-00001.{file_format}", 0)
    if file_format is FileFormat.PARQUET:
        assert pa.parquet.read_table(path / file.name).schema.equals(SCHEMA)
        assert pa.parquet.read_metadata(path / file.name).num_rows == 0
    else:
        content = (path / file.name).read_text()
        assert content == ",".join(f'"{name}"' for name in SCHEMA.names) + "\n"


@pytest.mark.parametrize("file_format", FileFormat)
def test_the_checkpoint_lists_the_files_that_are_finished(
    folder: AttemptFolder, path: Path, small_parts: int, file_format: FileFormat
) -> None:
    writer = PartWriter(folder, NUMBERS, ExportOptions(format=file_format), Journal(folder))
    seen = []
    for first in (0, 12):
        writer.write(numbers(first, 12))
        checkpoint = json.loads((path / CHECKPOINT).read_bytes())
        finished = [part["file"] for part in checkpoint["parts"]]
        seen.append([file["name"] for file in finished])
        assert [file["sha256"] for file in finished] == [
            hashlib.sha256((path / name).read_bytes()).hexdigest() for name in seen[-1]
        ]
    writer.abandon()
    first_part, second_part = f"part-00001.{file_format}", f"part-00002.{file_format}"
    assert seen == [[first_part], [first_part, second_part]]


@pytest.mark.parametrize("file_format", FileFormat)
def test_an_abandoned_part_never_has_its_name(
    folder: AttemptFolder, path: Path, small_parts: int, file_format: FileFormat
) -> None:
    writer = PartWriter(folder, NUMBERS, ExportOptions(format=file_format), Journal(folder))
    writer.write(numbers(0, 15))
    writer.abandon()
    assert names(path) == [
        CHECKPOINT,
        f"part-00001.{file_format}",
        f"part-00002.{file_format}.unfinished",
    ]
    writer.abandon()
    del writer
    gc.collect()  # an encoder that is still open would write now, and fail


@pytest.mark.parametrize("file_format", FileFormat)
def test_abandoning_after_the_end_changes_nothing(
    folder: AttemptFolder, path: Path, file_format: FileFormat
) -> None:
    writer = PartWriter(folder, NUMBERS, ExportOptions(format=file_format), Journal(folder))
    writer.write(numbers(0, 5))
    files = writer.close()
    writer.abandon()
    assert names(path) == [CHECKPOINT, files[0].name]
    assert writer.close() == files


def write_all(writer: PartWriter, frames: int) -> None:
    for index in range(frames):
        writer.write(numbers(index * 5_000, 5_000))
    writer.close()


@pytest.mark.parametrize("file_format", FileFormat)
@pytest.mark.parametrize("size", [0, 1_000, 40_000])
def test_a_full_disk_fails_the_task_and_leaves_no_file_under_its_name(
    folder: AttemptFolder, path: Path, file_format: FileFormat, size: int
) -> None:
    writer = PartWriter(folder, NUMBERS, ExportOptions(format=file_format), Journal(folder))
    with files_of_at_most(size):
        with pytest.raises(TaskFailed) as raised:
            write_all(writer, frames=12)
        writer.abandon()
    assert (raised.value.code, raised.value.retryable) == ("storage_unavailable", True)
    assert names(path) == [f"part-00001.{file_format}.unfinished"]
    del writer
    gc.collect()


@pytest.mark.parametrize("file_format", FileFormat)
def test_a_folder_that_is_gone_fails_the_task(
    folder: AttemptFolder, file_format: FileFormat
) -> None:
    folder.discard()
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        PartWriter(folder, NUMBERS, ExportOptions(format=file_format), Journal(folder)).write(
            numbers(0, 1)
        )


def test_a_frame_keeps_the_types_and_values_of_its_batch() -> None:
    made = frame(ROWS)
    assert [dtype.pyarrow_dtype for dtype in made.dtypes] == SCHEMA.types
    back = pa.RecordBatch.from_pandas(made, schema=SCHEMA, preserve_index=False)
    assert [list(row.values()) for row in back.to_pylist()] == ROWS


@pytest.mark.parametrize(
    ("file_format", "compression", "name"),
    [
        (FileFormat.PARQUET, Compression.ZSTD, "part-00001.parquet"),
        (FileFormat.PARQUET, Compression.SNAPPY, "part-00001.parquet"),
        (FileFormat.PARQUET, Compression.GZIP, "part-00001.parquet"),
        (FileFormat.PARQUET, Compression.NONE, "part-00001.parquet"),
        (FileFormat.CSV, Compression.NONE, "part-00001.csv"),
        (FileFormat.CSV, Compression.GZIP, "part-00001.csv.gz"),
    ],
)
def test_files_are_compressed_as_asked_and_their_digest_is_that_of_the_bytes_on_disk(
    folder: AttemptFolder,
    tmp_path: Path,
    file_format: FileFormat,
    compression: Compression,
    name: str,
) -> None:
    writer = PartWriter(
        folder, NUMBERS, ExportOptions(format=file_format, compression=compression), Journal(folder)
    )
    writer.write(numbers(0, 100))
    (file,) = writer.close()

    (path,) = tmp_path.rglob(name)
    content = path.read_bytes()
    assert (file.name, file.bytes) == (name, len(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    with duckdb.connect() as duck:
        assert duck.execute(f"SELECT count(*), max(id) FROM '{path}'").fetchone() == (100, 99)
    if file_format is FileFormat.PARQUET:
        codec = "UNCOMPRESSED" if compression is Compression.NONE else compression.name
        metadata = pyarrow.parquet.read_metadata(path)
        assert metadata.row_group(0).column(0).compression == codec
