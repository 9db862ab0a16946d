"""Declared schedules as Dagster has them: evaluated at a tick, and shown in its UI."""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dagster import (
    DefaultScheduleStatus,
    Definitions,
    ScheduleDefinition,
    build_schedule_context,
)

from pipelines import bookings_export, users_export
from pipelines.definitions import defs
from pipelines.schedules import schedule_definitions
from resources.schedules.declarations import load_schedules
from resources.settings import load_settings
from tests.support.schedules import SCHEDULES

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that this process's settings name."""
    path = tmp_path / "schedules.toml"
    path.write_text(SCHEDULES)
    monkeypatch.setenv("WORKERS_SCHEDULES", str(path))
    load_settings.cache_clear()
    yield path
    load_settings.cache_clear()


def loaded(name: str) -> ScheduleDefinition:
    """The schedule ``name``, in a code location with the jobs that it may start."""
    jobs = (bookings_export.DEFINITIONS, users_export.DEFINITIONS)
    merged = Definitions.merge(*jobs, schedule_definitions())
    return merged.get_repository_def().get_schedule_def(name)


def test_a_tick_asks_for_a_run_of_its_own_dates(file: Path) -> None:
    tick = datetime(2024, 4, 1, 2, 30, tzinfo=BERLIN)

    with build_schedule_context(scheduled_execution_time=tick) as context:
        evaluated = loaded("nightly").evaluate_tick(context)

    (request,) = evaluated.run_requests or ()
    config = request.run_config["ops"]["exports__bookings"]["config"]
    assert (config["date_from"], config["date_to"]) == (
        "2024-03-30T23:00:00Z",
        "2024-03-31T21:59:59Z",
    )
    assert request.tags == {
        "workers/owner": "reports",
        "dagster/priority": "-1",
        "dagster/schedule_name": "nightly",
    }
    assert request.run_key is None


def test_a_tick_without_any_time_in_its_window_is_skipped(file: Path) -> None:
    file.write_text(SCHEDULES.replace("Europe/Berlin", "Pacific/Apia"))
    tick = datetime(2011, 12, 31, 2, 30, tzinfo=ZoneInfo("Pacific/Apia"))  # there was no 30th

    with build_schedule_context(scheduled_execution_time=tick) as context:
        evaluated = loaded("nightly").evaluate_tick(context)

    assert not evaluated.run_requests
    assert evaluated.skip_message == "There is no time in the window yesterday."


def test_the_ui_is_told_what_the_file_says(file: Path) -> None:
    nightly, yearly = loaded("nightly"), loaded("users_export")

    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 2 * * *", "Europe/Berlin")
    assert nightly.description == "What waits, every night"
    assert nightly.default_status is DefaultScheduleStatus.RUNNING
    assert nightly.tags == {"workers/owner": "reports", "workers/task_type": "bookings_export"}
    assert yearly.default_status is DefaultScheduleStatus.STOPPED
    assert yearly.description == "users_export; tasks of o'brien & sons, über"


def test_a_file_that_goes_bad_takes_no_good_schedule_and_no_job_with_it(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(f"{SCHEDULES}\n[bad]\ncron = 3\n")
    assert loaded("nightly").name == "nightly"

    file.write_text("[[")
    with caplog.at_level(logging.ERROR):
        repository = schedule_definitions().get_repository_def()

    assert repository.schedule_defs == []
    assert "Not scheduled: schedules.toml:20: bad.cron" in caplog.text
    assert "Not scheduled: schedules.toml is not TOML" in caplog.text


def test_the_code_location_has_the_schedules_that_ship() -> None:
    shipped = load_schedules(load_settings().schedules)

    there_are = {each.name for each in defs.get_repository_def().schedule_defs}

    assert there_are == shipped.keys()
