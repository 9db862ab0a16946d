"""Fixtures for tests of results."""

from pathlib import Path

import pytest

from resources.results import ResultStore
from resources.results import bucket as bucket_module
from resources.results.bucket import Bucket
from tests.support.results import BucketPlace
from tests.support.s3 import Relay, S3Bucket

PREFIX = "some/prefix"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where files are put together before they go to a bucket."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not answer is given up soon."""
    for name in ("READ_SECONDS", "WRITE_SECONDS", "READ_RETRIES", "WRITE_RETRIES"):
        monkeypatch.setattr(bucket_module, name, 1)


@pytest.fixture
def in_bucket(bucket: S3Bucket, relay: Relay, spool: Path, impatient: None) -> BucketPlace:
    """Results in a bucket."""
    return BucketPlace(ResultStore(Bucket(bucket.name, PREFIX, spool)), bucket, PREFIX, relay)
