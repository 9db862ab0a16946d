"""``make demo``, as a newcomer sees it."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

pytestmark = pytest.mark.service


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "WORKERS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_the_demo_prints_rows_and_makes_a_report_and_says_where_they_lie(tmp_path: Path) -> None:
    assert run("workers", "seed", "--bookings", "2000", home=tmp_path).returncode == 0

    shown = run("workers.demo", home=tmp_path)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert '"task_type": "bookings_export"' in shown.stdout
    assert "Exporting: 100%" in shown.stdout
    assert "confirmed" in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if " rows, " in line]
    path = line.split(": ")[1]
    with duckdb.connect() as db:
        (count,) = db.execute(f"SELECT count(*) FROM '{path}'").fetchone() or (0,)
    assert line.startswith(f"{count} rows, ")
    assert count > 0
    assert "Reporting: 100%" in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("Open it")]
    page = Path(line.split(": ")[1])
    assert "Bookings and revenue: December 2025" in page.read_text()
    assert (page.parent / "report.xlsx").stat().st_size > 1_000


def test_a_demo_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")

    shown = run("workers.demo", home=tmp_path)

    assert shown.returncode == 1
    assert "Error: the service did not start" in shown.stderr
