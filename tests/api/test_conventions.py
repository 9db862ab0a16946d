"""What all answers have in common: addresses, JSON, times, request ids, problem documents."""

import json
import logging
import re
import uuid
from typing import Any

import httpx
import pytest

from resources.errors import TaskFailed
from tests.api.support import TASKS, Api, File, assert_problem
from tests.support.waiting import eventually

FILE = File("part-00001.csv", b"id\n1\n")
ADDRESSES = ["", "{id}/", "{id}/status/", "{id}/result/", f"{{id}}/result/{FILE.name}/"]
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z")
ALLOWED = {
    "": {"GET", "POST"},
    "{id}/": {"GET", "DELETE"},
    "{id}/status/": {"GET"},
    "{id}/result/": {"GET"},
    f"{{id}}/result/{FILE.name}": {"GET"},
}


@pytest.fixture
def alice(sqlite_api: Api) -> httpx.Client:
    return sqlite_api.user("alice")


@pytest.fixture
def completed(sqlite_api: Api, alice: httpx.Client) -> dict[str, Any]:
    task = sqlite_api.submit(alice)
    sqlite_api.complete(task, FILE, rows=1)
    return task


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_without_its_slash_answers_the_same(
    alice: httpx.Client, completed: dict[str, Any], address: str
) -> None:
    canonical = alice.get(TASKS + address.format(**completed))
    bare = alice.get((TASKS + address.format(**completed)).rstrip("/"))
    assert canonical.status_code == bare.status_code == 200
    assert canonical.content == bare.content


def test_post_and_delete_work_without_the_slash(alice: httpx.Client) -> None:
    created = alice.post(TASKS.rstrip("/"), json={"task_type": "bookings_export"})
    assert created.status_code == 201
    assert alice.delete(f"{TASKS}{created.json()['id']}").status_code == 200


def test_json_is_utf_8(sqlite_api: Api, alice: httpx.Client) -> None:
    filters = {"note": "Grüße, 東京, 😀"}
    task = sqlite_api.submit(alice, filters=filters)
    answer = alice.get(f"{TASKS}{task['id']}/")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content.decode("utf-8"))["filters"] == filters


def test_every_time_is_rfc_3339_in_utc(
    sqlite_api: Api, alice: httpx.Client, completed: dict[str, Any]
) -> None:
    processing, failed = (sqlite_api.submit(alice) for _ in range(2))
    sqlite_api.process(processing, 1, 2)
    alice.delete(f"{TASKS}{processing['id']}/")
    sqlite_api.fail(failed, TaskFailed("source_unavailable", "Later.", retryable=True))
    listed = alice.get(TASKS).json()["results"]
    statuses = [alice.get(f"{TASKS}{task['id']}/status/").json() for task in listed]
    manifest = alice.get(f"{TASKS}{completed['id']}/result/").json()
    seen = set()
    for document in [*listed, *statuses, listed[-1]["result"], manifest]:
        times = {name: each for name, each in document.items() if name.endswith("_at") and each}
        assert [each for each in times.values() if not TIME.fullmatch(each)] == []
        seen |= set(times)
    assert seen == {
        "created_at",
        "started_at",
        "updated_at",
        "finished_at",
        "cancel_requested_at",
        "expires_at",
    }


def test_server_does_not_say_what_it_is_made_of(alice: httpx.Client) -> None:
    headers = alice.get(TASKS).headers
    assert "server" not in headers
    assert "x-powered-by" not in headers


@pytest.mark.parametrize(
    "given", ["a", "A.b_c:d-1", "x" * 128, "3b1f0c52-7f0e-4a4e-9d8b-2f6d1d7c9a10"]
)
@pytest.mark.parametrize("path", [TASKS, f"{TASKS}1/", "/nowhere", "/health/live"])
def test_sane_request_id_is_echoed(alice: httpx.Client, path: str, given: str) -> None:
    answer = alice.get(path, headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given
    if answer.is_error:
        assert answer.json()["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"x" * 129,
        b"a b",
        b"a/b",
        b"a,b",
        b"<script>",
        b'"',
        b"a\tb",
        "ä".encode(),
        b"\xff",
        b"%0d%0aX: 1",
    ],
)
@pytest.mark.parametrize("path", [TASKS, "/nowhere"])
def test_other_request_id_is_replaced(alice: httpx.Client, path: str, given: bytes) -> None:
    answer = alice.get(path, headers={b"X-Request-ID": given})
    assert uuid.UUID(answer.headers["x-request-id"]).version == 4
    if answer.is_error:
        assert_problem(answer, 404, "not_found")


def test_each_request_gets_an_id_of_its_own(alice: httpx.Client) -> None:
    assert len({alice.get(TASKS).headers["x-request-id"] for _ in range(5)}) == 5


def test_task_keeps_the_id_of_the_request_that_made_it(
    sqlite_api: Api, alice: httpx.Client
) -> None:
    answer = alice.post(
        TASKS, json={"task_type": "bookings_export"}, headers={"X-Request-ID": "order-7"}
    )
    assert sqlite_api.row(answer.json())["request_id"] == "order-7"


def test_log_names_the_request_and_stays_one_line(
    alice: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "api.access")
    alice.get(f"{TASKS}1%0aforged%0d/", headers={"X-Request-ID": "mine"})
    lines = eventually(
        lambda: [each.getMessage() for each in caplog.records if each.name == "api.access"],
        within=5,
    )
    assert re.fullmatch(
        r"GET /api/v1/workers/1\\nforged\\r 404 [\d.]+ ms request_id=mine", lines[0]
    )


def test_token_does_not_reach_the_log(sqlite_api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = sqlite_api.tokens.create("alice")
    sqlite_api.client(token).get(TASKS)
    sqlite_api.client(token + "x").get(TASKS)
    assert token not in caplog.text


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/v2/workers/", f"{TASKS}1/nowhere/"])
def test_unknown_address_is_not_found(alice: httpx.Client, path: str) -> None:
    assert_problem(alice.get(path), 404, "not_found")


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]


@pytest.mark.parametrize(
    ("address", "method"),
    [
        (address, method)
        for address, allowed in ALLOWED.items()
        for method in METHODS
        if method not in allowed
    ],
)
def test_method_that_an_address_lacks_is_refused_and_the_others_named(
    alice: httpx.Client, completed: dict[str, Any], address: str, method: str
) -> None:
    answer = alice.request(method, TASKS + address.format(**completed))
    assert_problem(answer, 405, "method_not_allowed")
    allowed = {each.strip() for each in answer.headers["allow"].split(",")}
    assert allowed - {"OPTIONS"} == ALLOWED[address]


@pytest.mark.parametrize(
    "accept",
    [
        b"text/html",
        b"application/xml, text/plain",
        b"application/json;q=0",
        b"nonsense",
        b"a/b/c",
        b"\xff",
    ],
)
def test_client_that_takes_no_json_is_refused(
    sqlite_api: Api, alice: httpx.Client, accept: bytes
) -> None:
    task = sqlite_api.submit(alice)
    for address in ADDRESSES[:-1]:
        answer = alice.get(TASKS + address.format(**task), headers={b"Accept": accept})
        assert_problem(answer, 406, "not_acceptable")


def test_refused_client_changes_nothing(sqlite_api: Api, alice: httpx.Client) -> None:
    task = sqlite_api.submit(alice)
    html = {"Accept": "text/html"}
    assert_problem(alice.delete(f"{TASKS}{task['id']}/", headers=html), 406, "not_acceptable")
    body = {"task_type": "bookings_export"}
    assert_problem(alice.post(TASKS, json=body, headers=html), 406, "not_acceptable")
    assert [(each["id"], each["status"]) for each in alice.get(TASKS).json()["results"]] == [
        (task["id"], "pending")
    ]


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/*;q=0.1",
        "text/html, */*;q=0.01",
        "application/problem+json",
        "Application/JSON",
        "application/json; charset=utf-8",
    ],
)
def test_client_that_takes_json_is_served(alice: httpx.Client, accept: str) -> None:
    answer = alice.get(TASKS, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_file_is_served_whatever_the_client_says_it_takes(
    alice: httpx.Client, completed: dict[str, Any]
) -> None:
    answer = alice.get(
        f"{TASKS}{completed['id']}/result/{FILE.name}", headers={"Accept": "image/png"}
    )
    assert (answer.status_code, answer.content) == (200, FILE.content)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"text/json",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/jsonp",
        b"application/problem+json",
        b"application/json, text/plain",
        b"\xff",
    ],
)
def test_body_that_is_not_said_to_be_json_is_refused(
    alice: httpx.Client, content_type: bytes | None
) -> None:
    headers = {} if content_type is None else {b"Content-Type": content_type}
    answer = alice.post(TASKS, content=b'{"task_type": "bookings_export"}', headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8"],
)
def test_body_that_is_said_to_be_json_is_read(alice: httpx.Client, content_type: str) -> None:
    answer = alice.post(
        TASKS,
        content=b'{"task_type": "bookings_export"}',
        headers={"Content-Type": content_type},
    )
    assert answer.status_code == 201


def test_options_names_the_methods(alice: httpx.Client) -> None:
    answer = alice.options(TASKS)
    assert answer.status_code == 200
    assert {each.strip() for each in answer.headers["allow"].split(",")} >= {"GET", "POST"}
