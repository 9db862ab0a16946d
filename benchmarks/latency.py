"""How soon a task starts, how many a second are done, and what the service costs while idle.

``python -m benchmarks.latency [--only ours|stock] [--slots N] [--starts N] [--burst N]
[--rounds N] [--json]``: exports of 100 rows, asked for over HTTP, from the real service on
PostgreSQL; and then the same from stock Dagster, which is slow and gets fewer. The last line is
JSON; ``vs_stock`` is how many times faster the service is. ``start_s`` is to Dagster's STEP_START,
the last event before the job's own code; ``own_code_s`` is to the first time that code wrote down.
"""

import argparse
import json
import operator
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from sqlalchemy import URL

from benchmarks.exports import POSTGRES
from benchmarks.footprint import Footprint, idle_footprint, peak_connections, total
from benchmarks.service import running_service
from benchmarks.starts import Stack, Start, burst, p50_p95, single_starts
from benchmarks.stock.stack import running_stock
from benchmarks.tables import postgresql_table
from resources.settings import with_driver
from tests.conftest import temporary_database

SOURCE_ROWS = 10_000
SLOTS = 2
STARTS, WARM_UP = 20, 2
BURST, BURST_CLIENTS = 100, 10
STOCK_STARTS, STOCK_WARM_UP, STOCK_BURST = 5, 1, 20
SETTLE_SECONDS = 20.0
IDLE_SECONDS = 30.0

Figures = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """What is wanted of one figure."""

    name: str
    figure: Callable[[Figures], float]
    bound: float
    compare: Callable[[float, float], bool]


BARS = (
    Bar("start p50, s", lambda told: told["start_s"]["p50"], 0.4, operator.le),
    Bar("start p95, s", lambda told: told["start_s"]["p95"], 0.9, operator.le),
    Bar("burst, tasks/s", lambda told: told["burst_tasks_per_s"], 5, operator.ge),
    Bar("burst / stock", lambda told: told["vs_stock"]["burst"], 8, operator.ge),
    Bar("idle, MB", lambda told: told["idle_mb"], 600, operator.le),
    Bar("idle, % of a core", lambda told: told["idle_cpu_percent"], 2, operator.lt),
)


@dataclass(frozen=True)
class Load:
    """What is asked of a stack, and how it is started."""

    starts: int
    warm_up: int
    burst: int
    running: Callable[[Path, URL, URL], AbstractContextManager[Stack]]


@dataclass(frozen=True)
class Measured:
    """What one round told of one stack."""

    starts: list[Start]
    tasks_per_s: float
    connections: int
    idle: list[Footprint]


def measure(load: Load) -> Measured:
    """A stack of its own: single starts, a burst, and then nothing for a while."""
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary_database(with_driver(POSTGRES)) as state,
        postgresql_table(POSTGRES, SOURCE_ROWS) as source,
        load.running(Path(folder), state, source) as stack,
    ):
        starts = single_starts(stack, load.starts, load.warm_up)
        with peak_connections(state) as peak:
            tasks_per_s = burst(stack, load.burst, BURST_CLIENTS)
        time.sleep(SETTLE_SECONDS)
        idle = idle_footprint(stack.processes, IDLE_SECONDS)
    return Measured(starts, tasks_per_s, peak.value, idle)


def figures(rounds: Sequence[Measured]) -> Figures:
    """Percentiles of all starts, the most connections, and means over the rounds of the rest."""
    starts = [start for each in rounds for start in each.starts]
    idle = [total(each.idle) for each in rounds]
    return {
        "submit_ms": p50_p95([1000 * start.submit_s for start in starts], 1),
        "start_s": p50_p95([start.start_s for start in starts], 3),
        "own_code_s": p50_p95([start.own_code_s for start in starts], 3),
        "done_s": p50_p95([start.done_s for start in starts], 3),
        "burst_tasks_per_s": round(mean(each.tasks_per_s for each in rounds), 2),
        "idle_mb": round(mean(megabytes for megabytes, _ in idle)),
        "idle_cpu_percent": round(mean(percent for _, percent in idle), 2),
        "state_connections": max(each.connections for each in rounds),
    }


def with_comparison(told: Mapping[str, Figures]) -> Figures:
    """The figures of the service beside those of stock Dagster, where both were measured."""
    if "stock" not in told:
        return told["ours"]
    if "ours" not in told:
        return {"stock": told["stock"]}
    ours, stock = told["ours"], told["stock"]
    faster = {
        "start": round(stock["start_s"]["p50"] / ours["start_s"]["p50"], 1),
        "burst": round(ours["burst_tasks_per_s"] / stock["burst_tasks_per_s"], 1),
    }
    return {**ours, "vs_stock": faster, "stock": stock}


def tell(name: str, load: Load, told: Figures, idle: Sequence[Footprint]) -> None:
    """The figures of one stack, for people."""
    print(
        f"{name}: in each round {load.starts} single starts, and a burst of {load.burst} tasks "
        f"by {BURST_CLIENTS} clients"
    )
    for key, value in told.items():
        print(f"  {key:18} {value}")
    print("  idle, by process:")
    for each in idle:
        print(f"    {each.megabytes:6.1f} MB {each.cpu_percent:6.2f} % of a core  {each.name}")


def tell_bars(told: Figures) -> None:
    """What is wanted, and whether it was reached."""
    for bar in BARS:
        seen = bar.figure(told)
        reached = "reached" if bar.compare(seen, bar.bound) else "NOT REACHED"
        print(f"  {bar.name:18} {seen:8} wanted {bar.compare.__name__} {bar.bound:5} {reached}")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description=__doc__)
    parser.add_argument("--only", choices=("ours", "stock"), help="nothing to compare with")
    parser.add_argument("--slots", type=int, default=SLOTS, help="of the service")
    parser.add_argument("--starts", type=int, default=STARTS, help="single ones, of the service")
    parser.add_argument("--burst", type=int, default=BURST, help="tasks at once, of the service")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="nothing but the figures")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops what was started, too
    service = partial(running_service, slots=wanted.slots)
    loads = {
        "ours": Load(wanted.starts, WARM_UP, wanted.burst, service),
        "stock": Load(STOCK_STARTS, STOCK_WARM_UP, STOCK_BURST, running_stock),
    }
    rounds: dict[str, list[Measured]] = defaultdict(list)
    for number in range(wanted.rounds):
        for name in loads if wanted.only is None else (wanted.only,):
            busy = os.getloadavg()[0]
            print(f"round {number + 1}: {name}; load of the machine {busy:.1f}", file=sys.stderr)
            rounds[name].append(measure(loads[name]))
    told = {name: figures(each) for name, each in rounds.items()}
    last_line = with_comparison(told)
    if not wanted.json:
        for name, each in told.items():
            tell(name, loads[name], each, rounds[name][-1].idle)
        if wanted.only is None:
            tell_bars(last_line)
    print(json.dumps(last_line))


if __name__ == "__main__":
    main()
