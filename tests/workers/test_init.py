"""``workers init``: a first datasets.toml, and what is said of it."""

import os
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine

from resources.demo_source import create_demo_source
from tests.conftest import temporary_database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a small demo source."""
    create_demo_source(tmp_path / "demo-source.sqlite", bookings=50)
    return tmp_path


@pytest.fixture
def postgres(postgres_server: URL) -> Iterator[URL]:
    with temporary_database(postgres_server) as url:
        yield url


def workers(home: Path, *arguments: str, source: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "WORKERS_HOME": str(home),
        "WORKERS_DATASETS": str(home / "datasets.toml"),
        "WORKERS_SOURCE_URL": source,
    }
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_init_writes_what_check_takes(home: Path) -> None:
    made = workers(home, "init")

    assert (made.returncode, made.stdout) == (0, "")
    assert made.stderr.splitlines()[-1] == (
        f"Wrote {home}/datasets.toml. Read it; `workers check` says whether it fits."
    )
    assert "bookings: the table bookings, by its name" in made.stderr
    checked = workers(home, "check")
    assert checked.returncode == 0
    assert [line.split()[:2] for line in checked.stdout.splitlines()[:4]] == [
        ["ok", f"{name}:"] for name in ("bookings", "payments", "users", "services")
    ]


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(home: Path) -> None:
    (home / "datasets.toml").write_text("# mine\n")

    refused = workers(home, "init")

    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (home / "datasets.toml").read_text() == "# mine\n"
    assert workers(home, "init", "--force").returncode == 0
    assert "[bookings]" in (home / "datasets.toml").read_text()


def test_the_file_alone_may_be_printed(home: Path) -> None:
    made = workers(home, "init", "--output", "-")

    assert made.returncode == 0
    assert tomllib.loads(made.stdout).keys() == {"bookings", "payments", "users", "services"}
    assert not (home / "datasets.toml").exists()


def test_another_file_and_source_are_named_in_what_to_do_next(home: Path) -> None:
    output, source = home / "other.toml", f"sqlite:///{home}/other.sqlite"
    (home / "demo-source.sqlite").rename(home / "other.sqlite")

    made = workers(home, "init", "--output", str(output), "--source", source)

    assert made.returncode == 0
    assert f"WORKERS_DATASETS={output}" in made.stderr.splitlines()[-1]
    assert "WORKERS_SOURCE_URL set to this database" in made.stderr.splitlines()[-1]


def test_a_folder_that_is_not_there_is_told_before_the_source_is_asked(home: Path) -> None:
    refused = workers(
        home, "init", "--output", f"{home}/no/x.toml", "--source", "sqlite:////nowhere"
    )

    assert refused.returncode == 1
    assert "its folder does not exist: make it" in refused.stderr


def test_a_database_without_tables_is_told(home: Path) -> None:
    with closing(sqlite3.connect(home / "empty.sqlite")) as connection:
        connection.execute("VACUUM")

    refused = workers(home, "init", source=f"sqlite:///{home}/empty.sqlite")

    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: There is no table in ")
    assert "WORKERS_SOURCE_URL" in line
    assert not (home / "datasets.toml").exists()


def test_a_database_of_other_things_is_told_with_what_there_is(home: Path) -> None:
    with closing(sqlite3.connect(home / "other.sqlite")) as connection:
        connection.execute('CREATE TABLE "wind\nmills" (id INTEGER PRIMARY KEY)')

    refused = workers(home, "init", source=f"sqlite:///{home}/other.sqlite")

    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "There are: wind\\nmills." in line
    assert not (home / "datasets.toml").exists()


def test_the_password_is_told_nowhere(home: Path, postgres: URL) -> None:
    engine = create_engine(postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id int PRIMARY KEY)")
    engine.dispose()
    url = postgres.set(password="hunter2").render_as_string(hide_password=False)

    made = workers(home, "init", "--source", url)

    assert made.returncode == 0
    assert "hunter2" not in made.stderr + (home / "datasets.toml").read_text()


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://me:hunter2@127.0.0.1:1/shop",
        "mysql://me:hunter2@127.0.0.1:1/shop",
        "oracle://me:hunter2@127.0.0.1/shop",
        "hunter2",
    ],
)
def test_a_source_that_cannot_be_looked_at_is_one_line(home: Path, source: str) -> None:
    refused = workers(home, "init", "--source", source)

    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "hunter2" not in line
    assert not (home / "datasets.toml").exists()
