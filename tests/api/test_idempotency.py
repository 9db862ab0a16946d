"""One key, one task."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest

from resources.timestamps import now
from tests.api.support import TASKS, Api, assert_problem, bad_fields

KEY = "order-7"
CLIENTS = 20


def post(client: httpx.Client, key: str | bytes = KEY, **fields: Any) -> httpx.Response:
    body = {"task_type": "bookings_export", **fields}
    value = key.encode() if isinstance(key, str) else key
    return client.post(TASKS, json=body, headers={b"Idempotency-Key": value})


@pytest.fixture
def alice(api: Api) -> httpx.Client:
    return api.user("alice")


def test_same_request_again_answers_the_first_task(api: Api, alice: httpx.Client) -> None:
    first, second = post(alice), post(alice)
    assert (first.status_code, second.status_code) == (201, 200)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert second.json() == first.json()
    assert alice.get(TASKS).json()["count"] == 1


@pytest.mark.parametrize("state", ["processing", "completed", "failed", "cancelled"])
def test_replay_shows_the_task_as_it_is_now(api: Api, alice: httpx.Client, state: str) -> None:
    # Given
    task = post(alice).json()
    api.bring_to(alice, task, state)
    # When
    replay = post(alice)
    # Expect
    assert replay.status_code == 200
    assert replay.json() == alice.get(f"{TASKS}{task['id']}/").json()
    assert replay.json()["status"] == state


@pytest.mark.parametrize(
    "spelled",
    [
        b'{"task_type": "bookings_export", "batch_size": 1000, "filters": {"id": 1, "note": null}}',
        b'{"filters": {"note": null, "id": 1}, "options": {}, "task_type": "bookings_export"}',
        b"""{"task_type": "bookings_export", "filters": {"id": 1, "note": null},
        "date_from": null, "options": {"format": "parquet"}}""",
    ],
)
def test_same_request_may_be_spelled_otherwise(
    api: Api, alice: httpx.Client, spelled: bytes
) -> None:
    first = post(alice, filters={"id": 1, "note": None}).json()
    headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
    replay = alice.post(TASKS, content=spelled, headers=headers)
    assert (replay.status_code, replay.json()["id"]) == (200, first["id"])


def test_same_instant_may_be_written_in_another_zone(alice: httpx.Client) -> None:
    first = post(alice, date_from="2024-01-01T00:00:00Z").json()
    assert post(alice, date_from="2024-01-01T02:00:00+02:00").json()["id"] == first["id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 999},
        {"filters": {"status": "confirmed"}},
        {"date_from": "2024-01-01T00:00:00Z"},
        {"options": {"format": "csv"}},
        {"options": {"columns": ["id"]}},
    ],
)
def test_other_request_under_the_key_is_refused(
    alice: httpx.Client, fields: dict[str, Any]
) -> None:
    first = post(alice).json()
    assert_problem(post(alice, **fields), 409, "idempotency_key_reused")
    listed = alice.get(TASKS).json()["results"]
    assert listed == [first]


def test_each_owner_has_keys_of_their_own(api: Api, alice: httpx.Client) -> None:
    bob = api.user("bob")
    first, other = post(alice), post(bob, batch_size=7)
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]


def test_owners_tokens_share_the_keys(api: Api, alice: httpx.Client) -> None:
    first = post(alice).json()
    assert post(api.user("alice")).json()["id"] == first["id"]


def test_keys_differ_by_case(alice: httpx.Client) -> None:
    assert post(alice, KEY).json()["id"] != post(alice, KEY.upper()).json()["id"]


def test_requests_without_a_key_make_a_task_each(api: Api, alice: httpx.Client) -> None:
    assert api.submit(alice)["id"] != api.submit(alice)["id"]


def test_refused_request_leaves_the_key_free(alice: httpx.Client) -> None:
    assert set(bad_fields(post(alice, batch_size=0))) == {"/batch_size"}
    assert post(alice).status_code == 201


@pytest.mark.parametrize("key", ["x" * 255, "a b", "~!@#$%^&*()", '"quoted"', "'; DROP TABLE"])
def test_printable_key_is_taken(alice: httpx.Client, key: str) -> None:
    first = post(alice, key).json()
    assert post(alice, key).json()["id"] == first["id"]


@pytest.mark.parametrize(
    "key", [b"", b"x" * 256, b"x" * 10_000, b"a\tb", "ключ".encode(), b"\xff", b"caf\xe9"]
)
def test_other_key_is_refused(sqlite_api: Api, key: bytes) -> None:
    alice = sqlite_api.user()
    assert bad_fields(post(alice, key)) == {"/Idempotency-Key": "invalid_value"}
    assert alice.get(TASKS).json()["count"] == 0


def age(api: Api, task: dict[str, Any], by: timedelta) -> None:
    api.set(task, created_at=now() - by)


def test_key_is_kept_for_a_day(api: Api, alice: httpx.Client) -> None:
    task = post(alice).json()
    age(api, task, timedelta(hours=23, minutes=59))
    assert post(alice).json()["id"] == task["id"]
    assert_problem(post(alice, batch_size=7), 409, "idempotency_key_reused")


@pytest.mark.parametrize("fields", [{}, {"batch_size": 7}])
def test_key_is_free_after_a_day(api: Api, alice: httpx.Client, fields: dict[str, Any]) -> None:
    # Given
    task = post(alice).json()
    age(api, task, timedelta(hours=24, seconds=1))
    # When
    again = post(alice, **fields)
    # Expect
    assert again.status_code == 201
    assert again.json()["id"] != task["id"]
    assert post(alice, **fields).json()["id"] == again.json()["id"]
    assert alice.get(f"{TASKS}{task['id']}/").status_code == 200


@pytest.mark.parametrize("expired", [False, True])
def test_many_at_once_with_one_key_make_one_task(
    api: Api, alice: httpx.Client, expired: bool
) -> None:
    # Given
    if expired:
        age(api, post(alice).json(), timedelta(hours=25))
    # When
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: post(alice, batch_size=7), range(CLIENTS)))
    # Expect
    assert sorted(each.status_code for each in answers) == [200] * (CLIENTS - 1) + [201]
    assert len({each.json()["id"] for each in answers}) == 1
    assert alice.get(TASKS).json()["count"] == 1 + expired


def test_of_different_requests_at_once_one_gets_the_key(api: Api, alice: httpx.Client) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda size: post(alice, batch_size=size + 1), range(CLIENTS)))
    assert sorted(each.status_code for each in answers) == [201] + [409] * (CLIENTS - 1)
    assert alice.get(TASKS).json()["count"] == 1
