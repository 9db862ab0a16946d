"""Whole tables archived, deleted and put back, without the task around it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import URL, true

from pipelines.cleanups.deletions import Batch
from pipelines.exports import to_frame
from pipelines.journal import Journal
from pipelines.parts import PartWriter
from resources.archives.restoring import restore
from resources.archives.rows import rows_of
from resources.archives.store import Archive, ArchiveStore
from resources.archives.tables import RawTable, TableName, raw_table
from resources.results.local_folder import LocalFolder
from resources.source.connection import connect_source, connect_to_write, snapshot, transaction
from resources.source.masking import Masking
from resources.source.reader import arrow_schema, read_batches
from resources.task_types.export_options import ExportOptions

TASK, RUN = 1, "run"


def archived(
    url: URL, folder: Path, table: str, key: Sequence[str] = (), schema: str | None = None
) -> tuple[Archive, RawTable]:
    """All rows of a table in an archive in ``folder``, and the table."""
    storage = LocalFolder(folder)
    storage.prepare()
    store = ArchiveStore(storage, folder)
    target = store.folder(TASK, RUN)
    target.discard()
    target.create()
    engine = connect_source(url)
    with snapshot(engine) as connection:
        raw = raw_table(connection, TableName.of(connection, schema, table), key)
        raw.forms.prepare(connection)
        writer = PartWriter(target, arrow_schema(raw.columns), ExportOptions(), Journal(target))
        for batch in read_batches(connection, raw.rows(true()), 1_000, Masking(b"")):
            writer.write(to_frame(batch))
        files = writer.close()
    engine.dispose()
    told = raw.document() | {
        "rows": sum(file.rows for file in files),
        "files": [asdict(file) for file in files],
    }
    target.write_manifest({"tables": [told]})
    return store.written(TASK, RUN), raw


def delete_archived(url: URL, archive: Archive, table: RawTable) -> int:
    """Delete what is archived of a table; how many rows had changed, and were left."""
    engine = connect_to_write(url, statement_timeout_seconds=10)
    changed = 0
    for each in archive.tables:
        for batch in archive.batches(each, 1_000):
            with transaction(engine) as connection:
                changed += Batch.on(connection, table, ()).delete(rows_of(batch.columns))
    engine.dispose()
    return changed


def put_back(url: URL, archive: Archive) -> bool:
    """Whether every row is there again, each put in by this."""
    told = restore(archive, url, lambda _: None)
    return all(each.restored == each.archived for each in told)
