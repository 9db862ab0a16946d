"""What is guessed of a database, and that it holds: every guess can be exported as it is."""

import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, text

from resources.errors import SourceUnavailable
from resources.source.catalog import Catalog
from resources.source.connection import connect_source, snapshot
from resources.source.declarations import Declaration, load_declarations
from resources.source.introspection.document import document, key_name, quote
from resources.source.introspection.names import likeness, words
from resources.source.introspection.survey import survey
from resources.source.masking import Masking
from resources.source.query import Selection
from resources.source.reader import check_spelling, read_batches
from tests.conftest import temporary_database, temporary_mysql_database


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield URL.create("sqlite", database=str(tmp_path / "source.sqlite"))
        return
    postgres = request.param == "postgresql"
    server = request.getfixturevalue("postgres_server" if postgres else "mysql_server")
    with temporary_database(server) if postgres else temporary_mysql_database(server) as url:
        yield url


@pytest.fixture
def postgres(postgres_server: URL) -> Iterator[URL]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture
def mysql(mysql_server: URL) -> Iterator[URL]:
    with temporary_mysql_database(mysql_server) as url:
        yield url


@pytest.fixture
def sqlite(tmp_path: Path) -> URL:
    return URL.create("sqlite", database=str(tmp_path / "source.sqlite"))


def make(url: URL, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(spelled(url, statement))
    engine.dispose()


def spelled(url: URL, statement: str) -> str:
    """The statement as the driver takes it."""
    if url.get_backend_name() == "sqlite":
        return statement
    statement = statement.replace("%", "%%")
    return statement.replace('"', "`") if url.get_backend_name() == "mysql" else statement


def guessed_text(url: URL) -> str:
    engine = connect_source(url, statement_timeout_seconds=20)
    text_ = document(survey(engine)[1])
    engine.dispose()
    return text_


def guessed(url: URL, tmp_path: Path) -> Mapping[str, Declaration]:
    """What is guessed; it loads, fits, and all rows of it can be read."""
    path = tmp_path / "datasets.toml"
    path.write_text(guessed_text(url), encoding="utf-8")
    declarations = load_declarations(path)
    engine = connect_source(url)
    catalog = Catalog(engine, declarations)
    assert catalog.findings() == []
    for name in declarations:
        dataset = catalog.dataset(name)
        columns = list(dataset.columns.values())
        starts = ["0001-01-02T00:00:00Z"] if dataset.date_column else []
        for date_from in [None, *starts]:
            selection = Selection(dataset, columns, [], date_from, None)
            with snapshot(engine) as connection:
                check_spelling(connection, selection)
                for _ in read_batches(connection, selection, 100, Masking(b"0" * 32)):
                    pass
    engine.dispose()
    return declarations


# --- Names ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sales_customer", ["sales", "customer"]),
        ("SalesCustomer", ["sales", "customer"]),
        ("APIKey2", ["api", "key", "2"]),
        ("tbl Orders", ["tbl", "orders"]),
        ("BOOKINGS", ["bookings"]),
        ("Grüße_an", ["grüße", "an"]),
        ("!?", []),
    ],
)
def test_a_name_is_read_as_words(name: str, expected: list[str]) -> None:
    assert words(name) == expected


@pytest.mark.parametrize(
    ("dataset", "table"),
    [
        ("bookings", "Reservations"),
        ("bookings", "tbl_booking"),
        ("bookings", "tblOrders"),
        ("bookings", "customer_order"),
        ("payments", "app_invoices"),
        ("users", "people"),
        ("users", "auth_user"),
        ("users", "sales_customer"),
        ("services", "hotelRoom"),
        ("services", "offerings"),
    ],
)
def test_a_table_is_known_by_its_last_word(dataset: str, table: str) -> None:
    assert likeness(dataset, None, table) is not None


@pytest.mark.parametrize(
    ("dataset", "table"),
    [
        ("bookings", "bookings_2024"),
        ("bookings", "order_items"),
        ("services", "order_items"),
        ("services", "booking_services"),
        ("users", "user_roles"),
        ("payments", "payment_methods"),
    ],
)
def test_what_only_begins_with_the_name_is_something_else(dataset: str, table: str) -> None:
    assert likeness(dataset, None, table) is None


def test_the_noun_alone_beats_prefixes_which_beat_modules() -> None:
    ranks = [
        likeness("users", "crm", name) for name in ("user", "crm_user", "auth_user", "booking_user")
    ]
    assert [rank and rank[0] for rank in ranks] == [0, 1, 2, 3]


# --- Quoting ---


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_is_quoted_so_that_it_is_read_again(name: str) -> None:
    line = f"{key_name(name)} = {quote(name)} # {quote(name)}\n"
    assert len(line.splitlines()) == 1
    assert tomllib.loads(line) == {name: name}


# --- Guesses that hold, on each database ---


NAMES = {
    "quotes": 'na"me',
    "dots": "a.b.c",
    "blanks": " name with  blanks",
    "unicode": "größe✓ имя",
    "percent": "100%(x)s",
    "colon": "a:b :c",
    "backslash": "a\\b",
    "reserved": "select",
    "mixed": "MixedCase",
    "bracket": "[x] = 1 #",
    "newline": "two\nlines",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_columns_of_any_name_are_declared_so_that_they_can_be_exported(
    empty: URL, tmp_path: Path, name: str
) -> None:
    if empty.get_backend_name() == "mysql":
        name = name.replace('"', "'").replace("\n", "\t").strip()
    sql = name.replace('"', '""')
    make(
        empty,
        f'CREATE TABLE "user" ("{sql}" integer NOT NULL, "{sql} at" timestamp NULL, '
        f'"{sql} token" varchar(20), "{sql} email" varchar(20), PRIMARY KEY ("{sql}"))',
        'INSERT INTO "user" VALUES (1, NULL, NULL, NULL)',
    )
    declared = guessed(empty, tmp_path)["users"]
    assert declared.key == [name]
    assert declared.date_column == f"{name} at"
    assert declared.leave_out == [f"{name} token"]


def test_tables_are_found_by_usual_names(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE rental (rental_id integer NOT NULL PRIMARY KEY, rental_date date NOT NULL)",
        "CREATE TABLE rental_2024 (rental_id integer NOT NULL PRIMARY KEY)",
        "CREATE TABLE invoices (id integer NOT NULL PRIMARY KEY, last_update date)",
        "CREATE TABLE invoice_lines (id integer NOT NULL PRIMARY KEY)",
        'CREATE TABLE "Customer" (id integer NOT NULL PRIMARY KEY, born date)',
        "CREATE TABLE film (id integer NOT NULL PRIMARY KEY)",
        "CREATE VIEW customers AS SELECT 1 AS id",
    )
    declared = guessed(empty, tmp_path)
    assert {name: each.table for name, each in declared.items()} == {
        "bookings": "rental",
        "payments": "invoices",
        "users": "Customer",
        "services": "film",
    }
    assert declared["bookings"].key == ["rental_id"]
    assert declared["bookings"].date_column == "rental_date"
    assert declared["payments"].date_column == "last_update"
    assert declared["users"].date_column is None


def test_roles_are_guessed_by_foreign_keys_by_names_and_by_rows(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE customers (id integer NOT NULL PRIMARY KEY)",
        "CREATE TABLE treatments (id integer NOT NULL PRIMARY KEY, title varchar(20))",
        "CREATE TABLE appointments (id integer NOT NULL PRIMARY KEY, who integer, "
        "treatment_id integer, state varchar(20), price decimal(8, 2), currency varchar(3), "
        "FOREIGN KEY (who) REFERENCES customers (id))",
        "CREATE TABLE payments (id integer NOT NULL PRIMARY KEY, appointment_id integer, "
        "status varchar(20), amount decimal(8, 2), currency_code varchar(3), "
        "payment_method varchar(9))",
        "INSERT INTO appointments VALUES (1, NULL, NULL, 'Canceled', NULL, NULL)",
        "INSERT INTO appointments VALUES (2, NULL, NULL, 'completed', NULL, NULL)",
        "INSERT INTO payments VALUES (1, NULL, 'captured', NULL, NULL, NULL)",
        "INSERT INTO payments VALUES (2, NULL, 'refunded', NULL, NULL, NULL)",
    )

    declared = guessed(empty, tmp_path)

    assert declared["bookings"].roles == {
        "user": "who",
        "service": "treatment_id",
        "status": "state",
        "amount": "price",
        "currency": "currency",
    }
    assert declared["bookings"].statuses == {"cancelled": ["Canceled"]}
    assert declared["payments"].roles == {
        "booking": "appointment_id",
        "status": "status",
        "amount": "amount",
        "currency": "currency_code",
        "method": "payment_method",
    }
    assert declared["payments"].statuses == {"paid": ["captured"], "refunded": ["refunded"]}
    assert declared["services"].roles == {"name": "title"}
    text_ = guessed_text(empty)
    assert 'roles.user = "who"  # a foreign key to the users' in text_
    assert 'roles.amount = "price"  # by its name' in text_


def test_roles_that_several_columns_may_have_are_not_guessed(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE customers (id integer NOT NULL PRIMARY KEY)",
        "CREATE TABLE rentals (id integer NOT NULL PRIMARY KEY, user_id integer, "
        "customer_id integer, amount varchar(9), status integer, total_tax decimal(8, 2))",
    )
    assert guessed(empty, tmp_path)["bookings"].roles == {}


def test_the_key_of_a_view_is_tried_on_its_rows(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE VIEW bookings AS SELECT 1 AS booking_no, 1 AS id UNION ALL SELECT 2, 1",
        "CREATE VIEW users AS SELECT 1 AS id, 2 AS x UNION ALL SELECT 1, 3",
        "CREATE VIEW services AS SELECT 1 AS price",
    )
    declared = guessed(empty, tmp_path)
    assert declared["bookings"].key == ["booking_no"]
    assert declared.keys() == {"bookings"}
    written = guessed_text(empty)
    assert '# Not declared, because it would not work: key "id" is not unique' in written
    assert "# Not declared, because it would not work: no column is known to tell" in written


# PostgreSQL drops no table that a view needs.
@pytest.mark.parametrize("empty", ["sqlite", "mysql"], indirect=True)
def test_a_view_that_is_broken_is_not_declared(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE gone (id integer)",
        "CREATE VIEW users AS SELECT id FROM gone",
        "CREATE TABLE bookings (id integer NOT NULL PRIMARY KEY)",
        "DROP TABLE gone",
    )
    assert guessed(empty, tmp_path).keys() == {"bookings"}
    engine = connect_source(empty)
    findings = Catalog(engine, {"users": Declaration(table="users", key=["id"])}).findings()
    engine.dispose()
    assert [finding.split(" (")[0] for finding in findings] == [
        'users: the source refuses to read "users"'
    ]


def test_a_composite_key_keeps_its_order(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE payments (a integer NOT NULL, b integer NOT NULL, PRIMARY KEY (b, a))",
        "CREATE TABLE bookings (a integer NOT NULL, b integer NOT NULL, c integer, UNIQUE (b, a))",
    )
    declared = guessed(empty, tmp_path)
    assert declared["payments"].key == ["b", "a"]
    assert declared["bookings"].key == ["b", "a"]


def test_a_table_of_three_hundred_columns_is_declared(empty: URL, tmp_path: Path) -> None:
    columns = ", ".join(f"c{i} integer, c{i}_secret integer" for i in range(150))
    make(empty, f"CREATE TABLE users (id integer NOT NULL PRIMARY KEY, {columns})")
    assert len(guessed(empty, tmp_path)["users"].leave_out) == 150


def test_generated_columns_are_columns(empty: URL, tmp_path: Path) -> None:
    make(
        empty,
        "CREATE TABLE services (id integer NOT NULL PRIMARY KEY, "
        "twice integer GENERATED ALWAYS AS (id * 2) STORED)",
        "INSERT INTO services (id) VALUES (1)",
    )
    assert guessed(empty, tmp_path)["services"].key == ["id"]


def test_columns_by_the_name_of_a_secret_are_left_out_and_personal_ones_are_not(
    empty: URL, tmp_path: Path
) -> None:
    make(
        empty,
        "CREATE TABLE users (id integer NOT NULL PRIMARY KEY, email varchar(99), "
        "phone varchar(99), password_hash varchar(99), api_key varchar(99), cvv integer, "
        "shipping varchar(9), password_changed_at date, card_number varchar(20), born date)",
    )
    declared = guessed(empty, tmp_path)["users"]
    assert declared.leave_out == ["password_hash", "api_key", "cvv"]
    assert declared.columns == {}
    written = guessed_text(empty)
    for line in (
        'columns.email = { mask = "hash" }',
        'columns.phone = { mask = "last4" }',
        'columns.card_number = { mask = "last4" }',
        'columns.born = { mask = "redact" }',
    ):
        assert f"# {line}\n" in written
    with_masks = written.replace("# columns.", "columns.")
    (tmp_path / "masked.toml").write_text(with_masks)
    engine = connect_source(empty)
    assert Catalog(engine, load_declarations(tmp_path / "masked.toml")).findings() == []
    engine.dispose()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("booking_date date NOT NULL, created_at date", "created_at"),
        ("updated_at date NOT NULL, starts_at date", "starts_at"),
        ("starts_at date, ends_on date, booking_date date", "booking_date"),
        ("one_at date, other_at date NOT NULL", "other_at"),
        ("birth_date date, note varchar(9)", None),
    ],
)
def test_the_date_column_is_the_one_that_says_when_a_row_was_made(
    empty: URL, tmp_path: Path, columns: str, expected: str | None
) -> None:
    make(empty, f"CREATE TABLE bookings (id integer NOT NULL PRIMARY KEY, {columns})")
    assert guessed(empty, tmp_path)["bookings"].date_column == expected


# --- PostgreSQL ---


def test_postgresql_types_without_a_counterpart_are_read_as_text(
    postgres: URL, tmp_path: Path
) -> None:
    make(
        postgres,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN cents AS numeric",
        "CREATE EXTENSION IF NOT EXISTS hstore",
        "CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, a int[], "
        "r int4range, v tsvector, j jsonb, price money, p point, c pair, n numeric, d cents, "
        "x xml, h hstore, i interval, ip inet, u uuid, na numeric[], ma mood[], mr int4multirange, "
        "t timetz, seen timestamptz, big numeric(50, 2), b bit(3), nan numeric(5, 2))",
        "INSERT INTO users (m, a, p, c, n, x, u, seen, nan, ma) VALUES ('sad', '{1}', '(1,2)', "
        "'(1,a)', 1.5, '<a/>', gen_random_uuid(), 'infinity', 'NaN', '{ok}')",
    )
    declared = guessed(postgres, tmp_path)["users"]
    assert {name: each.as_ for name, each in declared.columns.items()} == dict.fromkeys(
        ["p", "c", "n", "d", "x", "seen", "big", "nan"],
        "text",
    )
    assert declared.leave_out == []


def test_postgresql_partitions_are_their_parents(postgres: URL, tmp_path: Path) -> None:
    make(
        postgres,
        "CREATE TABLE app_rentals (id int, day date, PRIMARY KEY (day, id)) "
        "PARTITION BY RANGE (day)",
        "CREATE TABLE bookings PARTITION OF app_rentals FOR VALUES FROM ('2024-01-01') TO "
        "('2025-01-01')",
        "CREATE TABLE customers (id int PRIMARY KEY)",
        'CREATE TABLE "user" (PRIMARY KEY (id)) INHERITS (customers)',
    )
    declared = guessed(postgres, tmp_path)
    assert (declared["bookings"].table, declared["bookings"].key) == ("app_rentals", ["day", "id"])
    assert declared["users"].table == "customers"


def test_postgresql_schemas_that_are_not_the_own_are_looked_into(
    postgres: URL, tmp_path: Path
) -> None:
    make(
        postgres,
        'CREATE SCHEMA "My.Sales"',
        'CREATE TABLE "My.Sales"."Sales_Customer" ("Id" int PRIMARY KEY)',
        'CREATE TABLE "My.Sales".orders (id int PRIMARY KEY)',
        "CREATE TABLE orders (id int PRIMARY KEY)",
        'CREATE MATERIALIZED VIEW "My.Sales".products AS SELECT 1 AS id',
    )
    declared = guessed(postgres, tmp_path)
    assert (declared["users"].schema_, declared["users"].table) == ("My.Sales", "Sales_Customer")
    assert (declared["bookings"].schema_, declared["bookings"].table) == (None, "orders")
    assert (declared["services"].schema_, declared["services"].table) == ("My.Sales", "products")


def test_postgresql_what_may_not_be_read_is_left_out_or_not_declared(
    postgres: URL, tmp_path: Path
) -> None:
    role = f"reader_{(postgres.database or '')[-12:]}"
    make(
        postgres,
        "CREATE TABLE users (id int PRIMARY KEY, name text, salary int)",
        "CREATE TABLE bookings (id int PRIMARY KEY)",
        f"CREATE ROLE {role} LOGIN",
        f"GRANT SELECT (id, name) ON users TO {role}",
    )
    make(
        postgres,
        "CREATE TABLE services (id int PRIMARY KEY, name text)",
        f"GRANT SELECT (name) ON services TO {role}",
    )
    try:
        declared = guessed(postgres.set(username=role), tmp_path)
        assert declared["users"].leave_out == ["salary"]
        assert declared.keys() == {"users"}
    finally:
        make(postgres, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_postgresql_an_index_that_was_never_finished_keeps_nothing_unique(
    postgres: URL, tmp_path: Path
) -> None:
    make(
        postgres,
        "CREATE TABLE bookings (id int NOT NULL)",
        "CREATE UNIQUE INDEX unfinished ON bookings (id)",
        "UPDATE pg_index SET indisvalid = false, indisready = false "
        "WHERE indexrelid = 'unfinished'::regclass",
        "INSERT INTO bookings VALUES (1), (1)",
    )
    assert guessed(postgres, tmp_path) == {}


def test_a_table_that_cannot_be_exported_is_passed_over_for_one_that_can(
    empty: URL, tmp_path: Path
) -> None:
    make(
        empty,
        "CREATE TABLE bookings (x integer)",
        "CREATE TABLE orders (sku varchar(20) NOT NULL UNIQUE, updated_at date)",
    )
    assert guessed(empty, tmp_path)["bookings"].table == "orders"
    written = guessed_text(empty)
    assert '# Passed over, "bookings": no column is known to tell its rows apart' in written
    assert 'key = "sku"  # unique and never null' in written


# --- MySQL ---


def test_mysql_what_the_driver_does_not_take_is_a_source_that_does_not_answer(mysql: URL) -> None:
    engine = connect_source(mysql.update_query_dict({"wrong": "1"}))
    with pytest.raises(SourceUnavailable):
        survey(engine)
    engine.dispose()


def test_mysql_types_without_a_counterpart_are_read_as_text(mysql: URL, tmp_path: Path) -> None:
    make(
        mysql,
        "CREATE TABLE users (id int unsigned AUTO_INCREMENT PRIMARY KEY, e enum('a', 'b'), "
        "s set('a', 'b'), j json, g geometry, b bit(8), y year, big decimal(65, 2), "
        "created_at int unsigned, seen_at bigint, zero datetime NULL)",
        "SET SESSION sql_mode = ''",
        "INSERT INTO users (e, s, g, created_at, seen_at, zero) VALUES ('a', 'a,b', POINT(1, 1), "
        "1700000000, 1700000000123, '0000-00-00 00:00:00')",
    )
    declared = guessed(mysql, tmp_path)["users"]
    told = {name: (each.as_, each.stored) for name, each in declared.columns.items()}
    assert told.pop("created_at") == (None, "unix")
    assert told.pop("seen_at") == (None, "unix_ms")
    assert told.pop("zero") == ("text", None)
    assert told == {"g": ("text", None), "big": ("text", None)}
    assert declared.leave_out == []
    assert declared.date_column == "created_at"


def test_mysql_without_a_database_in_its_url_is_looked_through(mysql: URL, tmp_path: Path) -> None:
    make(mysql, "CREATE TABLE users (id int PRIMARY KEY)")
    engine = connect_source(mysql.set(database=""))
    found, _ = survey(engine)
    engine.dispose()
    assert (mysql.database, "users") in [(each.schema, each.name) for each in found]


# --- SQLite ---


@pytest.mark.parametrize(
    ("declared", "value", "told"),
    [
        ("TEXT", "2024-05-01T10:00:00Z", ("stored", "iso")),
        ("TEXT", "2024-05-01 10:00:00", ("as", "timestamp")),
        ("TEXT", "2024-05-01", ("as", "date")),
        ("DATE", "2024-05-01 10:00:00", ("as", "timestamp")),
        ("DATETIME", "2024-05-01T10:00:00", ("stored", "iso")),
        ("DATETIME", 1_700_000_000, ("stored", "unix")),
        ("INTEGER", 1_700_000_000, ("stored", "unix")),
        ("INTEGER", 1_700_000_000_000, ("stored", "unix_ms")),
        ("", "2024-05-01T10:00:00+02:00", ("stored", "iso")),
        ("TIMESTAMP", "2024-05-01 10:00:00", None),
        ("DATETIME", "yesterday", ("as", "text")),
        ("INTEGER", 7, None),
        ("TEXT", "yesterday", None),
        ("DATETIME", None, None),
    ],
)
def test_sqlite_times_are_declared_as_they_are_stored(
    sqlite: URL, tmp_path: Path, declared: str, value: object, told: tuple[str, str] | None
) -> None:
    make(sqlite, f"CREATE TABLE bookings (id INTEGER PRIMARY KEY, made_at {declared})")
    engine = create_engine(sqlite)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO bookings VALUES (1, :v), (2, NULL)"), {"v": value})
    engine.dispose()
    dataset = guessed(sqlite, tmp_path)["bookings"]
    columns = {
        name: each.model_dump(by_alias=True, exclude_none=True)
        for name, each in dataset.columns.items()
    }
    assert columns == ({"made_at": dict([told])} if told else {})


def test_sqlite_columns_whose_type_says_nothing_are_declared_by_their_rows(
    sqlite: URL, tmp_path: Path
) -> None:
    make(
        sqlite,
        "CREATE TABLE bookings (id TEXT PRIMARY KEY NOT NULL, i, f, t, b, mixed, n NUMERIC, g GEO,"
        " wrong INTEGER, bytes TEXT)",
        "INSERT INTO bookings VALUES ('a', 1, 1.5, 'x', x'00', 1, 1.5, NULL, 'many', x'ff')",
        "INSERT INTO bookings VALUES ('b', 2, 2, 1, x'01', x'00', 2, NULL, 2, 'x')",
    )
    declared = guessed(sqlite, tmp_path)["bookings"]
    assert {name: each.as_ for name, each in declared.columns.items()} == {
        "i": "integer",
        "f": "float",
        "t": "text",
        "b": "binary",
        "n": "text",
        "g": "text",
        "wrong": "text",
    }
    assert declared.leave_out == ["mixed", "bytes"]
    assert 'as = "decimal(38, 9)"' in guessed_text(sqlite)


SQLITE_NAMES = st.one_of(
    st.sampled_from(["id", "user_id", "created_at", "token", "e-mail", "day", "Birth Date", "no"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8),
)
SQLITE_TYPES = st.sampled_from(
    [
        *(
            "INTEGER",
            "TEXT",
            "DATETIME",
            "DATE",
            "TIME",
            "NUMERIC",
            "NUMERIC(9, 2)",
            "REAL",
            "BLOB",
        ),
        *("", "BOOLEAN", "GEOMETRY", "TIMESTAMPTZ", "JSON", "UUID", "INTEGER NOT NULL UNIQUE"),
    ]
)
SQLITE_CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(1_600_000_000, 1_700_000_000),
    st.floats(allow_nan=False),
    st.binary(max_size=4),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))).map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.dates().map(str),
)


@given(
    table=st.sampled_from(["bookings", "App Payments", "tblUsers", 'Shop".Service', "people"]),
    columns=st.lists(
        st.tuples(SQLITE_NAMES, SQLITE_TYPES), min_size=1, unique_by=lambda one: one[0].lower()
    ),
    rows=st.lists(st.lists(SQLITE_CELLS, min_size=9, max_size=9), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_sqlite_whatever_there_is_the_guess_of_it_can_be_exported(
    table: str, columns: list[tuple[str, str]], rows: list[list[object]]
) -> None:
    columns = columns[:9]
    quoted = [(name.replace('"', '""'), kind) for name, kind in columns]
    spelled_table = table.replace('"', '""')
    with TemporaryDirectory() as folder:
        path = Path(folder) / "source.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            fields = ", ".join(f'"{name}" {kind}' for name, kind in quoted)
            connection.execute(f'CREATE TABLE "{spelled_table}" ({fields})')
            marks = ", ".join("?" for _ in columns)
            for row in rows:
                connection.execute(
                    f'INSERT OR IGNORE INTO "{spelled_table}" VALUES ({marks})', row[: len(columns)]
                )
            connection.commit()
        guessed(URL.create("sqlite", database=str(path)), Path(folder))


def test_sqlite_tables_without_a_row_id_and_virtual_ones_are_tables(
    sqlite: URL, tmp_path: Path
) -> None:
    make(
        sqlite,
        "CREATE TABLE users (a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE services USING fts5(title, body)",
    )
    assert guessed(sqlite, tmp_path)["users"].key == ["b", "a"]
