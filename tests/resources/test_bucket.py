"""What holds of a bucket alone: time-outs, permissions, pages, and that no file is left here."""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from resources.errors import TaskFailed, Unavailable
from resources.results import ResultFile, ResultStore
from resources.results.bucket import Bucket
from resources.results.factory import result_store
from resources.settings import Settings
from tests.support.outages import files_of_at_most
from tests.support.results import BucketPlace
from tests.support.s3 import SECRET_KEY, aws_environment, refusing_server, silent_server

# More than is uploaded in one request, and than is read in one.
LARGE = os.urandom(20_000_000)
# With one retry after a second at most, and one second for each request.
BOUND_SECONDS = 8


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(in_bucket: BucketPlace) -> None:
    attempt = in_bucket.store.attempt(7, "run-1")
    with attempt.writing("a.csv") as file:
        for start in range(0, len(LARGE), 70_000):
            file.write(LARGE[start : start + 70_000])
    assert in_bucket.bucket.unfinished_uploads() == []
    with in_bucket.store.open(attempt.name, "a.csv", len(LARGE)) as content:
        assert hashlib.file_digest(content, "sha256").hexdigest() == file.sha256  # type: ignore[arg-type]


def test_while_a_file_is_written_it_has_no_name_anywhere(
    in_bucket: BucketPlace, spool: Path
) -> None:
    with in_bucket.store.attempt(7, "run-1").writing("a.csv") as file:
        file.write(LARGE)
        assert list(spool.iterdir()) == []
        assert in_bucket.names() == in_bucket.bucket.unfinished_uploads() == []


def test_a_full_disk_fails_the_task_and_uploads_nothing(in_bucket: BucketPlace) -> None:
    def fail() -> None:
        with in_bucket.store.attempt(7, "run-1").writing("a.csv") as file:
            file.write(LARGE)

    with files_of_at_most(100_000), pytest.raises(TaskFailed, match="storage_unavailable"):
        fail()
    assert in_bucket.names() == []


def test_a_folder_for_unfinished_files_that_is_gone_fails_the_task(
    in_bucket: BucketPlace, spool: Path
) -> None:
    spool.rmdir()
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        in_bucket.store.attempt(7, "run-1").write_manifest({})


def assert_told(store: ResultStore, caplog: pytest.LogCaptureFixture) -> None:
    """Every act on ``store`` ends soon, in an error that tells its reader nothing it may not."""
    attempt, other = store.attempt(7, "run-1"), store.attempt(7, "run-2")
    writes: list[Callable[[], object]] = [
        attempt.create,
        lambda: attempt.write_manifest({}),
    ]
    reads: list[Callable[[], object]] = [
        lambda: store.manifest("7/run-1"),
        lambda: store.open("7/run-1", "a.csv", 3),
        lambda: store.attempts(7),
    ]
    started = time.monotonic()
    for act in writes:
        with pytest.raises(TaskFailed, match="storage_unavailable") as failed:
            act()
        assert SECRET_KEY not in str(failed.value.__cause__)
        assert "results-" not in failed.value.detail
    for act in reads:
        with pytest.raises(Unavailable, match=r"^The result storage does not answer\.$"):
            act()
    assert not attempt.discard()
    attempt.remove_other_attempts()
    assert attempt.read_checkpoint() is None
    assert not attempt.take_over(other, ResultFile("", 1, 3, "0" * 64, "text/csv"))
    assert time.monotonic() - started < BOUND_SECONDS * 8
    assert SECRET_KEY not in caplog.text


@pytest.mark.faults
@pytest.mark.parametrize("server", [silent_server, refusing_server])
def test_a_server_that_is_silent_or_refuses_is_told_in_time(
    server: Callable[[], AbstractContextManager[int]],
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with server() as port:
        for name, value in aws_environment(port).items():
            monkeypatch.setenv(name, value)
        assert_told(ResultStore(Bucket("results-secret", "prefix", tmp_path)), caplog)


def test_a_bucket_that_is_missing_is_told(
    in_bucket: BucketPlace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ResultStore(Bucket("results-of-nobody", "prefix", tmp_path))
    with pytest.raises(Unavailable):
        store.attempts(7)
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        store.attempt(7, "run-1").create()
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        store.attempt(7, "run-1").write_manifest({})
    assert not store.attempt(7, "run-1").discard()
    assert "NoSuchBucket" in caplog.text


def test_a_storage_that_fails_while_a_file_is_taken_over_fails_the_task(
    in_bucket: BucketPlace,
) -> None:
    earlier, mine = (in_bucket.store.attempt(7, run) for run in ("run-1", "run-2"))
    with earlier.writing("a.csv") as file:
        file.write(b"one")
    part = ResultFile("a.csv", 1, 3, file.sha256, "text/csv")
    with in_bucket.away(), pytest.raises(TaskFailed, match="storage_unavailable"):
        mine.take_over(earlier, part)
    assert mine.take_over(earlier, part)


def test_settings_say_where_results_lie(in_bucket: BucketPlace, tmp_path: Path) -> None:
    url = f"s3://{in_bucket.bucket.name}/{in_bucket.prefix}"
    store = result_store(Settings(home=tmp_path, results_url=url))
    store.prepare()
    store.attempt(7, "run-1").write_manifest({"files": []})
    assert in_bucket.names() == ["7/run-1/manifest.json"]

    store = result_store(Settings(home=tmp_path / "home", results_url=f"file://{tmp_path}/kept"))
    store.prepare()
    store.attempt(7, "run-1").create()
    assert (tmp_path / "kept" / "7" / "run-1").is_dir()


def test_an_environment_that_the_library_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CHECKSUM_ALGORITHM", "none such")
    with pytest.raises(Unavailable, match=r"cannot be used: .*none such"):
        result_store(Settings(home=tmp_path, results_url="s3://exports"))
