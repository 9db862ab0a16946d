"""Exports, side by side with psql's copy command and with the loop that pandas users write.

``python -m benchmarks.exports [--rows N] [--rounds N] [--json]``: all contenders in turn, round by
round, so that what disturbs the machine disturbs all. The last line is JSON; ratios are ours ÷
theirs, more than 1 is faster.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from benchmarks.tables import TABLE, postgresql_table, sqlite_table
from tests.conftest import DEFAULT_POSTGRES_URL

POSTGRES = os.environ.get("WORKERS_TEST_POSTGRES_URL", DEFAULT_POSTGRES_URL)
BATCH_SIZE = 1_000
SMALL_BATCH_SIZE = 100
LONGEST_SECONDS = 3600

Measured = dict[str, Any]


def contender(
    who: str, url: URL, file_format: str, batch_size: int = BATCH_SIZE
) -> Callable[[], Measured]:
    """An export by `benchmarks.contenders`, in a process and a folder of its own."""

    def run() -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            source = url.render_as_string(hide_password=False)
            arguments = (who, source, file_format, folder, str(batch_size))
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.contenders", *arguments],
                stdout=subprocess.PIPE,
                timeout=LONGEST_SECONDS,
                check=True,
            )
        return dict(json.loads(done.stdout))

    return run


def copied(url: URL, rows: int) -> Callable[[], Measured]:
    """Psql's copy command of the same rows in the same order."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def run() -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            select = f"SELECT * FROM {TABLE} ORDER BY id"
            command = f"\\copy ({select}) TO '{folder}/out.csv' CSV HEADER"
            started = time.perf_counter()
            subprocess.run(
                ["psql", "--quiet", "--no-psqlrc", plain, "--command", command],  # noqa: S607
                timeout=LONGEST_SECONDS,
                check=True,
            )
            return {"rows": rows, "seconds": time.perf_counter() - started}

    return run


def measure(
    contenders: dict[str, Callable[[], Measured]], rounds: int
) -> dict[str, dict[str, float]]:
    """Medians over the rounds: rows a second, and the peak of memory where it is known."""
    seen: dict[str, list[Measured]] = defaultdict(list)
    for number in range(rounds):
        for name, run in contenders.items():
            seen[name].append(run())
            rate = seen[name][-1]["rows"] / seen[name][-1]["seconds"]
            print(f"round {number + 1}: {name:24} {rate:12,.0f} rows/s", file=sys.stderr)
    return {
        name: {
            "rows_per_s": statistics.median(each["rows"] / each["seconds"] for each in runs),
            "peak_mb": statistics.median(each.get("peak_mb", 0) for each in runs),
        }
        for name, runs in seen.items()
    }


def compare(measured: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures of each of our exports, with what it is compared to."""
    told: dict[str, dict[str, float]] = {}
    for database, file_format in (
        ("postgresql", "parquet"),
        ("postgresql", "csv"),
        ("sqlite", "parquet"),
    ):
        name = f"{database}.{file_format}"
        if name not in measured:
            continue
        ours = measured[name]
        figures: dict[str, float] = {"rows_per_s": round(ours["rows_per_s"])}
        for other, ratio in (("copy", "vs_copy"), (f"pandas {name}", "vs_pandas")):
            if other in measured and not (other == "copy" and database != "postgresql"):
                theirs = measured[other]["rows_per_s"]
                figures[ratio] = round(ours["rows_per_s"] / theirs, 2)
        told[name] = figures | {"peak_mb": round(ours["peak_mb"])}
    if "batch100" in measured:
        told["batch100"] = {"rows_per_s": round(measured["batch100"]["rows_per_s"])}
    return told


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.exports", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="nothing but the figures")
    wanted = parser.parse_args()
    contenders: dict[str, Callable[[], Measured]] = {}
    with tempfile.TemporaryDirectory() as folder, postgresql_table(POSTGRES, wanted.rows) as url:
        lite = sqlite_table(Path(folder) / "source.sqlite", wanted.rows)
        for file_format in ("parquet", "csv"):
            contenders[f"postgresql.{file_format}"] = contender("ours", url, file_format)
            contenders[f"pandas postgresql.{file_format}"] = contender("pandas", url, file_format)
        if shutil.which("psql"):
            contenders["copy"] = copied(url, wanted.rows)
        contenders["sqlite.parquet"] = contender("ours", lite, "parquet")
        contenders["pandas sqlite.parquet"] = contender("pandas", lite, "parquet")
        contenders["batch100"] = contender("ours", url, "parquet", SMALL_BATCH_SIZE)
        measured = measure(contenders, wanted.rounds)
    if not wanted.json:
        for name, figures in measured.items():
            print(f"{name:28} {figures['rows_per_s']:12,.0f} rows/s {figures['peak_mb']:6.0f} MB")
    print(json.dumps(compare(measured)))


if __name__ == "__main__":
    main()
