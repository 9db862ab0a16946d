"""A daemon dies in the middle of a tick: the tick is one task all the same."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.faults.conftest import Subject, subject
from tests.support.service import Client
from tests.support.ui import Ui
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

EVERY_MINUTE = """
[each_minute]
cron = "* * * * *"
task_type = "bookings_export"
window = "-1h"
filters = { status = "pending" }
owner = "clock"
"""
# Until the next minute begins, and the daemon has got to the tick.
TICK_SECONDS = 90
# Until another daemon has looked: it is started, and looks once a minute.
RECOVERY_SECONDS = 120


@pytest.fixture(scope="module")
def ticking(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """A service that gets a task from the clock each minute."""
    folder = tmp_path_factory.mktemp("ticking")
    (folder / "schedules.toml").write_text(EVERY_MINUTE)
    settings = {"WORKERS_SCHEDULES": str(folder / "schedules.toml")}
    with subject(backend, folder, settings) as made:
        yield made


@pytest.fixture
def clock(ticking: Subject) -> Iterator[Client]:
    client = ticking.service.client("clock")
    yield client
    client.close()


def listed(client: Client) -> list[dict[str, Any]]:
    """The tasks, the oldest first."""
    return [*reversed(client.http.get("/?page_size=100").json()["results"])]


@pytest.mark.timeout(400)
def test_a_daemon_killed_between_creating_a_run_and_submitting_it_makes_no_second_task(
    ticking: Subject, clock: Client
) -> None:
    ticking.crashes.ask("tick.created")
    ticking.crashes.await_taken("tick.created", within=TICK_SECONDS)
    (task,) = listed(clock)
    assert task["status"] == "pending"

    done = clock.until(task["id"], "completed", within=RECOVERY_SECONDS)
    eventually(lambda: len(listed(clock)) > 1, within=TICK_SECONDS)  # it goes on

    assert done["attempt"] == 1
    ui = Ui(ticking.service.graphql_url, clock.http)
    ticks = ui.schedules()["each_minute"]["scheduleState"]["ticks"]
    of_ticks = Counter(run for tick in ticks for run in tick["runIds"])
    times = Counter(tick["timestamp"] for tick in ticks)
    tasks = [each["run_id"] for each in listed(clock)]
    assert {*of_ticks.values(), *times.values()} == {1}
    assert of_ticks.keys() <= {*tasks}
    assert done["run_id"] in of_ticks
    assert len(tasks) - len(of_ticks) in {0, 1}  # one may have begun since they were asked for
