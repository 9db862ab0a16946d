"""A run of any task type dies at a point that all of them pass: the task is done, and done once."""

from collections.abc import Iterator

import pytest

from resources.store.models import Role
from resources.task_types import REGISTRY
from tests.service.faults.conftest import Subject, submit_patiently
from tests.support import ledger
from tests.support.requests import SMALL
from tests.support.service import Client

pytestmark = [pytest.mark.service, pytest.mark.faults]

RECOVERY_SECONDS = 90
# Exports have tests of their own for every point.
TYPES = sorted(name for name in REGISTRY if not name.endswith("_export"))
POINTS = {"run.started": 2, "run.manifest": 2, "run.published": 2, "run.succeeded": 1}


@pytest.fixture
def admin(crashing: Subject, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client whose tasks are of every type."""
    client = crashing.service.client(f"admin of {request.node.name}", Role.ADMIN)
    yield client
    client.close()


@pytest.mark.parametrize("task_type", TYPES)
@pytest.mark.parametrize(("point", "attempts"), POINTS.items(), ids=POINTS)
def test_a_crash_at_a_delicate_point_costs_no_task_and_makes_none_twice(
    crashing: Subject, admin: Client, task_type: str, point: str, attempts: int
) -> None:
    crashing.crashes.ask(point)

    task = submit_patiently(admin, task_type=task_type, **SMALL[task_type])

    crashing.crashes.await_taken(point, within=30)
    with ledger.injected(f"crash points of every type, {crashing.database}"):
        done = admin.until(task["id"], "completed", within=RECOVERY_SECONDS)
        assert done["attempt"] == attempts
        assert all(admin.files(done))
        folders = list((crashing.service.home / "results" / str(task["id"])).iterdir())
        assert len(folders) == 1
        assert admin.http.get("/", params={"owner": done["owner"]}).json()["count"] == 1
