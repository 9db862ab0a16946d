"""The process of an analysis stays small, however much there is to analyse."""

from pathlib import Path

import pytest

from benchmarks.analysis import make_source, measured

MOST_MB = 500
ROWS = 10_000_000


@pytest.mark.faults
@pytest.mark.timeout(1_800)
def test_ten_million_rows_stay_within_bounds(tmp_path: Path) -> None:
    source = tmp_path / "source.sqlite"
    make_source(source, ROWS)

    told = measured(source)

    assert told["rows"] == ROWS
    assert told["peak_mb"] < MOST_MB
