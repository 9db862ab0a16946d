"""How fast tasks start and finish, measured alike on every stack that runs them."""

import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import Protocol

import psutil
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

TASK_SECONDS = 120.0


class NotDone(Exception):
    """A task failed, or took longer than `TASK_SECONDS`: there is nothing to measure."""


@dataclass(frozen=True)
class Submitted:
    """A task that was accepted, and the run that carries it out."""

    task: str
    run_id: str


class Client(Protocol):
    """Somebody who asks for tasks, on a connection of their own."""

    def submit(self) -> Submitted:
        """Ask for an export of 100 rows."""

    def is_done(self, submitted: Submitted) -> bool:
        """Whether its result can be read. Raises `NotDone` where it failed."""

    def close(self) -> None:
        """Close the connection."""


class Stack(Protocol):
    """A running system that carries tasks out."""

    state: URL  # where Dagster's event log lies
    poll_seconds: float  # how often a client looks, such that looking does not hold up the work
    burst_poll_seconds: float  # the same while many tasks run
    longest_pause_seconds: float  # over which starts are spread, so as to meet its polls anywhere

    def client(self, number: int) -> Client:
        """A client of an owner of its own, by ``number``."""

    def began(self, run_id: str) -> float:
        """When the job's own code first told the time, in seconds since the epoch."""

    def processes(self) -> list[psutil.Process]:
        """Every process that belongs to it."""


@dataclass(frozen=True)
class Start:
    """One task on an idle stack; seconds since the request was sent."""

    submit_s: float
    start_s: float  # to Dagster's STEP_START
    own_code_s: float  # to the first time that the job's own code told
    done_s: float


def p50_p95(values: Sequence[float], digits: int) -> dict[str, float]:
    """The median, and the least of ``values`` that 95 % of them do not exceed, rounded."""
    p95 = sorted(values)[math.ceil(0.95 * len(values)) - 1]
    return {"p50": round(median(values), digits), "p95": round(p95, digits)}


def single_starts(stack: Stack, count: int, warm_up: int) -> list[Start]:
    """``count`` tasks one after another, each on an idle stack; ``warm_up`` before do not count."""
    client = stack.client(0)
    sent: list[tuple[Submitted, float, float, float]] = []
    try:
        for _ in range(warm_up + count):
            time.sleep(random.uniform(0.3, 0.3 + stack.longest_pause_seconds))  # noqa: S311
            sent.append(_one(stack, client))
    finally:
        client.close()
    started = step_starts(stack.state, [submitted.run_id for submitted, *_ in sent])
    return [
        Start(
            submit_s=accepted - posted,
            start_s=started[submitted.run_id] - posted,
            own_code_s=stack.began(submitted.run_id) - posted,
            done_s=done - posted,
        )
        for submitted, posted, accepted, done in sent[warm_up:]
    ]


def _one(stack: Stack, client: Client) -> tuple[Submitted, float, float, float]:
    posted = time.time()
    submitted = client.submit()
    accepted = time.time()
    _await_result(client, submitted, stack.poll_seconds)
    return submitted, posted, accepted, time.time()


def burst(stack: Stack, count: int, clients: int) -> float:
    """Tasks a second, from the first of ``count`` requests to the last readable result.

    The requests are sent at once, by ``clients`` clients of different owners, each one after
    another on a connection of its own.
    """
    each = [stack.client(number) for number in range(clients)]
    shares = [count // clients + (number < count % clients) for number in range(clients)]
    try:
        with ThreadPoolExecutor(clients) as threads:
            posted = time.time()
            submitted = list(threads.map(_submit, each, shares))
        # In the order in which they were posted, about: no owner's tasks are all looked at last.
        for row in zip_longest(*submitted):
            for client, task in zip(each, row, strict=True):
                if task is not None:
                    _await_result(client, task, stack.burst_poll_seconds)
        return count / (time.time() - posted)
    finally:
        for client in each:
            client.close()


def _submit(client: Client, count: int) -> list[Submitted]:
    return [client.submit() for _ in range(count)]


def _await_result(client: Client, submitted: Submitted, every: float) -> None:
    deadline = time.monotonic() + TASK_SECONDS
    while not client.is_done(submitted):
        if time.monotonic() > deadline:
            msg = f"not done after {TASK_SECONDS:.0f} s"
            raise NotDone(msg)
        time.sleep(every)


def step_starts(state: URL, run_ids: Sequence[str]) -> Mapping[str, float]:
    """When each run came to its step, in seconds since the epoch.

    Dagster's STEP_START event is the last before the job's own code, and the event log tells it
    after the fact, for every stack alike. That code waits until the event is stored.

    Raises:
        NotDone: A run has written no such event.
    """
    query = text(
        "SELECT run_id, event FROM event_logs "
        "WHERE dagster_event_type = 'STEP_START' AND run_id = ANY(:run_ids)"
    )
    engine = create_engine(state, poolclass=NullPool)
    with engine.connect() as connection:
        rows = connection.execute(query, {"run_ids": list(run_ids)}).all()
    began = {run_id: float(json.loads(event)["timestamp"]) for run_id, event in rows}
    missing = set(run_ids) - set(began)
    if missing:
        msg = f"no STEP_START in the event log of {', '.join(sorted(missing))}"
        raise NotDone(msg)
    return began
