"""A cleanup deletes what was planned and archived, as it was archived, and nothing else."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from pipelines.cleanups import archiving, deletions
from resources.archives.restoring import restore
from resources.archives.rows import Row, Rows
from resources.errors import AttemptSuperseded, TaskFailed
from resources.store.models import Principal, Role
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.cleanups import Cleaner, planned
from tests.support.s3 import S3Bucket, aws_environment
from tests.support.shops import Shop

CASCADED: dict[str, Any] = {
    "filters": {"id": {"lt": 30}},
    "batch_size": 4,
    "options": {"dataset": "bookings", "cascade": ["payments", "notes"]},
}
UNPAID: dict[str, Any] = {"filters": {"id": [1, 2, 4, 5]}, "options": {"dataset": "bookings"}}
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ON_SERVERS = pytest.mark.parametrize("database", ["postgresql", "mysql"], indirect=True)
NOT_MYSQL = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def failure_of(cleaning: Cleaner, body: dict[str, Any]) -> TaskFailed:
    with pytest.raises(TaskFailed) as raised:
        cleaning.clean(**body)
    return raised.value


def meanwhile(monkeypatch: pytest.MonkeyPatch, does: Callable[[], None]) -> None:
    """Have ``does`` happen between the archive and the deletion."""
    archive_of = archiving.archive_of

    def and_then(*arguments: Any) -> Any:
        archive = archive_of(*arguments)
        does()
        return archive

    monkeypatch.setattr(deletions, "archive_of", and_then)


def test_what_was_planned_is_archived_and_deleted_and_can_be_put_back(
    cleaning: Cleaner, shop: Shop
) -> None:
    before = shop.dump()
    body = planned(cleaning, CASCADED)

    task, manifest = cleaning.clean(**body)

    after = shop.dump()
    assert [len(rows) for rows in after.values()] == [3, 30, 10, 20]
    assert set(after["bookings"]) < set(before["bookings"])
    assert [tuple(each.values()) for each in manifest["cleanup"]["tables"]] == [
        ("bookings", 30, 30, 30, 0),
        ("payments", 10, 10, 10, 0),
        ("notes", 20, 20, 20, 0),
    ]
    assert manifest["rows"] == 60
    archive = cleaning.archives.archive(task.id)
    assert all(each.is_whole for each in restore(archive, shop.url, lambda _: None))
    assert shop.dump() == before
    again = restore(archive, shop.url, lambda _: None)
    assert [(each.restored, each.there) for each in again] == [(0, 30), (0, 10), (0, 20)]


@NOT_MYSQL
def test_other_counts_than_planned_are_refused_beyond_the_tolerance(
    cleaning: Cleaner, shop: Shop
) -> None:
    body = planned(cleaning, UNPAID)
    shop.execute("DELETE FROM bookings WHERE id = 1")
    before = shop.dump()

    failure = failure_of(cleaning, body)

    assert failure.code == "plan_drifted"
    assert "bookings: 4 planned, 3 found" in failure.detail
    assert shop.dump() == before
    assert cleaning.files("archives") == cleaning.files("results/3") == []
    tolerant = {**body, "options": {**body["options"], "tolerance": 1}}
    _, manifest = cleaning.clean(**tolerant)
    assert manifest["cleanup"]["tables"][0]["deleted"] == 3


@ON_SQLITE
@pytest.mark.parametrize(
    "other",
    [
        {"filters": {"id": [1, 2, 4, 7]}},
        {"date_from": "2020-01-01T00:00:00Z"},
        {"options": {**UNPAID["options"], "cascade": ["payments"]}},
    ],
)
def test_a_plan_of_another_selection_is_refused(
    cleaning: Cleaner, shop: Shop, other: dict[str, Any]
) -> None:
    before = shop.dump()
    body = planned(cleaning, UNPAID)
    options = {**body["options"], **other.get("options", {})}

    failure = failure_of(cleaning, {**body, **other, "options": options})

    assert failure.code == "plan_mismatch"
    assert shop.dump() == before


@ON_SQLITE
def test_counts_that_the_client_has_changed_are_refused(cleaning: Cleaner) -> None:
    body = planned(cleaning, UNPAID)
    body["options"]["plan_hash"] = "5" + body["options"]["plan_hash"][1:]

    assert failure_of(cleaning, body).code == "plan_mismatch"


@pytest.mark.parametrize(("cascade", "table"), [([], "payments"), (["payments"], "notes")])
@NOT_MYSQL
def test_rows_that_others_refer_to_are_refused(
    cleaning: Cleaner, shop: Shop, cascade: list[str], table: str
) -> None:
    before = shop.dump()
    body = planned(cleaning, {**CASCADED, "options": {"dataset": "bookings", "cascade": cascade}})

    failure = failure_of(cleaning, body)

    assert failure.code == "rows_referenced"
    assert table in failure.detail
    assert shop.dump() == before
    assert cleaning.files("archives") == []


@NOT_MYSQL
def test_rows_of_one_table_that_refer_to_each_other_are_refused(
    cleaning: Cleaner, shop: Shop
) -> None:
    shop.execute(
        "CREATE TABLE moved (id INTEGER PRIMARY KEY, after INTEGER REFERENCES moved (id))",
        "INSERT INTO moved VALUES (1, 1), (2, NULL), (3, 2)",
        "DROP TABLE notes",
        "DROP TABLE payments",
        "ALTER TABLE bookings RENAME TO old",
        "ALTER TABLE moved RENAME TO payments",
    )
    before = shop.rows("payments")
    two = planned(cleaning, {"filters": {"id": 2}, "options": {"dataset": "payments"}})

    assert failure_of(cleaning, two).code == "rows_referenced"
    assert shop.rows("payments") == before
    # One that refers to itself goes; and so does one that nothing refers to.
    for number in (1, 3):
        body = {"filters": {"id": number}, "options": {"dataset": "payments"}}
        cleaning.clean(**planned(cleaning, body))
    assert shop.rows("payments") == [(2, None)]


def test_a_row_that_has_changed_since_it_was_archived_is_left(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = planned(cleaning, UNPAID)
    meanwhile(monkeypatch, lambda: shop.execute("UPDATE bookings SET total = 7 WHERE id = 4"))

    failure = failure_of(cleaning, body)

    assert failure.code == "plan_drifted"
    assert "1 rows of bookings have changed" in failure.detail
    assert [row[0] for row in shop.rows("bookings") if row[0] < 6] == [0, 3, 4]
    (told,) = cleaning.log(2)["tables"]
    assert (told["archived"], told["deleted"], told["changed"]) == (4, 3, 1)


@NOT_MYSQL
def test_a_row_that_somebody_refers_to_since_it_was_archived_is_left(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = planned(cleaning, UNPAID)
    meanwhile(monkeypatch, lambda: shop.execute("INSERT INTO payments VALUES (1, 4, 1)"))

    assert failure_of(cleaning, body).code == "rows_referenced"
    assert [row[0] for row in shop.rows("bookings") if row[0] < 6] == [0, 1, 2, 3, 4, 5]


def stop_after(
    monkeypatch: pytest.MonkeyPatch, batches: int, stop: Callable[[], None]
) -> Callable[[], int]:
    """Have ``stop`` happen once so many batches are deleted; tells how many were."""
    delete, done = deletions.Batch.delete, [0]

    def counting(batch: deletions.Batch, rows: Sequence[Row]) -> int:
        done[0] += 1
        changed = delete(batch, rows)
        if done[0] == batches:
            stop()
        return changed

    monkeypatch.setattr(deletions.Batch, "delete", counting)
    return lambda: done[0]


@NOT_MYSQL
def test_a_cancelled_cleanup_stops_after_its_batch_and_all_that_is_gone_can_be_put_back(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.dump()
    body = planned(cleaning, CASCADED)
    task = cleaning.submit(**body)
    boss = Principal("ada", Role.ADMIN)
    done = stop_after(
        monkeypatch, 3, lambda: (TaskStore(cleaning.state).cancel(task.id, boss), None)[1]
    )

    with pytest.raises(AttemptSuperseded):
        cleaning.run(task.id, task.run_id, **body)

    assert done() == 3
    assert [len(rows) for rows in shop.dump().values()] == [3, 60, 20, 28]
    assert cleaning.files(f"results/{task.id}") == []
    assert cleaning.log(task.id)["state"] == "stopped"
    restore(cleaning.archives.archive(task.id), shop.url, lambda _: None)
    assert shop.dump() == before


@ON_SQLITE
def test_a_run_that_lost_its_task_deletes_no_further_batch(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = planned(cleaning, CASCADED)
    task = cleaning.submit(**body)
    done = stop_after(monkeypatch, 2, lambda: cleaning.set_run(task.id, str(uuid.uuid4())))

    with pytest.raises(AttemptSuperseded):
        cleaning.run(task.id, task.run_id, **body)

    assert done() == 2


class _Crash(BaseException):
    """Stands for the end of the process."""


@ON_SQLITE
@pytest.mark.parametrize("batches", [1, 6, 16])
def test_another_attempt_goes_on_with_the_same_archive(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    before = shop.dump()
    body = planned(cleaning, CASCADED)
    task = cleaning.submit(**body)

    def crash() -> None:
        raise _Crash

    with monkeypatch.context() as patched:
        stop_after(patched, batches, crash)
        with pytest.raises(_Crash):
            cleaning.run(task.id, task.run_id, **body)
    archived = cleaning.archives.archive(task.id)
    another = str(uuid.uuid4())
    cleaning.set_run(task.id, another)
    made = cleaning.run(task.id, another, **body)

    assert cleaning.archives.archive(task.id).manifest == archived.manifest
    assert {name: (made.metadata or {})[name] for name in ("planned", "archived", "deleted")} == {
        "planned": 60,
        "archived": 60,
        "deleted": 60,
    }
    assert [len(rows) for rows in shop.dump().values()] == [3, 30, 10, 20]
    restore(archived, shop.url, lambda _: None)
    assert shop.dump() == before


@ON_SQLITE
def test_an_archive_of_another_request_under_the_tasks_number_is_not_gone_on_with(
    cleaning: Cleaner, shop: Shop
) -> None:
    body = planned(cleaning, UNPAID)
    task, _ = cleaning.clean(**body)
    before = shop.dump()
    with cleaning.state.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task.id).values(result=None))

    with pytest.raises(TaskFailed) as raised:
        cleaning.run(task.id, task.run_id, **{**body, "filters": {"id": [7, 8]}})

    assert raised.value.code == "archive_of_another_task"
    assert shop.dump() == before


@ON_SQLITE
def test_an_archive_that_is_damaged_before_it_is_chosen_deletes_nothing(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.dump()
    body = planned(cleaning, UNPAID)
    # Another row is read back than was written.
    monkeypatch.setattr("resources.archives.store._batches_of", lambda *_: iter(()))

    assert failure_of(cleaning, body).code == "archive_damaged"
    assert shop.dump() == before
    assert cleaning.files("archives") == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_source_whose_user_may_only_read_is_told(cleaning: Cleaner, shop: Shop) -> None:
    body = planned(cleaning, UNPAID)
    shop.execute(
        "DROP ROLE IF EXISTS workers_test_reader",
        "CREATE ROLE workers_test_reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO workers_test_reader",
    )
    url = shop.url.update_query_dict({"options": "-c role=workers_test_reader"})
    try:
        failure = failure_of(cleaning.of(url), body)
    finally:
        shop.execute("DROP OWNED BY workers_test_reader", "DROP ROLE workers_test_reader")

    assert failure.code == "source_refused"
    assert "bookings" in failure.detail
    assert len(shop.rows("bookings")) == 60
    assert cleaning.files("archives") == []


@ON_SERVERS
def test_rows_are_locked_while_they_are_compared(
    cleaning: Cleaner, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = planned(cleaning, UNPAID)
    waits = {"postgresql": "SET lock_timeout = 100", "mysql": "SET innodb_lock_wait_timeout = 1"}
    found, refused = Rows.found, []

    def and_try(rows: Rows, *arguments: Any, **named: Any) -> Any:
        told = found(rows, *arguments, **named)
        with shop.engine.connect() as connection:
            connection.exec_driver_sql(waits[shop.engine.dialect.name])
            try:
                connection.exec_driver_sql("UPDATE bookings SET total = 7 WHERE id = 4")
            except Exception as error:  # noqa: BLE001 - each driver has its own
                refused.append(type(error).__name__)
        return told

    monkeypatch.setattr(Rows, "found", and_try)
    cleaning.clean(**body)

    assert refused == ["OperationalError"]


@ON_SQLITE
def test_an_archive_may_lie_in_a_bucket(
    cleaning: Cleaner, shop: Shop, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws_environment(bucket.port).items():
        monkeypatch.setenv(name, value)
    before = shop.dump()
    settings = cleaning.settings.model_copy(update={"archives_url": f"s3://{bucket.name}/rows"})
    cleaning = replace(cleaning, settings=settings)

    task, _ = cleaning.clean(**planned(cleaning, CASCADED))

    assert f"rows/{task.id}/archive.json" in bucket.names()
    # The first to choose has chosen.
    cleaning.archives.choose(task.id, "another")
    archive = cleaning.archives.archive(task.id)
    assert archive.folder == f"{task.id}/{task.run_id}"
    assert all(each.is_whole for each in restore(archive, shop.url, lambda _: None))
    assert shop.dump() == before


@ON_SQLITE
def test_of_two_attempts_that_have_archived_the_first_to_choose_has_chosen(
    cleaning: Cleaner,
) -> None:
    task, _ = cleaning.clean(**planned(cleaning, UNPAID))

    cleaning.archives.choose(task.id, "another")

    assert cleaning.archives.archive(task.id).folder == f"{task.id}/{task.run_id}"
    assert {path.name for path in cleaning.files("archives")} == {
        "archive.json",
        "checkpoint.json",
        f"log-{task.run_id}.json",
        "manifest.json",
        "table-001-part-00001.parquet",
    }
