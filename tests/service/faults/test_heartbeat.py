"""A run that is dead is seen within 30 seconds, whoever died with it.

One that works for longer than it may is ended.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psutil
import pytest

from tests.service.conftest import results_of
from tests.service.faults.conftest import Subject, is_alive, subject, submit_patiently
from tests.service.faults.test_crashes import RECOVERY_SECONDS, WANTED
from tests.service.faults.test_fencing import SEEN_SECONDS
from tests.support import ledger
from tests.support.service import Client
from tests.support.sources import queries_on
from tests.support.ui import Ui
from tests.support.waiting import always, eventually

pytestmark = [pytest.mark.service, pytest.mark.faults]

SLOW: dict[str, Any] = {"filters": {"status": "slow"}}


def counted(crashing: Subject) -> AbstractContextManager[ledger.Row]:
    return ledger.injected(f"dead runs, {crashing.database}")


def test_a_run_that_dies_with_its_code_server_is_seen_in_time_and_run_again(
    crashing: Subject, alice: Client
) -> None:
    with counted(crashing):
        task = submit_patiently(alice, **SLOW)
        alice.until(task["id"], "processing")

        crashing.service.part("code-server").kill()

        eventually(lambda: alice.task(task["id"])["status"] == "pending", within=SEEN_SECONDS)
        alice.until(task["id"], "processing", within=RECOVERY_SECONDS)
        assert alice.task(task["id"])["attempt"] == 2
        alice.cancel(task["id"])
        alice.until(task["id"], "cancelled")


def test_a_run_that_dies_before_its_first_event_with_its_code_server_is_seen_in_time(
    crashing: Subject, alice: Client
) -> None:
    with counted(crashing):
        ui = Ui(crashing.service.graphql_url, alice.http)
        crashing.crashes.ask("run.starting", signal="SIGSTOP")
        task = submit_patiently(alice, **WANTED)
        pid = crashing.crashes.await_taken("run.starting", within=30)

        crashing.service.part("code-server").kill()

        eventually(lambda: not is_alive(pid), within=5)
        # Where the launch itself was still waiting for the code server, it is made again.
        seen = {"FAILURE", "QUEUED", "STARTED", "SUCCESS"}
        eventually(lambda: ui.status(task["run_id"]) in seen, within=SEEN_SECONDS)
        assert alice.until(task["id"], "completed", within=RECOVERY_SECONDS)["attempt"] <= 2


def test_a_run_that_dies_while_its_code_server_stands_still_is_seen_in_time(
    crashing: Subject, alice: Client
) -> None:
    with counted(crashing):
        crashing.crashes.ask("run.started", signal="SIGSTOP")
        task = submit_patiently(alice, **WANTED)
        pid = crashing.crashes.await_taken("run.started", within=30)
        code_server = crashing.service.part("code-server")
        code_server.suspend()
        try:
            psutil.Process(pid).kill()

            eventually(lambda: alice.task(task["id"])["status"] == "pending", within=SEEN_SECONDS)
        finally:
            code_server.resume()
        assert alice.until(task["id"], "completed", within=RECOVERY_SECONDS)["attempt"] == 2


@pytest.fixture(scope="module")
def strict(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """A service whose tasks have one attempt, of a few seconds."""
    limits = {"WORKERS_TASK_MAX_ATTEMPTS": "1", "WORKERS_TASK_MAX_RUNTIME": "PT6S"}
    with subject(backend, tmp_path_factory.mktemp("strict"), limits) as made:
        yield made


@pytest.fixture
def bob(strict: Subject) -> Iterator[Client]:
    client = strict.service.client("bob")
    yield client
    client.close()


def test_a_task_that_takes_too_long_is_stopped_and_fails_for_good(
    strict: Subject, bob: Client
) -> None:
    with counted(strict):
        task = submit_patiently(bob, **SLOW)

        failed = bob.until(task["id"], "failed", within=RECOVERY_SECONDS)

        assert (failed["error"]["code"], failed["attempt"]) == ("max_runtime_exceeded", 1)
        assert failed["cancel_requested_at"] is None
        assert failed["error"]["retryable"] is False
        eventually(lambda: results_of(strict.service, task["id"]) == [], within=10)
        eventually(lambda: not strict.service.run_processes(), within=20)
        eventually(lambda: queries_on(strict.source) == [], within=10)
        always(lambda: bob.task(task["id"]) == failed, during=8)  # longer than until a retry


def test_a_task_that_has_one_attempt_is_not_tried_again(strict: Subject, bob: Client) -> None:
    with counted(strict):
        strict.crashes.ask("run.started")
        task = submit_patiently(bob, **WANTED)

        failed = bob.until(task["id"], "failed", within=RECOVERY_SECONDS)

        assert (failed["error"]["code"], failed["attempt"]) == ("worker_lost", 1)
