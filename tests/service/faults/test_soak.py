"""Many tasks, and every few seconds something is killed: every task is done, and done once."""

import csv
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
from sqlalchemy import URL, create_engine, text

from resources.settings import Settings
from resources.store.models import Role
from tests.service.faults.conftest import (
    Subject,
    flaws_of,
    patiently,
    subject,
    submit_patiently,
)
from tests.support import ledger
from tests.support.ledger import chance
from tests.support.outages import disposed
from tests.support.service import FINAL, Client, NotRunning, Service
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

TASKS = {"sqlite": 60, "postgresql": 300}
OWNERS = 5
KILL_EVERY_SECONDS = 5.0
# Far more often than three attempts are made for: a run takes three seconds.
SETTINGS = {"WORKERS_SLOTS": "4", "WORKERS_OWNER_SLOTS": "4", "WORKERS_TASK_MAX_ATTEMPTS": "50"}
# When a task that is not final is stuck.
PATIENCE_SECONDS = 1200
LARGEST_EXPORT = 150
CONNECTION_SECONDS = 15


@dataclass
class Killer:
    """Kills a process of the service every few seconds, from a thread of its own."""

    subject: Subject
    killed: Counter[str] = field(default_factory=Counter)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = chance(f"soak {self.subject.cluster is not None}")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._kill_on, name="killer")

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _kill_on(self) -> None:
        victims = [*self.subject.victims, "run"]  # these do most of the work
        while not self._enough.wait(KILL_EVERY_SECONDS):
            victim = self._chance.choice(victims)
            try:
                # A part may be away just now: it was killed before, and is being started again.
                with suppress(psutil.NoSuchProcess, NotRunning):
                    self.subject.kill(victim, self._chance)
                    self.killed[victim] += 1
            except BaseException as error:
                self.errors.append(error)
                raise


@pytest.fixture
def shaken(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """A service of this test's own."""
    with subject(backend, tmp_path_factory.mktemp("soak"), SETTINGS) as made:
        yield made


@pytest.fixture
def owners(shaken: Subject) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [client_of(stack, shaken, f"owner {number}") for number in range(OWNERS)]


@pytest.fixture
def admin(shaken: Subject) -> Iterator[Client]:
    with ExitStack() as stack:
        yield client_of(stack, shaken, "root", Role.ADMIN)


def client_of(stack: ExitStack, shaken: Subject, owner: str, role: Role = Role.USER) -> Client:
    client = shaken.service.client(owner, role)
    stack.callback(client.close)
    return client


@dataclass(frozen=True)
class Asked:
    """A task that was accepted, and the payments it is to hold."""

    client: Client
    task_id: int
    ids: list[int]


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
def test_whatever_is_killed_every_task_ends_completed_once_and_nothing_is_left(
    shaken: Subject, owners: list[Client], admin: Client, backend: str
) -> None:
    row = ledger.row(f"soak, {backend}")
    row.tasks = TASKS[backend]
    with Killer(shaken) as killer:
        asked = ask_for(shaken, owners, TASKS[backend])
        waited = wait_for_all(admin)
    row.faults = killer.killed.total()
    ledger.note(f"soak, {backend}: killed {dict(sorted(killer.killed.items()))}, {waited:.0f} s")
    assert killer.errors == []

    for each in asked:
        judge(shaken.service, each, row)
    row.doubled += [f"{task_id}: accepted twice" for task_id in unasked(admin, asked)]
    assert shaken.service.stop() == 0
    row.doubled += [f"{task_id}: two runs" for task_id in done_twice(shaken)]

    row.assert_clean()
    assert shaken.service.left() == []
    assert folders_of(shaken) == {str(each.task_id) for each in asked}
    for url in (shaken.source, shaken.state):
        if shaken.cluster is not None and url is not None:
            # A query ends when its server sees that nobody waits for it any more.
            eventually(lambda: connections_to(url) == [], within=CONNECTION_SECONDS)  # noqa: B023
    shaken.service.start()  # as it is to be found by who made it


def ask_for(shaken: Subject, owners: list[Client], count: int) -> list[Asked]:
    """So many exports of some payments each, by all owners in turn."""
    picks = chance("soak tasks")
    with disposed(create_engine(shaken.source)) as engine, engine.connect() as connection:
        known = list(connection.scalars(text("SELECT id FROM payments ORDER BY id")))
    asked = []
    for number in range(count):
        start, length = picks.randrange(len(known)), picks.randint(1, LARGEST_EXPORT)
        ids = known[start : start + length]
        client = owners[number % OWNERS]
        task = submit_patiently(
            client,
            key=f"soak {number}",
            task_type="payments_export",
            filters={"id": {"gte": ids[0], "lte": ids[-1]}},
            options={"format": "csv"},
        )
        asked.append(Asked(client, task["id"], ids))
    return asked


def wait_for_all(admin: Client) -> float:
    """Until no task is open, or patience is over; seconds waited."""
    started = time.monotonic()
    open_tasks = "/?status=pending&status=processing&page_size=1"

    def none_is_open() -> bool:
        listed = patiently(lambda: admin.http.get(open_tasks)).json()
        return bool(listed["count"] == 0)

    with suppress(AssertionError):  # those that are stuck are told of by their numbers
        eventually(none_is_open, within=PATIENCE_SECONDS, every=1)
    return time.monotonic() - started


def judge(service: Service, asked: Asked, row: ledger.Row) -> None:
    """Enter into ``row`` what is wrong with a task."""
    client = asked.client
    answer = patiently(lambda: client.http.get(f"/{asked.task_id}/"))
    task = answer.json()
    if answer.status_code != 200:
        row.lost.append(f"{asked.task_id}: {answer.status_code}")
    elif task["status"] not in FINAL:
        row.stuck.append(f"{asked.task_id}: {task['status']}")
    elif task["status"] != "completed":
        row.lost.append(f"{asked.task_id}: {task['status']} {task['error']}")
    else:
        row.lost += [
            f"{task['id']}: {flaw}" for flaw in flaws_of(service, client, task, len(asked.ids))
        ]
        if ids_in(client.files(task)) != asked.ids:
            row.lost.append(f"{task['id']}: other rows than asked for")


def ids_in(files: list[bytes]) -> list[int]:
    rows = [row for file in files for row in csv.DictReader(io.StringIO(file.decode()))]
    return [int(row["id"]) for row in rows]


def unasked(admin: Client, asked: list[Asked]) -> set[int]:
    """Tasks that nobody asked for."""
    seen: set[int] = set()
    url: str | None = "/?page_size=100"
    while url is not None:
        page = admin.http.get(url).json()
        seen |= {task["id"] for task in page["results"]}
        url = page["next"]
    return seen - {each.task_id for each in asked}


def done_twice(shaken: Subject) -> list[str]:
    """Tasks of which more than one run got to the end."""
    query = text(
        "SELECT t.value FROM runs r JOIN run_tags t ON t.run_id = r.run_id "
        "WHERE t.key = 'workers/task_id' AND r.status = 'SUCCESS' "
        "GROUP BY t.value HAVING count(*) > 1"
    )
    url = shaken.state or Settings(home=shaken.service.home).state_url
    with disposed(create_engine(url)) as engine, engine.connect() as connection:
        return [str(value) for value in connection.scalars(query)]


def folders_of(shaken: Subject) -> set[str]:
    return {path.name for path in (shaken.service.home / "results").iterdir()}


def connections_to(url: URL) -> list[Any]:
    """Who is connected to a PostgreSQL database."""
    others = text(
        "SELECT application_name, query FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with disposed(create_engine(url)) as engine, engine.connect() as connection:
        return [tuple(row) for row in connection.execute(others)]
