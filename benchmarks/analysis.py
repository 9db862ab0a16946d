"""How long an analysis takes, and how large its process becomes, whatever there is to analyse.

``python -m benchmarks.analysis [--rows N]``: a million rows and ten times as many, in SQLite. Of
each: a share of bookings, of payments, of users; each booking has a text of its own. The last line
is JSON.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster  # noqa: F401 - a run's process has it loaded, and its memory counts
from sqlalchemy import URL, update

from benchmarks.contenders import peak_megabytes
from pipelines.assignments import Assignment
from pipelines.data_analysis import run_analysis
from pipelines.run_control import RunControl
from resources.requests import parse_request
from resources.results import ResultStore
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from resources.store.attempts import AttemptStore
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.models import Status
from resources.store.tables import tasks
from resources.store.tasks import TaskStore

ROWS = 1_000_000
TIMES = 10
LONGEST_SECONDS = 3600
# Of a hundred rows.
_BOOKINGS, _PAYMENTS, _USERS = 55, 43, 2

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :rows)"
_MADE = (
    (
        _USERS,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, country TEXT, created_at TIMESTAMP)",
        "INSERT INTO users SELECT i, 'C' || i % 40, datetime('2022-01-01', (i * 97) || ' seconds')",
    ),
    (
        _BOOKINGS,
        """
        CREATE TABLE bookings (
            id INTEGER PRIMARY KEY, user_id INTEGER, service_id INTEGER, status TEXT,
            guests INTEGER, total NUMERIC(10, 2), currency TEXT, note TEXT, created_at TIMESTAMP
        )
        """,
        """
        INSERT INTO bookings
        SELECT i, 1 + (i * 7919) % 20000, 1 + i % 50,
            CASE i % 4 WHEN 0 THEN 'pending' WHEN 1 THEN 'cancelled' ELSE 'completed' END,
            1 + i % 6, ((i * 37) % 100000) / 100.0, CASE i % 3 WHEN 0 THEN 'USD' ELSE 'EUR' END,
            printf('%032x-note', abs(random())), datetime('2023-01-01', (i * 13) || ' seconds')
        """,
    ),
    (
        _PAYMENTS,
        """
        CREATE TABLE payments (
            id INTEGER PRIMARY KEY, booking_id INTEGER, status TEXT, amount NUMERIC(10, 2),
            currency TEXT, method TEXT, created_at TIMESTAMP
        )
        """,
        """
        INSERT INTO payments
        SELECT i, 1 + (i * 6151) % 4000000,
            CASE i % 9 WHEN 0 THEN 'failed' WHEN 1 THEN 'refunded' ELSE 'paid' END,
            ((i * 37) % 100000) / 100.0, CASE i % 3 WHEN 0 THEN 'USD' ELSE 'EUR' END,
            CASE i % 5 WHEN 0 THEN 'cash' ELSE 'card' END,
            datetime('2023-01-02', (i * 17) || ' seconds')
        """,
    ),
)
_DATED = {"key": "id", "date_column": "created_at"}
DECLARED: dict[str, dict[str, Any]] = {
    "bookings": _DATED
    | {
        "table": "bookings",
        "roles": {"user": "user_id", "status": "status", "amount": "total", "currency": "currency"},
        "statuses": {"cancelled": "cancelled", "paid": "completed"},
    },
    "payments": _DATED
    | {
        "table": "payments",
        "roles": {
            "booking": "booking_id",
            "status": "status",
            "amount": "amount",
            "currency": "currency",
            "method": "method",
        },
        "statuses": {"paid": "paid", "refunded": "refunded"},
    },
    "users": _DATED | {"table": "users"},
}


def make_source(path: Path, rows: int) -> None:
    """A SQLite database with so many rows in all."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        for share, table, filling in _MADE:
            connection.execute(table)
            inserting, selecting = filling.split("SELECT", 1)
            statement = f"{inserting} {_NUMBERS} SELECT {selecting} FROM n"
            connection.execute(statement, {"rows": rows * share // 100})
        connection.commit()


def measured(path: Path, **asked: Any) -> dict[str, Any]:
    """An analysis of the SQLite database at ``path``, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.analysis", "--source", str(path), json.dumps(asked)],
        stdout=subprocess.PIPE,
        timeout=LONGEST_SECONDS,
        check=True,
    )
    return dict(json.loads(done.stdout))


def analyse_here(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The same, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        assignment = _assignment(Path(folder), path, asked)
        before, started = peak_megabytes(), time.perf_counter()
        with assignment.control:
            metadata = run_analysis(assignment).metadata or {}
        return {
            "rows": metadata["rows"],
            "seconds": round(time.perf_counter() - started, 1),
            "peak_mb": peak_megabytes(),
            "mb_before": before,
        }


def _assignment(folder: Path, path: Path, asked: dict[str, Any]) -> Assignment:
    state = connect(URL.create("sqlite", database=str(folder / "state" / "runs.db")))
    migrate(state)
    source = connect_source(URL.create("sqlite", database=str(path)))
    declared = {name: Declaration.model_validate(each) for name, each in DECLARED.items()}
    catalog = Catalog(source, declared, check_keys=False)
    request = parse_request({"task_type": "data_analysis", **asked}, catalog)
    store = TaskStore(state)
    task = store.submit(request, owner="bench", request_id="bench", idempotency_key=None).task
    with state.begin() as connection:
        connection.execute(update(tasks).values(status=Status.PROCESSING))
    attempt = AttemptStore(state, task.run_id)
    results = ResultStore(folder / "results")
    results.prepare()
    return Assignment(
        task=task,
        request=request,
        catalog=catalog,
        source=source,
        settings=Settings(home=folder / "home"),
        folder=results.attempt(task.id, task.run_id),
        attempt=attempt,
        control=RunControl(attempt),
        warn=lambda warning: print(warning, file=sys.stderr),
    )


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.analysis", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the smaller source")
    parser.add_argument("--source", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.source:
        path, asked = wanted.source
        print(json.dumps(analyse_here(Path(path), json.loads(asked))), flush=True)
        os._exit(0)  # as a run's process does
    told = {}
    for rows in (wanted.rows, wanted.rows * TIMES):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "source.sqlite"
            make_source(path, rows)
            told[f"sqlite.{rows}"] = measured(path)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
