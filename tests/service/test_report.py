"""A report from POST to files, through every process of the service."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from openpyxl import load_workbook
from sqlalchemy import create_engine, text

from resources.settings import PROJECT_ROOT
from tests.service.conftest import Setup, running_apart
from tests.support.service import Client

pytestmark = pytest.mark.service

MONTH = {"date_from": "2025-11-01T00:00:00Z", "date_to": "2025-11-30T23:59:59Z"}
COUNTED = "created_at >= '2025-{0}-01 00:00:00' AND created_at < '2025-{1}-01 00:00:00'"


@pytest.fixture(scope="module")
def client(
    setup: Setup, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a service whose bookings are the demo's table.

    In the view of the other tests a report would look for bookings among the made-up rows, of
    which there are so many that it takes minutes.
    """
    home: Path = tmp_path_factory.mktemp("report") / "home"
    datasets = str(PROJECT_ROOT / "datasets.toml")
    with running_apart(setup, request, home, WORKERS_DATASETS=datasets) as service:
        client = service.client("manager")
        yield client
        client.close()


def test_a_report_tells_what_the_source_holds(client: Client, setup: Setup) -> None:
    options = {"formats": ["html", "xlsx", "json"], "locale": "ru", "timezone": "Etc/UTC"}
    task = client.submit(task_type="report_generation", options=options, **MONTH)
    latest = client.submit(task_type="report_generation", options={"period": "day"})
    refused = client.http.post(
        "/",
        json={
            "task_type": "report_generation",
            "filters": {"status": "confirmed"},
            "options": {"timezone": "Mars/Olympus"},
        },
    )

    done = client.until(task["id"], "completed")

    manifest = client.http.get(done["result"]["url"]).json()
    names = [file["name"] for file in manifest["files"]]
    html, xlsx, document = client.files(done)
    told = json.loads(document)
    assert names == ["report.html", "report.xlsx", "report.json"]
    assert done["progress"]["percent"] == 100
    assert [each["start"] for each in (manifest["window"], manifest["compared_with"])] == [
        "2025-11-01T00:00:00Z",
        "2025-10-01T00:00:00Z",
    ]

    figures = {(each["name"], each["currency"]): each for each in told["figures"]}
    now, before, revenue = counted(setup)
    bookings = figures["bookings", None]
    assert (bookings["now"], bookings["before"]) == (now, before)
    assert now > 50
    assert {
        currency: Decimal(each["now"])
        for (name, currency), each in figures.items()
        if name == "revenue" and Decimal(each["now"])
    } == revenue
    assert sum(point["bookings"] for point in told["points"]) == now
    assert "Бронирования и выручка: ноябрь 2025" in html.decode()
    assert load_workbook(BytesIO(xlsx)).sheetnames[0] == "Показатели"

    # The last whole day before the task was created: long after all there is.
    latest = client.until(latest["id"], "completed")
    page = client.files(latest)[0].decode()
    assert '<html lang="en">' in page
    assert "Nothing happened in this period" in page
    start = client.http.get(latest["result"]["url"]).json()["window"]["end"]
    made = datetime.fromisoformat(latest["created_at"])
    assert datetime.fromisoformat(start).date() == made.astimezone(UTC).date()

    assert refused.status_code == 422
    assert "unknown_timezone" in [each["code"] for each in refused.json()["errors"]]


def counted(setup: Setup) -> tuple[int, int, dict[str, Decimal]]:
    """November's and October's bookings, and November's revenue, as the source counts them."""
    november, october = COUNTED.format("11", "12"), COUNTED.format("10", "11")
    engine = create_engine(setup.source)
    with engine.connect() as connection:
        now, before = (
            connection.scalar(text(f"SELECT count(*) FROM bookings WHERE {each}"))
            for each in (november, october)
        )
        rows = connection.execute(
            text(
                "SELECT currency, sum(CASE WHEN status = 'paid' THEN amount "
                "WHEN status = 'refunded' THEN -amount ELSE 0 END) "
                f"FROM payments WHERE {november} GROUP BY 1"
            )
        )
        revenue = {
            currency: Decimal(str(amount)).quantize(Decimal("0.01")) for currency, amount in rows
        }
    engine.dispose()
    return int(now or 0), int(before or 0), revenue
