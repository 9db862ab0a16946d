"""What is declared in schedules.toml: read, or refused with its line and what to write."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInvalidDefinitionError, ScheduleDefinition
from dagster._core.definitions.utils import DISALLOWED_NAMES

from resources.errors import ScheduleError
from resources.schedules.declarations import (
    KEYS,
    RESERVED,
    Schedule,
    load_schedules,
    read_schedules,
)
from resources.settings import PROJECT_ROOT
from resources.store.models import Priority

GOOD = """
[daily]
cron = "0 3 * * *"
task_type = "bookings_export"
owner = "reports"
"""
TICK = datetime(2024, 5, 16, 3, tzinfo=UTC)


def read(tmp_path: Path, text: str) -> tuple[dict[str, Schedule], list[str]]:
    path = tmp_path / "schedules.toml"
    path.write_text(text)
    declared = read_schedules(path)
    return dict(declared.schedules), list(declared.findings)


def one(tmp_path: Path, more: str = "") -> Schedule:
    schedules, findings = read(tmp_path, GOOD + more)
    assert findings == []
    return schedules["daily"]


def finding(tmp_path: Path, more: str) -> str:
    """The one thing that is wrong with the good schedule and ``more``, which begins on line 6."""
    schedules, findings = read(tmp_path, GOOD + more)
    assert schedules == {}
    (only,) = findings
    return only


def test_what_is_left_out_is_as_it_is_for_a_client(tmp_path: Path) -> None:
    schedule = one(tmp_path)

    assert (schedule.time_zone, schedule.enabled, schedule.window) == ("UTC", True, None)
    assert schedule.priority is Priority.NORMAL
    assert schedule.request_at(TICK) == {
        "task_type": "bookings_export",
        "batch_size": 1000,
        "filters": {},
        "options": {"format": "parquet"},
    }


def test_a_schedule_asks_for_what_a_client_would(tmp_path: Path) -> None:
    schedule = one(
        tmp_path,
        """batch_size = 50
        date_from = 2024-01-01T00:00:00+01:00
        date_to = "2024-12-31T23:59:59Z"
        [daily.filters]
        status = ["confirmed", "pending"]
        created_at = { gte = 2024-01-01T00:00:00Z, ne = 2024-05-01 }
        [daily.options]
        format = "csv"
        priority = "high"
        """,
    )

    assert schedule.priority is Priority.HIGH
    assert schedule.request_at(TICK) == {
        "task_type": "bookings_export",
        "batch_size": 50,
        "filters": {
            "status": ["confirmed", "pending"],
            "created_at": {"gte": "2024-01-01T00:00:00+00:00", "ne": "2024-05-01"},
        },
        "date_from": "2023-12-31T23:00:00Z",
        "date_to": "2024-12-31T23:59:59Z",
        "options": {"format": "csv", "priority": "high"},
    }


def test_a_window_is_told_at_the_time_of_the_tick(tmp_path: Path) -> None:
    schedule = one(tmp_path, 'window = "yesterday"\ntime_zone = "America/New_York"\n')

    request = schedule.request_at(datetime(2024, 3, 11, 12, tzinfo=UTC))

    assert request is not None  # the clocks went forward on March 10
    dates = (request["date_from"], request["date_to"])
    assert dates == ("2024-03-10T05:00:00Z", "2024-03-11T03:59:59Z")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("colour = 1", f"6: daily.colour: is nothing that can be declared; {', '.join(KEYS)}"),
        ('time_zone = "Europe/Berln"', '6: daily.time_zone: "Europe/Berln" is no time zone'),
        ('time_zone = "../zone"', "6: daily.time_zone"),
        ("time_zone = 1", "6: daily.time_zone: Input should be a valid string"),
        ('\nwindow = "tomorrow"', '7: daily.window: "tomorrow" should be one of yesterday'),
        (
            'window = "-7d"\ndate_to = 2024-01-01T00:00:00Z',
            "6: daily.window: the dates are fixed already, by date_to: write one or the other",
        ),
        (
            "date_to = 2024-01-01T00:00:00Z\ndate_from = 2024-01-02T00:00:00Z",
            "6: daily.date_to: date_to lies before date_from",
        ),
        ("date_from = 2024-01-01T00:00:00", "6: daily.date_from: The date has no offset"),
        ("date_from = 2024-01-01", "6: daily.date_from: The date is not an RFC 3339"),
        ('enabled = "yes"', "6: daily.enabled: Input should be a valid boolean"),
        ('description = ""', "6: daily.description: String should have at least 1 character"),
        ("batch_size = 0", "6: daily.batch_size: Input should be greater than or equal to 1"),
        ("batch_size = 10.0", "6: daily.batch_size: Input should be a valid integer"),
        ("filters = 3", "6: daily.filters: Input should be a valid dictionary"),
        ("filters = { total = { gt = nan } }", "6: daily.filters.total.gt: should be a number"),
        ("filters = { total = [1.0,\n inf] }", "7: daily.filters.total.1: should be a number"),
        ("options = 3", "6: daily.options: Input should be a valid dictionary"),
        ('[daily.options]\nformat = "xml"', "7: daily.options.format: Input should be 'parquet'"),
        (
            "options = { a = 1 }",
            "6: daily.options.a: is no option of bookings_export; there are priority, format",
        ),
        (
            'options.format = "csv"\n# here\noptions.columns = ["id",\n"total",\n3]',
            "10: daily.options.columns.2: Input should be a valid string",
        ),
        ('options = { compression = "zip" }', "6: daily.options.compression: "),
        (
            'options = { format = "csv", compression = "zstd" }',
            "6: daily.options.compression: Files of this format should be compressed with one of",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, more: str, told: str) -> None:
    found = finding(tmp_path, more)

    for part in f"schedules.toml:{told}".split("; "):
        assert part in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("cron", '"61 * * * *"', 'cron: the minute "61" should be 0 to 59'),
        ("cron", "5", "cron: Input should be a valid string"),
        ("cron", None, "cron: is needed, and not there"),
        ("task_type", '"export"', "task_type: is no task type; there are bookings_export, "),
        ("task_type", "3", "task_type: Input should be a valid string"),
        ("task_type", None, "task_type: is needed, and not there"),
        ("owner", '""', "owner: An owner has 1 to "),
        ("owner", '"dagster"', 'owner: "dagster" owns the runs that are started in Dagster'),
        ("owner", None, "owner: is needed, and not there"),
    ],
)
def test_what_is_needed_is_told(tmp_path: Path, key: str, value: str | None, told: str) -> None:
    lines = GOOD.splitlines()
    (at,) = (index for index, line in enumerate(lines) if line.startswith(key))
    lines[at] = "" if value is None else f"{key} = {value}"

    _, (found,) = read(tmp_path, "\n".join(lines))

    line = 2 if value is None else at + 1  # what is missing is missing from its table
    assert found.startswith(f"schedules.toml:{line}: daily.{told}")


def test_all_that_is_wrong_is_told_at_once_and_the_rest_is_read(tmp_path: Path) -> None:
    text = (
        'top = 1\n[a]\ncron = "x"\nowner = 3\n["b c"]\nx = 1\n'
        + GOOD
        + '[z]\ncron = "0 3 * * *"\ntask_type = "users_export"\nowner = "o"\n[z.options]\nx = 1\n'
    )

    schedules, findings = read(tmp_path, text)

    assert schedules.keys() == {"daily"}
    assert [each.removeprefix("schedules.toml:").split(": ")[:2] for each in findings] == [
        ["1", "top"],
        ["2", "a.task_type"],
        ["3", "a.cron"],
        ["4", "a.owner"],
        ["5", "b c"],
        ["5", "b c.cron"],
        ["5", "b c.owner"],
        ["5", "b c.task_type"],
        ["6", "b c.x"],
        ["17", "z.options.x"],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a]\n[b]\n[a]\n", "schedules.toml:3: is not TOML: Cannot declare ('a',) twice"),
        ("[a]\ncron = 1\ncron = 2\n", "schedules.toml:3: is not TOML: Cannot overwrite a value"),
        ('[a]\ncron = "', "schedules.toml is not TOML: "),
        ("[a", "schedules.toml is not TOML: "),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    schedules, (found,) = read(tmp_path, text)

    assert schedules == {}
    assert found.startswith(told)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"none\.toml cannot be read .*WORKERS_SCHEDULES"):
        load_schedules(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScheduleError, match=r"binary\.toml is not TOML: 'utf-8' codec"):
        load_schedules(tmp_path / "binary.toml")


def test_an_empty_file_has_no_schedules(tmp_path: Path) -> None:
    assert read(tmp_path, "# none\n") == ({}, [])


def test_lines_are_the_same_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    path = tmp_path / "schedules.toml"
    path.write_bytes((GOOD + "colour = 1\n").replace("\n", "\r\n").encode())

    (found,) = read_schedules(path).findings

    assert found.startswith("schedules.toml:6: daily.colour")


def test_what_ships_can_be_used() -> None:
    path = PROJECT_ROOT / "schedules.toml"
    bodies: list[Any] = [each.request_at(TICK) for each in load_schedules(path).values()]

    assert bodies
    assert None not in bodies


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_name_that_dagster_keeps_for_itself_is_refused(tmp_path: Path, name: str) -> None:
    text = f'[{name}]\ncron = "0 1 * * *"\ntask_type = "services_export"\nowner = "a"\n'

    schedules, findings = read(tmp_path, text)

    assert schedules == {}
    assert len(findings) == 1
    assert f":1: {name}: " in findings[0]
    with pytest.raises(DagsterInvalidDefinitionError):
        ScheduleDefinition(name=name, cron_schedule="0 1 * * *", job_name="x")


def test_dagster_keeps_no_other_names_for_itself() -> None:
    assert RESERVED == DISALLOWED_NAMES
