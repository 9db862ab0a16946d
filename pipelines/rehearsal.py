"""One small export with nothing of it left: the first one of a process is slow."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL, Engine

from pipelines.exports import Export
from pipelines.run_control import RunControl
from resources.engine.storage import state_engine
from resources.errors import AttemptSuperseded
from resources.requests import parse_request, select_rows
from resources.results import ResultStore
from resources.results.local_folder import LocalFolder
from resources.settings import load_settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration, load_declarations
from resources.source.masking import load_masking
from resources.store.attempts import AttemptStore

_TABLE = """
CREATE TABLE bookings (
    id INTEGER PRIMARY KEY, status VARCHAR(20), price DECIMAL(10, 2), is_paid BOOLEAN,
    score DOUBLE, note TEXT, day DATE, created_at TIMESTAMP
)
"""
_ROW = (1, "confirmed", "9.90", 1, 0.5, "A rehearsal.", "2024-01-01", "2024-01-01 00:00:00")
_DECLARATION = Declaration(table="bookings", key=["id"], date_column="created_at")


def rehearse() -> None:
    """Export a row in each format into a folder that is thrown away."""
    load_declarations(load_settings().datasets)
    with TemporaryDirectory(prefix="workers-rehearsal-") as folder, _source(Path(folder)) as source:
        for file_format in ("parquet", "csv"):
            _export(source, Path(folder), file_format)


@contextmanager
def _source(folder: Path) -> Iterator[Engine]:
    path = folder / "source.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_TABLE)
        connection.execute("INSERT INTO bookings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _ROW)
    engine = connect_source(URL.create("sqlite", database=str(path)))
    try:
        yield engine
    finally:
        engine.dispose()


def _export(source: Engine, folder: Path, file_format: str) -> None:
    catalog = Catalog(source, {"bookings": _DECLARATION}, check_keys=False)
    body = {"task_type": "bookings_export", "options": {"format": file_format}}
    request = parse_request(body, catalog)
    attempt = _NobodysAttempt(state_engine(), run_id="rehearsal")
    attempt.claim_nothing()
    with RunControl(attempt) as control:
        Export(
            request=request,
            selection=select_rows(request, catalog),
            source=source,
            masking=load_masking(load_settings()),
            folder=ResultStore(LocalFolder(folder)).attempt(0, file_format),
            attempt=attempt,
            control=control,
        ).run()


class _NobodysAttempt(AttemptStore):
    """Each of its statements is executed, and hits no row, for no task has this run."""

    def claim_nothing(self) -> None:
        with suppress(AttemptSuperseded):
            self.claim()

    def check(self) -> None:
        """Look, and find nothing."""
        with suppress(AttemptSuperseded):
            super().check()

    def _write_fenced(self, **values: Any) -> None:
        with suppress(AttemptSuperseded):
            super()._write_fenced(**values)
