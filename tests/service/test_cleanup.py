"""Rows are planned, archived, deleted and put back, over HTTP and by the command line."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine

from resources.store.models import Role
from tests.service.conftest import ClientMaker, Setup
from tests.support.service import Client, Service

CHOSEN: dict[str, Any] = {
    "task_type": "data_cleanup",
    "filters": {"booking_id": {"lte": 40}},
    "batch_size": 7,
    "options": {"dataset": "payments"},
}


@pytest.fixture
def ada(client_of: ClientMaker) -> Client:
    return client_of("ada of cleanups", Role.ADMIN)


@pytest.fixture
def payments(setup: Setup) -> Iterator[Any]:
    """Asks for all payments; the source is as it was afterwards."""
    engine = create_engine(setup.source)

    def ask() -> list[Any]:
        with engine.connect() as connection:
            query = "SELECT * FROM payments ORDER BY id"
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    before = ask()
    yield ask
    assert ask() == before
    engine.dispose()


def manifest_of(client: Client, task: dict[str, Any]) -> dict[str, Any]:
    return dict(client.http.get(task["result"]["url"]).json())


def test_what_a_dry_run_planned_is_deleted_and_put_back(
    service: Service, ada: Client, payments: Any
) -> None:
    before = payments()
    dry = ada.until(ada.submit(**CHOSEN)["id"], "completed")
    plan = manifest_of(ada, dry)["plan"]
    assert payments() == before

    options = {**CHOSEN["options"], "dry_run": False, "plan_hash": plan["plan_hash"]}
    done = ada.until(ada.submit(**{**CHOSEN, "options": options})["id"], "completed")
    told = manifest_of(ada, done)
    try:
        gone = len(before) - len(payments())
        archived: httpx.Response = ada.http.get(
            f"/{done['id']}/result/table-001-part-00001.parquet"
        )
    finally:
        first = service.run("restore", str(done["id"]))
    again = service.run("restore", str(done["id"]))

    assert gone == plan["rows"] == told["rows"] == done["progress"]["processed"] > 7
    (counts,) = told["cleanup"]["tables"]
    assert counts["planned"] == counts["archived"] == counts["deleted"] == gone
    assert archived.status_code == 404
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert f"{gone} restored, 0 there already" in first.stdout
    assert f"0 restored, {gone} there already" in again.stdout
    assert payments() == before


def test_only_admins_clean_up(alice: Client) -> None:
    answer = alice.http.post("/", json=CHOSEN)

    assert answer.status_code == 403


def test_a_task_without_an_archive_cannot_be_put_back(service: Service) -> None:
    refused = service.run("restore", "999999999")

    assert refused.returncode == 1
    assert refused.stderr.strip() == "Error: Task 999999999 has no archive."
