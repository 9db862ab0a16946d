"""What a result consists of, and the file that is being written."""

import hashlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from resources.results.failures import storage_failures


@dataclass(frozen=True)
class ResultFile:
    """One finished file of a result."""

    name: str
    rows: int
    bytes: int
    sha256: str
    media_type: str


def is_plain_name(name: str) -> bool:
    """Whether ``name`` names a file in a folder, and nothing elsewhere."""
    return name not in {"", ".", ".."} and not {"/", "\\", "\0"} & set(name)


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
        with storage_failures():
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
        with storage_failures():
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
