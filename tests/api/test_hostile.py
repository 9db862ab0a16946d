"""Nothing that a client sends makes the service fail."""

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import event

from api.errors import PROBLEMS
from tests.api.support import TASKS, Api, File, Raw, assert_problem
from tests.api.test_bodies import MALFORMED

FILE = File("part-00001.csv", b"id\n1\n")
METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD", "TRACE", "PURGE", "QUERY"]
ROUTES = ["", "{id}/", "{id}/status/", "{id}/result/", f"{{id}}/result/{FILE.name}"]
CODES = {problem.code: problem.status for problem in PROBLEMS.values()}

TARGETS = [
    "/",
    "//",
    "///api//v1//workers//",
    "*",
    "http://elsewhere/api/v1/workers/",
    "/api/v1/workers/.",
    "/api/v1/workers/..",
    "/api/v1/workers/../../../../etc/passwd",
    "/api/v1/workers/%2e%2e/%2e%2e/etc/passwd",
    "/api/v1/workers/%00",
    "/api/v1/workers/%ff%fe",
    "/api/v1/workers/%",
    "/api/v1/workers/%zz/",
    "/api/v1/workers/%ed%a0%80/",
    "/api/v1/workers/%0d%0aX-Injected:%201/",
    "/api/v1/workers/1;DROP TABLE tasks",
    "/api/v1/workers/1'%20OR%201=1/",
    "/api/v1/workers/{}/",
    "/api/v1/workers/{task_id}/",
    "/api/v1/workers/1/status/status/",
    "/api/v1/workers/-9223372036854775809/",
    "/api/v1/workers/9223372036854775808/status/",
    "/api/v1/workers/" + "9" * 30_000,
    "/api/v1/workers/" + "a/" * 5_000,
    "/api/v1/workers/" + "%f0%9f%98%80" * 1_000,
    "/api/v1/workers/\xff",
    "/\x00",
    "/api/v1/workers/?",
    "/api/v1/workers/?&&&=&=",
    "/api/v1/workers/?page=%00",
    "/api/v1/workers/?page=\xff",
    "/api/v1/workers/?page=%ff",
    "/api/v1/workers/?page=%",
    "/api/v1/workers/?page[$ne]=1",
    "/api/v1/workers/?page=1&page=1",
    "/api/v1/workers/?page=" + "9" * 30_000,
    "/api/v1/workers/?page=9223372036854775807&page_size=100",
    "/api/v1/workers/?status=%ed%a0%80",
    "/api/v1/workers/?owner=%00",
    "/api/v1/workers/?owner=%ed%a0%80",
    "/api/v1/workers/?" + "&".join(f"p{number}=1" for number in range(2_000)),
    "/api/v1/workers/?status=" + "&status=".join(["pending"] * 3_000),
    "/api/v1/workers/?page=1#fragment",
    "/health/live?x=%ff",
    "/health/../api/v1/workers/",
]

HEADERS = [
    "Accept: ",
    "Accept: \xff",
    "Accept: ;;;,,,/",
    "Accept: application/json;q=nan",
    "Accept: application/json;q=1e400",
    "Accept: application/json;q=-1",
    "Accept: " + "a/b," * 5_000,
    "Accept-Encoding: \x80",
    "Content-Type: \xff",
    "Content-Type: application/json; charset=\xff",
    "Content-Type: ;",
    "Content-Length: -1",
    "Content-Length: 1, 2",
    "Content-Length: 99999999999999999999999999",
    "Content-Length: 0x10",
    "Transfer-Encoding: nonsense",
    "Transfer-Encoding: chunked, chunked",
    "Cookie: \xff=\xff; ;;=",
    "Expect: nonsense",
    "Forwarded: for=\xff;;;=",
    "Host: \xff",
    "Host: a b",
    "Host: [::1",
    "Host: a:99999999",
    "Host: evil.example/x?y#z",
    "Idempotency-Key: \xff",
    "If-None-Match: \xff",
    'If-None-Match: W/"',
    "If-Modified-Since: yesterday",
    "Prefer: wait=\xff",
    "Range: bytes=9-0,-,\xff",
    "X-Forwarded-For: \xff, , ::::",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: javascript",
    "X-HTTP-Method-Override: DELETE",
    "X-Request-ID: \xff",
    "X-Request-ID: " + "x" * 30_000,
    "X: " + "x" * 60_000,
    "No-Colon",
    ": no name",
    "\x00: x",
    "A: a\x00b",
    "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    (
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="
    ),
]

STRANGE = [
    b"",
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET  /  HTTP/1.1\r\n\r\n",
    b"FOO /api/v1/workers/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT tasks:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/workers/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\xff" * 10_000,
]

ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    10**400,
    1.5,
    "",
    "\0",
    "\ud800",
    "%s%n",
    "' OR 1=1 --",
    [],
    [[]],
    [None],
    {},
    {"": None},
    {"\0": "\0"},
    {"\ud800": []},
    {"gt": {"gt": 1}},
    {"$ne": 1},
    "x" * 100_000,
    ["x"] * 10_000,
]


@pytest.fixture
def token(sqlite_api: Api) -> str:
    return sqlite_api.tokens.create("alice")


@pytest.fixture
def task(sqlite_api: Api, token: str) -> dict[str, Any]:
    task = sqlite_api.submit(sqlite_api.client(token))
    sqlite_api.complete(task, FILE)
    return task


@pytest.fixture(autouse=True)
def nothing_went_wrong(sqlite_api: Api, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No error reached the log, and the server still serves."""
    yield
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert sqlite_api.client().get("/health/live").status_code == 200


def assert_handled(answer: Raw) -> None:
    """Served, or refused with a problem document of the catalogue."""
    assert answer.status < 500, answer
    if answer.status < 400:
        return
    if answer.body:
        assert_problem(answer, answer.status, answer.json()["code"])
        assert CODES[answer.json()["code"]] == answer.status


def request(method: str, target: str, token: str, header: str = "", body: bytes = b"") -> bytes:
    """The bytes of a request; nothing in it is escaped."""
    lines = [f"{method} {target} HTTP/1.1", f"Authorization: Bearer {token}"]
    given = header.lower()
    if not given.startswith("host:"):
        lines.append("Host: tasks")
    if body and not given.startswith("content-type:"):
        lines.append("Content-Type: application/json")
    if not given.startswith(("content-length:", "transfer-encoding:")):
        lines.append(f"Content-Length: {len(body)}")
    if header:
        lines.append(header)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target[:60]))
def test_no_target_makes_it_fail(sqlite_api: Api, token: str, target: str) -> None:
    for method in METHODS:
        if method != "HEAD":
            assert_handled(sqlite_api.send(request(method, target, token)))


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: str(header[:60]))
def test_no_header_makes_it_fail(
    sqlite_api: Api, token: str, task: dict[str, Any], header: str
) -> None:
    for route in ROUTES:
        target = TASKS + route.format(**task)
        assert_handled(sqlite_api.send(request("GET", target, token, header), half_close=True))
    body = b'{"task_type": "bookings_export"}'
    assert_handled(sqlite_api.send(request("POST", TASKS, token, header, body), half_close=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", ROUTES)
def test_no_method_makes_it_fail(
    sqlite_api: Api, token: str, task: dict[str, Any], route: str, method: str
) -> None:
    answer = sqlite_api.client(token).request(method, TASKS + route.format(**task))
    body = answer.content
    assert_handled(Raw(answer.status_code, dict(answer.headers), body))


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_no_body_makes_it_fail(
    sqlite_api: Api, token: str, task: dict[str, Any], body: bytes
) -> None:
    for method in ("POST", "DELETE", "GET"):
        for route in ROUTES:
            target = TASKS + route.format(**task)
            assert_handled(sqlite_api.send(request(method, target, token, body=body)))


FIELDS = ["task_type", "batch_size", "filters", "date_from", "date_to", "options", "nonsense"]
INNER = [("filters", "status"), ("filters", "id"), ("filters", "total"), ("filters", "created_at")]
INNER += [("options", "format"), ("options", "columns")]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:40])
def test_no_value_makes_it_fail(sqlite_api: Api, token: str, value: Any) -> None:
    bodies: list[dict[str, Any]] = [{field: value} for field in FIELDS]
    bodies += [{outer: {inner: value}} for outer, inner in INNER]
    bodies += [{"filters": {"status": {operator: value}}} for operator in ("like", "gt", "x")]
    for fields in bodies:
        content = json.dumps({"task_type": "bookings_export", **fields}).encode("ascii")
        assert_handled(sqlite_api.send(request("POST", TASKS, token, body=content)))


@pytest.mark.parametrize("data", STRANGE, ids=lambda data: repr(data[:20]))
def test_what_is_no_http_is_refused(sqlite_api: Api, data: bytes) -> None:
    answer = sqlite_api.send(data, half_close=True)
    assert_handled(answer)
    assert answer.status in {0, 400, 401, 404}


ESCAPED = [
    "/api%2fv1/workers/",
    "/%2fapi/v1/workers/",
    "/api/v1/workers%2F{id}/",
    "/api/v1/workers/{id}%2f",
    "/api/v1/workers/{id}%2Fstatus/",
    "/api/v1/workers/{id}%2f..%2f{id}/",
    "/api/v1/workers/..%2f{id}/",
    "/api/v1/workers/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/api/v1/workers/{id}/result%2f",
    "/api/v1/workers/{id}/result%2fpart-00001.csv",
    "/api/v1/workers/{id}/result/%2e%2fpart-00001.csv",
    "/api/v1/workers/{id}/result/%2fpart-00001.csv",
    "/api/v1/workers/{id}/./",
    "/api/v1/workers/./{id}/",
    "/api/v1/workers/../workers/{id}/",
    "/api/v1/workers/{id}/../{id}/",
    "/api/v1/workers/{id}/result/../status/",
    "/api/v1/workers/{id}/result/%2e%2e/",
    "/api/v1/workers/{id}/result/%2e/part-00001.csv",
    "/health%2flive",
]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
@pytest.mark.parametrize("target", ESCAPED)
def test_escaped_slashes_and_dots_lead_nowhere(
    sqlite_api: Api, token: str, task: dict[str, Any], target: str, method: str
) -> None:
    before = sqlite_api.row(task)
    answer = sqlite_api.send(request(method, target.format(**task), token))
    # 405: an odd name of a file may be asked for, by GET.
    assert answer.status == 404 or (method != "GET" and answer.status == 405)
    assert_problem(answer, answer.status, answer.json()["code"])
    assert sqlite_api.row(task) == before


MARK = "zq7'; DROP TABLE tasks; --\" \\ %s :v ?"


def test_nothing_that_a_client_sends_becomes_sql(sqlite_api: Api, task: dict[str, Any]) -> None:
    # Given
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        statements.append(statement)

    admin = sqlite_api.admin(MARK)
    quoted = quote(MARK, safe="")
    headers = {"Idempotency-Key": MARK, "X-Request-ID": MARK, "Accept": "application/json"}
    names = {"filters": {MARK: MARK}, "options": {"columns": [MARK], MARK: MARK}, MARK: MARK}
    # When
    event.listen(sqlite_api.engine, "before_cursor_execute", note)
    try:
        for parameter in ("status", "task_type", "owner", "page", "page_size", MARK):
            assert admin.get(TASKS, params={parameter: MARK}).status_code in {200, 422}
        for route in ("{}/", "{}/status/", "{}/result/", f"{task['id']}/result/{{}}"):
            assert admin.get(TASKS + route.format(quoted), headers=headers).status_code == 404
        assert admin.delete(f"{TASKS}{quoted}/").status_code == 404
        body = {"task_type": "bookings_export", "filters": {"status": [MARK], "note": MARK}}
        assert admin.post(TASKS, json=body, headers=headers).status_code == 201
        assert admin.post(TASKS, json=body, headers=headers).status_code == 200
        assert admin.post(TASKS, json={"task_type": MARK, **names}).status_code == 422
        assert sqlite_api.client("zq7").get(TASKS).status_code == 401
    finally:
        event.remove(sqlite_api.engine, "before_cursor_execute", note)
    # Expect
    assert len(statements) > 10
    assert [each for each in statements if "zq7" in each] == []
    assert admin.get(TASKS).json()["count"] == 2


def test_requests_in_a_row_are_answered_in_a_row(sqlite_api: Api, token: str) -> None:
    paths = [TASKS, "/nowhere", f"{TASKS}0/", "/health/live"]
    sent = b"".join(request("GET", path, token) for path in paths)
    assert sqlite_api.send_all(sent, len(paths)) == [200, 404, 404, 200]
