"""What the demo source promises to the exports that read it."""

import hashlib
import multiprocessing
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from resources.demo_source import create_demo_source

BOOKINGS = 2000
TABLES = ("users", "services", "bookings", "payments")
STATUSES = {"pending", "confirmed", "cancelled", "completed"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "new folder" / "demo.sqlite"
    create_demo_source(path, bookings=BOOKINGS)
    return path


@pytest.fixture(scope="module")
def source(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def count(source: sqlite3.Connection, query: str) -> int:
    (number,) = source.execute(f"SELECT count(*) FROM {query}").fetchone()
    assert isinstance(number, int)
    return number


def fingerprint(path: Path) -> str:
    digest = hashlib.sha256()
    with closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY id"):
                digest.update(repr(row).encode())
    return digest.hexdigest()


def test_same_seed_gives_same_rows(path: Path, tmp_path: Path) -> None:
    create_demo_source(tmp_path / "again", bookings=BOOKINGS)
    assert fingerprint(tmp_path / "again") == fingerprint(path)


def test_other_seed_gives_other_rows(path: Path, tmp_path: Path) -> None:
    create_demo_source(tmp_path / "other", bookings=BOOKINGS, seed=1)
    assert fingerprint(tmp_path / "other") != fingerprint(path)


@pytest.mark.parametrize("bookings", [1, 2, 50, 1000])
def test_small_sources_have_the_bookings_asked_for(tmp_path: Path, bookings: int) -> None:
    create_demo_source(tmp_path / "small", bookings=bookings)
    with closing(sqlite3.connect(tmp_path / "small")) as source:
        assert count(source, "bookings") == bookings
        assert count(source, "users") == max(50, bookings // 10)
        assert source.execute("PRAGMA foreign_key_check").fetchall() == []


def test_file_is_sound_and_every_reference_has_its_row(source: sqlite3.Connection) -> None:
    assert source.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert source.execute("PRAGMA foreign_key_check").fetchall() == []


def test_reflection_sees_the_declared_types(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    try:
        columns = [column for table in TABLES for column in inspect(engine).get_columns(table)]
    finally:
        engine.dispose()
    types = {column["name"]: str(column["type"]) for column in columns}
    assert types["id"] == "INTEGER"
    assert types["status"] == "TEXT"
    assert types["marketing_consent"] == types["active"] == "BOOLEAN"
    assert types["price"] == types["total"] == types["amount"] == "NUMERIC(10, 2)"
    assert types["created_at"] == types["starts_at"] == types["paid_at"] == "TIMESTAMP"


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "created_at"),
        ("services", "created_at"),
        ("bookings", "starts_at"),
        ("bookings", "created_at"),
        ("bookings", "updated_at"),
        ("payments", "created_at"),
        ("payments", "paid_at"),
    ],
)
def test_timestamps_are_texts_to_the_second(
    source: sqlite3.Connection, table: str, column: str
) -> None:
    assert count(source, f"{table} WHERE {column} <> datetime({column})") == 0
    assert count(source, f"{table} WHERE typeof({column}) NOT IN ('text', 'null')") == 0


def test_bookings_fill_two_years_from_first_to_last_day(source: sqlite3.Connection) -> None:
    first, last = source.execute("SELECT min(created_at), max(created_at) FROM bookings").fetchone()
    assert first.startswith("2024-01-01 ")
    assert last.startswith("2025-12-31 ")


def test_ids_count_up_in_the_order_of_creation(source: sqlite3.Connection) -> None:
    for table in ("users", "bookings", "payments"):
        rows = source.execute(f"SELECT id, created_at FROM {table} ORDER BY id").fetchall()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        assert [row[1] for row in rows] == sorted(row[1] for row in rows)


def test_bookings_grow_over_the_years(source: sqlite3.Connection) -> None:
    earlier = count(source, "bookings WHERE created_at < '2025'")
    assert BOOKINGS - earlier > 1.2 * earlier


def test_every_month_has_every_status(source: sqlite3.Connection) -> None:
    rows = source.execute("SELECT DISTINCT substr(created_at, 1, 7), status FROM bookings")
    months: dict[str, set[str]] = {}
    for month, status in rows:
        months.setdefault(month, set()).add(status)
    assert len(months) == 24
    assert all(statuses == STATUSES for statuses in months.values())


@pytest.mark.parametrize(
    ("status", "share"),
    [("completed", 0.55), ("confirmed", 0.25), ("cancelled", 0.12), ("pending", 0.08)],
)
def test_statuses_have_plausible_shares(
    source: sqlite3.Connection, status: str, share: float
) -> None:
    bookings = count(source, f"bookings WHERE status = '{status}'")
    assert bookings / BOOKINGS == pytest.approx(share, abs=0.03)


def test_users_and_services_are_there_before_they_are_booked(source: sqlite3.Connection) -> None:
    for table, key in (("users", "user_id"), ("services", "service_id")):
        late = f"bookings b JOIN {table} t ON t.id = b.{key} WHERE t.created_at >= b.created_at"
        assert count(source, late) == 0


def test_withdrawn_services_were_booked_but_no_longer_are(source: sqlite3.Connection) -> None:
    withdrawn = "bookings b JOIN services s ON s.id = b.service_id WHERE NOT s.active"
    assert count(source, withdrawn) > 0
    assert count(source, f"{withdrawn} AND b.created_at >= '2025-09-01'") == 0


def test_moments_of_a_booking_are_in_order(source: sqlite3.Connection) -> None:
    assert count(source, "bookings WHERE starts_at <= created_at") == 0
    assert count(source, "bookings WHERE updated_at < created_at") == 0
    assert count(source, "bookings WHERE updated_at > '2025-12-31 23:59:59'") == 0


def test_status_agrees_with_the_start(source: sqlite3.Connection) -> None:
    assert count(source, "bookings WHERE status = 'completed' AND updated_at <= starts_at") == 0
    assert count(source, "bookings WHERE status <> 'completed' AND updated_at > starts_at") == 0


def test_totals_and_payments_agree_with_the_price(source: sqlite3.Connection) -> None:
    wrong_total = """
        bookings b JOIN services s ON s.id = b.service_id
        WHERE b.total <> round(s.price * b.guests, 2) OR b.currency <> s.currency
    """
    wrong_amount = """
        payments p JOIN bookings b ON b.id = p.booking_id
        WHERE p.amount <> b.total OR p.currency <> b.currency OR p.amount <= 0
    """
    assert count(source, wrong_total) == 0
    assert count(source, wrong_amount) == 0


def test_money_has_at_most_two_decimals(source: sqlite3.Connection) -> None:
    for table, column in (("services", "price"), ("bookings", "total"), ("payments", "amount")):
        assert count(source, f"{table} WHERE {column} <> round({column}, 2)") == 0
        assert count(source, f"{table} WHERE typeof({column}) = 'text'") == 0


def test_each_completed_booking_is_paid_once_and_no_pending_one_is(
    source: sqlite3.Connection,
) -> None:
    rows = source.execute(
        """
        SELECT b.status, count(p.id), count(*)
        FROM bookings b LEFT JOIN payments p ON p.booking_id = b.id AND p.status = 'paid'
        WHERE b.status IN ('completed', 'pending') GROUP BY b.id
        """
    ).fetchall()
    assert {row[1:] for row in rows if row[0] == "completed"} == {(1, 1)}
    assert {row[1:] for row in rows if row[0] == "pending"} == {(0, 1)}


def test_refunds_follow_a_payment_of_a_cancelled_booking(source: sqlite3.Connection) -> None:
    refunds = "payments r JOIN bookings b ON b.id = r.booking_id WHERE r.status = 'refunded'"
    paid_before = """
        AND b.status = 'cancelled' AND EXISTS (
            SELECT 1 FROM payments p
            WHERE p.booking_id = b.id AND p.status = 'paid' AND p.paid_at <= r.created_at
        )
    """
    assert 0 < count(source, refunds) == count(source, refunds + paid_before)


def test_some_failed_payments_precede_the_paid_one(source: sqlite3.Connection) -> None:
    retried = """
        payments f JOIN payments p ON p.booking_id = f.booking_id
        WHERE f.status = 'failed' AND p.status = 'paid'
    """
    assert 0 < count(source, retried) == count(source, retried + "AND f.id < p.id")


def test_payments_lie_between_booking_and_last_moment(source: sqlite3.Connection) -> None:
    early = "payments p JOIN bookings b ON b.id = p.booking_id WHERE p.created_at < b.created_at"
    assert count(source, early) == 0
    assert count(source, "payments WHERE paid_at < created_at") == 0
    assert count(source, "payments WHERE max(created_at, ifnull(paid_at, '')) >= '2026'") == 0
    unpaid = "status IN ('failed', 'pending')"
    assert count(source, f"payments WHERE (paid_at IS NULL) <> ({unpaid})") == 0


def test_notes_hold_what_breaks_careless_exports(source: sqlite3.Connection) -> None:
    for condition in ("IS NULL", "= ''", "LIKE '%\"%'", "LIKE '%,%'", "GLOB '*\n*'", "GLOB '*🎉*'"):
        assert count(source, f"bookings WHERE note {condition}") > 0


def test_few_users_book_often_and_many_once_or_twice(source: sqlite3.Connection) -> None:
    bookings = [row[0] for row in source.execute("SELECT count(*) FROM bookings GROUP BY user_id")]
    assert max(bookings) > 40
    assert sum(1 for number in bookings if number <= 2) > len(bookings) / 5


def test_addresses_belong_to_nobody(source: sqlite3.Connection) -> None:
    domains = source.execute("SELECT DISTINCT substr(email, instr(email, '@') + 1) FROM users")
    assert {domain for (domain,) in domains} == {"example.com", "example.org", "example.net"}


def test_nothing_is_left_beside_the_finished_file(path: Path) -> None:
    assert list(path.parent.iterdir()) == [path]


def test_finished_file_has_no_write_ahead_log(source: sqlite3.Connection) -> None:
    assert source.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_an_existing_file_and_its_stale_journals_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "demo.sqlite"
    path.write_bytes(b"something else")
    (tmp_path / "demo.sqlite-wal").write_bytes(b"stale")
    create_demo_source(path, bookings=10)
    assert list(tmp_path.iterdir()) == [path]
    with closing(sqlite3.connect(path)) as source:
        assert count(source, "bookings") == 10


def test_a_failed_build_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "demo.sqlite"
    path.write_bytes(b"old")
    monkeypatch.setattr("resources.demo_source._INDEXES", "CREATE INDEX broken ON nowhere (id);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        create_demo_source(path, bookings=10)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_two_processes_at_once_both_end_well(path: Path, tmp_path: Path) -> None:
    shared = tmp_path / "demo.sqlite"
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=create_demo_source, args=(shared,), kwargs={"bookings": BOOKINGS})
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert list(tmp_path.iterdir()) == [shared]
    assert fingerprint(shared) == fingerprint(path)


def test_two_builders_with_the_same_process_id_do_not_meet(path: Path, tmp_path: Path) -> None:
    shared = tmp_path / "demo.sqlite"
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(create_demo_source, shared, bookings=BOOKINGS) for _ in range(2)]
    assert [build.exception() for build in builds] == [None, None]
    assert list(tmp_path.iterdir()) == [shared]
    assert fingerprint(shared) == fingerprint(path)


@pytest.mark.parametrize("bookings", [0, -1])
def test_less_than_one_booking_is_refused(tmp_path: Path, bookings: int) -> None:
    with pytest.raises(ValueError, match=f"bookings must be at least 1, not {bookings}"):
        create_demo_source(tmp_path / "none", bookings=bookings)
    assert list(tmp_path.iterdir()) == []
