"""The process of an export stays small, however wide its rows and large its batches are."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from benchmarks.exports import contender
from benchmarks.tables import postgresql_wide, sqlite_wide

# Of an export's process, whatever it exports.
MOST_MB = 400
# Far more than it may hold at a time: a quarter of a gigabyte of texts.
ROWS = 600
LARGEST_BATCH_SIZE = 100_000


@contextmanager
def wide_table(database: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[URL]:
    """200 texts of 2 000 characters in each row."""
    if database == "sqlite":
        yield sqlite_wide(folder / "source.sqlite", ROWS)
        return
    server: URL = request.getfixturevalue("postgres_server")
    with postgresql_wide(server.render_as_string(hide_password=False), ROWS) as url:
        yield url


@pytest.mark.faults
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_wide_rows_in_large_batches_stay_within_bounds(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with wide_table(database, tmp_path, request) as url:
        for file_format in ("parquet", "csv"):
            told = contender("ours", url, file_format, LARGEST_BATCH_SIZE)()
            assert told["rows"] == ROWS
            assert told["peak_mb"] < MOST_MB, file_format
