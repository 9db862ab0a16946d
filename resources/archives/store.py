"""Where archives lie: apart from results, never served, never swept.

Every attempt at a cleanup writes into a folder of its own; one of them is the task's archive, which
one write chooses. From then on nothing else is deleted by, and nothing is written anew.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from resources.archives.tables import columns_of
from resources.errors import ArchiveDamaged, ArchiveNotFound
from resources.results import MANIFEST, AttemptFolder, ResultFile
from resources.results.factory import storage_at
from resources.results.failures import outages, storage_failures, unusable
from resources.results.storage import Storage
from resources.settings import Settings
from resources.source.columns import Column

CHOSEN = "archive.json"
COPY_BYTES = 2**20


@dataclass(frozen=True)
class ArchivedTable:
    """The rows of one table in an archive.

    Attributes:
        document: What the manifest tells of the table (`RawTable.document`), and of its rows.
    """

    document: dict[str, Any]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.document["rows"])

    @property
    def files(self) -> list[ResultFile]:
        """The files they are in, in the order of the key."""
        return [ResultFile(**each) for each in self.document["files"]]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns as they are archived."""
        return columns_of(self.document)


@dataclass(frozen=True)
class Archive:
    """The rows that a task has archived.

    Attributes:
        folder: Where they lie: ``<task id>/<run id>``.
        manifest: What it consists of.
    """

    storage: Storage
    spool: Path
    folder: str
    manifest: dict[str, Any]

    @property
    def tables(self) -> list[ArchivedTable]:
        """Its tables, parents before children."""
        return [ArchivedTable(each) for each in self.manifest["tables"]]

    @property
    def rows(self) -> int:
        """All rows in it."""
        return sum(each.rows for each in self.tables)

    def check(self, raise_if_stopped: Callable[[], None]) -> None:
        """Read all of it, and make sure that it is what was written.

        Args:
            raise_if_stopped: Asked before each piece of a file.

        Raises:
            ArchiveDamaged: It is not.
            Unavailable: The storage does not answer.
        """
        for archived in self.tables:
            found = sum(self._checked_rows(file, raise_if_stopped) for file in archived.files)
            if found != archived.rows:
                raise _damaged()

    def _checked_rows(self, file: ResultFile, raise_if_stopped: Callable[[], None]) -> int:
        """The rows in a file, each of which is read."""
        with self._opened(file) as content:
            digest = hashlib.sha256()
            while piece := content.read(COPY_BYTES):
                raise_if_stopped()
                digest.update(piece)
            if content.tell() != file.bytes or digest.hexdigest() != file.sha256:
                raise _damaged()
            rows = 0
            for batch in _batches_of(content, COPY_BYTES):
                raise_if_stopped()
                rows += batch.num_rows
            if rows != file.rows:
                raise _damaged()
            return rows

    def batches(self, archived: ArchivedTable, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of a table, at most ``batch_rows`` at a time.

        Raises:
            ArchiveDamaged: A file is missing, or no Parquet.
            Unavailable: The storage does not answer.
        """
        for file in archived.files:
            with self._opened(file) as content:
                yield from _batches_of(content, batch_rows)

    @contextmanager
    def _opened(self, file: ResultFile) -> Iterator[BinaryIO]:
        """A file of the archive, in which one may go back: from a bucket, a copy of it."""
        with outages():
            try:
                content, _ = self.storage.open(f"{self.folder}/{file.name}")
            except FileNotFoundError:
                raise _damaged() from None
        with content:
            if content.seekable():
                yield content
                return
            with tempfile.TemporaryFile(dir=self.spool) as copy:
                with outages():
                    while piece := content.read(COPY_BYTES):
                        copy.write(piece)
                copy.seek(0)
                yield copy


def _batches_of(content: BinaryIO, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, a row group in memory at a time."""
    content.seek(0)
    try:
        parquet = pyarrow.parquet.ParquetFile(content)
        for index in range(parquet.num_row_groups):
            group = parquet.read_row_group(index, use_threads=False).combine_chunks()
            yield from group.to_batches(batch_rows)
    except pa.ArrowException as error:
        raise _damaged() from error


def _damaged() -> ArchiveDamaged:
    return ArchiveDamaged("A file of the archive is missing, or is not what its manifest says.")


class ArchiveStore:
    """All archives, in ``storage``."""

    def __init__(self, storage: Storage, spool: Path) -> None:
        self._storage = storage
        self._spool = spool

    def prepare(self) -> None:
        """Make what archives are to lie in, where that is this service's to make.

        Raises:
            Unavailable: It cannot be made; the message is the operator's.
        """
        with unusable("The archives folder cannot be made"):
            self._storage.prepare()

    def folder(self, task_id: int, run_id: str) -> AttemptFolder:
        """Where the run ``run_id`` of a task archives; not made yet."""
        return AttemptFolder(self._storage, str(task_id), run_id)

    def archive(self, task_id: int) -> Archive:
        """The archive of a task.

        Raises:
            ArchiveNotFound: None was chosen.
            Unavailable: The storage does not answer.
        """
        with outages():
            try:
                chosen = json.loads(self._storage.read(f"{task_id}/{CHOSEN}"))["run"]
            except FileNotFoundError:
                msg = f"Task {task_id} has no archive."
                raise ArchiveNotFound(msg) from None
        return self.written(task_id, str(chosen))

    def written(self, task_id: int, run_id: str) -> Archive:
        """What the run ``run_id`` has archived; its manifest is written.

        Raises:
            ArchiveDamaged: It is not.
            Unavailable: The storage does not answer.
        """
        folder = f"{task_id}/{run_id}"
        with outages():
            try:
                manifest = json.loads(self._storage.read(f"{folder}/{MANIFEST}"))
            except FileNotFoundError:
                raise _damaged() from None
        return Archive(self._storage, self._spool, folder, manifest)

    def unwritten(self, folder: AttemptFolder, manifest: dict[str, Any]) -> Archive:
        """What is in ``folder``, of which ``manifest`` is not written yet."""
        return Archive(self._storage, self._spool, folder.name, manifest)

    def choose(self, task_id: int, run_id: str) -> None:
        """Make what the run ``run_id`` has archived the task's archive, if it has none.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        with storage_failures():
            content = json.dumps({"run": run_id}).encode()
            self._storage.write_once(f"{task_id}/{CHOSEN}", content)

    def remove_others(self, task_id: int, archive: Archive) -> None:
        """Remove what other attempts have archived.

        Raises:
            TaskFailed: Something may be left (``storage_unavailable``).
        """
        with storage_failures():
            for name in self._storage.folders(str(task_id)):
                folder = f"{task_id}/{name}"
                if name != CHOSEN and folder != archive.folder:
                    self._storage.remove(folder)

    def note(self, archive: Archive, run_id: str, told: dict[str, Any]) -> None:
        """Write down what a run has made of the rows in ``archive``, beside them.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        with (
            storage_failures(),
            self._storage.writing(f"{archive.folder}/log-{run_id}.json") as file,
        ):
            file.write(json.dumps(told, ensure_ascii=False, indent=1).encode())


def archive_store(settings: Settings) -> ArchiveStore:
    """All archives, where ``settings`` say that they lie; nothing is asked of the storage yet.

    Raises:
        Unavailable: The environment does not say how to reach it; the message is the operator's.
    """
    with unusable("The archive storage cannot be used"):
        return ArchiveStore(storage_at(settings.archives, settings), settings.home)
