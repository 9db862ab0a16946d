"""An analysis from POST to file, through every process of the service."""

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.service.conftest import Setup
from tests.support.service import Client, Service

pytestmark = pytest.mark.service

WINDOW = {"date_from": "2024-02-01T00:00:00Z", "date_to": "2024-11-30T23:59:59Z"}
IN_IT = "created_at >= '2024-02-01 00:00:00' AND created_at < '2024-12-01 00:00:00'"


def asked_directly(setup: Setup, query: str) -> list[tuple[Any, ...]]:
    """What an independent query finds in the source."""
    engine = create_engine(setup.source)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def analysis_of(client: Client, task: dict[str, Any]) -> dict[str, Any]:
    """``analysis.json`` of a task that has completed."""
    manifest = client.http.get(task["result"]["url"]).json()
    (file,) = [each for each in manifest["files"] if each["name"] == "analysis.json"]
    document: dict[str, Any] = json.loads(client.http.get(file["url"]).content)
    return document


def test_the_figures_of_an_analysis_equal_those_of_queries(
    alice: Client, setup: Setup, service: Service
) -> None:
    datasets = ["payments", "users", "services"]
    task = alice.submit(task_type="data_analysis", options={"datasets": datasets}, **WINDOW)

    done = alice.until(task["id"], "completed")

    document = analysis_of(alice, done)
    counts = {
        name: asked_directly(setup, f"SELECT count(*) FROM {name} WHERE {IN_IT}")[0][0]
        for name in datasets
    }
    assert {name: each["rows"] for name, each in document["datasets"].items()} == counts
    assert done["result"]["rows"] == done["progress"]["processed"] == sum(counts.values())
    sums = asked_directly(
        setup,
        "SELECT currency, sum(CASE status WHEN 'paid' THEN amount ELSE -amount END) FROM payments "
        f"WHERE status IN ('paid', 'refunded') AND {IN_IT} GROUP BY currency",
    )
    assert document["business"]["headline"]["revenue"] == {
        currency: str(Decimal(str(total)).quantize(Decimal("0.01"))) for currency, total in sums
    }
    told = {each["name"] for each in document["datasets"]["users"]["columns"]}
    assert told.isdisjoint({"email", "phone"})
    assert "active" not in json.dumps(document)
    assert [path for path in (service.home / "scratch").iterdir() if path.is_dir()] == []


def test_filters_are_for_one_dataset(alice: Client, setup: Setup) -> None:
    body = {"task_type": "data_analysis", "filters": {"status": "confirmed"}}
    refused = alice.http.post("/", json=body)
    assert refused.status_code == 422
    assert "filters_need_one_dataset" in {each["code"] for each in refused.json()["errors"]}

    done = alice.until(alice.submit(**body, options={"datasets": ["bookings"]})["id"], "completed")

    ((count,),) = asked_directly(setup, "SELECT count(*) FROM bookings WHERE status = 'confirmed'")
    document = analysis_of(alice, done)
    assert document["business"]["headline"]["bookings"] == count
    assert document["business"]["headline"]["cancellation_rate"] == 0.0
