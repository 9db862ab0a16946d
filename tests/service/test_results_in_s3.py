"""The whole service with its results in a bucket of S3."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.support import assert_problem
from tests.service.conftest import running
from tests.support.s3 import Relay, S3Bucket, aws_environment, new_bucket
from tests.support.service import Client, Service
from tests.support.sources import DATASETS, make_sqlite_source
from tests.support.waiting import always, eventually

pytestmark = pytest.mark.service

PREFIX = "some/prefix"
# The longest that a storage is asked again before it is given up.
GIVEN_UP_SECONDS = 60
# From its return, until what was left is removed.
SWEPT_SECONDS = 60


@pytest.fixture(scope="module")
def s3_bucket(s3_port: int) -> S3Bucket:
    return new_bucket(s3_port)


@pytest.fixture(scope="module")
def between(s3_port: int) -> Iterator[Relay]:
    """What stands between the service and the bucket."""
    relay = Relay(s3_port)
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def stored_in_s3(
    s3_bucket: S3Bucket, between: Relay, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("s3")
    (folder / "datasets.toml").write_text(DATASETS)
    environment = {
        **aws_environment(between.port),
        "WORKERS_DATASETS": str(folder / "datasets.toml"),
        "WORKERS_SOURCE_URL": str(make_sqlite_source(folder / "source.sqlite")),
        "WORKERS_RESULTS_URL": f"s3://{s3_bucket.name}/{PREFIX}",
    }
    with running(folder / "home", environment) as service:
        yield service


@pytest.fixture
def alice(stored_in_s3: Service) -> Iterator[Client]:
    client = stored_in_s3.client("alice")
    yield client
    client.close()


def objects_of(bucket: S3Bucket, task: dict[str, Any]) -> list[str]:
    return [name for name in bucket.names() if name.startswith(f"{PREFIX}/{task['id']}/")]


def test_an_export_lies_in_the_bucket_and_is_downloaded_as_its_manifest_says(
    stored_in_s3: Service, alice: Client, s3_bucket: S3Bucket
) -> None:
    options = {"format": "csv", "columns": ["id"]}
    task = alice.submit(filters={"status": "confirmed"}, options=options)

    done = alice.until(task["id"], "completed")

    manifest = alice.http.get(done["result"]["url"]).json()
    (content,) = alice.files(done)
    (file,) = manifest["files"]
    assert hashlib.sha256(content).hexdigest() == file["sha256"]
    assert len(content.splitlines()) == manifest["rows"] + 1
    folder = f"{PREFIX}/{task['id']}/{done['run_id']}"
    assert objects_of(s3_bucket, task) == [
        f"{folder}/{name}" for name in ("checkpoint.json", "manifest.json", "part-00001.csv")
    ]
    assert not (stored_in_s3.home / "results").exists()
    assert "Results can" not in stored_in_s3.log.read_text()
    eventually(lambda: s3_bucket.names() == objects_of(s3_bucket, task), within=10)


def test_a_cancelled_export_leaves_nothing_in_the_bucket(
    alice: Client, s3_bucket: S3Bucket
) -> None:
    options = {"format": "csv", "columns": ["id"]}
    task = alice.submit(filters={"status": "big"}, options=options)
    eventually(lambda: objects_of(s3_bucket, task), within=60)  # its first part

    alice.cancel(task["id"])

    alice.until(task["id"], "cancelled")
    eventually(lambda: objects_of(s3_bucket, task) == [], within=SWEPT_SECONDS)
    always(lambda: objects_of(s3_bucket, task) == [], during=2)
    assert s3_bucket.unfinished_uploads() == []


@pytest.mark.faults
def test_without_the_bucket_tasks_fail_and_results_are_unavailable_until_it_is_back(
    alice: Client, between: Relay, s3_bucket: S3Bucket
) -> None:
    # Given
    wanted: dict[str, Any] = {"filters": {"status": "pending"}, "options": {"format": "csv"}}
    done = alice.until(alice.submit(**wanted)["id"], "completed")
    running = alice.submit(filters={"status": "big"}, options={"format": "csv", "columns": ["id"]})
    eventually(lambda: objects_of(s3_bucket, running), within=60)
    # When
    with between.away():
        started = alice.submit(**wanted)
        # Expect
        assert_problem(alice.http.get(done["result"]["url"]), 503, "unavailable")
        for task in (started, running):
            failed = alice.until(task["id"], "failed", within=GIVEN_UP_SECONDS)
            error = failed["error"]
            assert (error["code"], error["retryable"]) == ("storage_unavailable", True)
            assert s3_bucket.name not in error["detail"]
        stopped = alice.submit(**wanted)
        assert alice.cancel(stopped["id"]).status_code in {200, 202}
        alice.until(stopped["id"], "cancelled")
    again = alice.until(alice.submit(**wanted)["id"], "completed")
    assert alice.files(again) == alice.files(done)
    eventually(lambda: objects_of(s3_bucket, running) == [], within=SWEPT_SECONDS)


def test_a_way_to_the_bucket_that_cannot_be_meant_is_refused_at_the_start(
    stored_in_s3: Service, tmp_path: Path
) -> None:
    for variables, said in (
        ({"WORKERS_RESULTS_URL": "s3://key:hunter2@bucket"}, "WORKERS_RESULTS_URL: "),
        ({"AWS_ENDPOINT_URL": "minio:9000"}, "AWS_ENDPOINT_URL must be an http or https URL"),
    ):
        other = Service(tmp_path / "home", {**stored_in_s3.environment, **variables})
        answer = other.run("up")
        assert answer.returncode == 1
        assert said in answer.stderr
        assert "hunter2" not in answer.stderr
        assert "Traceback" not in answer.stderr
