"""A server that speaks the protocol of Amazon S3, and what can go wrong between it and a client."""

import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.support.service import free_port
from tests.support.waiting import eventually

START_SECONDS = 60
STOP_SECONDS = 10
# Names that a listing tells at once: few, so that there are pages.
PAGE = 3
SECRET_KEY = "hunter2"  # as far as the tests go
HOST = "127.0.0.1"
# The server looks whether a request is signed, not by whom.
SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=t/20240101/us-east-1/s3/aws4_request"}


def aws_environment(port: int) -> dict[str, str]:
    """What tells a client of the server on ``port``."""
    return {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
    }


@dataclass(frozen=True)
class S3Bucket:
    """A bucket, seen without the library that the service uses."""

    port: int
    name: str

    def names(self) -> list[str]:
        """The names of all objects."""
        return self._told("?list-type=2&max-keys=10000", "Key")

    def unfinished_uploads(self) -> list[str]:
        """The names of all objects of which parts have arrived."""
        return self._told("?uploads", "Key")

    def _told(self, query: str, tag: str) -> list[str]:
        return re.findall(f"<{tag}>(.*?)</{tag}>", self._ask("GET", query).text)

    def get(self, name: str) -> bytes:
        """An object's content."""
        return self._ask("GET", f"/{name}").content

    def put(self, name: str, content: bytes) -> None:
        """Make or replace an object."""
        self._ask("PUT", f"/{name}", content)

    def delete(self, name: str) -> None:
        """Remove an object."""
        self._ask("DELETE", f"/{name}")

    def make(self) -> None:
        """Make the bucket."""
        self._ask("PUT", "")

    def _ask(self, method: str, where: str, content: bytes = b"") -> httpx.Response:
        url = f"http://{HOST}:{self.port}/{self.name}{where}"
        answer = httpx.request(
            method, url, content=content, headers=SIGNED, timeout=STOP_SECONDS, trust_env=False
        )
        return answer.raise_for_status()


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server that runs while inside, in a process of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        env={"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port), within=START_SECONDS)
        yield port
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def new_bucket(port: int) -> S3Bucket:
    """An empty bucket, of a name of its own."""
    bucket = S3Bucket(port, f"results-{uuid.uuid4().hex[:12]}")
    bucket.make()
    return bucket


class Relay:
    """Passes everything on to the server on ``target``, from a port of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._server = socket.create_server((HOST, 0))
        self.port = int(self._server.getsockname()[1])
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = server.accept()
                there = socket.create_connection((HOST, self._target), timeout=STOP_SECONDS)
                self._open |= {client, there}
                for source, sink in ((client, there), (there, client)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(2**16):
                sink.sendall(piece)
        for each in (source, sink):
            self._open.discard(each)
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Listen no more, and end every connection."""
        for each in (self._server, *tuple(self._open)):
            with suppress(OSError):  # a thread waits in it
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody answers on the port while inside."""
        self.close()
        try:
            yield
        finally:
            self._server = socket.create_server((HOST, self.port))
            self._listen()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server((HOST, 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def refusing_server() -> Iterator[int]:
    """The port of a server that refuses everything, as S3 does to those without permission."""

    class Refusal(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815

        def log_request(self, *_given: object) -> None:
            """Nothing."""

    with ExitStack() as closing:
        server = closing.enter_context(ThreadingHTTPServer((HOST, 0), Refusal))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closing.callback(server.shutdown)
        yield server.server_port
