"""How much memory an export's process takes, whatever the size of what it exports.

``python -m benchmarks.memory [--rows N]``: a million rows and ten times as many, and rows
of 200 texts of 2 000 characters. The last line is JSON: the peak of each, in MB.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from sqlalchemy import URL

from benchmarks.exports import POSTGRES, contender
from benchmarks.tables import postgresql_table, postgresql_wide, sqlite_table, sqlite_wide

ROWS = 1_000_000
TIMES = 10
WIDE_ROWS = 2_000
LARGEST_BATCH_SIZE = 100_000
FORMATS = ("parquet", "csv")


def peaks(name: str, url: URL) -> dict[str, int]:
    """The peak of memory of an export in each format, of the table at ``url``."""
    told = {}
    for file_format in FORMATS:
        run = contender("ours", url, file_format, LARGEST_BATCH_SIZE)()
        told[f"{name}.{file_format}"] = run["peak_mb"]
        rate = run["rows"] / run["seconds"]
        print(
            f"{name}.{file_format:8} {run['rows']:12,} rows {rate:12,.0f} rows/s "
            f"{run['peak_mb']:5} MB",
            file=sys.stderr,
        )
    return told


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the smaller table")
    rows = parser.parse_args().rows
    told: dict[str, int] = {}
    for size in (rows, rows * TIMES):
        with postgresql_table(POSTGRES, size) as url:
            told |= peaks(f"postgresql.{size}", url)
        with tempfile.TemporaryDirectory() as folder:
            told |= peaks(f"sqlite.{size}", sqlite_table(Path(folder) / "source.sqlite", size))
    with postgresql_wide(POSTGRES, WIDE_ROWS) as url:
        told |= peaks("postgresql.wide", url)
    with tempfile.TemporaryDirectory() as folder:
        told |= peaks("sqlite.wide", sqlite_wide(Path(folder) / "source.sqlite", WIDE_ROWS))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
