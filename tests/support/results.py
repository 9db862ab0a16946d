"""Places where results lie, and a look into them that does not go through the service."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resources.results import ResultStore
from tests.support.s3 import Relay, S3Bucket


def local_results(folder: Path) -> ResultStore:
    """Results in ``folder``, which is made."""
    results = ResultStore(folder)
    results.prepare()
    return results


class Place(Protocol):
    """Where a store keeps its files."""

    @property
    def store(self) -> ResultStore:
        """The store."""

    def names(self) -> list[str]:
        """What lies there."""

    def get(self, name: str) -> bytes:
        """A file's content."""

    def put(self, name: str, content: bytes) -> None:
        """Make or replace a file."""

    def delete(self, name: str) -> None:
        """Remove a file."""


@dataclass(frozen=True)
class LocalPlace:
    """A folder."""

    store: ResultStore
    root: Path

    def names(self) -> list[str]:
        """The paths of all files."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self.root)) for path in files)

    def get(self, name: str) -> bytes:
        """A file's content."""
        return (self.root / name).read_bytes()

    def put(self, name: str, content: bytes) -> None:
        """Make or replace a file."""
        (self.root / name).write_bytes(content)

    def delete(self, name: str) -> None:
        """Remove a file."""
        (self.root / name).unlink()


@dataclass(frozen=True)
class BucketPlace:
    """A bucket, below a prefix."""

    store: ResultStore
    bucket: S3Bucket
    prefix: str
    relay: Relay

    def away(self) -> AbstractContextManager[None]:
        """The server is gone while inside."""
        return self.relay.away()

    def names(self) -> list[str]:
        """The names of all objects; each has the prefix."""
        names = self.bucket.names()
        assert all(name.startswith(f"{self.prefix}/") for name in names)
        return sorted(name.removeprefix(f"{self.prefix}/") for name in names)

    def get(self, name: str) -> bytes:
        """An object's content."""
        return self.bucket.get(f"{self.prefix}/{name}")

    def put(self, name: str, content: bytes) -> None:
        """Make or replace an object."""
        self.bucket.put(f"{self.prefix}/{name}", content)

    def delete(self, name: str) -> None:
        """Remove an object."""
        self.bucket.delete(f"{self.prefix}/{name}")
