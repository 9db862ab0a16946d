"""What a place for results has to do; `LocalFolder` and `Bucket` do it."""

from contextlib import AbstractContextManager
from io import BufferedReader
from typing import BinaryIO, Protocol


class Storage(Protocol):
    """Keeps files under names such as ``7/4f1c…/part-00001.csv``; a folder is all but the last.

    Every failure is an `OSError`, and a missing file a `FileNotFoundError`.
    """

    def prepare(self) -> None:
        """Make what files are to lie in, where that is this service's to make."""

    def make_folder(self, folder: str) -> None:
        """Make ``folder``, into which one attempt writes.

        Raises:
            FileExistsError: It is there already.
        """

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new file, which has its name only when it is whole, and stored for good.

        Where the block ends in an error, the name stays as it was.
        """

    def write_once(self, name: str, content: bytes) -> bool:
        """Make a small file, whole and for good, unless there is one; whether it was made.

        Of several that try at the same time, one does.
        """

    def read(self, name: str) -> bytes:
        """The content of a small file."""

    def open(self, name: str) -> tuple[BufferedReader, int]:
        """A file to read from start to end, and how many bytes it has."""

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in ``folder``; none where it is missing.

        Raises:
            OSError: The storage does not answer, or is missing as a whole.
        """

    def remove(self, folder: str) -> None:
        """Remove everything in ``folder``; what is missing already is no failure.

        Raises:
            OSError: Something is left, or may be.
        """

    def copy(self, source: str, target: str) -> None:
        """Give ``target`` the content of ``source``, whole and for good, without moving bytes here.

        Raises:
            FileNotFoundError: There is no ``source``.
        """
