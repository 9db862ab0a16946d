"""The server beneath the application: heads of any size, what is no HTTP, requests in a row."""

import asyncio
import gc
import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

import api.server
from api.server import MAX_DISCARDED_BYTES, MAX_HEAD_BYTES, PIECE_BYTES, JoinedWrites
from tests.api.support import (
    HOST,
    ROUTES,
    TASKS,
    TIMEOUT_SECONDS,
    Api,
    assert_problem,
    read_answer,
)
from tests.support.waiting import eventually

LIVE = b"GET /health/live HTTP/1.1\r\nHost: tasks\r\n\r\n"
# More than the sockets between the two and the server itself take in.
MUCH = 64 * 2**20


@contextmanager
def connected(api: Api) -> Iterator[tuple[socket.socket, BufferedReader]]:
    with (
        socket.create_connection((HOST, api.port), TIMEOUT_SECONDS) as connection,
        connection.makefile("rb") as stream,
    ):
        yield connection, stream


def head(size: int, target: str = "/health/live", token: str = "") -> bytes:
    """The head of a request, of exactly ``size`` bytes."""
    start = f"GET {target} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\nX: "
    return start.encode() + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


def send_until_refused(connection: socket.socket, start: bytes, more: bytes) -> None:
    """Send ``more`` again and again; a client that is refused finds its connection closed."""
    connection.sendall(start)
    try:
        for _ in range(MUCH // len(more)):
            connection.sendall(more)
    except (BrokenPipeError, ConnectionResetError):
        return
    raise AssertionError(f"{MUCH} bytes were taken")


def test_head_ends_at_the_limit(sqlite_api: Api) -> None:
    assert sqlite_api.send(head(MAX_HEAD_BYTES)).status == 200
    assert_problem(sqlite_api.send(head(MAX_HEAD_BYTES + 1)), 431, "headers_too_large")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [MAX_HEAD_BYTES + 1, 2**20])
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_large_head_is_refused_on_every_route(
    sqlite_api: Api, method: str, route: str, size: int, known: bool
) -> None:
    # Given
    token = sqlite_api.tokens.create("alice")
    task = sqlite_api.submit(sqlite_api.client(token))
    sent = head(size, route.format(**task), token if known else "")
    # When: all is sent before the answer is read
    with connected(sqlite_api) as (connection, stream):
        connection.sendall(sent.replace(b"GET", method.encode(), 1))
        answer = read_answer(stream)
        # Expect
        assert_problem(answer, 431, "headers_too_large")
        assert answer.headers["connection"] == "close"
        assert stream.read() == b""
    assert sqlite_api.client(token).get(f"{TASKS}{task['id']}/").json() == task


ENDLESS = {
    "method": (b"", b"G" * 1000),
    "address": (b"GET /", b"a" * 1000),
    "query": (b"GET /?", b"a=1&" * 1000),
    "version": (b"GET / HTTP/1.1", b" " * 1000),
    "name": (b"GET / HTTP/1.1\r\n", b"x" * 1000),
    "value": (b"GET / HTTP/1.1\r\nX: ", b"x" * 1000),
    "blanks": (b"GET / HTTP/1.1\r\nX:", b" " * 1000),
    "small headers": (b"GET / HTTP/1.1\r\n", b"X: x\r\n" * 1000),
    "empty lines": (b"", b"\r\n" * 1000),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS)
def test_head_that_never_ends_is_refused(sqlite_api: Api, start: bytes, more: bytes) -> None:
    with connected(sqlite_api) as (connection, stream):
        connection.sendall(start)
        for _ in range(MAX_HEAD_BYTES // len(more) + 1):
            connection.sendall(more)
        answer = read_answer(stream)
    assert answer.status in {400, 431}  # what no HTTP begins with is found out sooner
    code = "headers_too_large" if answer.status == 431 else "bad_request"
    assert_problem(answer, answer.status, code)


CHUNKED = (
    f"POST {TASKS} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {{}}\r\n"
    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
AROUND_CHUNKS = {
    "one trailer": (b"1\r\n{\r\n0\r\nX: ", b"x" * 1000),
    "many trailers": (b"1\r\n{\r\n0\r\n", b"X: x\r\n" * 1000),
    "extension": (b"1;x=", b"x" * 1000),
}


@pytest.mark.parametrize(("start", "more"), AROUND_CHUNKS.values(), ids=AROUND_CHUNKS)
def test_what_never_ends_around_chunks_is_refused(
    sqlite_api: Api, start: bytes, more: bytes
) -> None:
    request = CHUNKED.format(sqlite_api.tokens.create("alice")).encode()
    with connected(sqlite_api) as (connection, stream):
        connection.sendall(request + start)
        for _ in range((MAX_HEAD_BYTES + PIECE_BYTES) // len(more) + 1):
            connection.sendall(more)
        assert_problem(read_answer(stream), 431, "headers_too_large")
        assert stream.read() == b""


def test_trailers_are_taken_and_the_connection_goes_on(sqlite_api: Api) -> None:
    request = CHUNKED.format(sqlite_api.tokens.create("alice")).encode()
    body = b'{"task_type": "bookings_export"}'
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in body) + b"0\r\nX: x\r\n\r\n"
    assert sqlite_api.send_all((request + chunks) * 2 + LIVE, 3) == [201, 201, 200]


@pytest.mark.parametrize("text", ["zz\r\n", "1\r\n{{no line break", "-1\r\n"])
def test_broken_chunks_are_refused(sqlite_api: Api, text: str) -> None:
    request = CHUNKED.format(sqlite_api.tokens.create("alice")) + text
    with connected(sqlite_api) as (connection, stream):
        connection.sendall(request.encode())
        assert_problem(read_answer(stream), 400, "bad_request")
        assert stream.read() == b""


def test_refusal_carries_the_clients_request_id(sqlite_api: Api) -> None:
    start = b"GET / HTTP/1.1\r\nX-Request-ID: my-request\r\nX: "
    answer = sqlite_api.send(start + b"x" * MAX_HEAD_BYTES)
    assert assert_problem(answer, 431, "headers_too_large")["request_id"] == "my-request"


def test_client_that_is_refused_and_sends_on_is_cut_off(sqlite_api: Api) -> None:
    assert MUCH > 2 * MAX_DISCARDED_BYTES
    with connected(sqlite_api) as (connection, _):
        send_until_refused(connection, b"GET / HTTP/1.1\r\nX: ", b"x" * 2**16)


def test_client_that_is_refused_and_stays_is_cut_off(
    sqlite_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.server, "LINGER_SECONDS", 0.1)
    with connected(sqlite_api) as (connection, stream):
        connection.sendall(head(MAX_HEAD_BYTES + 1))
        assert_problem(read_answer(stream), 431, "headers_too_large")

        def is_closed() -> bool:
            try:
                connection.sendall(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        eventually(is_closed, within=TIMEOUT_SECONDS)


def test_each_request_of_a_connection_has_a_head_of_its_own(sqlite_api: Api) -> None:
    with connected(sqlite_api) as (connection, stream):
        for _ in range(5):
            connection.sendall(head(MAX_HEAD_BYTES))
            assert read_answer(stream).status == 200


def test_body_does_not_count(sqlite_api: Api) -> None:
    # Given
    body = b'{"task_type": "bookings_export"}'.ljust(2**20)
    start = (
        f"POST {TASKS} HTTP/1.1\r\nHost: tasks\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {sqlite_api.tokens.create('alice')}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    # Expect: not the body's own bytes, and not for the request after it
    assert sqlite_api.send_all((start.encode() + body) * 3 + LIVE, 4) == [201, 201, 201, 200]


def test_request_may_come_byte_by_byte(sqlite_api: Api) -> None:
    with connected(sqlite_api) as (connection, stream):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in LIVE:
            connection.sendall(bytes([byte]))
        assert read_answer(stream).status == 200


def test_many_requests_in_a_row_are_answered_in_their_order(sqlite_api: Api) -> None:
    requests = [
        f"GET /{'health/live' if number % 2 else 'nowhere'} HTTP/1.1\r\n"
        f"Host: tasks\r\nX-Request-ID: {number}\r\n\r\n"
        for number in range(500)
    ]
    with connected(sqlite_api) as (connection, stream):
        connection.sendall("".join(requests).encode())
        answers = [read_answer(stream) for _ in requests]
    assert [int(answer.headers["x-request-id"]) for answer in answers] == list(range(500))
    assert [answer.status for answer in answers] == [404, 200] * 250


@pytest.mark.parametrize(
    ("last", "status"), [(head(MAX_HEAD_BYTES + PIECE_BYTES), 431), (b"nonsense\r\n\r\n", 400)]
)
def test_refusal_waits_for_the_answers_before_it(sqlite_api: Api, last: bytes, status: int) -> None:
    token = sqlite_api.tokens.create("alice")
    slower = head(200, TASKS, token)
    assert sqlite_api.send_all(slower + LIVE + slower + last, 4) == [200, 200, 200, status]


def test_offer_to_change_the_protocol_is_passed_over(sqlite_api: Api) -> None:
    offer = LIVE[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert sqlite_api.send_all((offer + LIVE) * 3, 6) == [200] * 6


def test_requests_that_wait_for_their_turn_fill_no_memory(sqlite_api: Api) -> None:
    with connected(sqlite_api) as (connection, stream):
        # When: as much as fits in, while answers are read as they come
        connection.setblocking(False)
        flood = itertools.repeat(b"GET /health/live HTTP/1.1\r\n\r\n" * 10_000, 3)
        for sent in flood:
            try:
                connection.sendall(sent)
            except BlockingIOError:
                break
        connection.settimeout(TIMEOUT_SECONDS)
        for _ in range(100):
            assert read_answer(stream).status == 200
        # Expect
        waiting = [each for each in gc.get_objects() if type(each) is RequestResponseCycle]
        assert 0 < len(waiting) < 1_000


class Recorder(asyncio.Transport):
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def write_eof(self) -> None:
        self.done.append("end")

    def close(self) -> None:
        self.done.append("hang up")

    def is_closing(self) -> bool:
        return "hang up" in self.done


def test_what_is_written_in_one_turn_is_sent_in_one_piece() -> None:
    async def write() -> list[bytes | str]:
        recorder = Recorder()
        joined = JoinedWrites(recorder, asyncio.get_running_loop())
        for turn in ((b"head", b"body"), (b"more",)):
            for data in turn:
                joined.write(data)
            await asyncio.sleep(0)
        return recorder.done

    assert asyncio.run(write()) == [b"headbody", b"more"]


@pytest.mark.parametrize(
    ("finish", "end"), [(JoinedWrites.write_eof, "end"), (JoinedWrites.close, "hang up")]
)
def test_everything_is_sent_before_the_end(
    finish: Callable[[JoinedWrites], None], end: str
) -> None:
    async def write() -> list[bytes | str]:
        recorder = Recorder()
        joined = JoinedWrites(recorder, asyncio.get_running_loop())
        joined.write(b"answer")
        finish(joined)
        await asyncio.sleep(0)
        return recorder.done

    assert asyncio.run(write()) == [b"answer", end]


def test_nothing_is_sent_once_the_client_is_gone() -> None:
    async def write() -> list[bytes | str]:
        recorder = Recorder()
        joined = JoinedWrites(recorder, asyncio.get_running_loop())
        joined.write(b"answer")
        recorder.close()
        await asyncio.sleep(0)
        return recorder.done

    assert asyncio.run(write()) == ["hang up"]
