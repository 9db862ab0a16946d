"""One export, in a process of its own: tells how long it took, and how large the process became.

``python -m benchmarks.contenders ours|pandas URL parquet|csv FOLDER BATCH_SIZE``
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster  # noqa: F401 - a run's process has it loaded, and its memory counts
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from sqlalchemy import URL, create_engine, make_url, text, update

from benchmarks.tables import TABLE
from pipelines.exports import Export
from pipelines.run_control import RunControl
from resources.requests import parse_request, select_rows
from resources.results import ResultStore
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from resources.source.masking import Masking
from resources.store.attempts import AttemptStore
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.models import Status
from resources.store.tables import tasks
from resources.store.tasks import TaskStore

# As pandas users write it: the chunk size that is fastest here.
PANDAS_CHUNK_ROWS = 50_000
KIBIBYTE = 1024


def prepare_ours(url: URL, file_format: str, folder: Path, batch_size: int) -> Callable[[], int]:
    """The export's job on a task of its own, ready to run, with its state in SQLite."""
    state = connect(URL.create("sqlite", database=str(folder / "state" / "runs.db")))
    migrate(state)
    source = connect_source(url)
    declared = {TABLE: Declaration.model_validate({"table": TABLE, "key": "id"})}
    catalog = Catalog(source, declared, check_keys=False)
    body = {
        "task_type": "bookings_export",
        "batch_size": batch_size,
        "options": {"format": file_format},
    }
    request = parse_request(body, catalog)
    store = TaskStore(state)
    task = store.submit(request, owner="bench", request_id="bench", idempotency_key=None).task
    with state.begin() as connection:
        connection.execute(update(tasks).values(status=Status.PROCESSING))
    attempt = AttemptStore(state, task.run_id)
    results = ResultStore(folder / "results")
    results.prepare()

    def run() -> int:
        with RunControl(attempt) as control:
            export = Export(
                request=request,
                selection=select_rows(request, catalog),
                source=source,
                masking=Masking(b""),
                folder=results.attempt(task.id, task.run_id),
                attempt=attempt,
                control=control,
            )
            return int(export.run().manifest["rows"])

    return run


def prepare_pandas(url: URL, file_format: str, folder: Path, _batch_size: int) -> Callable[[], int]:
    """The loop that is written without a service."""
    engine = create_engine(url)

    def run() -> int:
        rows, writer = 0, None
        with engine.connect().execution_options(stream_results=True) as connection:
            query = text(f"SELECT * FROM {TABLE} ORDER BY id")
            for frame in pd.read_sql(query, connection, chunksize=PANDAS_CHUNK_ROWS):
                if file_format == "csv":
                    frame.to_csv(folder / "out.csv", mode="a", header=rows == 0, index=False)
                else:
                    table = pa.Table.from_pandas(frame, preserve_index=False)
                    writer = writer or pyarrow.parquet.ParquetWriter(
                        folder / "out.parquet", table.schema, compression="zstd"
                    )
                    writer.write_table(table)
                rows += len(frame)
        if writer is not None:
            writer.close()
        return rows

    return run


def peak_megabytes() -> int:
    """The most memory that this process has had (Linux).

    Not by getrusage, which counts what the process had that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kibibytes,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return round(int(kibibytes) / KIBIBYTE)


def main(who: str, url: str, file_format: str, folder: str, batch_size: str) -> None:
    """Run one of them, and print what it took."""
    prepare = {"ours": prepare_ours, "pandas": prepare_pandas}[who]
    run = prepare(make_url(url), file_format, Path(folder), int(batch_size))
    started = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - started
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak_megabytes()}), flush=True)
    os._exit(0)  # what the libraries do at the end is not measured


if __name__ == "__main__":
    main(*sys.argv[1:])
