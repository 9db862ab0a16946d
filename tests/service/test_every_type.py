"""Every task type, from POST to file, through every process of the service."""

import hashlib

import pytest

from resources.store.models import Role
from resources.task_types import REGISTRY
from tests.service.conftest import ClientMaker
from tests.support.requests import SMALL
from tests.support.service import Service

pytestmark = pytest.mark.service


def test_there_is_a_request_for_every_type() -> None:
    assert SMALL.keys() >= REGISTRY.keys()


@pytest.mark.parametrize("task_type", REGISTRY)
def test_a_task_completes_with_files_that_are_as_its_manifest_says(
    client_of: ClientMaker, task_type: str
) -> None:
    client = client_of(f"owner of {task_type}", Role.ADMIN)

    task = client.submit(task_type=task_type, **SMALL[task_type])

    done = client.until(task["id"], "completed", within=60)
    manifest = client.http.get(done["result"]["url"]).json()
    assert done["progress"]["percent"] == 100
    assert done["result"]["files"] == len(manifest["files"]) > 0
    for file in manifest["files"]:
        content = client.http.get(file["url"]).content
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert len(content) == file["bytes"]
    assert sum(file["bytes"] for file in manifest["files"]) == done["result"]["bytes"]
    assert (manifest["date_from"], manifest["date_to"]) == (done["date_from"], done["date_to"])


@pytest.mark.parametrize("task_type", REGISTRY)
def test_a_task_that_is_cancelled_before_its_run_never_runs_and_leaves_nothing(
    client_of: ClientMaker, service: Service, task_type: str
) -> None:
    client = client_of(f"owner of {task_type}", Role.ADMIN)
    with service.suspended("daemon"):
        task = client.submit(task_type=task_type, **SMALL[task_type])
        assert client.cancel(task["id"]).json()["status"] == "cancelled"

    later = client.submit(task_type="services_export")

    client.until(later["id"], "completed")  # so the dispatcher has been there
    assert client.task(task["id"])["started_at"] is None
    assert not (service.home / "results" / str(task["id"])).exists()
