"""Bodies that are no JSON object, or too large."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from api.bodies import MAX_BODY_BYTES, MAX_DEPTH, MAX_DRAINED_BYTES, READ_BYTES, parse_object
from api.errors import MalformedJson
from tests.api.support import HOST, TASKS, TIMEOUT_SECONDS, Api, assert_problem, read_answer

JSON_TYPE = {"Content-Type": "application/json"}
VALID = b'{"task_type": "bookings_export"}'
MIB = 2**20

MALFORMED = {
    "empty": b"",
    "blank": b" \r\n\t",
    "null": b"null",
    "array": b"[]",
    "array of objects": b"[" + VALID + b"]",
    "string": b'"bookings_export"',
    "number": b"1",
    "true": b"true",
    "byte order mark": b"\xef\xbb\xbf" + VALID,
    "utf-16": VALID.decode().encode("utf-16"),
    "utf-32": VALID.decode().encode("utf-32"),
    "latin-1": '{"note": "ü"}'.encode("latin-1"),
    "overlong utf-8": b'{"a": "\xc0\xaf"}',
    "surrogate in utf-8": b'{"a": "\xed\xa0\x80"}',
    "NUL": b"\0",
    "NUL at the end": VALID + b"\0",
    "NUL in a text": b'{"a": "\0"}',
    "line break in a text": b'{"a": "\n"}',
    "unknown escape": b'{"a": "\\x41"}',
    "cut escape": b'{"a": "\\u12"}',
    "unfinished": VALID[:-1],
    "two documents": VALID + VALID,
    "comma at the end": b'{"task_type": "bookings_export",}',
    "comment": b"/* */" + VALID,
    "single quotes": b"{'task_type': 'bookings_export'}",
    "no quotes": b"{task_type: 1}",
    "NaN": b'{"batch_size": NaN}',
    "Infinity": b'{"batch_size": Infinity}',
    "negative infinity": b'{"filters": {"total": -Infinity}}',
    "too large a float": b'{"batch_size": 1e400}',
    "too small a float": b'{"filters": {"total": [-1e400]}}',
    "leading zero": b'{"batch_size": 01}',
    "plus": b'{"batch_size": +1}',
    "hexadecimal": b'{"batch_size": 0x10}',
    "integer of 5000 digits": b'{"batch_size": ' + b"9" * 5000 + b"}",
    "integer of a million digits": b'{"batch_size": ' + b"9" * (MIB - 100) + b"}",
    "name twice": b'{"task_type": "bookings_export", "task_type": "bookings_export"}',
    "name twice, escaped": b'{"task_type": "bookings_export", "task\\u005ftype": "x"}',
    "name twice, inside": b'{"filters": {"status": "a", "status": "b"}}',
    "5000 arrays": b'{"filters": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "5000 objects": b'{"filters": ' * 5000 + b"{}" + b"}" * 5000,
    "100000 arrays, open": b"[" * 100_000,
    "100000 objects, open": b'{"a":' * 100_000,
    "a form": b"task_type=bookings_export",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_body_is_refused(sqlite_api: Api, body: bytes) -> None:
    alice = sqlite_api.user()
    answer = alice.post(TASKS, content=body, headers=JSON_TYPE)
    assert_problem(answer, 400, "malformed_json")
    assert alice.get(TASKS).json()["count"] == 0


def test_reason_names_the_place_and_not_the_content() -> None:
    with pytest.raises(MalformedJson) as caught:
        parse_object(b'{"password": "s3cret"\n, oops}')
    assert "line 2, column 3" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "oops" not in str(caught.value)


def test_depth_ends_at_the_limit() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert parse_object(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    with pytest.raises(MalformedJson, match="64 levels"):
        parse_object(nested(MAX_DEPTH + 1))


def test_wide_body_is_no_deep_one() -> None:
    body = json.dumps({str(number): [number] for number in range(10_000)}).encode()
    assert len(parse_object(body)) == 10_000


@pytest.mark.parametrize(
    ("text", "value"), [("-0", 0), ("1E+2", 100.0), ("1e-400", 0.0), ('"\\u0000"', "\0")]
)
def test_odd_but_valid_values_are_read(text: str, value: object) -> None:
    assert parse_object(f'{{"a": {text}}}'.encode()) == {"a": value}


def padded(size: int) -> bytes:
    return VALID + b" " * (size - len(VALID))


def pieces(body: bytes) -> Iterator[bytes]:
    """``body`` for a client that does not tell its length."""
    for start in range(0, len(body), 2**16):
        yield body[start : start + 2**16]


@pytest.mark.parametrize("chunked", [False, True])
def test_body_of_a_mebibyte_is_read(sqlite_api: Api, chunked: bool) -> None:
    body = padded(MAX_BODY_BYTES)
    content = pieces(body) if chunked else body
    answer = sqlite_api.user().post(TASKS, content=content, headers=JSON_TYPE)
    assert answer.status_code == 201


@pytest.mark.parametrize("size", [MIB + 1, 2 * MIB, 8 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_sends_too_much_can_read_the_answer(
    sqlite_api: Api, chunked: bool, size: int
) -> None:
    # Given
    alice = sqlite_api.user()
    content = pieces(padded(size)) if chunked else padded(size)
    # When
    answer = alice.post(TASKS, content=content, headers=JSON_TYPE)
    # Expect
    assert_problem(answer, 413, "body_too_large")
    assert alice.get(TASKS).json()["count"] == 0


def test_client_that_sends_all_before_it_reads_is_not_cut_off(sqlite_api: Api) -> None:
    token = sqlite_api.tokens.create("alice")
    head = (
        f"POST {TASKS} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {8 * MIB}\r\n\r\n"
    )
    answer = sqlite_api.send(head.encode() + padded(8 * MIB))
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "announced", [b"Content-Length: 1099511627776", b"Transfer-Encoding: chunked"]
)
def test_endless_body_is_answered_in_the_middle(sqlite_api: Api, announced: bytes) -> None:
    # Given
    token = sqlite_api.tokens.create("alice")
    head = [
        f"POST {TASKS} HTTP/1.1".encode(),
        b"Host: tasks",
        f"Authorization: Bearer {token}".encode(),
        b"Content-Type: application/json",
        announced,
    ]
    with socket.create_connection((HOST, sqlite_api.port), TIMEOUT_SECONDS) as connection:
        # When
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        if b"chunked" in announced:
            connection.sendall(b"ffffffff\r\n")
        connection.sendall(b" " * (MAX_DRAINED_BYTES + READ_BYTES))
        # Expect
        with connection.makefile("rb") as stream:
            assert_problem(read_answer(stream), 413, "body_too_large")


def test_body_is_judged_by_its_length_before_its_content(sqlite_api: Api) -> None:
    answer = sqlite_api.user().post(TASKS, content=b"x" * (MIB + 1), headers=JSON_TYPE)
    assert_problem(answer, 413, "body_too_large")


def test_client_that_waits_for_leave_to_send_is_served(sqlite_api: Api) -> None:
    token = sqlite_api.tokens.create("alice")
    head = (
        f"POST {TASKS} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(VALID)}\r\n\r\n"
    )
    with (
        socket.create_connection((HOST, sqlite_api.port), TIMEOUT_SECONDS) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(head.encode())
        assert read_answer(stream).status == 100
        connection.sendall(VALID)
        assert read_answer(stream).status == 201


def test_connection_goes_on_after_a_refusal(sqlite_api: Api) -> None:
    alice = sqlite_api.user()
    for content in (padded(2 * MIB), b"{", VALID):
        last = alice.post(TASKS, content=content, headers=JSON_TYPE)
    assert last.status_code == 201


def test_body_of_other_methods_is_ignored(sqlite_api: Api) -> None:
    alice = sqlite_api.user()
    task = sqlite_api.submit(alice)
    for method, path in (("GET", TASKS), ("DELETE", f"{TASKS}{task['id']}/")):
        answer = alice.request(method, path, content=b"{nonsense", headers=JSON_TYPE)
        assert isinstance(answer, httpx.Response)
        assert answer.status_code == 200
