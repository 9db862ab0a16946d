"""All results: where attempts write, and what is read of those that were published."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from resources.errors import ResultFileNotFound
from resources.results.attempt_folder import MANIFEST, AttemptFolder
from resources.results.failures import outages, unusable
from resources.results.files import ResultFile, is_plain_name
from resources.results.local_folder import LocalFolder
from resources.results.storage import Storage


class ResultStore:
    """All results, in ``storage``; a path stands for the local folder there."""

    def __init__(self, storage: Storage | Path) -> None:
        self._storage = LocalFolder(storage) if isinstance(storage, Path) else storage

    def prepare(self) -> None:
        """Make what results are to lie in, where that is this service's to make.

        Raises:
            Unavailable: It cannot be made; the message is the operator's.
        """
        with unusable("The results folder cannot be made"):
            self._storage.prepare()

    def attempt(self, task_id: int, run_id: str) -> AttemptFolder:
        """The folder of the run ``run_id`` of a task; not made yet."""
        return AttemptFolder(self._storage, str(task_id), run_id)

    def attempts(self, task_id: int) -> list[AttemptFolder]:
        """The folders that the runs of a task have made so far.

        Raises:
            Unavailable: The storage does not answer, or is missing as a whole.
        """
        with outages():
            return [self.attempt(task_id, run) for run in self._storage.folders(str(task_id))]

    def manifest(self, folder: str) -> dict[str, Any]:
        """The manifest in ``folder``, which a task's row names.

        Raises:
            Unavailable: It cannot be read.
        """
        with outages():
            manifest = json.loads(self._storage.read(f"{folder}/{MANIFEST}"))
            _check_manifest(manifest)
            return dict(manifest)

    def open(self, folder: str, name: str, size: int) -> BinaryIO:
        """The file ``name`` of the result in ``folder``, of ``size`` bytes as its manifest says.

        Raises:
            ResultFileNotFound: The name is no plain file name.
            Unavailable: It cannot be read, or is not whole.
        """
        if not is_plain_name(name):
            raise ResultFileNotFound
        with outages():
            file, found = self._storage.open(f"{folder}/{name}")
            if found != size:
                file.close()
                msg = f"a file of {size} bytes has {found}"
                raise ValueError(msg)
            return file


def _check_manifest(manifest: Any) -> None:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    told = {field.name for field in fields(ResultFile)}
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and told <= file.keys() for file in files
    ):
        msg = "not a manifest"
        raise ValueError(msg)
