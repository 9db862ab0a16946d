"""Loading is of one snapshot, ends when the run must stop, and leaves nothing behind."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.assignments import Assignment
from pipelines.insights import lookups, workspace
from pipelines.insights.business import business_figures
from pipelines.insights.figures import Window
from pipelines.insights.scratch import SCRATCH, scratch_folder
from resources.errors import AttemptSuperseded, TaskFailed
from resources.settings import PROJECT_ROOT
from resources.source.dataset import _Examination
from resources.source.reader import read_batches
from resources.store.models import Principal, Role
from resources.store.tasks import TaskStore
from tests.pipelines.insights.conftest import AnalystOf
from tests.support.insights import ALL, Analyst, utc

# What a cancellation may take.
SOON_SECONDS = 2.0
ROWS = 1_200  # more than are asked for at a time
SHOP = f"""
CREATE TABLE users (id INTEGER PRIMARY KEY, at TIMESTAMP);
CREATE TABLE services (id INTEGER PRIMARY KEY, name TEXT, at TIMESTAMP);
CREATE TABLE bookings (id INTEGER PRIMARY KEY, who INTEGER, what INTEGER, state TEXT, at TIMESTAMP);
CREATE TABLE payments (
    id INTEGER PRIMARY KEY, booking INTEGER, state TEXT, amount DECIMAL(8, 2), at TIMESTAMP
);
INSERT INTO services VALUES (1, 'cut', '2023-01-01 00:00:00'), (2, 'wash', '2023-01-01 00:00:00');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
INSERT INTO users SELECT i, '2023-05-01 00:00:00' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
INSERT INTO bookings SELECT i, i, 1 + i % 2, 'done', '2023-12-31 00:00:00' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
INSERT INTO payments SELECT i, i + 5, 'paid', 1, '2024-01-02 00:00:00' FROM n;
"""
DATASETS = """
[users]
table = "users"
key = "id"
date_column = "at"

[services]
table = "services"
key = "id"
date_column = "at"
roles = { name = "name" }

[bookings]
table = "bookings"
key = "id"
date_column = "at"
roles = { user = "who", service = "what", status = "state" }
statuses = { paid = "done" }

[payments]
table = "payments"
key = "id"
date_column = "at"
roles = { booking = "booking", status = "state", amount = "amount" }
statuses = { paid = "paid" }
"""
DECEMBER = Window(utc(2023, 12, 1), utc(2024, 1, 1), "UTC")
JANUARY = Window(utc(2024, 1, 1), utc(2024, 2, 1), "UTC")


@pytest.fixture
def analyst(analyst_of: AnalystOf) -> Analyst:
    return analyst_of(SHOP, DATASETS)


@pytest.mark.parametrize("most_asked", [0, lookups.MOST_ASKED], ids=["read", "asked for"])
def test_what_lies_outside_of_the_window_is_looked_up_in_either_way(
    analyst: Analyst, monkeypatch: pytest.MonkeyPatch, most_asked: int
) -> None:
    monkeypatch.setattr(lookups, "MOST_ASKED", most_asked)

    with analyst.workspace(JANUARY) as loaded:
        january = business_figures(loaded, JANUARY)
    with analyst.workspace(DECEMBER) as loaded:
        december = business_figures(loaded, DECEMBER)

    found = {(each.code, each.rows) for each in january.findings}
    assert found == {("payments_without_booking", 5)}
    revenue = {each.name: each.amounts for each in january.services}
    half = pytest.approx(ROWS / 2, abs=5)
    assert {name: amounts and float(amounts[""]) for name, amounts in revenue.items()} == {
        "cut": half,
        "wash": half,
        None: 5.0,
    }
    assert december.headline.returning_bookers == ROWS
    found = {(each.code, each.rows) for each in december.findings}
    assert found == {("paid_bookings_without_payment", 5)}


def test_rows_that_get_lost_on_the_way_are_found_out(
    analyst: Analyst, monkeypatch: pytest.MonkeyPatch
) -> None:

    def lose_one(*arguments: Any) -> Iterator[pa.RecordBatch]:
        for batch in read_batches(*arguments):
            yield batch.slice(1)

    monkeypatch.setattr(workspace, "read_batches", lose_one)

    with pytest.raises(TaskFailed) as failure, analyst.workspace():
        pass

    assert failure.value.code == "count_mismatch"
    assert analyst.files() == []


# --- A run that must stop ---


@contextmanager
def stopped_soon(analyst: Analyst, assignment: Assignment) -> Iterator[Callable[[], None]]:
    """What is done inside is over soon after the task is cancelled, which is what it calls."""
    cancelled_at: list[float] = []

    def cancel() -> None:
        TaskStore(analyst.state).cancel(assignment.task.id, Principal("ann", Role.USER))
        cancelled_at.append(time.monotonic())

    with pytest.raises(AttemptSuperseded), assignment.control:
        yield cancel
    assert time.monotonic() - cancelled_at[0] < SOON_SECONDS
    assert analyst.files() == []


ENDLESS = """
CREATE TABLE t (id INTEGER);
CREATE VIEW bookings AS WITH RECURSIVE n(i) AS
    (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000000000) SELECT i AS id FROM n;
"""
OF_ENDLESS = """
[bookings]
table = "bookings"
key = "id"
columns = { id = { as = "integer" } }
"""


def test_loading_ends_when_the_task_is_cancelled(
    analyst_of: AnalystOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Examination, "_try_key", lambda *_: None)  # it would read the rows
    analyst = analyst_of(ENDLESS, OF_ENDLESS)
    assignment = analyst.assignment()
    datasets = [assignment.catalog.dataset("bookings")]

    with stopped_soon(analyst, assignment) as cancel:

        def cancel_and_begin(*_: object) -> int:
            cancel()
            return 100

        monkeypatch.setattr(workspace, "_count", cancel_and_begin)
        with workspace.workspace(assignment, datasets, ALL):
            pass


def test_a_query_of_duckdb_ends_when_the_task_is_cancelled(analyst: Analyst) -> None:
    assignment = analyst.assignment()
    datasets = [assignment.catalog.dataset("users")]

    with (
        stopped_soon(analyst, assignment) as cancel,
        workspace.workspace(assignment, datasets, ALL) as loaded,
    ):
        cancel()
        loaded.duck.rows(  # which takes days
            "SELECT count(*) FROM users a, users b, users c, users d "
            "WHERE (a.c0 * b.c0 + c.c0) % 7 = d.c0"
        )


# --- What is left behind ---


def test_the_folder_of_a_process_that_was_killed_is_swept_by_the_next_and_no_other(
    tmp_path: Path,
) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from pipelines.insights.scratch import scratch_folder\n"
        "with scratch_folder(pathlib.Path(sys.argv[1]), 'killed') as folder:\n"
        "    (folder / 'work.duckdb').write_bytes(b'rows')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=PROJECT_ROOT, timeout=60, check=False
    )
    parent = tmp_path / SCRATCH
    assert (parent / "killed" / "work.duckdb").exists()

    with scratch_folder(tmp_path, "living") as living, scratch_folder(tmp_path, "another"):
        (living / "work.duckdb").write_bytes(b"rows")
        folders = {path.name for path in parent.iterdir() if path.is_dir()}
        assert folders == {"living", "another"}
        assert (living / "work.duckdb").exists()

    assert [path for path in parent.iterdir() if path.is_dir()] == []


def test_an_error_in_the_block_removes_the_folder(analyst: Analyst) -> None:
    with pytest.raises(ZeroDivisionError), analyst.workspace(names=["users"]):
        raise ZeroDivisionError

    assert analyst.files() == []
