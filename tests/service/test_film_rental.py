"""Somebody's database, a shop that rents out films, exported by its declarations alone."""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import URL

from resources.settings import PROJECT_ROOT
from tests.conftest import temporary_database
from tests.service.conftest import running
from tests.support.service import Client
from tests.support.zoo.guide import worked_example
from tests.support.zoo.reading import (
    Rows,
    comparable,
    from_csv,
    in_csv,
    in_parquet,
    read_csv,
    read_parquet,
)

pytestmark = pytest.mark.service

MASK_KEY = "the film shop's own mask key"
MADE = PROJECT_ROOT / "tests" / "support" / "zoo" / "film_rental.sql"


@dataclass(frozen=True)
class Shop:
    """The shop's database, and a client of the service that exports it."""

    dsn: str
    client: Client

    def rows(self, query: str) -> Rows:
        """What the driver says."""
        with closing(psycopg2.connect(self.dsn, options="-c intervalstyle=iso_8601")) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def shop(postgres_server: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    datasets = folder / "datasets.toml"
    datasets.write_text(worked_example(), encoding="utf-8")
    with temporary_database(postgres_server) as url:
        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(psycopg2.connect(dsn)) as connection:
            connection.cursor().execute(MADE.read_text(encoding="utf-8"))
            connection.commit()
        environment = {
            "WORKERS_SOURCE_URL": dsn,
            "WORKERS_DATASETS": str(datasets),
            "WORKERS_MASK_KEY": MASK_KEY,
        }
        with running(folder / "home", environment) as service:
            client = service.client("shop")
            yield Shop(dsn, client)
            client.close()


def hashed(value: str) -> str:
    return hmac.new(MASK_KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Asked:
    """An export, and the query that means the same."""

    request: dict[str, Any]
    query: str

    @property
    def format(self) -> str:
        return str(self.request.get("options", {}).get("format", "parquet"))


ASKED = {
    "bookings": Asked(
        {
            "filters": {"status": "returned", "store_id": [1], "kept": {"ne": "P5D"}},
            "date_from": "2022-06-01T00:00:00+02:00",
            "date_to": "2022-07-01T00:00:00+02:00",
            "batch_size": 10,
        },
        "SELECT rental_id, rental_date, return_date, kept::text, status, customer_id, store_id, "
        "film_id, title, rental_rate FROM film_rental.rental_list WHERE status = 'returned' "
        "AND store_id = 1 AND kept <> '5 days' AND rental_date >= '2022-05-31 22:00+00' "
        "AND rental_date < '2022-06-30 22:00:01+00' ORDER BY rental_id",
    ),
    "payments": Asked(
        {
            "filters": {"amount": {"gte": "4.99"}},
            "date_from": "2022-05-31T12:00:00Z",
            "date_to": "2022-07-02T12:00:00Z",
            "options": {"format": "csv"},
        },
        "SELECT payment_id, customer_id, rental_id, amount, payment_date "
        "FROM film_rental.payment WHERE amount >= 4.99 AND payment_date >= '2022-05-31 12:00+00' "
        "AND payment_date < '2022-07-02 12:00:01+00' ORDER BY payment_date, payment_id",
    ),
    "users": Asked(
        {
            "filters": {"active": True, "store_id": 2},
            "date_from": "2022-01-10T00:00:00Z",
            "date_to": "2022-02-10T00:00:00Z",
        },
        "SELECT customer_id, store_id, 'REDACTED', 'REDACTED', email, activebool, create_date, "
        "last_update, active FROM film_rental.customer WHERE active = 1 AND store_id = 2 "
        "AND create_date BETWEEN '2022-01-10' AND '2022-02-10' ORDER BY customer_id",
    ),
    "services": Asked(
        {
            "filters": {
                "rating": ["PG", "NC-17"],
                "rental_rate": {"lt": 4.99},
                "title": {"like": "%R%"},
                "release_year": {"gte": 1995},
            }
        },
        "SELECT film_id, title, description, release_year, rental_duration, rental_rate, length, "
        "replacement_cost, daily_rate, rating::text, special_features, last_update "
        "FROM film_rental.film WHERE rating IN ('PG', 'NC-17') AND rental_rate < 4.99 "
        "AND title LIKE '%R%' AND release_year >= 1995 ORDER BY film_id",
    ),
}


def test_all_four_exports_equal_what_the_shop_has(shop: Shop, tmp_path: Path) -> None:
    tasks = {
        dataset: shop.client.submit(task_type=f"{dataset}_export", **asked.request)
        for dataset, asked in ASKED.items()
    }
    files: dict[str, bytes] = {}
    for dataset, task in tasks.items():
        done = shop.client.until(task["id"], "completed")
        (files[dataset],) = shop.client.files(done)

    for dataset, asked in ASKED.items():
        path = tmp_path / f"{dataset}.{asked.format}"
        path.write_bytes(files[dataset])
        expected = masked(dataset, shop.rows(asked.query))
        assert len(expected) > 10, dataset
        compare = compared_csv if asked.format == "csv" else compared_parquet
        exported, wanted = compare(path, expected)
        assert exported == wanted, dataset
    assert b"@film.example" not in files["users"]


def masked(dataset: str, rows: Rows) -> Rows:
    """The shop's rows with its customers' addresses hashed."""
    if dataset != "users":
        return rows
    email = 4
    return [(*row[:email], row[email] and hashed(row[email]), *row[email + 1 :]) for row in rows]


PAYMENT_TYPES = ("INTEGER", "INTEGER", "INTEGER", "DECIMAL(5,2)", "TIMESTAMP WITH TIME ZONE")


def compared_parquet(path: Path, expected: Rows) -> tuple[list[Any], list[Any]]:
    columns, rows = read_parquet(path)
    types = [type_ for _, type_ in columns]
    return [[comparable(cell) for cell in row] for row in rows], converted(
        expected, types, in_parquet
    )


def compared_csv(path: Path, expected: Rows) -> tuple[list[Any], list[Any]]:
    rows = read_csv(path, [("", type_) for type_ in PAYMENT_TYPES])
    return converted(rows, PAYMENT_TYPES, from_csv), converted(expected, PAYMENT_TYPES, in_csv)


def converted(rows: Rows, types: Sequence[str], convert: Any) -> list[Any]:
    return [[convert(cell, type_) for cell, type_ in zip(row, types, strict=True)] for row in rows]


def test_what_the_shop_masks_or_leaves_out_cannot_be_asked_for(shop: Shop) -> None:
    answer = shop.client.http.post(
        "/",
        json={
            "task_type": "users_export",
            "filters": {"email": "customer1@film.example", "nickname": "x"},
        },
    )
    assert answer.status_code == 422
    assert {error["code"] for error in answer.json()["errors"]} == {
        "masked_filter_field",
        "unknown_filter_field",
    }
