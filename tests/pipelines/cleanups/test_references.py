"""No foreign key to rows that go is missed, wherever it stands and whoever may see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from resources.archives.rows import Rows
from resources.errors import SourceRefused, TaskFailed
from resources.source.connection import connect_to_write, transaction
from resources.source.declarations import Declaration
from tests.support.cleanups import Cleaner, cleaner, planned
from tests.support.shops import Shop

ON_POSTGRESQL = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
ON_MYSQL = pytest.mark.parametrize("database", ["mysql"], indirect=True)
ONE: dict[str, Any] = {"filters": {"id": 1}, "options": {"dataset": "bookings"}}


def told(plan: dict[str, Any]) -> set[tuple[str, str, int]]:
    """What rows of a plan's tables are referred to by: table, referred table, how many rows."""
    return {(each["table"], each["refers_to"], each["rows"]) for each in plan["references"]}


def refused(cleaning: Cleaner, body: dict[str, Any]) -> TaskFailed:
    with pytest.raises(TaskFailed) as raised:
        cleaning.clean(**planned(cleaning, body))
    return raised.value


@pytest.fixture
def schemas(shop: Shop) -> Iterator[Shop]:
    """Two schemas beside the shop's, which end with the test."""
    shop.execute("CREATE SCHEMA sales", "CREATE SCHEMA app")
    yield shop
    shop.execute("DROP SCHEMA sales CASCADE", "DROP SCHEMA app CASCADE")


def of_search_path(cleaning: Cleaner, shop: Shop, path: str) -> Cleaner:
    return cleaning.of(shop.url.update_query_dict({"options": f"-c search_path={path}"}))


@ON_POSTGRESQL
def test_a_foreign_key_of_another_schema_is_told(schemas: Shop, cleaning: Cleaner) -> None:
    schemas.execute(
        "CREATE TABLE sales.pay (id integer PRIMARY KEY, "
        "b integer REFERENCES public.bookings ON DELETE CASCADE)",
        "INSERT INTO sales.pay VALUES (7, 1)",
    )

    assert ("sales.pay", "bookings", 1) in told(cleaning.plan(**ONE))
    assert refused(cleaning, ONE).code == "rows_referenced"
    assert schemas.rows("sales.pay") == [(7, 1)]
    cascaded = {**ONE, "options": {**ONE["options"], "cascade": ["sales.pay"]}}
    _, manifest = cleaning.clean(**planned(cleaning, cascaded))
    assert [each["archived"] for each in manifest["cleanup"]["tables"]] == [1, 1]


@ON_POSTGRESQL
@pytest.mark.parametrize("path", ["public,app", "sales,public,app", "app,public"])
@pytest.mark.parametrize("schema", ["app", None])
def test_a_table_is_the_same_however_the_search_path_has_it_called(
    schemas: Shop, cleaning: Cleaner, path: str, schema: str | None
) -> None:
    schemas.execute(
        "CREATE TABLE app.orders (id integer PRIMARY KEY, email text)",
        "CREATE TABLE sales.lines (o integer PRIMARY KEY REFERENCES app.orders ON DELETE CASCADE)",
        "INSERT INTO app.orders VALUES (1, 'x')",
        "INSERT INTO sales.lines VALUES (1)",
    )
    there = {"table": "orders", "key": "id"} | ({"schema": schema} if schema else {})
    declared = {"bookings": Declaration.model_validate(there)}
    url = schemas.url.update_query_dict({"options": f"-c search_path={path}"})
    other = cleaner(cleaning.state, url, cleaning.settings.home, declared)

    (reference,) = other.plan(**ONE)["references"]

    assert reference["table"].endswith("lines")
    assert reference["rows"] == 1
    assert refused(other, ONE).code == "rows_referenced"


HEIR = (
    "CREATE TABLE audit (id integer)",
    "CREATE TABLE audit1 (b integer REFERENCES bookings ON DELETE CASCADE) INHERITS (audit)",
    "INSERT INTO audit1 VALUES (7, 1)",
)
PARTITION = (
    "CREATE TABLE ev (id integer, b integer) PARTITION BY RANGE (id)",
    "CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM (0) TO (9)",
    "ALTER TABLE ev1 ADD FOREIGN KEY (b) REFERENCES bookings ON DELETE CASCADE",
    "INSERT INTO ev VALUES (7, 1)",
)


@ON_POSTGRESQL
@pytest.mark.parametrize(("made", "table"), [(HEIR, "audit1"), (PARTITION, "ev1")])
def test_a_foreign_key_that_only_a_part_of_a_table_has_is_told(
    shop: Shop, cleaning: Cleaner, made: tuple[str, ...], table: str
) -> None:
    shop.execute(*made)

    assert (table, "bookings", 1) in told(cleaning.plan(**ONE))
    assert refused(cleaning, ONE).code == "rows_referenced"
    cascaded = {**ONE, "options": {**ONE["options"], "cascade": [table]}}
    assert refused(cleaning, cascaded).code == "not_archivable"
    assert len(shop.rows(table)) == 1


@ON_POSTGRESQL
def test_a_foreign_key_that_a_whole_table_has_is_told_once(shop: Shop, cleaning: Cleaner) -> None:
    shop.execute(
        "CREATE TABLE ev (id integer, b integer REFERENCES bookings) PARTITION BY RANGE (id)",
        "CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM (0) TO (9)",
        "INSERT INTO ev VALUES (7, 1)",
    )

    references_ = cleaning.plan(**ONE)["references"]

    assert [(each["table"], each["rows"]) for each in references_] == [("ev", 1), ("payments", 0)]


@ON_POSTGRESQL
def test_a_foreign_key_to_a_partition_is_one_to_the_whole_table(
    bare: Shop, cleaning: Cleaner
) -> None:
    bare.execute(
        "DROP TABLE bookings CASCADE",
        "CREATE TABLE bookings (id integer, part integer, PRIMARY KEY (id, part)) "
        "PARTITION BY LIST (part)",
        "CREATE TABLE one PARTITION OF bookings FOR VALUES IN (1)",
        "CREATE TABLE two PARTITION OF bookings FOR VALUES IN (2)",
        "ALTER TABLE one ADD UNIQUE (id)",
        "CREATE TABLE child (id integer PRIMARY KEY, b integer REFERENCES one (id) "
        "ON DELETE CASCADE)",
        "INSERT INTO bookings VALUES (1, 1), (1, 2), (2, 1)",
        "INSERT INTO child VALUES (7, 1), (8, 2)",
    )
    declared = {"bookings": Declaration(table="bookings", key=["id", "part"])}
    other = cleaner(cleaning.state, bare.url, cleaning.settings.home, declared)

    assert told(other.plan(**ONE)) == {("child", "bookings", 1)}
    assert refused(other, ONE).code == "rows_referenced"
    # A row of another partition is not the one that is referred to, though its number is the same.
    elsewhere = {"filters": {"id": 1, "part": 2}, "options": {"dataset": "bookings"}}
    other.clean(**planned(other, elsewhere))
    assert bare.rows("child") == [(7, 1), (8, 2)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_table_is_the_same_in_any_case_in_sqlite(shop: Shop, cleaning: Cleaner) -> None:
    declared = {"bookings": Declaration(table="BookIngs", key=["id"])}
    other = cleaner(cleaning.state, shop.url, cleaning.settings.home, declared)

    assert told(other.plan(filters={"id": 3}, options={"dataset": "bookings"})) == {
        ("payments", "bookings", 1)
    }


@pytest.fixture
def beside(shop: Shop) -> Iterator[str]:
    """Another database of the server, which not everybody may see; its name has odd letters."""
    name = f"{shop.url.database}-é b"
    shop.execute(f"CREATE DATABASE `{name}`")
    yield name
    shop.execute(f"DROP DATABASE `{name}`")


@contextmanager
def somebody(shop: Shop, *grants: str) -> Iterator[URL]:
    """A user of the server, who may do anything with the shop."""
    name = str(shop.url.database)
    shop.execute(f"CREATE USER `{name}` IDENTIFIED BY 'x'", f"GRANT ALL ON `{name}`.* TO `{name}`")
    shop.execute(*(f"GRANT {each} TO `{name}`" for each in grants))
    try:
        yield shop.url.set(username=name, password="x")
    finally:
        shop.execute(f"DROP USER `{name}`")


@ON_MYSQL
def test_a_foreign_key_of_a_database_that_the_user_may_not_see_is_not_missed(
    shop: Shop, cleaning: Cleaner, beside: str
) -> None:
    mine = shop.url.database
    shop.execute(
        f"CREATE TABLE `{beside}`.`p``ay` (b INTEGER, "
        f"FOREIGN KEY (b) REFERENCES `{mine}`.bookings (id) ON DELETE CASCADE)",
        f"INSERT INTO `{beside}`.`p``ay` VALUES (1)",
    )

    assert (f"{beside}.p`ay", "bookings", 1) in told(cleaning.plan(**ONE))
    with somebody(shop) as url, pytest.raises(TaskFailed, match="GRANT PROCESS") as raised:
        cleaning.of(url).plan(**ONE)
    assert raised.value.code == "source_refused"
    with somebody(shop, "PROCESS ON *.*") as url, pytest.raises(SourceRefused):
        cleaning.of(url).plan(**ONE)  # it may not read who refers
    assert len(shop.rows(f"`{beside}`.`p``ay`")) == 1


@ON_MYSQL
def test_a_table_whose_name_holds_a_quote_is_known_to_be_referred_to(
    shop: Shop, cleaning: Cleaner
) -> None:
    shop.execute(
        "CREATE TABLE `odd``s` (`the``id` INTEGER PRIMARY KEY)",
        "CREATE TABLE child (b INTEGER, FOREIGN KEY (b) REFERENCES `odd``s` (`the``id`) "
        "ON DELETE CASCADE)",
        "INSERT INTO `odd``s` VALUES (1)",
        "INSERT INTO child VALUES (1)",
    )
    declared = {"bookings": Declaration(table="odd`s", key=["the`id"])}
    other = cleaner(cleaning.state, shop.url, cleaning.settings.home, declared)
    body = {**ONE, "filters": {"the`id": 1}}

    assert told(other.plan(**body)) == {("child", "odd`s", 1)}
    assert refused(other, body).code == "rows_referenced"


@ON_POSTGRESQL
def test_rows_that_a_policy_hides_are_not_taken_along(shop: Shop, cleaning: Cleaner) -> None:
    role = f"{shop.url.database}_hidden"
    shop.execute(
        f"CREATE ROLE {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        "CREATE TABLE pay (b integer REFERENCES bookings ON DELETE CASCADE)",
        "INSERT INTO pay VALUES (1)",
        f"GRANT ALL ON pay TO {role}",
    )
    url = shop.url.update_query_dict({"options": f"-c role={role}"})
    try:
        body = planned(cleaning.of(url), {**ONE, "filters": {"id": 2}})
        shop.execute("ALTER TABLE pay ENABLE ROW LEVEL SECURITY")
        with pytest.raises(SourceRefused):
            cleaning.of(url).plan(**ONE)
        with pytest.raises(SourceRefused):
            cleaning.of(url).clean(**body)
        writer = connect_to_write(url, statement_timeout_seconds=5)
        with pytest.raises(SourceRefused), transaction(writer) as connection:
            connection.exec_driver_sql("SELECT * FROM pay")
        writer.dispose()
    finally:
        shop.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    assert shop.rows("pay") == [(1,)]
    assert len(shop.rows("bookings")) == 60


@ON_MYSQL
@pytest.mark.parametrize("index", ["", ", KEY (code, id)"])
def test_nobody_can_refer_by_another_key_to_a_row_that_goes(
    shop: Shop, cleaning: Cleaner, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    shop.execute(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code INTEGER UNIQUE)",
        f"CREATE TABLE ch (id INTEGER PRIMARY KEY, code INTEGER{index}, "
        "FOREIGN KEY (code) REFERENCES p (code) ON DELETE CASCADE)",
        "INSERT INTO p VALUES (1, 101), (2, 102), (3, 103)",
        "INSERT INTO ch VALUES (7, 103)",
    )
    declared = {"bookings": Declaration(table="p", key=["id"])}
    other = cleaner(cleaning.state, shop.url, cleaning.settings.home, declared)
    body = planned(other, ONE)
    referred_by, refused = Rows.referred_by, []

    def and_try(rows: Rows, *arguments: Any) -> bool:
        told = referred_by(rows, *arguments)
        try:
            shop.execute("SET innodb_lock_wait_timeout = 1", "INSERT INTO ch VALUES (8, 101)")
        except OperationalError as error:
            refused.append(error.orig.args[0] if error.orig else None)
        return told

    monkeypatch.setattr(Rows, "referred_by", and_try)
    other.clean(**body)

    assert refused == [1205]  # it waited in vain for a lock
    assert shop.rows("p") == [(2, 102), (3, 103)]
    assert shop.rows("ch") == [(7, 103)]
