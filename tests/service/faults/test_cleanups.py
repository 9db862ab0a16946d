"""A cleanup whose process is killed, anywhere, loses no row: another attempt goes on."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import create_engine

from resources.store.models import Role
from tests.service.faults.conftest import Subject
from tests.support.service import Client, Service

pytestmark = pytest.mark.faults

# Where it is killed, and how often it gets there at least.
POINTS = {
    "run.started": 1,
    "run.chunk": 4,
    "run.part": 2,
    "run.manifest": 2,
    "run.chosen": 1,
    "run.deleting": 40,
    "run.deleted": 40,
    "run.published": 1,
    "run.last_step": 1,
}
MIDST = ("run.deleting", "run.deleted")
# Some four hundred payments, in fifty transactions.
CHOSEN: dict[str, Any] = {
    "task_type": "data_cleanup",
    "filters": {"booking_id": {"lte": 450}},
    "batch_size": 8,
    "options": {"dataset": "payments"},
}


@pytest.fixture
def ada(crashing: Subject) -> Iterator[Client]:
    client = crashing.service.client("ada of killed cleanups", Role.ADMIN)
    yield client
    client.close()


@pytest.fixture
def payments(crashing: Subject) -> Iterator[Callable[[], Sequence[Any]]]:
    """Asks the driver for all payments."""
    engine = create_engine(crashing.source)

    def ask() -> Sequence[Any]:
        with engine.connect() as connection:
            query = "SELECT * FROM payments ORDER BY id"
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    yield ask
    engine.dispose()


def archived_keys(service: Service, task_id: int) -> set[int]:
    """The keys of what the task has archived for good."""
    folder = service.home / "archives" / str(task_id)
    if not (folder / "archive.json").exists():
        return set()
    keys: set[int] = set()
    for path in folder.glob("*/*.parquet"):
        keys.update(map(int, pyarrow.parquet.read_table(path, columns=["id"])["id"].to_pylist()))
    return keys


@pytest.mark.parametrize("point", [*POINTS, random.SystemRandom().choice(MIDST)])
def test_a_cleanup_that_is_killed_anywhere_loses_no_row(
    crashing: Subject, ada: Client, payments: Callable[[], Sequence[Any]], point: str
) -> None:
    at = random.SystemRandom().randint(1, POINTS[point])
    told = f"{point}, {at}"
    before = payments()
    dry = ada.until(ada.submit(**CHOSEN)["id"], "completed")
    plan = ada.http.get(dry["result"]["url"]).json()["plan"]
    options = {**CHOSEN["options"], "dry_run": False, "plan_hash": plan["plan_hash"]}
    crashing.crashes.ask(point, at=at)
    task = ada.submit(**{**CHOSEN, "options": options})
    crashing.crashes.await_taken(point, within=60)

    left = {row[0] for row in payments()}
    assert left | archived_keys(crashing.service, task["id"]) == {row[0] for row in before}, told

    done = ada.until(task["id"], "completed", within=120)
    (counts,) = ada.http.get(done["result"]["url"]).json()["cleanup"]["tables"]
    gone = len(before) - len(payments())
    assert gone == plan["rows"] == counts["planned"], told
    assert gone == counts["archived"] == counts["deleted"], told
    restored = crashing.service.run("restore", str(task["id"]))
    assert restored.returncode == 0, told + restored.stderr
    assert payments() == before, told
