"""Who sees and touches which tasks."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from resources.store.models import Role
from resources.task_types import REGISTRY
from tests.api.support import TASKS, Api, File, assert_problem

FILE = File("part-00001.csv", b"id\n1\n")
TOUCHES = [
    ("GET", "{id}/"),
    ("DELETE", "{id}/"),
    ("GET", "{id}/status/"),
    ("GET", "{id}/result/"),
    ("GET", f"{{id}}/result/{FILE.name}"),
    ("GET", "{id}/result/nothing.csv"),
]
MISSING = {"id": 10**12}


def told(client: httpx.Client, method: str, address: str, task: dict[str, Any]) -> Any:
    """All that a client is told, but for what differs between any two answers."""
    answer = client.request(method, TASKS + address.format(**task))
    document = assert_problem(answer, 404, "task_not_found")
    document.pop("request_id")
    varying = {"date", "x-request-id", "content-length"}
    headers = {name: each for name, each in answer.headers.items() if name not in varying}
    return answer.status_code, headers, document


@pytest.mark.parametrize("state", ["pending", "processing", "completed", "failed", "cancelled"])
@pytest.mark.parametrize(("method", "address"), TOUCHES)
def test_anothers_task_looks_like_one_that_does_not_exist(
    api: Api, state: str, method: str, address: str
) -> None:
    # Given
    alice, bob = api.user("alice"), api.user("bob")
    task = api.submit(alice)
    api.bring_to(alice, task, state)
    before = api.row(task)
    # When
    anothers, missing = (told(bob, method, address, each) for each in (task, MISSING))
    # Expect
    assert anothers == missing
    assert api.row(task) == before


def test_missing_task_is_not_found_for_an_admin_too(api: Api) -> None:
    for method, address in TOUCHES:
        told(api.admin(), method, address, MISSING)


def test_user_lists_own_tasks_alone(api: Api) -> None:
    alice, bob = api.user("alice"), api.user("bob")
    own = [api.submit(alice)["id"] for _ in range(2)]
    api.submit(bob)
    listed = alice.get(TASKS).json()
    assert [task["id"] for task in listed["results"]] == own[::-1]
    assert listed["count"] == 2
    assert alice.get(TASKS, params={"status": "pending"}).json()["count"] == 2


def test_owners_differ_by_case(api: Api) -> None:
    task = api.submit(api.user("alice"))
    told(api.user("Alice"), "GET", "{id}/", task)


def test_admin_sees_and_touches_everybodys_tasks(api: Api) -> None:
    # Given
    alice, root = api.user("alice"), api.admin()
    pending, completed = api.submit(alice), api.submit(api.user("bob"))
    api.complete(completed, FILE)
    # Expect
    assert root.get(TASKS).json()["count"] == 2
    assert root.get(f"{TASKS}{pending['id']}/").json() == pending
    assert root.get(f"{TASKS}{pending['id']}/status/").status_code == 200
    assert root.get(f"{TASKS}{completed['id']}/result/").status_code == 200
    assert root.get(f"{TASKS}{completed['id']}/result/{FILE.name}").content == FILE.content
    assert root.delete(f"{TASKS}{pending['id']}/").json()["status"] == "cancelled"
    assert alice.get(f"{TASKS}{pending['id']}/").json()["status"] == "cancelled"


def test_admin_filters_by_owner(api: Api) -> None:
    root = api.admin()
    of_bob = [api.submit(api.user(owner))["id"] for owner in ("alice", "bob")][1]
    listed = root.get(TASKS, params={"owner": "bob"}).json()
    assert ([task["id"] for task in listed["results"]], listed["count"]) == ([of_bob], 1)
    assert root.get(TASKS, params={"owner": "nobody"}).json()["results"] == []


@pytest.mark.parametrize("owner", ["alice", "bob", "nobody"])
def test_user_may_not_filter_by_owner(api: Api, owner: str) -> None:
    answer = api.user("alice").get(TASKS, params={"owner": owner})
    assert_problem(answer, 403, "forbidden")


def test_admins_own_tasks_are_the_admins(api: Api) -> None:
    task = api.submit(api.admin("root"))
    assert task["owner"] == "root"
    told(api.user("alice"), "GET", "{id}/", task)


def test_type_for_admins_is_forbidden_to_users(
    sqlite_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    of_admins = replace(REGISTRY["bookings_export"], role=Role.ADMIN)
    monkeypatch.setitem(REGISTRY, "bookings_export", of_admins)
    alice, body = sqlite_api.user("alice"), {"task_type": "bookings_export"}
    # Expect
    assert_problem(alice.post(TASKS, json=body), 403, "forbidden")
    assert alice.get(TASKS).json()["count"] == 0
    assert sqlite_api.admin().post(TASKS, json=body).status_code == 201


@pytest.mark.parametrize(
    "task_id",
    [
        "0",
        "-1",
        "+1",
        "1.0",
        "1e0",
        "0x1",
        "abc",
        "null",
        "%20{id}",
        "{id}%20",
        "{id}%00",
        "{id}%0a",
        "%2e",
        "%2e%2e",
        "%252e%252e",
        "{id}%5c",
        "{id};v=1",
        "{id},{id}",
        "*",
        "_{id}",
        "1_0",
        "%D9%A1",  # one, in Arabic digits
        "%EF%BC%91",  # one, full width
        "%C2%B2",  # two, as an exponent
        "%ff",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "9" * 5000,
    ],
)
@pytest.mark.parametrize("address", ["{id}/", "{id}/status/", "{id}/result/", "{id}/result/a.csv"])
def test_id_that_no_task_has_is_not_found(sqlite_api: Api, task_id: str, address: str) -> None:
    alice = sqlite_api.user("alice")
    tasks = [sqlite_api.submit(alice) for _ in range(2)]
    path = TASKS + address.format(id=task_id.format(**tasks[0]))
    assert_problem(alice.get(path), 404, "task_not_found")
    assert alice.get(TASKS).json()["count"] == 2


def test_high_priority_takes_an_admin(api: Api) -> None:
    asked = {"task_type": "bookings_export", "options": {"priority": "high"}}
    assert_problem(api.user().post(TASKS, json=asked), 403, "forbidden")
    task = api.submit(api.admin(), options={"priority": "high"})
    assert task["options"] == {"format": "parquet", "priority": "high"}
    assert [row["owner"] for row in api.user("root").get(TASKS).json()["results"]] == ["root"]


@pytest.mark.parametrize("priority", ["low", "normal"])
def test_other_priorities_are_for_everybody_and_told_where_asked_for(
    api: Api, priority: str
) -> None:
    task = api.submit(api.user(), options={"priority": priority})
    told = {} if priority == "normal" else {"priority": priority}
    assert task["options"] == {"format": "parquet"} | told
