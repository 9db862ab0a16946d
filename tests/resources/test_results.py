"""The files of results: whole or not there, and every failure a told one."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from resources.errors import ResultFileNotFound, TaskFailed, Unavailable
from resources.results import (
    CHECKPOINT,
    MANIFEST,
    UNFINISHED_SUFFIX,
    AttemptFolder,
    ResultFile,
    ResultStore,
)

PART = ResultFile("part-00001.csv", 2, 10, "0" * 64, "text/csv")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path)


@pytest.fixture
def attempt(store: ResultStore) -> AttemptFolder:
    attempt = store.attempt(7, "run-1")
    attempt.create()
    return attempt


@pytest.fixture
def folder(attempt: AttemptFolder, tmp_path: Path) -> Path:
    """Where the attempt writes."""
    return tmp_path / "7" / "run-1"


@pytest.fixture
def broken(tmp_path: Path) -> ResultStore:
    """A storage that takes nothing: there is a file where the folder should be."""
    path = tmp_path / "results"
    path.write_bytes(b"")
    return ResultStore(path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(attempt: AttemptFolder, name: str, content: bytes) -> None:
    with attempt.writing(name) as file:
        file.write(content)


def test_an_attempt_has_a_folder_of_its_own(attempt: AttemptFolder, folder: Path) -> None:
    assert attempt.name == "7/run-1"
    assert names(folder) == []


def test_an_attempt_is_made_once(attempt: AttemptFolder) -> None:
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        attempt.create()


def test_a_file_has_its_name_only_when_it_is_whole(attempt: AttemptFolder, folder: Path) -> None:
    with attempt.writing("a.csv") as file:
        file.write(b"one")
        assert names(folder) == ["a.csv" + UNFINISHED_SUFFIX]
    assert names(folder) == ["a.csv"]
    assert (folder / "a.csv").read_bytes() == b"one"


def test_a_file_whose_writing_failed_never_has_its_name(
    attempt: AttemptFolder, folder: Path
) -> None:
    def fail() -> None:
        with attempt.writing("a.csv") as file:
            file.write(b"one")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(folder) == ["a.csv" + UNFINISHED_SUFFIX]


def test_a_file_being_written_knows_its_size_and_hash(attempt: AttemptFolder) -> None:
    with attempt.writing("a.csv") as file:
        assert (file.tell(), file.sha256) == (0, hashlib.sha256().hexdigest())
        assert file.write(b"one") == 3
        assert file.write(memoryview(b"two!")) == 4
        assert file.tell() == 7
        assert file.sha256 == hashlib.sha256(b"onetwo!").hexdigest()


def test_the_checkpoint_lists_the_finished_files(attempt: AttemptFolder, folder: Path) -> None:
    attempt.write_checkpoint([PART])
    attempt.write_checkpoint([PART, PART])
    assert len(json.loads((folder / CHECKPOINT).read_bytes())["files"]) == 2
    assert json.loads((folder / CHECKPOINT).read_bytes())["files"][0] == {
        "name": "part-00001.csv",
        "rows": 2,
        "bytes": 10,
        "sha256": "0" * 64,
        "media_type": "text/csv",
    }
    assert names(folder) == [CHECKPOINT]


def test_a_checkpoint_is_written_over_one_that_was_cut_off(
    attempt: AttemptFolder, folder: Path
) -> None:
    (folder / (CHECKPOINT + UNFINISHED_SUFFIX)).write_text("{")
    attempt.write_checkpoint([])
    assert json.loads((folder / CHECKPOINT).read_bytes()) == {"files": []}


def test_a_manifest_is_read_as_it_was_written(store: ResultStore, attempt: AttemptFolder) -> None:
    manifest = {
        "rows": 3,
        "files": [asdict(PART)],
        "filters": {"status": "подтверждено 😀"},
        "date_from": None,
    }
    attempt.write_manifest(manifest)
    assert store.manifest(attempt.name) == manifest


def test_a_file_is_opened_by_the_folder_and_its_name(
    store: ResultStore, attempt: AttemptFolder
) -> None:
    write(attempt, "a.csv", b"one")
    with store.open(attempt.name, "a.csv", 3) as file:
        assert file.read() == b"one"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/b", "../run-2/a.csv", "/etc/passwd", "a.csv/", "./a.csv", "a\0"]
)
def test_only_a_plain_name_is_opened(store: ResultStore, attempt: AttemptFolder, name: str) -> None:
    write(attempt, "a.csv", b"one")
    with pytest.raises(ResultFileNotFound):
        store.open(attempt.name, name, 3)


def test_discarding_leaves_nothing_of_the_attempt(attempt: AttemptFolder, folder: Path) -> None:
    write(attempt, "a.csv", b"one")
    attempt.write_checkpoint([PART])
    assert attempt.discard()
    assert not folder.exists()
    assert attempt.discard()


def test_discarding_leaves_other_attempts(store: ResultStore, attempt: AttemptFolder) -> None:
    other = store.attempt(7, "run-2")
    other.create()
    write(other, "b.csv", b"two")
    attempt.discard()
    store.open(other.name, "b.csv", 3).close()


def test_other_attempts_of_the_task_are_removed(
    store: ResultStore, attempt: AttemptFolder, tmp_path: Path
) -> None:
    write(attempt, "a.csv", b"one")
    for task, run in ((7, "run-2"), (7, "run-3"), (8, "run-4")):
        store.attempt(task, run).create()
    attempt.remove_other_attempts()
    assert names(tmp_path / "7") == ["run-1"]
    assert names(tmp_path / "7" / "run-1") == ["a.csv"]
    assert names(tmp_path / "8") == ["run-4"]


def test_the_attempts_of_a_task_are_those_that_made_a_folder(
    store: ResultStore, attempt: AttemptFolder
) -> None:
    for task, run in ((7, "run-2"), (70, "run-3")):
        store.attempt(task, run).create()
    store.attempt(7, "run-4")
    assert sorted(each.name for each in store.attempts(7)) == ["7/run-1", "7/run-2"]
    assert store.attempts(8) == []


def test_the_last_attempt_that_is_discarded_takes_the_tasks_folder_along(
    store: ResultStore, attempt: AttemptFolder, tmp_path: Path
) -> None:
    store.attempt(7, "run-2").create()
    for each in store.attempts(7):
        write(each, "a.csv", b"one")
        each.discard()
    assert names(tmp_path) == []


def test_a_storage_that_takes_nothing_fails_the_task(broken: ResultStore) -> None:
    attempt = broken.attempt(7, "run-1")
    for act in (
        attempt.create,
        lambda: write(attempt, "a.csv", b"one"),
        lambda: attempt.write_checkpoint([]),
        lambda: attempt.write_manifest({}),
    ):
        with pytest.raises(TaskFailed) as raised:
            act()
        assert (raised.value.code, raised.value.retryable) == ("storage_unavailable", True)
        assert str(os.sep) not in raised.value.detail


def test_what_cannot_be_removed_fails_nothing(broken: ResultStore) -> None:
    attempt = broken.attempt(7, "run-1")
    attempt.remove_other_attempts()
    assert attempt.discard()


def test_a_name_that_is_taken_fails_the_task(attempt: AttemptFolder, folder: Path) -> None:
    (folder / "a.csv").mkdir()
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        write(attempt, "a.csv", b"one")


def test_a_folder_that_is_gone_fails_the_task(attempt: AttemptFolder) -> None:
    attempt.discard()
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        write(attempt, "a.csv", b"one")
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        attempt.write_checkpoint([])


def test_a_storage_that_gives_nothing_is_unavailable(broken: ResultStore) -> None:
    for act in (
        lambda: broken.manifest("7/run-1"),
        lambda: broken.open("7/run-1", "a.csv", 3),
        lambda: broken.attempts(7),
    ):
        with pytest.raises(Unavailable, match="does not answer"):
            act()


@pytest.mark.parametrize(
    "content",
    [None, b"", b'{"rows": ', b"\xff", b"[]", b"{}", b'{"files": [{}]}', b'{"files": {}}'],
)
def test_a_manifest_that_is_missing_or_damaged_is_unavailable(
    store: ResultStore, attempt: AttemptFolder, folder: Path, content: bytes | None
) -> None:
    if content is not None:
        (folder / MANIFEST).write_bytes(content)
    with pytest.raises(Unavailable):
        store.manifest(attempt.name)


def test_a_file_that_is_missing_is_unavailable(store: ResultStore, attempt: AttemptFolder) -> None:
    with pytest.raises(Unavailable):
        store.open(attempt.name, "a.csv", 3)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_file_that_is_not_whole_is_unavailable(
    store: ResultStore, attempt: AttemptFolder, size: int
) -> None:
    write(attempt, "a.csv", b"one")
    with pytest.raises(Unavailable):
        store.open(attempt.name, "a.csv", size)
