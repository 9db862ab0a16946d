"""The two databases behave as one."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import (
    URL,
    Engine,
    NullPool,
    bindparam,
    create_engine,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError

from resources.errors import Unavailable
from resources.store.database import (
    ChangeListener,
    announce_change,
    connect,
    listen,
    read,
    read_transaction,
    write_transaction,
)
from resources.store.migrate import migrate
from resources.store.tables import parts, tasks
from resources.timestamps import now
from tests.conftest import temporary_database
from tests.resources.store.conftest import Rows
from tests.support.waiting import eventually

THREADS = 8
# Long enough for what is sure to come, and how long nothing must come.
SOON, AT_ONCE = 20.0, 0.2
PART = {"name": "part", "seen_at": datetime(2024, 1, 1, tzinfo=UTC)}


@pytest.fixture
def postgres_engine(postgres_server: URL) -> Iterator[Engine]:
    """A task store on a PostgreSQL database of its own."""
    with temporary_database(postgres_server) as url:
        engine = connect(url)
        migrate(engine)
        yield engine
        engine.dispose()


def names(engine: Engine) -> list[str]:
    with read_transaction(engine) as connection:
        return list(connection.scalars(select(parts.c.name)))


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 7, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_instant_comes_back_in_utc(engine: Engine, instant: datetime) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(name="part", seen_at=instant))
    with read_transaction(engine) as connection:
        found = connection.scalar(select(parts.c.seen_at))
    assert found == instant
    assert found is not None
    assert found.tzinfo is UTC


def test_instants_compare_by_time_whatever_their_zone(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
    early = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    with read_transaction(engine) as connection:
        later = select(func.count()).select_from(parts).where(parts.c.seen_at > early)
        assert connection.scalar(later) == 1
        assert connection.scalar(select(literal(early, parts.c.seen_at.type))) == early


def test_transaction_is_committed_at_its_end(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
        assert names(engine) == []
    assert names(engine) == ["part"]


def test_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        insert_and_fail(engine)
    assert names(engine) == []


def insert_and_fail(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
        announce_change(connection)
        raise ZeroDivisionError


def test_reader_sees_one_state_and_does_not_wait_for_writers(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(names, engine).result(timeout=SOON) == []


def test_writers_wait_for_each_other(engine: Engine, rows: Rows) -> None:
    # Given
    rows.add()
    ready = threading.Barrier(THREADS)

    def count_up(_: int) -> None:
        ready.wait()
        for _ in range(10):
            with write_transaction(engine) as connection:
                found = connection.scalar(select(tasks.c.processed).with_for_update())
                connection.execute(update(tasks).values(processed=(found or 0) + 1))

    # When
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count_up, range(THREADS)))
    # Expect
    assert rows.all()[0]["processed"] == THREADS * 10


def test_refused_statement_is_no_outage(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
    with pytest.raises(IntegrityError), write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))


def test_sqlite_keeps_what_it_has_committed(sqlite_engine: Engine) -> None:
    with read_transaction(sqlite_engine) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_postgresql_works_in_utc_and_ends_long_statements(postgres_engine: Engine) -> None:
    with read_transaction(postgres_engine) as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"
        assert connection.scalar(text("SHOW statement_timeout")) == "15s"


def test_database_without_a_free_connection_is_unavailable(engine: Engine) -> None:
    small = create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with (
        small.connect(),
        pytest.raises(Unavailable, match="no free connection"),
        read_transaction(small),
    ):
        pass
    small.dispose()


def test_sqlite_that_others_keep_locked_is_unavailable(sqlite_engine: Engine) -> None:
    hasty = create_engine(sqlite_engine.url, connect_args={"timeout": 0.05}, poolclass=NullPool)
    with (
        write_transaction(sqlite_engine),
        pytest.raises(Unavailable),
        write_transaction(hasty) as connection,
    ):
        connection.execute(insert(parts).values(PART))


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """A new SQLite file that somebody is writing while inside."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE numbers (number)")
        yield
        connection.execute("COMMIT")


def test_new_sqlite_file_that_others_use_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    engine = connect(URL.create("sqlite", database=str(path)))
    with ThreadPoolExecutor(1) as pool:
        with in_use(path):
            migrating = pool.submit(migrate, engine)
            with pytest.raises(TimeoutError):
                migrating.result(timeout=AT_ONCE)
        migrating.result(timeout=SOON)
    assert names(engine) == []
    engine.dispose()


def test_new_sqlite_file_that_others_do_not_leave_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.store.database.SQLITE_BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "runs.db"
    engine = connect(URL.create("sqlite", database=str(path)))
    with in_use(path), pytest.raises(Unavailable):
        migrate(engine)
    engine.dispose()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" * 300])
def test_damaged_sqlite_file_is_unavailable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    engine = connect(URL.create("sqlite", database=str(path)))
    for use in (names, listen):
        with pytest.raises(Unavailable):
            use(engine)
    engine.dispose()


def test_statement_that_takes_too_long_is_unavailable(postgres_engine: Engine) -> None:
    def sleep() -> None:
        with read_transaction(postgres_engine) as connection:
            connection.execute(text("SET LOCAL statement_timeout = 50"))
            connection.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(Unavailable):
        sleep()
    assert names(postgres_engine) == []


def test_connection_that_breaks_is_unavailable_once(postgres_engine: Engine) -> None:
    def write() -> None:
        with write_transaction(postgres_engine) as connection:
            connection.execute(insert(parts).values(PART))
            end_connections(postgres_engine)
            connection.execute(select(parts))

    with pytest.raises(Unavailable):
        write()
    assert names(postgres_engine) == []


def test_connections_that_broke_while_idle_are_not_noticed(postgres_engine: Engine) -> None:
    assert names(postgres_engine) == []
    end_connections(postgres_engine)
    assert names(postgres_engine) == []


def test_single_read_sees_what_is_committed(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(PART))
        assert read(engine, select(parts.c.name)) == []
    assert read(engine, select(parts.c.name)) == [("part",)]
    named = select(parts.c.name).where(parts.c.name == bindparam("wanted"))
    assert read(engine, named, {"wanted": "another"}) == []


def test_single_read_leaves_its_connection_to_transactions(engine: Engine) -> None:
    one = connect(engine.url, pool_size=1)
    assert read(one, select(parts)) == []
    with pytest.raises(ZeroDivisionError):
        insert_and_fail(one)
    assert names(one) == []
    one.dispose()


def test_single_read_that_is_refused_is_no_outage(postgres_engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(DataError):
            read(postgres_engine, text("SELECT 1 / 0"))
    assert read(postgres_engine, select(parts)) == []


def test_single_read_does_not_notice_connections_that_broke_while_idle(
    postgres_engine: Engine,
) -> None:
    # Given: several idle connections
    with ExitStack() as idle:
        for _ in range(3):
            idle.enter_context(postgres_engine.connect())
    # When
    end_connections(postgres_engine)
    # Expect
    for _ in range(4):
        assert read(postgres_engine, select(parts)) == []


def test_single_read_of_a_database_that_does_not_answer_is_unavailable(dead_engine: Engine) -> None:
    with pytest.raises(Unavailable):
        read(dead_engine, select(parts))


def test_message_of_an_outage_tells_nothing_of_the_database(dead_engine: Engine) -> None:
    with pytest.raises(Unavailable) as caught, read_transaction(dead_engine):
        pass
    assert str(caught.value) == "The task database does not answer."


def end_connections(engine: Engine) -> None:
    """End every connection to the engine's database, as a restart of the server does."""
    other = create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with other.connect() as connection:  # it is asked for, and done a moment later
        eventually(lambda: connection.execute(end).all() == [], within=10)


@contextmanager
def listening(engine: Engine) -> Iterator[ChangeListener]:
    listener = listen(engine)
    try:
        yield listener
    finally:
        listener.close()


@pytest.fixture
def other(engine: Engine) -> Iterator[Engine]:
    """Another process's engine on the same database."""
    engine = connect(engine.url)
    yield engine
    engine.dispose()


def change(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(insert(parts).values(name=str(now()), seen_at=now()))
        announce_change(connection)


def test_listener_hears_a_commit(engine: Engine, other: Engine) -> None:
    with listening(engine) as listener, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(listener.wait, SOON)
        change(other)
        assert waiting.result() is True


def test_listener_hears_what_came_before_it_waited(engine: Engine, other: Engine) -> None:
    with listening(engine) as listener:
        change(other)
        change(engine)
        assert listener.wait(SOON) is True


def test_listener_hears_nothing_where_nothing_happens(engine: Engine, other: Engine) -> None:
    change(other)
    with listening(engine) as listener:
        assert listener.wait(0) is False
        names(other)
        assert listener.wait(AT_ONCE) is False


def test_listener_hears_a_change_once(engine: Engine, other: Engine) -> None:
    with listening(engine) as listener:
        change(other)
        assert listener.wait(SOON) is True
        assert listener.wait(AT_ONCE) is False


def test_listener_does_not_hear_what_was_rolled_back(engine: Engine, other: Engine) -> None:
    with listening(engine) as listener:
        with pytest.raises(ZeroDivisionError):
            insert_and_fail(other)
        assert listener.wait(AT_ONCE) is False


def test_listener_does_not_hear_what_is_not_committed_yet(engine: Engine, other: Engine) -> None:
    with listening(engine) as listener:
        with write_transaction(other) as connection:
            connection.execute(insert(parts).values(PART))
            announce_change(connection)
            assert listener.wait(AT_ONCE) is False
        assert listener.wait(SOON) is True


def test_every_listener_hears(engine: Engine, other: Engine) -> None:
    with listening(engine) as first, listening(other) as second:
        change(engine)
        assert (first.wait(SOON), second.wait(SOON)) == (True, True)


def test_listener_may_be_closed_twice(engine: Engine) -> None:
    with listening(engine) as listener:
        listener.close()


def is_lost(listener: ChangeListener) -> bool:
    try:
        assert listener.wait(SOON) is False
    except Unavailable:
        return True
    return False


def test_listener_survives_a_lost_connection(postgres_engine: Engine) -> None:
    with listening(postgres_engine) as listener:
        # When
        end_connections(postgres_engine)
        eventually(lambda: is_lost(listener), within=SOON, every=0)
        # Expect
        assert listener.wait(0) is True  # it may have missed something
        assert listener.wait(AT_ONCE) is False
        change(postgres_engine)
        assert listener.wait(SOON) is True


def test_listener_comes_back_with_its_database(postgres_engine: Engine) -> None:
    allow = f'ALTER DATABASE "{postgres_engine.url.database}" ALLOW_CONNECTIONS '
    admin = create_engine(
        postgres_engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with listening(postgres_engine) as listener, admin.connect() as connection:
        # Given
        connection.execute(text(allow + "false"))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(end), {"name": postgres_engine.url.database})
        eventually(lambda: is_lost(listener), within=SOON, every=0)
        assert is_lost(listener)
        assert is_lost(listener)
        # When
        connection.execute(text(allow + "true"))
        # Expect
        assert listener.wait(0) is True
        change(postgres_engine)
        assert listener.wait(SOON) is True
    admin.dispose()


def test_nobody_can_listen_to_a_database_that_does_not_answer(dead_engine: Engine) -> None:
    with pytest.raises(Unavailable):
        listen(dead_engine)
