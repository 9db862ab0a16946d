"""``workers check``: what fits, what does not, and what is slow, in one line each."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from resources.demo_source import create_demo_source
from resources.settings import Settings
from workers.start_check import look

DECLARED = '[{dataset}]\ntable = "{dataset}"\nkey = "id"\ndate_column = "created_at"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a small demo source, and a folder for results."""
    create_demo_source(tmp_path / "demo-source.sqlite", bookings=50)
    (tmp_path / "results").mkdir()
    return tmp_path


def check(
    home: Path, declared: str, *arguments: str, source: str | None = None, schedules: str = ""
) -> subprocess.CompletedProcess[str]:
    (home / "datasets.toml").write_text(declared)
    (home / "schedules.toml").write_text(schedules)
    environment = {
        **os.environ,
        "WORKERS_HOME": str(home),
        "WORKERS_DATASETS": str(home / "datasets.toml"),
        "WORKERS_SCHEDULES": str(home / "schedules.toml"),
        "WORKERS_SOURCE_URL": source or "",
    }
    return subprocess.run(
        [sys.executable, "-m", "workers", "check", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_sql(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "demo-source.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_what_fits_is_told_with_all_that_an_export_would_hold(home: Path) -> None:
    columns = 'leave_out = ["phone"]\ncolumns.email = { mask = "hash" }\n'

    told = check(home, DECLARED.format(dataset="users") + columns)

    assert (told.returncode, told.stderr) == (0, "")
    held = "users, 7 columns, key id; dates by created_at; masked email (hash); left out phone"
    assert told.stdout.splitlines() == [
        f"ok      users: {held}",
        "absent  bookings: not declared, so not exported",
        "absent  payments: not declared, so not exported",
        "absent  services: not declared, so not exported",
    ]


def test_all_findings_of_all_datasets_are_told_at_once(home: Path) -> None:
    declared = (
        '[bookings]\ntable = "bookngs"\nkey = "id"\n'
        '[payments]\ntable = "payments"\nkey = ["no", "id"]\ndate_column = "amount"\n'
        '[users]\ntable = "users"\ncolour = 1\n'
        '[clients]\ntable = "users"\n'
        '[services]\ntable = "services"\nkey = "currency"\n'
    )

    told = check(home, declared)

    assert told.returncode == 1
    assert told.stderr == ""
    assert [line for line in told.stdout.splitlines() if not line.startswith("wrong ")] == []
    for finding in (
        "users.key: is needed, and not there",
        "users.colour: is nothing that can be declared; there are table, schema, key, ",
        "clients: is no dataset; there are bookings, payments, users, services",
        'bookings: the source has no table "bookngs"; did you mean "bookings"?',
        'payments: the table "payments" has no column "no"',
        'payments: date_column "amount" holds no dates',
        'services: key "currency" is not unique',
    ):
        assert f"wrong   datasets.toml: {finding}" in told.stdout


def test_a_key_or_date_column_without_an_index_is_a_warning_alone(home: Path) -> None:
    run_sql(
        home,
        "DROP INDEX ix_bookings_created_at",
        "CREATE TABLE bare (id INTEGER NOT NULL, created_at TIMESTAMP)",
        "CREATE INDEX late ON bare (id, created_at) WHERE id > 7",
    )
    declared = DECLARED.format(dataset="bookings") + DECLARED.format(dataset="users").replace(
        '"users"', '"bare"'
    )

    told = check(home, declared)

    assert told.returncode == 0
    slow = [line for line in told.stdout.splitlines() if line.startswith("slow ")]
    whole = "so that every export of a window reads the whole table: make one on (created_at)"
    no_dates = f'no index begins with the date column "created_at", {whole}'
    no_key = "no index has the key (id), so that every export sorts the whole table"
    assert slow == [
        f"slow    bookings: {no_dates}",
        f"slow    users: {no_key}: make one on (id)",
        f"slow    users: {no_dates}",
    ]


def test_an_index_that_begins_with_the_key_serves_it(home: Path) -> None:
    run_sql(
        home,
        "CREATE TABLE bare (id INTEGER NOT NULL, created_at TIMESTAMP)",
        "CREATE INDEX both ON bare (id, created_at)",
    )

    told = check(home, '[users]\ntable = "bare"\nkey = "id"\n')

    assert "slow" not in told.stdout


def test_texts_that_are_converted_are_told_to_be_slow(home: Path) -> None:
    declared = DECLARED.format(dataset="users") + 'columns.created_at = { stored = "iso" }\n'

    assert 'the texts of date column "created_at" are converted' in check(home, declared).stdout


def test_a_key_that_takes_too_long_to_try_is_a_warning(home: Path) -> None:
    run_sql(
        home,
        "CREATE VIEW endless AS WITH RECURSIVE n(id) AS "
        "(SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT 3000000000) SELECT id FROM n",
    )

    declared = '[bookings]\ntable = "endless"\nkey = "id"\ncolumns.id = { as = "integer" }\n'

    told = check(home, declared, "--timeout", "1")

    assert told.returncode == 0
    (warning,) = told.stderr.splitlines()
    assert warning.startswith("Warning: bookings: it takes too long to try whether its key")
    assert "--timeout" in warning


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/shop",
        "mysql://me:hunter2@127.0.0.1:1/shop",
        "sqlite:////nowhere/hunter2.sqlite?key=hunter3",
    ],
)
def test_a_source_that_does_not_answer_is_one_line(home: Path, url: str) -> None:
    told = check(home, DECLARED.format(dataset="users"), source=url)

    assert (told.returncode, told.stdout) == (1, "")
    (line,) = told.stderr.splitlines()
    assert line.startswith("Error: The source database does not answer")
    assert "see that" in line
    assert not {"hunter2@", "hunter3", "me:", "SELECT", "Traceback"} & set(line.split())
    assert "me:hunter2" not in line


def test_a_file_that_is_no_toml_is_one_line(home: Path) -> None:
    told = check(home, "[bookings\n")

    assert told.returncode == 1
    assert told.stderr.startswith("Error: datasets.toml is not TOML: ")


# --- When the service starts ---


def test_the_start_tells_findings_as_lines(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "datasets.toml").write_text('[users]\ntable = "usres"\nkey = "id"\n')

    look(Settings(home=home, datasets=home / "datasets.toml", schedules=Path(os.devnull)))

    assert capfd.readouterr().err == (
        'workers | datasets.toml: users: the source has no table "usres"; did you mean "users"?\n'
    )


def test_the_start_tells_that_results_cannot_be_stored(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "datasets.toml").write_text(DECLARED.format(dataset="users"))
    (home / "results").rmdir()

    look(Settings(home=home, datasets=home / "datasets.toml", schedules=Path(os.devnull)))

    said = capfd.readouterr().err
    assert said.startswith("workers | Results cannot be stored now; until they can, tasks fail: ")
    assert len(said.splitlines()) == 1


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a source that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://me:hunter2@127.0.0.1:{server.getsockname()[1]}/shop"


def test_a_source_that_hangs_is_told_and_holds_nothing_else_up(
    home: Path, silent: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "datasets.toml").write_text(DECLARED.format(dataset="users"))
    (home / "results").rmdir()

    look(Settings(home=home, datasets=home / "datasets.toml", source_url=SecretStr(silent)))

    results, source = capfd.readouterr().err.splitlines()
    assert results.startswith("workers | Results cannot be stored now")
    assert source.startswith("workers | datasets.toml was not held against the source: ")
    assert "hunter2" not in source


SCHEDULE = """
[daily]
cron = "0 3 * * *"
task_type = "{task_type}"
owner = "reports"
window = "yesterday"
"""


def test_schedules_are_held_against_the_source_as_a_clients_requests_are(home: Path) -> None:
    schedules = (
        SCHEDULE.format(task_type="users_export")
        + "filters = { name = 3, colour = 'red' }\n"
        + 'options.columns = [\n  "id",\n  "shade",\n]\n'
        + SCHEDULE.replace("daily", "unknown").format(task_type="bookings_export")
        + SCHEDULE.replace("daily", "fits").format(task_type="users_export")
    )

    told = check(home, DECLARED.format(dataset="users"), schedules=schedules)

    assert told.returncode == 1
    said = [line for line in told.stdout.splitlines() if "daily" in line or "schedules" in line]
    assert [line.partition(": The")[0].partition(": No")[0] for line in said[:3]] == [
        "wrong   schedules.toml:7: daily.filters.name",
        "wrong   schedules.toml:7: daily.filters.colour",
        "wrong   schedules.toml:10: daily.options.columns.1",
    ]
    assert said[3].startswith("wrong   schedules.toml:15: unknown.task_type: its dataset is not")
    fits = "fits: users_export at 0 3 * * * (UTC), window yesterday, for reports"
    assert f"ok      {fits}" in told.stdout.splitlines()


def test_a_schedule_that_is_off_and_would_not_work_is_no_error(home: Path) -> None:
    schedules = SCHEDULE.format(task_type="bookings_export") + "enabled = false\n"

    told = check(home, DECLARED.format(dataset="users"), schedules=schedules)

    assert told.returncode == 0
    assert "off     schedules.toml:4: daily.task_type: its dataset is not declared" in told.stdout


def test_the_start_tells_what_of_the_schedules_does_not_fit(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "datasets.toml").write_text(DECLARED.format(dataset="users"))
    (home / "schedules.toml").write_text(SCHEDULE.format(task_type="services_export"))

    look(Settings(home=home, datasets=home / "datasets.toml", schedules=home / "schedules.toml"))

    said = capfd.readouterr().err
    assert said.startswith("workers | schedules.toml:4: daily.task_type: its dataset is not")
