"""Requests a second that one process of the API answers, with a million tasks in its store.

``python -m benchmarks.api [--tasks N] [--seconds N] [--rounds N] [--json]``: one ``python -m api``
on a PostgreSQL database made for this, 16 clients that keep their connections, and nothing that
runs tasks; each kind of request in turn, round by round. The last line is JSON: medians.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, func, select

from benchmarks.exports import POSTGRES
from benchmarks.load import HOST, Load
from benchmarks.task_store import fill
from resources.demo_source import create_demo_source
from resources.settings import with_driver
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tables import tasks
from resources.store.tokens import TokenStore
from tests.conftest import temporary_database
from tests.support.service import free_port
from tests.support.waiting import eventually

CLIENTS = 16
# What each client asks, before it begins anew.
ASKS = 200
WARM_UP_SECONDS = 1.0
START_SECONDS = 30
STOP_SECONDS = 10
DEMO_BOOKINGS = 200
PAGE_SIZE = 20
TASKS = "/api/v1/workers/"
BODY = {
    "task_type": "bookings_export",
    "batch_size": 100,
    "filters": {"status": "confirmed"},
    "date_from": "2024-01-01T00:00:00Z",
    "date_to": "2024-12-31T23:59:59Z",
}
LISTS = (
    {"status": ["completed"], "task_type": ["bookings_export"]},
    {"status": ["pending", "processing"]},
    {"task_type": ["payments_export"]},
    {"status": ["failed"]},
)

Ask = tuple[str, dict[str, Any]]
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Served:
    """The served API, its store, and the token of each of its clients' owners."""

    engine: Engine
    port: int
    tokens: dict[str, str]


@contextmanager
def served(count: int) -> Iterator[Served]:
    """The API with so many tasks in its store; gone afterwards."""
    with (
        temporary_database(with_driver(POSTGRES)) as url,
        tempfile.TemporaryDirectory() as home,
    ):
        engine = connect(url)
        migrate(engine)
        fill(engine, count)
        owners = [f"owner-{2 + number}" for number in range(CLIENTS)]
        tokens = {owner: TokenStore(engine).create(owner) for owner in owners}
        create_demo_source(Path(home) / "demo-source.sqlite", bookings=DEMO_BOOKINGS)
        port = free_port()
        environment = {
            "WORKERS_HOME": home,
            "WORKERS_DATABASE_URL": url.render_as_string(hide_password=False),
            "WORKERS_API_PORT": str(port),
        }
        try:
            with _running(environment, Path(home) / "api.log"):
                yield Served(engine, port, tokens)
        finally:
            engine.dispose()


@contextmanager
def _running(environment: dict[str, str], log: Path) -> Iterator[None]:
    """``python -m api``, as `workers up` starts it, from when it answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKERS_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], env=kept | environment, stdout=output, stderr=output
        )
    try:
        url = f"http://{HOST}:{environment['WORKERS_API_PORT']}/health/live"
        eventually(lambda: _answers(url), within=START_SECONDS)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def request(method: str, path: str, token: str, body: dict[str, Any] | None = None) -> str:
    """The bytes of a request, as text."""
    content = "" if body is None else json.dumps(body)
    headers = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {token}"]
    headers += ["Accept: application/json", "User-Agent: benchmark"]
    if body is not None:
        headers += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*headers, "", content])


def status_asks(api: Served, owner: str) -> list[Ask]:
    """The status of some of the owner's tasks."""
    return [
        (
            request("GET", f"{TASKS}{task['id']}/status/", api.tokens[owner]),
            {"id": task["id"], "status": task["status"], "attempt": 1},
        )
        for task in _some_tasks(api, owner)
    ]


def detail_asks(api: Served, owner: str) -> list[Ask]:
    """Some of the owner's tasks."""
    return [
        (
            request("GET", f"{TASKS}{task['id']}/", api.tokens[owner]),
            {**task, "owner": owner},
        )
        for task in _some_tasks(api, owner)
    ]


def list_asks(api: Served, owner: str) -> list[Ask]:
    """The first page of the owner's tasks of a status, of a type, of both."""
    return [_list_ask(api, owner, wanted) for wanted in LISTS]


def _list_ask(api: Served, owner: str, wanted: dict[str, list[str]]) -> Ask:
    conditions = [tasks.c[name].in_(values) for name, values in wanted.items()]
    with api.engine.connect() as connection:
        count = connection.scalar(select(func.count()).where(tasks.c.owner == owner, *conditions))
    query = str(httpx.QueryParams({**wanted, "page_size": PAGE_SIZE}))
    return (
        request("GET", f"{TASKS}?{query}", api.tokens[owner]),
        {"count": count, "page": 1, "page_size": PAGE_SIZE},
    )


def post_asks(api: Served, owner: str) -> list[Ask]:
    """A task like that of the README."""
    told = {"owner": owner, "status": "pending", **BODY}
    return [(request("POST", TASKS, api.tokens[owner], BODY), told)]


def _some_tasks(api: Served, owner: str) -> list[dict[str, Any]]:
    query = select(tasks.c.id, tasks.c.status, tasks.c.run_id).where(tasks.c.owner == owner)
    with api.engine.connect() as connection:
        found = [dict(row) for row in connection.execute(query.order_by(tasks.c.id)).mappings()]
    return random.Random(0).sample(found, min(ASKS, len(found)))  # noqa: S311 - no secret


KINDS = {"post": post_asks, "status": status_asks, "detail": detail_asks, "list": list_asks}


def ask(api: Served, kind: str, seconds: float) -> dict[str, float]:
    """Have all clients ask for so long."""
    load = Load(
        port=api.port,
        clients=[KINDS[kind](api, owner) for owner in api.tokens],
        status=201 if kind == "post" else 200,
        warm_up=WARM_UP_SECONDS,
        seconds=seconds,
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * (WARM_UP_SECONDS + seconds) + START_SECONDS,
        check=True,
    )
    return dict(json.loads(done.stdout))


def measure(api: Served, rounds: int, seconds: float) -> Figures:
    """Medians over the rounds."""
    seen: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(rounds):
        for kind in KINDS:
            seen[kind].append(ask(api, kind, seconds))
            told = seen[kind][-1]
            line = f"{kind:8} {told['rps']:8,.0f}/s  99 % within {told['p99_ms']:6.1f} ms"
            print(f"round {number + 1}: {line}", file=sys.stderr)
    return {
        kind: {
            "rps": round(statistics.median(each["rps"] for each in runs)),
            "p99_ms": round(statistics.median(each["p99_ms"] for each in runs), 1),
        }
        for kind, runs in seen.items()
    }


def _stop(_signal: int, _frame: Any) -> None:
    raise SystemExit(1)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.api", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="in the store")
    parser.add_argument("--seconds", type=float, default=5, help="for each kind in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="nothing but the figures")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C does: nothing is left behind
    with served(wanted.tasks) as api:
        measured = measure(api, wanted.rounds, wanted.seconds)
    if not wanted.json:
        for kind, told in measured.items():
            print(f"{kind:8} {told['rps']:8,.0f}/s  99 % within {told['p99_ms']:6.1f} ms")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
