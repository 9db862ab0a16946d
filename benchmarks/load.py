"""Clients that ask as fast as they are answered, in a process of their own.

``python -m benchmarks.load`` reads a `Load` as JSON from its standard input, and prints what came
of it. Requests are made beforehand and answers are looked at as little as is honest (every status,
every length, some whole), so that the server is measured and not its clients.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop

# Each of so many answers is parsed, and compared with what it has to say.
LOOK_AT_ONE_IN = 50
HOST = "127.0.0.1"
PERCENTILE = 0.99
MILLISECONDS = 1000
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class WrongAnswer(Exception):
    """The server did not answer what it has to."""


@dataclass(frozen=True)
class Load:
    """What to ask.

    Attributes:
        port: Of the server, on this machine.
        clients: For each what it asks, in turn, over one connection: the request, and members
            that the JSON of its answer has to have.
        status: What every answer has to have.
        warm_up: Seconds that do not count.
        seconds: How long to ask then.
    """

    port: int
    clients: list[list[tuple[str, dict[str, Any]]]]
    status: int
    warm_up: float
    seconds: float


class Client(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again, until it is told to stop."""

    def __init__(self, asks: list[tuple[str, dict[str, Any]]], status: int) -> None:
        self._asks = [(request.encode(), expected) for request, expected in asks]
        self._expected: dict[str, Any] = {}
        self._status = f"HTTP/1.1 {status} ".encode()
        self._answer = b""
        self._asked_at = 0.0
        self._asked = 0
        self._stopping = False
        self.answered_at: list[float] = []
        self.took: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def stop(self) -> None:
        """Ask nothing more after the answer that is awaited."""
        self._stopping = True

    def _ask(self) -> None:
        request, self._expected = self._asks[self._asked % len(self._asks)]
        self._asked += 1
        self._asked_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer; go on when it is whole."""
        self._answer += data
        body_at = self._answer.find(_HEAD_END) + len(_HEAD_END)
        if body_at < len(_HEAD_END):
            return
        length_at = self._answer.index(_LENGTH, 0, body_at) + len(_LENGTH)
        length = int(self._answer[length_at : self._answer.index(b"\r", length_at)])
        if len(self._answer) < body_at + length:
            return
        at = time.perf_counter()
        self.answered_at.append(at)
        self.took.append(at - self._asked_at)
        answer, self._answer = self._answer, b""
        try:
            self._check(answer, body_at)
        except (WrongAnswer, ValueError) as error:
            self._end(error)
            return
        if self._stopping:
            self._end(None)
        else:
            self._ask()

    def _check(self, answer: bytes, body_at: int) -> None:
        if not answer.startswith(self._status):
            raise WrongAnswer(answer[:1000].decode(errors="replace"))
        if self._asked % LOOK_AT_ONE_IN == 1:
            told = json.loads(answer[body_at:])
            if not self._expected.items() <= told.items():
                raise WrongAnswer(json.dumps(told))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        self._end(exc or WrongAnswer("The server hung up."))

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
        self._transport.close()


def _itself(client: Client) -> Client:
    return client


async def put(load: Load) -> dict[str, float]:
    """Ask, and tell the answers a second and the 99th percentile of their times.

    Raises:
        WrongAnswer: An answer is not as expected.
    """
    loop = asyncio.get_running_loop()
    clients = [Client(asks, load.status) for asks in load.clients]
    for client in clients:
        await loop.create_connection(partial(_itself, client), HOST, load.port)
    begin = time.perf_counter() + load.warm_up
    for client in clients:
        loop.call_later(load.warm_up + load.seconds, client.stop)
    await asyncio.gather(*(client.done for client in clients))
    took = sorted(
        took
        for client in clients
        for at, took in zip(client.answered_at, client.took, strict=True)
        if begin <= at < begin + load.seconds
    )
    return {
        "rps": len(took) / load.seconds,
        "p99_ms": took[int(len(took) * PERCENTILE)] * MILLISECONDS,
    }


def main() -> None:
    """Put the load of standard input on its server, and print what came of it."""
    print(json.dumps(uvloop.run(put(Load(**json.load(sys.stdin))))))


if __name__ == "__main__":
    main()
