"""Results in a bucket of Amazon S3, or of a server that speaks its protocol.

Imported only where results lie in one: the library costs a tenth of a second.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_SECONDS = 3
# The longest that one request may take, with its body. A client waits for what is read.
READ_SECONDS = 10
WRITE_SECONDS = 60
# Errors that may pass are tried again, at growing intervals: some 2 s, and some 10 s, together.
READ_RETRIES = 3
WRITE_RETRIES = 6
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 3
# One request each: so many bytes have to pass within the times above, and are held in memory.
READ_BYTES = 4 * 2**20
WRITE_BYTES = 8 * 2**20
WRITES_AT_ONCE = 4
PAGE = 1000


class Bucket:
    """A `Storage` in ``bucket``, below ``prefix``.

    Credentials, region and endpoint come from ``AWS_*`` in the environment, or from the machine's
    role. A file is written into an unnamed one in the folder ``spool`` first, and uploaded when it
    is whole: S3 shows an object only when all of it has arrived.
    """

    def __init__(self, bucket: str, prefix: str, spool: Path) -> None:
        self._reads = _store(bucket, prefix, READ_SECONDS, READ_RETRIES)
        self._writes = _store(bucket, prefix, WRITE_SECONDS, WRITE_RETRIES)
        self._spool = spool

    def prepare(self) -> None:
        """Nothing: a bucket is its operator's to make."""

    def make_folder(self, folder: str) -> None:
        """See that ``folder`` is empty; S3 has no folders to make."""
        if self._objects(folder):
            raise FileExistsError

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file without a name on this machine, uploaded at the end."""
        with tempfile.TemporaryFile(dir=self._spool) as file:
            yield file
            file.seek(0)
            with _told_as_os_errors():
                obstore.put(
                    self._writes,
                    name,
                    file,
                    chunk_size=WRITE_BYTES,
                    max_concurrency=WRITES_AT_ONCE,
                )

    def write_once(self, name: str, content: bytes) -> bool:
        """An object that S3 takes only where there is none (If-None-Match)."""
        try:
            with _told_as_os_errors():
                obstore.put(self._writes, name, content, mode="create")
        except FileExistsError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """The object's content."""
        with _told_as_os_errors():
            return bytes(obstore.get(self._reads, name).bytes())

    def open(self, name: str) -> tuple[BufferedReader, int]:
        """The object, read in ranges, and its size."""
        with _told_as_os_errors():
            size = obstore.head(self._reads, name)["size"]
        return BufferedReader(_Ranges(self._reads, name, size), READ_BYTES), size

    def folders(self, folder: str) -> list[str]:
        """The next part of all names that begin with ``folder``."""
        with _told_as_os_errors():
            found = obstore.list_with_delimiter(self._reads, folder)
        return [prefix.rpartition("/")[2] for prefix in found["common_prefixes"]]

    def remove(self, folder: str) -> None:
        """Delete every object in ``folder``."""
        with _told_as_os_errors():
            obstore.delete(self._reads, self._objects(folder))

    def copy(self, source: str, target: str) -> None:
        """Have S3 copy the object."""
        with _told_as_os_errors():
            obstore.copy(self._writes, source, target)

    def _objects(self, folder: str) -> list[str]:
        with _told_as_os_errors():
            pages = obstore.list(self._reads, folder, chunk_size=PAGE)
            return [found["path"] for page in pages for found in page]


class _Ranges(RawIOBase):
    """An object as a file that is read from start to end, each piece by a request of its own.

    So no connection waits for a client that reads slowly, and each piece has its own time-out.
    """

    def __init__(self, store: S3Store, name: str, size: int) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``, or what the object has left of it."""
        length = min(len(buffer), self._size - self._position)
        if length == 0:
            return 0
        with _told_as_os_errors():
            piece = obstore.get_range(self._store, self._name, start=self._position, length=length)
        buffer[: len(piece)] = memoryview(piece)
        self._position += len(piece)
        return len(piece)


def _store(bucket: str, prefix: str, seconds: int, retries: int) -> S3Store:
    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "timeout": timedelta(seconds=seconds),
        "allow_http": True,  # where AWS_ENDPOINT_URL says so
    }
    retry: RetryConfig = {
        "max_retries": retries,
        # No request begins later than this after the first.
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE_SECONDS),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE_SECONDS),
            "base": 2,
        },
    }
    with _told_as_os_errors():
        return S3Store(bucket, prefix=prefix or None, client_options=client, retry_config=retry)


@contextmanager
def _told_as_os_errors() -> Iterator[None]:
    try:
        yield
    except AlreadyExistsError as error:
        raise FileExistsError from error
    except BaseError as error:
        raise OSError(str(error)) from error
