"""The command line, as an operator types it."""

import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from resources.errors import Unauthorized
from resources.settings import Settings
from resources.store.database import connect
from resources.store.models import Principal, Role
from resources.store.tokens import TokenStore
from tests.support.service import Service, free_port
from tests.support.waiting import eventually


def workers(
    *arguments: str, home: Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        env={**os.environ, "WORKERS_HOME": str(home), **(settings or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def authenticate(home: Path, token: str) -> Principal:
    engine = connect(Settings(home=home).state_url)
    try:
        return TokenStore(engine).authenticate(token)
    finally:
        engine.dispose()


def test_token_create_prints_the_token_alone_and_it_works_at_once(tmp_path: Path) -> None:
    made = workers("token", "create", "alice", home=tmp_path)

    token = made.stdout.strip()
    assert (made.returncode, made.stderr) == (0, "")
    assert len(token.split()) == 1
    assert authenticate(tmp_path, token) == Principal("alice", Role.USER)


def test_token_create_takes_a_role_and_a_lifetime(tmp_path: Path) -> None:
    made = workers("token", "create", "bob", "--role", "admin", "--expires", "30d", home=tmp_path)

    assert authenticate(tmp_path, made.stdout.strip()) == Principal("bob", Role.ADMIN)
    (line,) = workers("token", "list", home=tmp_path).stdout.splitlines()[1:]
    assert line.split()[1:3] == ["active", "admin"]
    assert "never" not in line


@pytest.mark.parametrize("lifetime", ["0d", "-1d", "30", "d", "1y", "1.5h", "999999d"])
def test_an_unusable_lifetime_is_refused(tmp_path: Path, lifetime: str) -> None:
    refused = workers("token", "create", "bob", "--expires", lifetime, home=tmp_path)

    assert refused.returncode == 2
    assert "30d" in refused.stderr or "No such option" in refused.stderr


def test_an_unusable_owner_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = workers("token", "create", "", home=tmp_path)

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


def test_token_list_tells_no_secret(tmp_path: Path) -> None:
    token = workers("token", "create", "alice", home=tmp_path).stdout.strip()

    listed = workers("token", "list", home=tmp_path).stdout

    assert "alice" in listed
    assert token not in listed
    assert token[4:20] not in listed


def test_a_revoked_token_works_no_longer(tmp_path: Path) -> None:
    token = workers("token", "create", "alice", home=tmp_path).stdout.strip()

    assert workers("token", "revoke", "1", home=tmp_path).returncode == 0

    with pytest.raises(Unauthorized):
        authenticate(tmp_path, token)
    assert "revoked" in workers("token", "list", home=tmp_path).stdout


def test_revoking_a_token_that_is_not_there_says_so(tmp_path: Path) -> None:
    refused = workers("token", "revoke", "7", home=tmp_path)

    assert (refused.returncode, refused.stderr) == (1, "Error: No token has the id 7.\n")


def test_migrate_may_be_done_again_and_keeps_what_is_there(tmp_path: Path) -> None:
    assert workers("migrate", home=tmp_path).returncode == 0
    token = workers("token", "create", "alice", home=tmp_path).stdout.strip()

    assert workers("migrate", home=tmp_path).returncode == 0

    assert authenticate(tmp_path, token).owner == "alice"
    assert (tmp_path / "dagster.yaml").exists()


def test_seed_makes_the_demo_source_and_says_where(tmp_path: Path) -> None:
    made = workers("seed", "--bookings", "50", home=tmp_path)

    path = Path(made.stdout.strip())
    with sqlite3.connect(path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM bookings").fetchone()
    connection.close()
    assert count == 50


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("WORKERS_API_PORT", "eighty"),
        ("WORKERS_SLOTS", "0"),
        ("WORKERS_DATABASE_URL", "mysql://root:hunter2@localhost/x"),
        ("WORKERS_PUBLIC_URL", "tasks.example.com"),
        ("WORKERS_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_setting_is_named_and_nothing_of_it_is_told(
    tmp_path: Path, setting: str, value: str
) -> None:
    refused = workers("token", "list", home=tmp_path, settings={setting: value})

    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"Error: {setting}: ")
    assert "hunter2" not in line


def test_declarations_that_cannot_be_read_are_said_before_anything_starts(tmp_path: Path) -> None:
    ports = {"WORKERS_API_PORT": str(free_port()), "WORKERS_UI_PORT": str(free_port())}
    settings = ports | {"WORKERS_DATASETS": str(tmp_path / "none.toml")}

    refused = workers("up", home=tmp_path, settings=settings)

    assert refused.returncode == 1
    assert "none.toml" in refused.stderr


def test_schedules_that_cannot_be_used_are_said_with_their_lines_before_anything_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "schedules.toml").write_text('[daily]\ncron = "x"\ntask_type = "y"\n')
    ports = {"WORKERS_API_PORT": str(free_port()), "WORKERS_UI_PORT": str(free_port())}
    settings = ports | {"WORKERS_SCHEDULES": str(tmp_path / "schedules.toml")}

    refused = workers("up", home=tmp_path, settings=settings)

    assert refused.returncode == 1
    lines = [line.removeprefix("Error: ") for line in refused.stderr.splitlines()]
    assert [line.split(": ")[:2] for line in lines] == [
        ["schedules.toml:1", "daily.owner"],
        ["schedules.toml:2", "daily.cron"],
        ["schedules.toml:3", "daily.task_type"],
    ]


@pytest.mark.service
def test_up_prints_on_a_terminal_what_does_not_fit_and_a_token_that_replaces_the_last(
    tmp_path: Path,
) -> None:
    (tmp_path / "datasets.toml").write_text('[users]\ntable = "usres"\nkey = "id"\n')
    service = Service(tmp_path / "home", {"WORKERS_DATASETS": str(tmp_path / "datasets.toml")})
    assert service.run("seed", "--bookings", "50").returncode == 0

    first, second = (_token_on_terminal(service) for _ in range(2))

    assert authenticate(service.home, second) == Principal("local", Role.USER)
    with pytest.raises(Unauthorized):
        authenticate(service.home, first)


def _token_on_terminal(service: Service) -> str:
    """The token that `workers up` shows to whoever sits before it, beside what does not fit."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def token() -> str | None:
        seen.extend(os.read(ours, 4096))
        told = seen.decode(errors="replace")
        if 'the source has no table "usres"' not in told:
            return None
        words = told.split()
        return next((word for word in words if word.startswith("wrk_")), None)

    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "up"],
        env=service.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        return str(eventually(token, within=60))
    finally:
        process.terminate()
        process.wait(15)
        os.close(theirs)
        os.close(ours)
