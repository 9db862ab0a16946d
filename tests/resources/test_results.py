"""The files of results: whole or not there, and every failure a told one, wherever they lie."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from resources.errors import ResultFileNotFound, TaskFailed, Unavailable
from resources.results import (
    CHECKPOINT,
    MANIFEST,
    AttemptFolder,
    ResultFile,
    ResultStore,
)
from resources.results.local_folder import UNFINISHED_SUFFIX, LocalFolder
from tests.support.outages import moved_away, replaced_by_a_file
from tests.support.results import BucketPlace, LocalPlace, Place, local_results

PART = ResultFile("part-00001.csv", 2, 10, "0" * 64, "text/csv")
ONE = ResultFile("a.csv", 1, 3, hashlib.sha256(b"one").hexdigest(), "text/csv")


@pytest.fixture(params=["a folder", "a bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    kind = {"a folder": "local", "a bucket": "in_bucket"}[request.param]
    place: Place = request.getfixturevalue(kind)
    return place


@pytest.fixture
def local(tmp_path: Path) -> LocalPlace:
    return LocalPlace(local_results(tmp_path / "results"), tmp_path / "results")


@pytest.fixture
def store(place: Place) -> ResultStore:
    return place.store


@pytest.fixture
def attempt(store: ResultStore) -> AttemptFolder:
    attempt = store.attempt(7, "run-1")
    attempt.create()
    return attempt


def write(attempt: AttemptFolder, name: str, content: bytes) -> None:
    with attempt.writing(name) as file:
        file.write(content)


def attempts(store: ResultStore, *folders: tuple[int, str]) -> list[AttemptFolder]:
    """Attempts that have written a file each."""
    made = [store.attempt(task, run) for task, run in folders]
    for each in made:
        each.create()
        write(each, "a.csv", b"one")
    return made


# --- Writing ---


def test_an_attempt_has_a_folder_of_its_own(attempt: AttemptFolder, place: Place) -> None:
    write(attempt, "a.csv", b"one")
    assert attempt.name == "7/run-1"
    assert place.names() == ["7/run-1/a.csv"]


def test_an_attempt_is_made_once(attempt: AttemptFolder) -> None:
    write(attempt, "a.csv", b"one")
    with pytest.raises(TaskFailed, match="storage_unavailable"):
        attempt.create()


@pytest.mark.parametrize("content", [b"", b"one", os.urandom(1_000_000)], ids=len)
def test_a_file_has_its_name_only_when_it_is_whole(
    attempt: AttemptFolder, place: Place, content: bytes
) -> None:
    with attempt.writing("a.csv") as file:
        file.write(content)
        assert "7/run-1/a.csv" not in place.names()
    assert place.names() == ["7/run-1/a.csv"]
    assert place.get("7/run-1/a.csv") == content


def test_a_file_whose_writing_failed_never_has_its_name(
    attempt: AttemptFolder, place: Place
) -> None:
    def fail() -> None:
        with attempt.writing("a.csv") as file:
            file.write(b"one")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "7/run-1/a.csv" not in place.names()


def test_a_file_being_written_knows_its_size_and_hash(attempt: AttemptFolder) -> None:
    with attempt.writing("a.csv") as file:
        assert (file.tell(), file.sha256) == (0, hashlib.sha256().hexdigest())
        assert file.write(b"one") == 3
        assert file.write(memoryview(b"two!")) == 4
        assert file.tell() == 7
        assert file.sha256 == hashlib.sha256(b"onetwo!").hexdigest()


def test_the_checkpoint_is_the_last_that_was_written(attempt: AttemptFolder, place: Place) -> None:
    assert attempt.read_checkpoint() is None
    for count in (2, 1):
        document = {"files": [asdict(PART)] * count, "key": ["ü", None]}
        attempt.write_checkpoint(document)
        assert attempt.read_checkpoint() == document
    assert place.names() == [f"7/run-1/{CHECKPOINT}"]


@pytest.mark.parametrize("content", [b"", b'{"files": ', b"\xff", b"[]", b"[" * 100_000])
def test_a_checkpoint_that_cannot_be_read_is_none(
    attempt: AttemptFolder, place: Place, content: bytes
) -> None:
    attempt.write_checkpoint({})
    place.put(f"7/run-1/{CHECKPOINT}", content)
    assert attempt.read_checkpoint() is None


def test_a_checkpoint_is_written_over_one_that_was_cut_off(local: LocalPlace) -> None:
    (attempt,) = attempts(local.store, (7, "run-1"))
    local.put(f"7/run-1/{CHECKPOINT}{UNFINISHED_SUFFIX}", b"{")
    attempt.write_checkpoint({"files": []})
    assert json.loads(local.get(f"7/run-1/{CHECKPOINT}")) == {"files": []}


# --- Reading ---


def test_a_manifest_is_read_as_it_was_written(store: ResultStore, attempt: AttemptFolder) -> None:
    manifest = {
        "rows": 3,
        "files": [asdict(PART)],
        "filters": {"status": "подтверждено 😀"},
        "date_from": None,
    }
    attempt.write_manifest(manifest)
    assert store.manifest(attempt.name) == manifest


@pytest.mark.parametrize("content", [b"", b"one", os.urandom(9_000_000)], ids=len)
def test_a_file_is_opened_by_the_folder_and_its_name(
    store: ResultStore, attempt: AttemptFolder, content: bytes
) -> None:
    write(attempt, "a.csv", content)
    with store.open(attempt.name, "a.csv", len(content)) as file:
        pieces = list(iter(lambda: file.read(100_000), b""))
    assert b"".join(pieces) == content


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/b", "../run-2/a.csv", "/etc/passwd", "a.csv/", "./a.csv", "a\0"]
)
def test_only_a_plain_name_is_opened(store: ResultStore, attempt: AttemptFolder, name: str) -> None:
    write(attempt, "a.csv", b"one")
    with pytest.raises(ResultFileNotFound):
        store.open(attempt.name, name, 3)


@pytest.mark.parametrize(
    "content",
    [None, b"", b'{"rows": ', b"\xff", b"[]", b"{}", b'{"files": [{}]}', b'{"files": {}}'],
)
def test_a_manifest_that_is_missing_or_damaged_is_unavailable(
    store: ResultStore, attempt: AttemptFolder, place: Place, content: bytes | None
) -> None:
    write(attempt, "a.csv", b"one")
    if content is not None:
        place.put(f"7/run-1/{MANIFEST}", content)
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


# --- Removing ---


def test_discarding_leaves_nothing_of_the_attempt(attempt: AttemptFolder, place: Place) -> None:
    for index in range(8):  # more than a page
        write(attempt, f"{index}.csv", b"one")
    attempt.write_checkpoint({})
    assert attempt.discard()
    assert place.names() == []
    assert attempt.discard()


def test_discarding_leaves_other_attempts(store: ResultStore, place: Place) -> None:
    first, *_ = attempts(store, (7, "run-1"), (7, "run-10"), (7, "run-2"), (70, "run-1"))
    first.discard()
    assert place.names() == ["7/run-10/a.csv", "7/run-2/a.csv", "70/run-1/a.csv"]


def test_other_attempts_of_the_task_are_removed(store: ResultStore, place: Place) -> None:
    mine, *_ = attempts(store, (7, "run-1"), (7, "run-2"), (7, "run-3"), (8, "run-4"))
    mine.remove_other_attempts()
    assert place.names() == ["7/run-1/a.csv", "8/run-4/a.csv"]


def test_the_attempts_of_a_task_are_those_that_have_written(store: ResultStore) -> None:
    runs = [(7, f"run-{index}") for index in range(8)]  # more than a page
    attempts(store, *runs, (70, "run-3"))
    store.attempt(7, "run-9")
    assert sorted(each.name for each in store.attempts(7)) == [f"7/{run}" for _, run in runs]
    assert store.attempts(8) == []


def test_the_last_attempt_that_is_discarded_takes_the_tasks_folder_along(local: LocalPlace) -> None:
    attempts(local.store, (7, "run-1"), (7, "run-2"))
    for each in local.store.attempts(7):
        each.discard()
    assert list(local.root.iterdir()) == []


# --- Taking over what an earlier attempt has finished ---


def test_a_finished_file_of_an_earlier_attempt_is_taken_over(
    store: ResultStore, place: Place
) -> None:
    (earlier,) = attempts(store, (7, "run-1"))
    mine = store.attempt(7, "run-2")
    mine.create()
    assert mine.take_over(earlier, ONE)
    assert place.names() == ["7/run-1/a.csv", "7/run-2/a.csv"]
    assert earlier.discard()
    assert place.get("7/run-2/a.csv") == b"one"


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, bytes=4),
        replace(ONE, sha256="0" * 64),
        replace(ONE, name="b.csv"),
        replace(ONE, name="../run-1/a.csv"),
        replace(ONE, name=""),
    ],
    ids=["size", "hash", "missing", "elsewhere", "none"],
)
def test_a_file_that_is_another_than_was_noted_is_not_taken_over(
    store: ResultStore, place: Place, other: ResultFile
) -> None:
    (earlier,) = attempts(store, (7, "run-1"))
    mine = store.attempt(7, "run-2")
    mine.create()
    assert not mine.take_over(earlier, other)
    assert place.names() == ["7/run-1/a.csv"]


def test_a_file_that_is_removed_in_the_middle_is_not_taken_over(
    store: ResultStore, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (earlier,) = attempts(store, (7, "run-1"))
    mine = store.attempt(7, "run-2")
    mine.create()
    digest = hashlib.file_digest

    def remove_and_digest(*given: Any) -> Any:
        found = digest(*given)
        earlier.discard()
        return found

    monkeypatch.setattr(hashlib, "file_digest", remove_and_digest)
    assert not mine.take_over(earlier, ONE)
    assert place.names() == []


def test_a_file_system_without_links_has_a_copy(
    local: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_given: Any) -> NoReturn:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (earlier,) = attempts(local.store, (7, "run-1"))
    mine = local.store.attempt(7, "run-2")
    mine.create()
    assert mine.take_over(earlier, ONE)
    assert local.get("7/run-2/a.csv") == b"one"
    assert local.names() == ["7/run-1/a.csv", "7/run-2/a.csv"]


# --- Failing ---


@contextmanager
def gone(place: Place) -> Iterator[None]:
    """Nobody finds where results lie while inside."""
    if isinstance(place, LocalPlace):
        with moved_away(place.root):
            yield
    elif isinstance(place, BucketPlace):
        with place.away():
            yield


def assert_fails(*acts: Any) -> None:
    """Each of ``acts`` fails the task, and tells its owner nothing of where results lie."""
    for act in acts:
        with pytest.raises(TaskFailed) as raised:
            act()
        assert (raised.value.code, raised.value.retryable) == ("storage_unavailable", True)
        assert os.sep not in raised.value.detail


def test_a_storage_that_is_away_is_told_and_used_again_when_it_is_back(place: Place) -> None:
    store = place.store
    mine, earlier = attempts(store, (7, "run-1"), (7, "run-2"))
    mine.write_manifest({"files": []})
    with gone(place):
        assert_fails(
            store.attempt(8, "run-3").create,
            lambda: write(mine, "b.csv", b"one"),
            lambda: mine.write_checkpoint({}),
            lambda: mine.write_manifest({}),
        )
        for act in (
            lambda: store.manifest("7/run-1"),
            lambda: store.open("7/run-1", "a.csv", 3),
            lambda: store.attempts(7),
            lambda: store.attempts(8),
        ):
            with pytest.raises(Unavailable, match=r"^The result storage does not answer\.$"):
                act()
        mine.remove_other_attempts()
        assert not earlier.discard()
        assert mine.read_checkpoint() is None
    assert {each.name for each in store.attempts(7)} == {"7/run-1", "7/run-2"}
    write(mine, "b.csv", b"one")
    assert earlier.discard()
    assert place.names() == ["7/run-1/a.csv", "7/run-1/b.csv", f"7/run-1/{MANIFEST}"]


def test_a_file_where_the_folder_should_be_is_told(local: LocalPlace) -> None:
    (attempt,) = attempts(local.store, (7, "run-1"))
    with replaced_by_a_file(local.root):
        assert_fails(attempt.create, lambda: write(attempt, "a.csv", b"one"))
        with pytest.raises(Unavailable):
            local.store.attempts(7)
        with pytest.raises(Unavailable, match="cannot be made"):
            local.store.prepare()
        assert not attempt.discard()


def test_a_root_is_made_by_preparing_alone(tmp_path: Path) -> None:
    store = ResultStore(LocalFolder(tmp_path / "far" / "results"))
    assert_fails(store.attempt(7, "run-1").create)
    for _ in range(2):
        store.prepare()
    store.attempt(7, "run-1").create()


def test_a_name_that_is_taken_fails_the_task(local: LocalPlace) -> None:
    (attempt,) = attempts(local.store, (7, "run-1"))
    (local.root / "7" / "run-1" / "b.csv").mkdir()
    assert_fails(lambda: write(attempt, "b.csv", b"one"))


def test_a_folder_that_is_gone_fails_the_task(local: LocalPlace) -> None:
    (attempt,) = attempts(local.store, (7, "run-1"))
    attempt.discard()
    assert_fails(lambda: write(attempt, "a.csv", b"one"), lambda: attempt.write_checkpoint({}))


def test_the_names_of_a_new_folder_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    fsync = os.fsync

    def and_note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", and_note)
    LocalFolder(tmp_path).make_folder("7/run-1")

    assert set(synced) == {each.stat().st_ino for each in (tmp_path, tmp_path / "7")}
