"""Results: the manifest and its files."""

import hashlib
import shutil
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest

from api.results import PIECE_BYTES
from resources.results import ResultStore
from resources.results.bucket import Bucket
from resources.settings import Settings
from resources.timestamps import now, to_rfc3339
from tests.api.conftest import Serve
from tests.api.support import HOST, TASKS, TIMEOUT_SECONDS, Api, File, assert_problem
from tests.support.results import local_results
from tests.support.s3 import Relay, S3Bucket
from tests.support.waiting import eventually

FIRST = File("part-00001.csv", "id,note\n1,ü\n".encode())
SECOND = File("part-00002.parquet", bytes(range(256)) * 4096, "application/vnd.apache.parquet")
EMPTY = File("part-00003.csv", b"")
RETENTION = timedelta(days=7)


@pytest.fixture
def alice(api: Api) -> httpx.Client:
    return api.user("alice")


@pytest.fixture
def task(api: Api, alice: httpx.Client) -> dict[str, Any]:
    """A completed task with three files."""
    task = api.submit(alice, filters={"status": "confirmed"}, date_from="2024-01-01T00:00:00Z")
    api.complete(task, FIRST, SECOND, EMPTY, rows=2)
    return task


def result(task: dict[str, Any], name: str = "") -> str:
    return f"{TASKS}{task['id']}/result/{name}"


def sha256(file: File) -> str:
    return hashlib.sha256(file.content).hexdigest()


def test_manifest_lists_every_file(api: Api, alice: httpx.Client, task: dict[str, Any]) -> None:
    answer = alice.get(result(task))
    expires_at = to_rfc3339(api.row(task)["finished_at"] + RETENTION)
    assert answer.status_code == 200
    assert answer.json() == {
        "rows": 6,
        "bytes": len(FIRST.content) + len(SECOND.content),
        "files": [
            {
                "name": file.name,
                "url": f"{api.url}{result(task, file.name)}",
                "rows": 2,
                "bytes": len(file.content),
                "sha256": sha256(file),
                "media_type": file.media_type,
            }
            for file in (FIRST, SECOND, EMPTY)
        ],
        "schema": [{"name": "id", "type": "int64"}],
        "filters": {"status": "confirmed"},
        "date_from": "2024-01-01T00:00:00Z",
        "date_to": None,
        "snapshots": [{"taken_at": "2024-01-01T00:00:00Z", "rows": 6}],
        "expires_at": expires_at,
    }


def test_task_and_list_tell_of_the_result(
    api: Api, alice: httpx.Client, task: dict[str, Any]
) -> None:
    told: dict[str, Any] = {
        "rows": 6,
        "bytes": len(FIRST.content) + len(SECOND.content),
        "files": 3,
        "url": f"{api.url}{result(task)}",
        "expires_at": to_rfc3339(api.row(task)["finished_at"] + RETENTION),
    }
    assert alice.get(f"{TASKS}{task['id']}/").json()["result"] == told
    assert alice.get(TASKS).json()["results"][0]["result"] == told
    assert alice.get(told["url"]).status_code == 200


@pytest.mark.parametrize("file", [FIRST, SECOND, EMPTY], ids=lambda file: str(file.name))
def test_file_arrives_whole(alice: httpx.Client, task: dict[str, Any], file: File) -> None:
    answer = alice.get(result(task, file.name))
    assert answer.status_code == 200
    assert answer.content == file.content
    assert answer.headers["content-length"] == str(len(file.content))
    assert answer.headers["content-type"] == file.media_type
    assert answer.headers["etag"] == f'"{sha256(file)}"'
    disposition = f'attachment; filename="bookings_export-{task["id"]}-{file.name}"'
    assert answer.headers["content-disposition"] == disposition


@pytest.mark.parametrize(
    "condition", ['"{etag}"', 'W/"{etag}"', '"other", "{etag}"', '"other","{etag}","more"', "*"]
)
def test_file_that_the_client_has_is_not_sent_again(
    alice: httpx.Client, task: dict[str, Any], condition: str
) -> None:
    etag = sha256(FIRST)
    headers = {"If-None-Match": condition.format(etag=etag)}
    answer = alice.get(result(task, FIRST.name), headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{etag}"'


@pytest.mark.parametrize(
    "condition", ['"other"', 'W/"other"', '"{start}"', "", ",", '"', '"{start}*"']
)
def test_file_that_the_client_lacks_is_sent(
    alice: httpx.Client, task: dict[str, Any], condition: str
) -> None:
    headers = {"If-None-Match": condition.format(start=sha256(FIRST)[:32])}
    answer = alice.get(result(task, FIRST.name), headers=headers)
    assert (answer.status_code, answer.content) == (200, FIRST.content)


@pytest.mark.parametrize("state", ["pending", "processing", "failed", "cancelled"])
def test_task_that_has_not_completed_has_no_result(
    api: Api, alice: httpx.Client, state: str
) -> None:
    # Given
    task = api.submit(alice)
    api.bring_to(alice, task, state)
    # Expect
    for name in ("", FIRST.name):
        assert_problem(alice.get(result(task, name)), 409, "result_not_ready")
    assert alice.get(f"{TASKS}{task['id']}/").json()["result"] is None


def test_result_that_is_published_shows_once_the_run_has_ended(
    api: Api, alice: httpx.Client
) -> None:
    task = api.submit(alice)
    api.process(task).publish({"rows": 1, "bytes": 1, "files": 1, "folder": "1/1"})
    assert_problem(alice.get(result(task)), 409, "result_not_ready")
    assert alice.get(f"{TASKS}{task['id']}/").json()["result"] is None


def test_result_past_its_retention_is_gone(
    api: Api, alice: httpx.Client, task: dict[str, Any]
) -> None:
    api.set(task, finished_at=now() - RETENTION)
    for name in ("", FIRST.name, "unknown.csv"):
        assert_problem(alice.get(result(task, name)), 410, "result_expired")
    assert alice.get(f"{TASKS}{task['id']}/").json()["status"] == "completed"


def test_result_is_there_until_its_retention_ends(
    api: Api, alice: httpx.Client, task: dict[str, Any]
) -> None:
    api.set(task, finished_at=now() - RETENTION + timedelta(minutes=1))
    assert alice.get(result(task)).status_code == 200
    assert alice.get(result(task, FIRST.name)).status_code == 200


def test_retention_is_a_setting(serve: Serve, settings: Settings) -> None:
    # Given
    hour = timedelta(hours=1)
    api = serve(settings=settings.model_copy(update={"result_retention": hour}))
    alice = api.user()
    task = api.submit(alice)
    api.complete(task, FIRST)
    # Expect
    expires_at = alice.get(result(task)).json()["expires_at"]
    assert expires_at == to_rfc3339(api.row(task)["finished_at"] + hour)
    api.set(task, finished_at=now() - hour)
    assert_problem(alice.get(result(task)), 410, "result_expired")


def test_retention_without_end_is_kept(serve: Serve, settings: Settings) -> None:
    api = serve(settings=settings.model_copy(update={"result_retention": timedelta.max}))
    alice = api.user()
    task = api.submit(alice)
    api.complete(task, FIRST)
    assert alice.get(result(task)).json()["expires_at"] == "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    "name",
    [
        "part-00009.csv",
        "PART-00001.CSV",
        "part-00001",
        "part-00001.csv%00",
        "part-00001.csv%20",
        "part-00001.csv%0a",
        "part-00001.csv;v=1",
        "manifest.json",
        "checkpoint.json",
        "part-00001.csv.unfinished",
        ".",
        "..",
        "%2e",
        "%2e%2e",
        "%2E%2E%2Fmanifest.json",
        "..%2f..%2fmanifest.json",
        "../manifest.json",
        "x/../part-00001.csv",
        "%2e%2fpart-00001.csv",
        "part-00001.csv%2f..%2fmanifest.json",
        "%2f",
        "%2fetc%2fpasswd",
        "..%5cmanifest.json",
        "%252e%252e%252fmanifest.json",
        "%ff",
        "%c0%ae%c0%ae%c0%afmanifest.json",
        "*",
        "~",
        "x" * 5000,
        "/part-00001.csv",
    ],
)
def test_only_listed_files_are_served(sqlite_api: Api, name: str) -> None:
    # Given
    token = sqlite_api.tokens.create("alice")
    task = sqlite_api.submit(sqlite_api.client(token))
    sqlite_api.complete(task, FIRST)
    # When: not by a client that would tidy up the path
    request = f"GET {result(task)}{name} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    answer = sqlite_api.send(request.encode() + b"\r\n")
    # Expect
    assert_problem(answer, 404, "not_found")


def test_files_of_another_attempt_are_not_served(api: Api, alice: httpx.Client) -> None:
    # Given
    task = api.submit(alice)
    lost = api.results.attempt(task["id"], "lost-run")
    lost.create()
    with lost.writing("part-00002.csv") as output:
        output.write(b"id\n")
    # When
    api.complete(task, FIRST)
    # Expect
    assert_problem(alice.get(result(task, "part-00002.csv")), 404, "not_found")


@pytest.mark.parametrize("lost", ["everything", "manifest.json", FIRST.name])
def test_lost_files_are_unavailable(serve: Serve, tmp_path: Path, lost: str) -> None:
    # Given
    api = serve(results=local_results(tmp_path / "results"))
    alice = api.user()
    task = api.submit(alice)
    api.complete(task, FIRST)
    folder = tmp_path / "results" / str(task["id"]) / task["run_id"]
    shutil.rmtree(folder) if lost == "everything" else (folder / lost).unlink()
    # Expect
    problem = assert_problem(alice.get(result(task, FIRST.name)), 503, "unavailable")
    assert problem["retryable"] is True


class CountedReads(ResultStore):
    """Counts the reads that serving a file takes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sizes: list[int] = []

    def open(self, folder: str, name: str, size: int) -> BinaryIO:
        """The file, each read of it counted."""
        file: Any = super().open(folder, name, size)
        counted = self.sizes

        class Counted:
            close = file.close

            def read(self, size: int) -> bytes:
                counted.append(size)
                return bytes(file.read(size))

        return Counted()  # type: ignore[return-value]


def test_file_is_read_in_pieces_of_a_fair_size(serve: Serve, tmp_path: Path) -> None:
    results = CountedReads(tmp_path / "results")
    results.prepare()
    api = serve(results=results)
    alice = api.user()
    task = api.submit(alice)
    api.complete(task, SECOND)
    assert alice.get(result(task, SECOND.name)).content == SECOND.content
    # The last read, which finds the end, may come after the client has everything.
    reads = [PIECE_BYTES] * (len(SECOND.content) // PIECE_BYTES + 1)
    eventually(lambda: results.sizes == reads, within=TIMEOUT_SECONDS)


def open_files() -> list[str]:
    """The files that this process, in which the server runs, has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def test_file_is_closed_when_the_client_goes_away(sqlite_api: Api) -> None:
    # Given: more than the sockets between the two take
    big = File("part-00001.csv", b"x" * 32 * 2**20)
    token = sqlite_api.tokens.create("alice")
    task = sqlite_api.submit(sqlite_api.client(token))
    sqlite_api.complete(task, big)
    request = f"GET {result(task, big.name)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}"
    # When
    with socket.create_connection((HOST, sqlite_api.port), TIMEOUT_SECONDS) as connection:
        connection.sendall(request.encode() + b"\r\n\r\n")
        connection.recv(1000)
        assert [path for path in open_files() if task["run_id"] in path]
    # Expect
    eventually(
        lambda: not [path for path in open_files() if task["run_id"] in path],
        within=TIMEOUT_SECONDS,
    )


# --- In a bucket ---


@pytest.fixture
def in_bucket(
    serve: Serve, bucket: S3Bucket, relay: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Api:
    """The API with its results in a bucket that can be taken away."""
    for name in ("READ_RETRIES", "WRITE_RETRIES"):
        monkeypatch.setattr(f"resources.results.bucket.{name}", 1)
    return serve(results=ResultStore(Bucket(bucket.name, "some/prefix", tmp_path)))


@pytest.mark.parametrize("file", [FIRST, SECOND, EMPTY], ids=lambda file: str(file.name))
def test_file_arrives_whole_from_a_bucket(in_bucket: Api, file: File) -> None:
    alice = in_bucket.user()
    task = in_bucket.submit(alice)
    in_bucket.complete(task, file)
    answer = alice.get(result(task, file.name))
    assert (answer.status_code, answer.content) == (200, file.content)
    assert answer.headers["content-length"] == str(len(file.content))
    assert answer.headers["etag"] == f'"{sha256(file)}"'
    known = alice.get(result(task, file.name), headers={"If-None-Match": f'"{sha256(file)}"'})
    assert (known.status_code, known.content) == (304, b"")


def test_result_in_a_bucket_that_is_away_is_unavailable_until_it_is_back(
    in_bucket: Api, relay: Relay, bucket: S3Bucket
) -> None:
    alice = in_bucket.user()
    task = in_bucket.submit(alice)
    in_bucket.complete(task, FIRST)
    with relay.away():
        for name in ("", FIRST.name):
            problem = assert_problem(alice.get(result(task, name)), 503, "unavailable")
            assert problem["detail"] == "The result storage does not answer."
        assert alice.get(f"{TASKS}{task['id']}/").json()["status"] == "completed"
    assert alice.get(result(task, FIRST.name)).content == FIRST.content


def test_file_that_was_cut_or_lost_in_a_bucket_is_not_served(
    in_bucket: Api, bucket: S3Bucket
) -> None:
    alice = in_bucket.user()
    task = in_bucket.submit(alice)
    in_bucket.complete(task, FIRST)
    name = f"some/prefix/{task['id']}/{task['run_id']}/{FIRST.name}"
    bucket.put(name, FIRST.content[:-1])
    assert_problem(alice.get(result(task, FIRST.name)), 503, "unavailable")
    bucket.delete(name)
    assert_problem(alice.get(result(task, FIRST.name)), 503, "unavailable")


def test_download_is_cut_off_when_the_bucket_goes_away_in_its_middle(
    in_bucket: Api, relay: Relay
) -> None:
    # Given: more than is read at once, and more than the sockets between the two take
    big = File("part-00001.csv", b"x" * 32 * 2**20)
    alice = in_bucket.user()
    task = in_bucket.submit(alice)
    in_bucket.complete(task, big)
    # When
    with alice.stream("GET", result(task, big.name)) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_raw(1000)
        next(pieces)
        with relay.away(), pytest.raises(httpx.RemoteProtocolError):
            # Expect
            list(pieces)
    assert alice.get(result(task, big.name)).content == big.content
