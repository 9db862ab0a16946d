"""An export from POST to file, through every process of the service."""

import gzip
import hashlib
import io
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow.parquet
import pytest
from sqlalchemy import create_engine, text

from tests.service.conftest import ClientMaker, Setup
from tests.support.service import Client, Service
from tests.support.sources import FORMULA

pytestmark = pytest.mark.service

# The example of the API's first description.
SEED_EXAMPLE: dict[str, Any] = {
    "batch_size": 100,
    "filters": {"status": "confirmed"},
    "date_from": "2024-01-01T00:00:00Z",
    "date_to": "2024-12-31T23:59:59Z",
}


def source_rows(setup: Setup, query: str) -> list[tuple[Any, ...]]:
    """What an independent query finds in the source."""
    engine = create_engine(setup.source)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def as_compared(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with its values in one spelling: SQLite has times as texts, decimals as numbers."""
    return tuple(
        Decimal(str(value)).quantize(Decimal("0.01"))
        if isinstance(value, float | Decimal)
        else value.isoformat(sep=" ")
        if hasattr(value, "isoformat")
        else value
        for value in row
    )


def test_the_rows_of_a_parquet_file_equal_the_sources(alice: Client, setup: Setup) -> None:
    task = alice.submit(**SEED_EXAMPLE)
    assert task["status"] == "pending"

    done = alice.until(task["id"], "completed")

    (content,) = alice.files(done)
    table = pyarrow.parquet.read_table(io.BytesIO(content))
    exported = [as_compared(tuple(row.values())) for row in table.to_pylist()]
    expected = source_rows(
        setup,
        "SELECT * FROM bookings WHERE status = 'confirmed' "
        "AND created_at >= '2024-01-01 00:00:00' AND created_at < '2025-01-01 00:00:00' "
        "ORDER BY id",
    )
    assert len(exported) > 100
    amount = table.column_names.index("total")
    assert exported == [
        as_compared((*row[:amount], Decimal(str(row[amount])), *row[amount + 1 :]))
        for row in expected
    ]


# What the datasets of the service under test leave as it is.
TOLD = {
    "payments_export": ["id", "booking_id", "amount", "currency", "method", "status", "paid_at"],
    "users_export": ["id", "full_name", "country", "locale", "marketing_consent", "created_at"],
    "services_export": ["id", "name", "category", "duration_minutes", "price", "currency"],
}


@pytest.mark.parametrize("task_type", TOLD)
def test_every_dataset_has_an_export_of_its_own(
    alice: Client, setup: Setup, task_type: str
) -> None:
    names = TOLD[task_type]
    window = {"date_from": "2024-02-01T00:00:00Z", "date_to": "2024-11-30T23:59:59Z"}
    task = alice.submit(task_type=task_type, options={"columns": names}, **window)

    done = alice.until(task["id"], "completed")

    table = pyarrow.parquet.read_table(io.BytesIO(alice.files(done)[0]))
    assert table.column_names == names
    expected = source_rows(
        setup,
        f"SELECT {', '.join(names)} FROM {task_type.removesuffix('_export')} "
        "WHERE created_at >= '2024-02-01 00:00:00' AND created_at < '2024-12-01 00:00:00' "
        "ORDER BY id",
    )
    exported = [as_compared(tuple(row.values())) for row in table.to_pylist()]
    assert exported == [as_compared(row) for row in expected]
    assert len(exported) == done["result"]["rows"]


def test_what_is_masked_or_left_out_is_in_no_file(alice: Client, setup: Setup) -> None:
    users, services = (alice.submit(task_type=name) for name in ("users_export", "services_export"))

    done = alice.until(users["id"], "completed")

    people = pyarrow.parquet.read_table(io.BytesIO(alice.files(done)[0])).to_pylist()
    known = source_rows(setup, "SELECT email, phone FROM users ORDER BY id")
    assert [len(each["email"]) for each in people] == [64] * len(known)
    assert len({each["email"] for each in people}) == len(known)
    assert [each["phone"] for each in people] == [
        None if phone is None else f"****{phone[-4:]}" for _, phone in known
    ]
    schema = alice.http.get(done["result"]["url"]).json()["schema"]
    assert {each["name"]: each.get("mask") for each in schema if "mask" in each} == {
        "email": "hash",
        "phone": "last4",
    }
    done = alice.until(services["id"], "completed")
    schema = alice.http.get(done["result"]["url"]).json()["schema"]
    assert "active" not in [each["name"] for each in schema]


@pytest.mark.parametrize(
    ("task_type", "field", "code"),
    [
        ("users_export", "email", "masked_filter_field"),
        ("services_export", "active", "unknown_filter_field"),
    ],
)
def test_what_is_masked_or_left_out_cannot_be_asked_for(
    alice: Client, task_type: str, field: str, code: str
) -> None:
    body = {"task_type": task_type, "filters": {field: {"ne": "x"}}}

    refused = alice.http.post("/", json=body)

    assert refused.status_code == 422
    assert [each["code"] for each in refused.json()["errors"]] == [code]


def test_a_csv_file_has_the_same_rows_as_a_parquet_file(alice: Client, tmp_path: Any) -> None:
    wanted = {"filters": {"status": ["pending", "cancelled"]}}
    parquet = alice.submit(**wanted)
    csv = alice.submit(**wanted, options={"format": "csv"})

    files = {
        name: alice.files(alice.until(task["id"], "completed"))[0]
        for name, task in (("a.parquet", parquet), ("a.csv", csv))
    }

    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    # Quoted is the empty text, unquoted is null.
    csv_rows = f"read_csv('{tmp_path}/a.csv', allow_quoted_nulls=false)"
    with duckdb.connect() as db:
        difference = db.execute(
            f"SELECT count(*) FROM (SELECT * FROM '{tmp_path}/a.parquet' "
            f"EXCEPT ALL SELECT * FROM {csv_rows})"
        ).fetchone()
        count = db.execute(f"SELECT count(*) FROM {csv_rows}").fetchone()
    assert difference == (0,)
    assert count is not None
    assert count[0] > 0


def test_a_compressed_csv_file_unpacks_to_its_rows(alice: Client) -> None:
    options = {"format": "csv", "compression": "gzip", "columns": ["id", "note"]}
    task = alice.submit(filters={"status": "pending"}, options=options)

    done = alice.until(task["id"], "completed")

    assert done["options"] == options
    lines = gzip.decompress(alice.files(done)[0]).decode().splitlines()
    assert lines[0] == '"id","note"'
    assert len(lines) > done["result"]["rows"] > 0


def test_texts_that_a_spreadsheet_takes_for_formulas_are_marked_where_that_is_asked_for(
    alice: Client,
) -> None:
    wanted = {"filters": {"status": "formula"}}
    options = {"format": "csv", "columns": ["id", "total", "note"]}
    safe = alice.submit(**wanted, options={**options, "spreadsheet_safe": True})
    plain = alice.submit(**wanted, options=options)

    safe, plain = (alice.until(task["id"], "completed") for task in (safe, plain))

    (marked,), (as_it_is,) = alice.files(safe), alice.files(plain)
    assert as_it_is.decode() == f'"id","total","note"\n97,-1.00,"{FORMULA}"\n'
    assert marked.decode() == f'"id","total","note"\n97,-1.00,"\'{FORMULA}"\n'
    told = [alice.http.get(task["result"]["url"]).json() for task in (safe, plain)]
    assert [manifest["spreadsheet_safe"] for manifest in told] == [True, False]


def test_the_manifest_tells_what_the_files_hold(alice: Client, setup: Setup) -> None:
    done = alice.until(alice.submit(**SEED_EXAMPLE)["id"], "completed")

    manifest = alice.http.get(done["result"]["url"]).json()
    (file,) = manifest["files"]
    answer = alice.http.get(file["url"])

    assert manifest["rows"] == file["rows"] == done["result"]["rows"] > 0
    assert manifest["spreadsheet_safe"] is False
    assert manifest["bytes"] == file["bytes"] == len(answer.content)
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    assert answer.headers["etag"] == f'"{file["sha256"]}"'
    assert {name: manifest[name] for name in ("filters", "date_from", "date_to")} == {
        name: SEED_EXAMPLE[name] for name in ("filters", "date_from", "date_to")
    }
    assert [column["name"] for column in manifest["schema"]][:2] == ["id", "user_id"]
    assert done["progress"] == {
        "processed": manifest["rows"],
        "total": manifest["rows"],
        "percent": 100.0,
    }


def test_an_export_of_nothing_completes_with_no_rows(alice: Client) -> None:
    task = alice.submit(filters={"status": "confirmed"}, date_to="1999-12-31T23:59:59Z")

    done = alice.until(task["id"], "completed")

    assert done["result"]["rows"] == 0
    assert done["progress"] == {"processed": 0, "total": 0, "percent": 100.0}
    table = pyarrow.parquet.read_table(io.BytesIO(alice.files(done)[0]))
    assert table.num_rows == 0
    assert table.schema.field("total").type == pyarrow.decimal128(10, 2)


def test_only_the_columns_that_were_asked_for_are_exported_in_their_order(alice: Client) -> None:
    task = alice.submit(filters={"status": "pending"}, options={"columns": ["total", "id"]})

    done = alice.until(task["id"], "completed")

    table = pyarrow.parquet.read_table(io.BytesIO(alice.files(done)[0]))
    assert table.column_names == ["total", "id"]


def test_the_list_shows_ones_own_tasks_and_nobody_elses(client_of: ClientMaker) -> None:
    bob, carol = client_of("bob"), client_of("carol")
    first = bob.submit(filters={"status": "pending"})
    second = bob.submit(filters={"status": "confirmed"})
    foreign = carol.submit(filters={"status": "pending"})
    for client, task in ((bob, first), (bob, second), (carol, foreign)):
        client.until(task["id"], "completed")

    page = bob.http.get("/", params={"status": "completed", "page_size": 1}).json()
    rest = bob.http.get(page["next"]).json()

    assert page["count"] == 2
    assert [task["id"] for task in page["results"] + rest["results"]] == [second["id"], first["id"]]
    assert rest["next"] is None
    for path in (f"/{foreign['id']}/", f"/{foreign['id']}/result/"):
        assert bob.http.get(path).status_code == 404
    assert bob.http.delete(f"/{foreign['id']}/").status_code == 404


def test_dagster_shows_the_run_with_its_task_and_numbers(alice: Client, service: Service) -> None:
    done = alice.until(alice.submit(**SEED_EXAMPLE)["id"], "completed")

    answer = alice.http.post(
        service.graphql_url,
        json={
            "query": "query($id: ID!) { runOrError(runId: $id) { ... on Run { status jobName "
            "tags { key value } assetMaterializations { label metadataEntries { label "
            "... on IntMetadataEntry { intValue } } } } } }",
            "variables": {"id": done["run_id"]},
        },
    ).json()["data"]["runOrError"]

    assert (answer["status"], answer["jobName"]) == ("SUCCESS", "bookings_export")
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    assert tags["workers/task_id"] == str(done["id"])
    assert tags["workers/owner"] == done["owner"]
    (materialization,) = answer["assetMaterializations"]
    numbers = {
        entry["label"]: entry.get("intValue") for entry in materialization["metadataEntries"]
    }
    assert numbers["rows"] == done["result"]["rows"]
    assert {"bytes", "parts", "seconds", "rows per second", "task"} <= numbers.keys()
