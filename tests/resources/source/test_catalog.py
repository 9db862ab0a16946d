"""What a declaration and the source's table make together."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from resources.errors import DeclarationError, SourceUnavailable
from resources.source import catalog
from resources.source.catalog import Catalog
from resources.source.columns import Kind
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from tests.resources.source.conftest import TABLE, Source

COLUMNS = "id bigint PRIMARY KEY, note text, created_at timestamp, born date, total numeric(10, 2)"


@pytest.fixture
def table(source: Source) -> Source:
    source.make(COLUMNS)
    return source


def test_a_dataset_has_the_columns_of_its_table_in_their_order(table: Source) -> None:
    dataset = table.dataset(date_column="created_at", time_zone="Europe/Berlin")
    assert [(column.name, column.kind) for column in dataset.columns.values()] == [
        ("id", Kind.INTEGER),
        ("note", Kind.TEXT),
        ("created_at", Kind.TIMESTAMP),
        ("born", Kind.DATE),
        ("total", Kind.DECIMAL),
    ]
    assert dataset.date_column == dataset.columns["created_at"]
    assert dataset.key == ("id",)
    assert dataset.zone == ZoneInfo("Europe/Berlin")


def test_a_column_left_out_is_no_part_of_the_dataset(table: Source) -> None:
    assert list(table.dataset(leave_out=["note", "born"]).columns) == ["id", "created_at", "total"]


def test_a_dataset_without_a_column_is_refused(table: Source) -> None:
    everything = ["id", "note", "created_at", "born", "total"]
    with pytest.raises(DeclarationError, match="no column is left to export"):
        table.dataset(leave_out=everything)


def test_a_column_that_cannot_be_exported_is_told_unless_left_out(source: Source) -> None:
    place = {"sqlite": "place", "postgresql": "point", "mysql": "point"}[source.dialect]
    source.make(f"id bigint, place {place}, score numeric(50)")
    with pytest.raises(DeclarationError) as raised:
        source.dataset()
    of_place, of_score = str(raised.value).splitlines()
    assert of_place.endswith('write columns."place" = { as = "text" }, or add "place" to leave_out')
    assert of_score.startswith(f'{TABLE}: column "score" is a numeric of 50 digits')
    assert list(source.dataset(leave_out=["place", "score"]).columns) == ["id"]


def test_every_column_that_the_table_does_not_have_is_told_at_once(table: Source) -> None:
    with pytest.raises(DeclarationError) as raised:
        table.dataset(key=["id", "no_key"], date_column="no_date", leave_out=["no_note"])
    assert str(raised.value).splitlines() == [
        f'{TABLE}: the table "{TABLE}" has no column "{missing}"'
        for missing in ("no_key", "no_date", "no_note")
    ]


def test_a_date_column_without_dates_is_refused(table: Source) -> None:
    with pytest.raises(DeclarationError, match='date_column "note" holds no dates'):
        table.dataset(date_column="note")


def test_a_table_that_is_not_there_is_told(source: Source) -> None:
    with pytest.raises(DeclarationError, match='no table "nowhere"'):
        source.dataset(table="nowhere")


def test_a_dataset_that_is_not_declared_is_told(source: Source) -> None:
    with pytest.raises(DeclarationError, match=r"datasets\.toml"):
        Catalog(source.engine, {}).dataset("payments")


def test_a_view_may_be_declared(table: Source) -> None:
    table.run(f"CREATE VIEW some_facts AS SELECT id, total FROM {TABLE}")
    try:
        assert list(table.dataset(table="some_facts").columns) == ["id", "total"]
    finally:
        table.run("DROP VIEW some_facts")


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[tuple[Engine, Path]]:
    path = tmp_path / "later.sqlite"
    engine = connect_source(URL.create("sqlite", database=str(path)))
    yield engine, path
    engine.dispose()


def test_a_date_column_that_is_left_out_is_refused(table: Source) -> None:
    declared = Declaration(
        table=TABLE, key=["id"], date_column="created_at", leave_out=["created_at"]
    )
    with pytest.raises(DeclarationError, match=r'"created_at" is left out'):
        Catalog(table.engine, {TABLE: declared}).dataset(TABLE)


def test_a_source_that_does_not_answer_is_not_asked_by_each_who_waits(
    absent: tuple[Engine, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = absent
    datasets = Catalog(engine, {"t": Declaration(table="t", key=["id"])})
    with pytest.raises(SourceUnavailable) as first:
        datasets.dataset("t")
    monkeypatch.setattr(catalog, "look_up", None)
    with pytest.raises(SourceUnavailable) as second:
        datasets.dataset("t")
    assert second.value is first.value


def test_a_source_that_comes_back_is_asked_again_when_its_failure_is_old(
    absent: tuple[Engine, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "FAILURE_SECONDS", 0)
    engine, path = absent
    datasets = Catalog(engine, {"t": Declaration(table="t", key=["id"])})
    with pytest.raises(SourceUnavailable):
        datasets.dataset("t")
    owner = create_engine(f"sqlite:///{path}")
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE t (id integer PRIMARY KEY)"))
    owner.dispose()
    assert list(datasets.dataset("t").columns) == ["id"]


def test_a_failure_of_one_dataset_is_none_of_another(table: Source) -> None:
    declarations = {
        TABLE: Declaration(table=TABLE, key=["id"]),
        "lost": Declaration(table="nowhere", key=["id"]),
    }
    datasets = Catalog(table.engine, declarations)
    with pytest.raises(DeclarationError):
        datasets.dataset("lost")
    assert datasets.dataset(TABLE).key == ("id",)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    engine = connect_source(URL.create("postgresql+psycopg2", host="127.0.0.1", port=1))
    datasets = Catalog(engine, {"t": Declaration(table="t", key=["id"])})
    with pytest.raises(SourceUnavailable, match="does not answer"):
        datasets.dataset("t")
    engine.dispose()


def test_threads_that_ask_at_the_same_time_get_one_dataset(table: Source) -> None:
    datasets = Catalog(table.engine, {TABLE: Declaration(table=TABLE, key=["id"])})
    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(datasets.dataset, [TABLE] * 16)
    assert all(other is first for other in others)


@contextmanager
def view(source: Source, definition: str) -> Iterator[Declaration]:
    """A view, which has no constraints, with the key "id"."""
    source.run(f"CREATE VIEW some_facts AS {definition}")
    try:
        yield Declaration(table="some_facts", key=["id"])
    finally:
        source.run("DROP VIEW some_facts")


def findings(source: Source, declaration: Declaration) -> list[str]:
    return Catalog(source.engine, {"bookings": declaration}).findings()


@pytest.mark.parametrize(
    ("ids", "finding"),
    [
        ([1, 2], None),
        ([1, 1], 'bookings: key "id" is not unique: add columns until it tells rows apart'),
        ([1, None], 'bookings: key "id" is null in some rows: declare one that never is'),
        ([], None),
    ],
)
def test_a_key_that_no_constraint_holds_is_tried(
    source: Source, ids: list[int | None], finding: str | None
) -> None:
    source.make("id bigint, note text", [(each, "x") for each in ids])
    expected = [] if finding is None else [finding]
    with view(source, f"SELECT id, note FROM {TABLE}") as declaration:
        assert findings(source, declaration) == expected
    assert findings(source, Declaration(table=TABLE, key=["id"])) == expected


def test_a_text_key_tells_cases_and_blanks_apart(source: Source) -> None:
    source.make("id text, note text", [("a", "x"), ("A", "x"), ("a ", "x"), ("\u00e4", "x")])
    with view(source, f"SELECT id, note FROM {TABLE}") as declaration:
        assert findings(source, declaration) == []


def test_a_unique_index_on_some_rows_alone_proves_nothing(postgresql_source: Source) -> None:
    postgresql_source.make("id bigint NOT NULL, note text", [(1, "x"), (1, "y")])
    postgresql_source.run(f"CREATE UNIQUE INDEX few ON {TABLE} (id) WHERE note = 'x'")
    (finding,) = findings(postgresql_source, Declaration(table=TABLE, key=["id"]))
    assert "is not unique" in finding


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000000) "
    "SELECT i AS id FROM n",
    "postgresql": "SELECT i AS id FROM generate_series(1, 600) AS i, "
    "LATERAL (SELECT pg_sleep(1) WHERE i > 0) AS s",
    "mysql": "SELECT 1 AS id FROM (SELECT 1) AS one WHERE sleep(60) = 0",
}


def test_a_key_that_takes_too_long_to_try_is_believed_with_a_warning(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    url = source.writer.url
    impatient = connect_source(url, statement_timeout_seconds=1)
    types = {"id": {"as": "integer"}} if source.dialect == "sqlite" else {}
    with view(source, ENDLESS[source.dialect]) as declaration:
        declared = declaration.model_dump(by_alias=True) | {"columns": types}
        datasets = Catalog(impatient, {"bookings": Declaration.model_validate(declared)})
        assert list(datasets.dataset("bookings").columns) == ["id"]
    assert "it takes too long to try whether its key" in caplog.text
    impatient.dispose()


def test_a_run_does_not_try_keys(source: Source) -> None:
    source.make("id bigint, note text", [(1, "x"), (1, "y")])
    declared = {TABLE: Declaration(table=TABLE, key=["id"])}
    assert Catalog(source.engine, declared, check_keys=False).dataset(TABLE).key == ("id",)


def test_what_changes_in_the_source_is_seen_when_the_look_up_is_old(
    table: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = Catalog(table.engine, {TABLE: Declaration(table=TABLE, key=["id"])})
    before = list(datasets.dataset(TABLE).columns)
    table.run(f"ALTER TABLE {TABLE} ADD COLUMN colour integer")
    assert list(datasets.dataset(TABLE).columns) == before
    monkeypatch.setattr(catalog, "FRESH_SECONDS", 0)
    assert list(datasets.dataset(TABLE).columns) == [*before, "colour"]
    table.run(f"DROP TABLE {TABLE}")
    with pytest.raises(DeclarationError, match="no table"):
        datasets.dataset(TABLE)


def test_what_was_known_stands_while_the_source_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "FRESH_SECONDS", 0)
    path = tmp_path / "source.sqlite"
    owner = create_engine(f"sqlite:///{path}")
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE t (id integer PRIMARY KEY)"))
    owner.dispose()
    engine = connect_source(URL.create("sqlite", database=str(path)))
    datasets = Catalog(engine, {"t": Declaration(table="t", key=["id"])})
    known = datasets.dataset("t")
    path.rename(tmp_path / "away.sqlite")
    assert datasets.dataset("t") is known
    engine.dispose()


def test_a_table_that_may_not_be_read_is_told(postgresql_source: Source) -> None:
    postgresql_source.make("id bigint PRIMARY KEY")
    role = f"workers_test_{uuid.uuid4().hex[:12]}"
    postgresql_source.run(f"CREATE ROLE {role} LOGIN")
    engine = connect_source(postgresql_source.writer.url.set(username=role))
    try:
        (finding,) = Catalog(engine, {"users": Declaration(table=TABLE, key=["id"])}).findings()
    finally:
        engine.dispose()
        postgresql_source.run(f"DROP ROLE {role}")
    assert finding.startswith(f'users: the source refuses to read "{TABLE}"')
    assert "SELECT" in finding


def test_a_table_in_another_schema_is_found_and_said(postgresql_source: Source) -> None:
    postgresql_source.run("CREATE SCHEMA sales")
    postgresql_source.run('CREATE TABLE sales."Orders" (id integer PRIMARY KEY)')
    try:
        lost = Declaration(table="Orders", key=["id"])
        (finding,) = findings(postgresql_source, lost)
        assert finding.endswith('but there is one elsewhere: add schema = "sales"')
        found = Declaration.model_validate({"table": "Orders", "schema": "sales", "key": "id"})
        assert findings(postgresql_source, found) == []
    finally:
        postgresql_source.run("DROP SCHEMA sales CASCADE")


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(table: Source) -> None:
    declaration = Declaration(table=TABLE, key=["id"], date_column="Created_At")
    assert findings(table, declaration) == [
        f'bookings: the table "{TABLE}" has no column "Created_At"; did you mean "created_at"?'
    ]
    (finding,) = findings(table, Declaration(table="Factz", key=["id"]))
    assert finding.endswith(f'did you mean "{TABLE}"?')


def test_masks_are_refused_where_they_would_hide_nothing_or_have_no_meaning(
    postgresql_source: Source,
) -> None:
    postgresql_source.make("id int PRIMARY KEY, at timestamp, tags text[], photo bytea, ratio real")
    masked = {name: {"mask": "hash"} for name in ("at", "tags", "photo", "ratio")}
    declared = {"table": TABLE, "key": "id", "date_column": "at", "columns": masked}
    found = findings(postgresql_source, Declaration.model_validate(declared))
    assert [each.split('"')[1] for each in found] == ["tags", "photo", "ratio", "at"]
    assert all("which have no mask; change its declaration" in each for each in found[:3])
    assert "dates would tell what the mask hides" in found[3]


def test_a_view_without_its_rows_is_a_finding_and_no_outage(postgresql_source: Source) -> None:
    postgresql_source.run("CREATE MATERIALIZED VIEW empty AS SELECT 1 AS id WITH NO DATA")
    try:
        (finding,) = findings(postgresql_source, Declaration(table="empty", key=["id"]))
        assert finding.startswith('bookings: the source refuses to read "empty"')
    finally:
        postgresql_source.run("DROP MATERIALIZED VIEW empty")


def test_a_view_whose_definer_is_gone_is_a_finding_and_hides_no_other(
    mysql_tables: Source,
) -> None:
    mysql_tables.run("CREATE DEFINER = nobody@nowhere VIEW orphan AS SELECT 1 AS id")
    try:
        declared = {
            "bookings": Declaration(table="orphan", key=["id"]),
            "users": Declaration(table="nowhere", key=["id"]),
        }
        orphan, lost = Catalog(mysql_tables.engine, declared).findings()
        assert orphan.startswith('bookings: the source refuses to read "orphan"')
        assert lost.startswith('users: the source has no table "nowhere"')
    finally:
        mysql_tables.run("DROP VIEW orphan")


def test_rows_without_a_key_are_not_read_at_each_request(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "FAILURE_SECONDS", 0)
    source.make("id bigint, note text", [(1, "x"), (1, "y")])
    datasets = Catalog(source.engine, {TABLE: Declaration(table=TABLE, key=["id"])})
    with pytest.raises(DeclarationError, match="not unique") as first:
        datasets.dataset(TABLE)
    with pytest.raises(DeclarationError) as second:
        datasets.dataset(TABLE)
    assert second.value is first.value
