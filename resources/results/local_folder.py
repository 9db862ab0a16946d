"""Results in a folder of this machine, or of a file system that is mounted here."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

UNFINISHED_SUFFIX = ".unfinished"
# What file systems say that have no hard links, or no more of them for a file.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalFolder:
    """A `Storage` below ``root``.

    A root that is missing is a storage that is away, such as a volume that is not mounted: only
    `prepare` makes it. Otherwise what lies in it would be taken for removed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the root, for this user alone."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def make_folder(self, folder: str) -> None:
        """Make ``folder`` below the root; it is there still when the machine has lost its power."""
        path = self._root / folder
        path.parent.mkdir(exist_ok=True)
        path.mkdir()
        _sync_folder(path.parent)
        _sync_folder(self._root)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file beside its later name, moved into place once it is on the disk."""
        path = self._root / name
        unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)

    def write_once(self, name: str, content: bytes) -> bool:
        """A file beside its later name, which a hard link gives it: that is never there twice."""
        path = self._root / name
        own = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED_SUFFIX}")
        try:
            with own.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(own)
        except FileExistsError:
            return False
        finally:
            own.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def read(self, name: str) -> bytes:
        """The file's content."""
        return (self._root / name).read_bytes()

    def open(self, name: str) -> tuple[BufferedReader, int]:
        """The file, and its size."""
        file = (self._root / name).open("rb")
        return file, os.fstat(file.fileno()).st_size

    def folders(self, folder: str) -> list[str]:
        """What lies in ``folder``."""
        try:
            return [path.name for path in (self._root / folder).iterdir()]
        except FileNotFoundError:
            if self._root.is_dir():
                return []
            raise

    def remove(self, folder: str) -> None:
        """Remove ``folder``, and the one it lies in when nothing else does."""
        path = self._root / folder
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # others may lie beside it
            path.parent.rmdir()
        if path.exists() or not self._root.is_dir():
            msg = "something may be left of a removed folder"
            raise OSError(msg)

    def copy(self, source: str, target: str) -> None:
        """Make a hard link; where the file system has none, copy."""
        old, new = self._root / source, self._root / target
        try:
            new.hardlink_to(old)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with old.open("rb") as content, self.writing(target) as file:
                shutil.copyfileobj(content, file)
        _sync_folder(new.parent)


def _sync_folder(path: Path) -> None:
    """See that the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
