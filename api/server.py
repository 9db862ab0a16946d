"""How uvicorn speaks HTTP here: no request's head, and no queue of requests, fills the memory."""

import asyncio
import itertools
import json
import logging
from collections.abc import Sized
from typing import Any

import httptools
from falcon import HTTPBadRequest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import Server

from api.errors import PROBLEM_MEDIA_TYPE, HeadersTooLarge, document, problem_of
from api.middleware import choose_request_id

# Request line and headers together; as much again for what else is neither head nor body, such
# as the trailers after a chunked body.
MAX_HEAD_BYTES = 2**16
# The parser gets so much at a time. A head that begins within a piece may be longer by one.
PIECE_BYTES = 2**12
# A client that is still sending would not see the answer if the connection was closed at once:
# for so long, and up to so much, what it sends is read and thrown away.
LINGER_SECONDS = 5
MAX_DISCARDED_BYTES = 8 * 2**20
TICK_TENTHS = 5

_logger = logging.getLogger("api.access")


class HttpProtocol(HttpToolsProtocol):
    """Refuses a head that is too large, and what is no HTTP, with a problem document.

    Pipelined requests wait as bytes: each is parsed once the one before it is answered.
    """

    _unread = memoryview(b"")
    _head_bytes = 0
    _refusal: bytes | None = None
    _discarded = 0
    _lingering: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        joined = JoinedWrites(transport, self.loop)
        super().connection_made(joined)  # type: ignore[arg-type]
        self.flow = _OneAtATime(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        if self._lingering is not None:
            self._lingering.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent."""
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            self._discard(data)
            return
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        self._parse_unread()

    def on_response_complete(self) -> None:
        """A request is answered: go on with what came after it."""
        super().on_response_complete()
        self._parse_unread()
        if self._refusal is not None and self.cycle.response_complete:
            self._say_goodbye()

    def _parse_unread(self) -> None:
        while self._unread and not self.pipeline and not self.transport.is_closing():
            room = min(PIECE_BYTES, MAX_HEAD_BYTES - self._head_bytes)
            piece = self._unread[:room]
            self._unread = self._unread[room:]
            self._head_bytes += len(piece)
            self._parse(piece)
            if self._head_bytes >= MAX_HEAD_BYTES:
                self._refuse(HeadersTooLarge())

    def _parse(self, piece: memoryview) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self._refuse(HTTPBadRequest())
        except httptools.HttpParserUpgrade as upgrade:
            # Nothing here speaks another protocol: what follows is the next request.
            (parsed,) = upgrade.args
            self._unread = memoryview(bytes(piece[parsed:]) + bytes(self._unread))

    def on_headers_complete(self) -> None:
        """The head is whole, so it was not too large."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bytes of the body do not count; there is a limit for them elsewhere."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes next is another request's head."""
        self._head_bytes = 0
        super().on_message_complete()
        self.headers = []

    def _refuse(self, error: Exception) -> None:
        """Answer with ``error`` in its turn, then hang up."""
        self._unread = memoryview(b"")
        self._refusal = self._answer(error)
        if self.cycle is None or self.cycle.response_complete:
            self._say_goodbye()
        elif self.cycle.more_body:
            self._break_off()

    def _break_off(self) -> None:
        """The request that is being answered never ends, so neither would its answer."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        if self.cycle.response_started or self.pipeline:
            self.transport.close()
        else:
            self._say_goodbye()

    def _answer(self, error: Exception) -> bytes:
        problem, request_id = problem_of(error), self._request_id()
        _logger.info("refused: %d %s request_id=%s", problem.status, problem.code, request_id)
        body = json.dumps(document(problem, error, request_id)).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])

    def _request_id(self) -> str:
        given = next((value for name, value in self.headers or [] if name == b"x-request-id"), b"")
        return choose_request_id(given.decode("latin-1"))

    def _say_goodbye(self) -> None:
        if self.transport.is_closing() or self._lingering is not None:
            return
        self.flow.resume_reading()
        self.transport.write(self._refusal or b"")
        self.transport.write_eof()
        self._lingering = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED_BYTES:
            self.transport.close()


class JoinedWrites:
    """A transport that sends at once what is written in one turn of the event loop.

    An answer's head, which uvicorn writes by itself, so takes no system call and no packet of
    its own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Have ``data`` sent, after what else is written in this turn."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def write_eof(self) -> None:
        """Have all sent, and then the end."""
        self._send()
        self._transport.write_eof()

    def close(self) -> None:
        """Have all sent, and hang up."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        written, self._written = b"".join(self._written), []
        if written and not self._transport.is_closing():
            self._transport.write(written)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class QuietServer(Server):
    """Looks twice a second whether it is to end; uvicorn's own looks ten times."""

    async def main_loop(self) -> None:
        """Until it is to end."""
        for tenths in itertools.count(step=TICK_TENTHS):  # of a second, as `on_tick` counts
            if await self.on_tick(tenths):
                return
            await asyncio.sleep(TICK_TENTHS / 10)


class _OneAtATime(FlowControl):
    """Reads on only when no request waits: else each answer lets more come in than it ends."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Let more come in, unless some of it waits already."""
        if not self._waiting:
            super().resume_reading()
