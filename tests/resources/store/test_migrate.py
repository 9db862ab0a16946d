"""The tables, and how they come to be."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, inspect, select, text

from resources.errors import Unavailable
from resources.requests import TaskRequest
from resources.store.database import connect
from resources.store.handover import HandoverStore
from resources.store.migrate import VERSION_TABLE, alembic_config, migrate
from resources.store.tables import metadata, tokens
from resources.store.tasks import TaskStore
from resources.store.tokens import TokenStore
from tests.conftest import temporary_database

PROCESSES = 3
# Owner, status, whether handed over.
BEFORE = [
    ("alice", "completed", True),
    ("alice", "pending", True),
    ("alice", "pending", False),
    ("alice", "pending", False),
    ("bob", "pending", False),
    ("alice", "pending", False),
    ("bob", "processing", False),
]


@pytest.fixture
def empty_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """A database without tables; on SQLite not even the folder is there."""
    if backend == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "new" / "state" / "runs.db"))
    else:
        with temporary_database(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
def empty(empty_url: URL) -> Iterator[Engine]:
    engine = connect(empty_url)
    yield engine
    engine.dispose()


def table_names(engine: Engine) -> set[str]:
    return {name for name in inspect(engine).get_table_names() if not name.startswith("sqlite_")}


def test_migrating_makes_all_tables(empty: Engine) -> None:
    migrate(empty)
    assert table_names(empty) == {*metadata.tables, VERSION_TABLE}


def test_tables_are_those_that_the_code_knows(empty: Engine) -> None:
    migrate(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []


def test_nullability_and_defaults_are_those_that_the_code_knows(empty: Engine) -> None:
    migrate(empty)
    inspector = inspect(empty)
    for name, table in metadata.tables.items():
        found = {each["name"]: each["nullable"] for each in inspector.get_columns(name)}
        assert found == {column.name: column.nullable for column in table.columns}


def test_names_of_constraints_are_those_that_the_code_knows(empty: Engine) -> None:
    migrate(empty)
    inspector = inspect(empty)
    for name, table in metadata.tables.items():
        found = {each["name"] for each in inspector.get_unique_constraints(name)}
        found |= {
            each["name"]
            for each in inspector.get_indexes(name)
            if not each.get("duplicates_constraint")
        }
        known = {str(each.name) for each in table.indexes}
        known |= {str(each.name) for each in table.constraints}
        assert found == known - {f"pk_{name}"}


def test_migrating_again_changes_nothing(empty: Engine) -> None:
    # Given
    migrate(empty)
    token = TokenStore(empty).create("alice")
    # When
    migrate(empty)
    # Expect
    assert TokenStore(empty).authenticate(token).owner == "alice"
    with empty.connect() as connection:
        config = alembic_config(connection)
        version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
        assert version == ScriptDirectory.from_config(config).get_current_head()


def test_dagsters_own_version_is_left_alone(empty: Engine) -> None:
    # Given
    if empty.dialect.name == "sqlite":
        path = Path(empty.url.database or "")
        path.parent.mkdir(parents=True)
        path.touch()
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of dagster')"))
    # When
    migrate(empty)
    # Expect
    with empty.connect() as connection:
        versions = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    assert versions == ["of dagster"]


def test_tasks_from_before_the_queue_was_fair_get_their_turns(
    empty: Engine, empty_url: URL
) -> None:
    # Given
    if empty.dialect.name == "sqlite":
        path = Path(empty_url.database or "")
        path.parent.mkdir(parents=True)
        path.touch()
    with empty.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
        for number, (owner, status, handed_over) in enumerate(BEFORE):
            at = (
                "2024-01-01 00:00:00+00:00"
                if empty.dialect.name == "postgresql"
                else ("2024-01-01 00:00:00.000000")
            )
            connection.execute(
                text(
                    "INSERT INTO tasks (owner, task_type, status, batch_size, filters, options,"
                    " fingerprint, request_id, run_id, attempt, processed, created_at, updated_at,"
                    " handed_over_at, started_at) VALUES (:owner, 'bookings_export', :status, 1,"
                    " '{}', '{}', '', 'r', :run_id, 1, 0, :at, :at, :handed_over_at, :at)"
                ),
                {
                    "owner": owner,
                    "status": status,
                    "run_id": str(number),
                    "at": at,
                    "handed_over_at": at if handed_over else None,
                },
            )
    # When
    migrate(empty)
    # Expect
    work = HandoverStore(empty).work(ends=0, waiting=10)
    assert [(task.id, task.owner) for task in work.waiting] == [
        (3, "alice"),
        (5, "bob"),
        (4, "alice"),
        (6, "alice"),
    ]
    assert [(each.owner, each.status) for each in work.in_flight] == [
        ("alice", "pending"),
        ("bob", "processing"),
    ]
    request = TaskRequest(task_type="bookings_export")
    new = TaskStore(empty).submit(request, owner="bob", request_id="r", idempotency_key=None)
    assert new.task.turn == 1


class Broken(Exception):
    """What the injected failure raises."""


def test_migration_that_fails_leaves_nothing(
    empty: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise Broken

    monkeypatch.setattr(op, "create_index", fail)
    # When
    with pytest.raises(Broken):
        migrate(empty)
    # Expect
    assert table_names(empty) == set()
    monkeypatch.undo()
    migrate(empty)
    assert table_names(empty) == {*metadata.tables, VERSION_TABLE}


MIGRATE = """
import sys
from sqlalchemy import make_url
from resources.store.database import connect
from resources.store.migrate import migrate
engine = connect(make_url(sys.argv[1]))
print(flush=True)
sys.stdin.readline()
migrate(engine)
"""


def test_processes_that_migrate_at_once_wait_for_each_other(empty: Engine, empty_url: URL) -> None:
    # Given
    url = empty_url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", MIGRATE, url]
    started = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # all are ready
    # When
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    # Expect
    assert ended == [("", 0)] * PROCESSES
    assert table_names(empty) == {*metadata.tables, VERSION_TABLE}


def test_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    for url in (
        "postgresql+psycopg2://postgres@127.0.0.1:1/runs",
        f"sqlite:///{tmp_path}",  # a folder
    ):
        engine = create_engine(url)
        with pytest.raises(Unavailable):
            migrate(engine)
        engine.dispose()


def test_tokens_of_the_same_secret_cannot_be_stored(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(select(tokens)).all() == []
    assert {"digest"} in [
        set(each["column_names"]) for each in inspect(engine).get_unique_constraints("tokens")
    ]
