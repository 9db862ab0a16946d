"""The clock submits tasks as a client does, and Dagster's UI shows when."""

import subprocess
import sys
from datetime import timedelta

import pytest

from tests.service.conftest import ClientMaker
from tests.support.schedules import LAST_DUE
from tests.support.service import Service
from tests.support.ui import Ui
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

DAY_BEFORE = f"{LAST_DUE - timedelta(days=1):%Y-%m-%d}"
DATES = (f"{DAY_BEFORE}T00:00:00Z", f"{DAY_BEFORE}T23:59:59Z")
LAST_TICK_WITHIN_SECONDS = 45


@pytest.fixture
def ui(service: Service, client_of: ClientMaker) -> Ui:
    return Ui(service.graphql_url, client_of("reports").http)


def test_the_ui_shows_the_schedules_and_what_each_would_do(ui: Ui) -> None:
    nightly, yearly = ui.schedules()["nightly"], ui.schedules()["users_export"]

    assert nightly["cronSchedule"].startswith("30 1 ")
    assert nightly["executionTimezone"] == "Africa/Abidjan"
    assert nightly["description"] == "What waits, every night"
    assert {each["key"]: each["value"] for each in nightly["tags"]} == {
        "workers/owner": "reports",
        "workers/task_type": "bookings_export",
    }
    assert nightly["scheduleState"]["status"] == nightly["defaultStatus"] == "RUNNING"
    assert yearly["scheduleState"]["status"] == yearly["defaultStatus"] == "STOPPED"

    (request,) = ui.test_schedule("nightly", (LAST_DUE - timedelta(hours=1)).timestamp())[
        "runRequests"
    ]
    assert f"date_from: {DATES[0]}" in request["runConfigYaml"].replace("'", "")
    assert {"key": "workers/owner", "value": "reports"} in request["tags"]


def test_what_is_switched_in_the_ui_is_shown_so(ui: Ui) -> None:
    ui.switch_on("users_export")
    assert ui.schedules()["users_export"]["scheduleState"]["status"] == "RUNNING"

    ui.switch_off("users_export")

    assert ui.schedules()["users_export"]["scheduleState"]["status"] == "STOPPED"


def test_a_tick_that_was_missed_becomes_one_task_of_the_owner(
    service: Service, ui: Ui, client_of: ClientMaker
) -> None:
    reports = client_of("reports")
    assert reports.http.get("/").json()["count"] == 0
    long_ago = (LAST_DUE - timedelta(days=30)).timestamp()
    # What the daemon has seen of a schedule it keeps in mind: another one has to come.
    eventually(lambda: ui.schedules()["nightly"]["scheduleState"]["id"], within=10)
    subprocess.run(
        [sys.executable, "-m", "tests.support.schedules", "nightly", str(long_ago)],
        env={**service.environment, "DAGSTER_HOME": str(service.home)},
        timeout=60,
        check=True,
    )
    service.part("daemon").kill()

    (task,) = eventually(
        lambda: reports.http.get("/").json()["results"], within=LAST_TICK_WITHIN_SECONDS
    )

    done = reports.until(task["id"], "completed")
    assert (done["owner"], done["task_type"]) == ("reports", "bookings_export")
    assert done["filters"] == {"status": "pending"}
    assert (done["date_from"], done["date_to"]) == DATES
    assert reports.files(done)
    assert ui.tags(done["run_id"])["dagster/schedule_name"] == "nightly"
    (tick,) = ui.schedules()["nightly"]["scheduleState"]["ticks"]
    assert (tick["timestamp"], tick["runIds"]) == (LAST_DUE.timestamp(), [done["run_id"]])
    assert (tick["status"], reports.http.get("/").json()["count"]) == ("SUCCESS", 1)
