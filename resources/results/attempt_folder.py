"""Where one attempt writes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from resources.errors import TaskFailed
from resources.results.failures import storage_failures
from resources.results.files import HashingFile, ResultFile, is_plain_name
from resources.results.storage import Storage

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.json"


class AttemptFolder:
    """Where one run writes; writing raises `TaskFailed` (``storage_unavailable``).

    Attributes:
        name: The folder as the task's row names it: ``<task id>/<run id>``.
    """

    def __init__(self, storage: Storage, task: str, run: str) -> None:
        self._storage = storage
        self._task = task
        self._run = run
        self.name = f"{task}/{run}"

    def create(self) -> None:
        """Make the folder."""
        with storage_failures():
            self._storage.make_folder(self.name)

    @contextmanager
    def writing(self, name: str) -> Iterator[HashingFile]:
        """A new file, in place under its name only when it is whole and stored for good."""
        with storage_failures(), self._storage.writing(self._path(name)) as file:
            yield HashingFile(file)

    def take_over(self, other: "AttemptFolder", file: ResultFile) -> bool:
        """Bring a finished file of an earlier attempt into this folder; whether it is here now.

        It is not where it is missing, was removed meanwhile, or has another size or SHA-256
        than ``file`` says. It is read once, to hash it; the earlier attempt keeps it.
        """
        with storage_failures():
            try:
                theirs = f"{other.name}/{file.name}"
                if not is_plain_name(file.name) or not self._is_as_told(theirs, file):
                    return False
                self._storage.copy(theirs, self._path(file.name))
            except FileNotFoundError:
                return False
        return True

    def _is_as_told(self, path: str, file: ResultFile) -> bool:
        content, size = self._storage.open(path)
        with content:
            return size == file.bytes and file.sha256 == (
                hashlib.file_digest(content, "sha256").hexdigest()
            )

    def read_checkpoint(self) -> dict[str, Any] | None:
        """What was last noted of the attempt's progress; None where nothing is, or readable."""
        with suppress(OSError, ValueError, RecursionError):
            document = json.loads(self._storage.read(self._path(CHECKPOINT)))
            return document if isinstance(document, dict) else None
        return None

    def write_checkpoint(self, document: dict[str, Any]) -> None:
        """Note how far the attempt is, in place of what was noted before."""
        self._write_json(CHECKPOINT, document)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write what the result consists of; it needs publishing still."""
        self._write_json(MANIFEST, manifest)

    def _write_json(self, name: str, document: dict[str, Any]) -> None:
        with self.writing(name) as file:
            file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())

    def others(self) -> list["AttemptFolder"]:
        """The folders of the task's other attempts."""
        with storage_failures():
            runs = self._storage.folders(self._task)
        return [AttemptFolder(self._storage, self._task, run) for run in runs if run != self._run]

    def remove_other_attempts(self) -> None:
        """Remove what earlier runs of the task left; for the run whose result stands.

        What cannot be removed stays: the result is published, nothing may fail it now.
        """
        with suppress(TaskFailed):
            for other in self.others():
                other.discard()

    def discard(self) -> bool:
        """Remove everything this attempt wrote; whether it is certain that nothing is left."""
        try:
            self._storage.remove(self.name)
        except OSError:
            return False
        return True

    def _path(self, name: str) -> str:
        return f"{self.name}/{name}"
