"""The one place where the results' storage is chosen."""

from pathlib import Path

from resources.results.failures import unusable
from resources.results.local_folder import LocalFolder
from resources.results.location import BucketLocation
from resources.results.result_store import ResultStore
from resources.results.storage import Storage
from resources.settings import Settings


def result_store(settings: Settings) -> ResultStore:
    """All results, where ``settings`` say that they lie; nothing is asked of the storage yet.

    Raises:
        Unavailable: The environment does not say how to reach it; the message is the operator's.
    """
    with unusable("The result storage cannot be used"):
        return ResultStore(storage_at(settings.results, settings))


def storage_at(location: Path | BucketLocation, settings: Settings) -> Storage:
    """The storage at ``location``.

    Raises:
        OSError: The environment does not say how to reach it.
    """
    if isinstance(location, Path):
        return LocalFolder(location)
    from resources.results.bucket import Bucket  # noqa: PLC0415 - where results lie in one

    return Bucket(location.bucket, location.prefix, spool=settings.home)
