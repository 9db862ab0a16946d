"""A process dies at a point that is known to be delicate: the task is done, and done once."""

import os
import signal
import time
import uuid
from typing import Any

import pytest

from tests.service.faults.conftest import Subject, flaws_of, patiently, submit_patiently
from tests.support import ledger
from tests.support.ledger import chance
from tests.support.service import FINAL, Client
from tests.support.ui import Ui
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

WANTED: dict[str, Any] = {
    "filters": {"status": "confirmed"},
    "batch_size": 100,
    "options": {"format": "csv"},
}
# From a crash to the end of the attempt that makes up for it.
RECOVERY_SECONDS = 90

# Points that are passed once for each task, and the attempts a crash there costs.
ONCE = {
    "api.accepted": 1,
    "dispatcher.created": 1,
    "dispatcher.submitted": 1,
    "run.starting": 2,
    "run.started": 2,
    "run.manifest": 2,
    "run.published": 2,
    "run.last_step": 2,
    "run.succeeded": 1,
}
# Points that are passed for each frame or part: the crash comes at a random one of them.
OFTEN = ("run.chunk", "run.part")


@pytest.fixture(scope="module")
def reference(crashing: Subject) -> dict[str, Any]:
    """What the same request gives when nothing happens: its parts, frames, rows and files."""
    client = crashing.service.client("reference")
    task = client.until(client.submit(**WANTED)["id"], "completed")
    files = client.files(task)
    client.close()
    parts, rows = task["result"]["files"], task["result"]["rows"]
    assert parts >= 4
    return {"rows": rows, "files": files, "run.part": parts, "run.chunk": rows // 100}


def assert_done_once(
    crashing: Subject, alice: Client, task: dict[str, Any], reference: dict[str, Any]
) -> dict[str, Any]:
    """The task completes, in the way it would have without the crash."""
    with ledger.injected(f"crash points, {crashing.database}"):
        done = alice.until(task["id"], "completed", within=RECOVERY_SECONDS)
        assert alice.files(done) == reference["files"]
        assert flaws_of(crashing.service, alice, done, reference["rows"]) == []
        assert alice.http.get("/").json()["count"] == 1
    return done


@pytest.mark.parametrize(("point", "attempts"), ONCE.items(), ids=ONCE)
def test_a_crash_at_a_delicate_point_costs_no_task_and_makes_none_twice(
    crashing: Subject, alice: Client, reference: dict[str, Any], point: str, attempts: int
) -> None:
    crashing.crashes.ask(point)

    task = submit_patiently(alice, **WANTED)

    crashing.crashes.await_taken(point, within=30)
    done = assert_done_once(crashing, alice, task, reference)
    assert done["attempt"] == attempts


@pytest.mark.parametrize("point", OFTEN)
def test_a_crash_between_two_chunks_or_parts_costs_no_row_and_makes_none_twice(
    crashing: Subject,
    alice: Client,
    reference: dict[str, Any],
    point: str,
    request: pytest.FixtureRequest,
) -> None:
    at = chance(request.node.name).randint(1, reference[point])
    crashing.crashes.ask(point, at=at)

    task = submit_patiently(alice, **WANTED)

    crashing.crashes.await_taken(point, within=30)
    done = assert_done_once(crashing, alice, task, reference)
    assert done["attempt"] == 2


def test_a_crash_after_a_part_costs_no_row_where_the_next_attempt_goes_on(
    crashing: Subject, alice: Client, reference: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    at = chance(request.node.name).randint(1, reference["run.part"])
    crashing.crashes.ask("run.part", at=at)

    resuming = {**WANTED, "options": {**WANTED["options"], "consistency": "resume"}}
    task = submit_patiently(alice, **resuming)

    crashing.crashes.await_taken("run.part", within=30)
    done = assert_done_once(crashing, alice, task, reference)
    manifest = alice.http.get(done["result"]["url"]).json()
    names = [file["name"] for file in manifest["files"]]
    assert done["attempt"] == 2
    assert [each["files"] for each in manifest["snapshots"]] == [
        each for each in (names[:at], names[at:]) if each
    ]


def test_a_crash_while_the_retry_is_made_costs_no_task_and_makes_none_twice(
    crashing: Subject, alice: Client, reference: dict[str, Any]
) -> None:
    crashing.crashes.ask("run.started")
    crashing.crashes.ask("retry.created")

    task = submit_patiently(alice, **WANTED)

    crashing.crashes.await_taken("run.started", within=30)
    crashing.crashes.await_taken("retry.created", within=60)
    assert_done_once(crashing, alice, task, reference)


def test_a_task_that_was_accepted_is_there_under_its_key_though_the_answer_was_lost(
    crashing: Subject, alice: Client
) -> None:
    crashing.crashes.ask("api.accepted")
    key = str(uuid.uuid4())

    first = submit_patiently(alice, key, **WANTED)
    again = submit_patiently(alice, key, **WANTED)

    crashing.crashes.await_taken("api.accepted", within=5)
    assert first["id"] == again["id"]
    assert alice.http.get("/").json()["count"] == 1
    alice.until(first["id"], "completed", within=RECOVERY_SECONDS)


VICTIMS = ("api", "daemon", "code-server", "ui", "run", "workers up", "postgresql")
# About as long as three small tasks take.
LATEST_KILL_SECONDS = 2.0


@pytest.mark.parametrize("victim", VICTIMS)
def test_whatever_dies_at_any_time_costs_no_task_and_makes_none_twice(
    crashing: Subject,
    alice: Client,
    reference: dict[str, Any],
    victim: str,
    request: pytest.FixtureRequest,
) -> None:
    if victim not in crashing.victims:
        pytest.skip(f"{crashing.database} has no server to kill")
    random = chance(request.node.name)
    tasks = [submit_patiently(alice, **WANTED) for _ in range(3)]

    if victim == "run":
        eventually(crashing.service.run_processes, within=30, every=0.01)
    else:
        time.sleep(random.uniform(0, LATEST_KILL_SECONDS))  # at any time, not at a certain one
    crashing.kill(victim, random)

    with ledger.injected(f"any time, {crashing.database}", len(tasks)):
        for task in tasks:
            done = until_done(alice, task["id"])
            assert done["status"] == "completed"
            assert flaws_of(crashing.service, alice, done, reference["rows"]) == []
        assert alice.http.get("/").json()["count"] == len(tasks)


def until_done(alice: Client, task_id: int) -> dict[str, Any]:
    """The task once it is final, asked for as long as that takes, whatever is away meanwhile."""

    def look() -> dict[str, Any] | None:
        task = patiently(lambda: alice.http.get(f"/{task_id}/")).json()
        return dict(task) if task["status"] in FINAL else None

    return eventually(look, within=RECOVERY_SECONDS) or {}


def test_a_source_that_is_away_for_a_moment_costs_no_attempt(
    crashing: Subject, alice: Client, reference: dict[str, Any]
) -> None:
    # Given: a run that is about to ask the source
    crashing.crashes.ask("run.started", signal="SIGSTOP")
    task = submit_patiently(alice, **WANTED)
    pid = crashing.crashes.await_taken("run.started", within=30)
    ui = Ui(crashing.service.graphql_url, alice.http)
    # When
    with crashing.without_source():
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: ui.has_event(task["run_id"], "ExecutionStepUpForRetryEvent"), within=30)
    # Expect
    assert assert_done_once(crashing, alice, task, reference)["attempt"] == 1


def test_a_task_whose_every_attempt_dies_fails_as_a_lost_worker_and_not_before(
    crashing: Subject, alice: Client
) -> None:
    seen = set()

    def look() -> bool:
        seen.add(alice.task(task["id"])["status"])
        return crashing.crashes.taken("run.started") is not None

    task = submit_patiently(alice, **WANTED)
    for _ in range(3):
        crashing.crashes.ask("run.started")
        eventually(look, within=RECOVERY_SECONDS)

    assert "failed" not in seen
    failed = alice.until(task["id"], "failed", within=RECOVERY_SECONDS)
    assert failed["attempt"] == 3
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("worker_lost", True)
