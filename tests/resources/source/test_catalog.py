"""What a declaration and the source's table make together."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


def test_a_column_that_cannot_be_exported_is_told_unless_left_out(source: Source) -> None:
    binary = "blob" if source.dialect == "sqlite" else "bytea"
    source.make(f"id bigint, photo {binary}, score numeric")
    with pytest.raises(DeclarationError) as raised:
        source.dataset()
    photo, score = str(raised.value).splitlines()
    assert '"photo"' in photo
    assert '"score"' in score
    assert list(source.dataset(leave_out=["photo", "score"]).columns) == ["id"]


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
    monkeypatch.setattr(Catalog, "_look_up", None)
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
