"""The files of results, in a local folder: ``<task id>/<run id>/<file>``.

Every attempt writes into a folder of its own. What it has written exists for clients only when
the task's row names the folder, which is one write of the task store.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from resources.errors import ResultFileNotFound, TaskFailed, Unavailable

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.json"
UNFINISHED_SUFFIX = ".unfinished"


@dataclass(frozen=True)
class ResultFile:
    """One finished file of a result."""

    name: str
    rows: int
    bytes: int
    sha256: str
    media_type: str


class HashingFile:
    """A file that is written once, from start to end; knows its size and SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Append ``data``; any object with a buffer.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        view = memoryview(data)
        with _storage_failures():
            self._file.write(view)
        self._hash.update(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def flush(self) -> None:
        """Give what is buffered to the operating system.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        with _storage_failures():
            self._file.flush()

    def close(self) -> None:
        """Nothing: who opened the file closes it. Arrow's writers call this."""
        self.closed = True

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No."""
        return False

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hexadecimal."""
        return self._hash.hexdigest()


class AttemptFolder:
    """Where one run writes; writing raises `TaskFailed` (``storage_unavailable``)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The folder as the task's row names it."""
        return f"{self._path.parent.name}/{self._path.name}"

    def create(self) -> None:
        """Make the folder."""
        with _storage_failures():
            self._path.mkdir(parents=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[HashingFile]:
        """A new file, in place under its name only when it is whole and on the disk."""
        unfinished = self._path / (name + UNFINISHED_SUFFIX)
        with _storage_failures():
            with unfinished.open("xb") as file:
                yield HashingFile(file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path / name)

    def write_checkpoint(self, files: list[ResultFile]) -> None:
        """Note which files are finished."""
        self._write_json(CHECKPOINT, {"files": [asdict(file) for file in files]})

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write what the result consists of; it needs publishing still."""
        self._write_json(MANIFEST, manifest)

    def _write_json(self, name: str, document: dict[str, Any]) -> None:
        with _storage_failures():
            (self._path / (name + UNFINISHED_SUFFIX)).unlink(missing_ok=True)
        with self.writing(name) as file:
            file.write(json.dumps(document, ensure_ascii=False, indent=1).encode())

    def remove_other_attempts(self) -> None:
        """Remove what earlier runs of the task left; for the run whose result stands.

        What cannot be removed stays: the result is published, nothing may fail it now.
        """
        with suppress(OSError):
            for other in self._path.parent.iterdir():
                if other != self._path:
                    shutil.rmtree(other, ignore_errors=True)

    def discard(self) -> bool:
        """Remove everything this attempt wrote; whether nothing is left of it."""
        shutil.rmtree(self._path, ignore_errors=True)
        with suppress(OSError):  # other attempts' folders may lie beside it
            self._path.parent.rmdir()
        return not self._path.exists()


class ResultStore:
    """All results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def attempt(self, task_id: int, run_id: str) -> AttemptFolder:
        """The folder of the run ``run_id`` of a task; not made yet."""
        return AttemptFolder(self._folder / str(task_id) / run_id)

    def manifest(self, folder: str) -> dict[str, Any]:
        """The manifest in ``folder``, which a task's row names.

        Raises:
            Unavailable: It cannot be read.
        """
        with _outages():
            manifest = json.loads((self._folder / folder / MANIFEST).read_bytes())
            _check_manifest(manifest)
            return dict(manifest)

    def open(self, folder: str, name: str, size: int) -> BinaryIO:
        """The file ``name`` of the result in ``folder``, of ``size`` bytes as its manifest says.

        Raises:
            ResultFileNotFound: The name is no plain file name.
            Unavailable: It cannot be read, or is not whole.
        """
        if name != Path(name).name or name in {"", ".", ".."} or "\0" in name:
            raise ResultFileNotFound
        path = self._folder / folder / name
        with _outages():
            found = path.stat().st_size
            if found != size:
                msg = f"a file of {size} bytes has {found}"
                raise ValueError(msg)
            return path.open("rb")

    def attempts(self, task_id: int) -> list[AttemptFolder]:
        """The folders that the runs of a task have made so far.

        Raises:
            Unavailable: The storage does not answer.
        """
        with _outages(), suppress(FileNotFoundError):
            return [AttemptFolder(path) for path in (self._folder / str(task_id)).iterdir()]
        return []


def _check_manifest(manifest: Any) -> None:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    told = {field.name for field in fields(ResultFile)}
    if not isinstance(files, list) or not all(
        isinstance(file, dict) and told <= file.keys() for file in files
    ):
        msg = "not a manifest"
        raise ValueError(msg)


@contextmanager
def _outages() -> Iterator[None]:
    """What cannot be read, or is damaged, is told as `Unavailable`."""
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        msg = "The result storage does not answer."
        raise Unavailable(msg) from error


@contextmanager
def _storage_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TaskFailed(
            "storage_unavailable",
            "The result could not be stored. The operator finds the reason in the run's log; "
            "submit the task again later.",
            retryable=True,
        ) from error
