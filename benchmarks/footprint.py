"""What processes cost: memory, processor time, connections to a database."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

MEGABYTE = 2**20
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Footprint:
    """What one process costs while nothing is to do."""

    name: str
    megabytes: float  # its proportional share of memory (PSS)
    cpu_percent: float  # of one core


def idle_footprint(
    processes: Callable[[], list[psutil.Process]], seconds: float
) -> list[Footprint]:
    """What each of ``processes`` costs over ``seconds``.

    The time of children that came and went counts for the one that started them.
    """
    before = {process.pid: _cpu_seconds(process) for process in processes()}
    started = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    found = []
    for process in processes():
        with suppress(psutil.NoSuchProcess):
            spent = _cpu_seconds(process) - before.get(process.pid, 0.0)
            megabytes = process.memory_full_info().pss / MEGABYTE
            found.append(Footprint(_name(process), megabytes, 100 * spent / elapsed))
    return found


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _name(process: psutil.Process) -> str:
    """Its command without the interpreter."""
    words = [word for word in process.cmdline()[1:] if word != "-m"]
    return " ".join(words)[:40] or process.name()


class Peak:
    """The most that was seen of something."""

    def __init__(self) -> None:
        self.value = 0

    def see(self, value: int) -> None:
        """Take note of ``value``."""
        self.value = max(self.value, value)


@contextmanager
def peak_connections(database: URL) -> Iterator[Peak]:
    """Counts the connections to ``database``, from outside it, while inside."""
    peak, over = Peak(), threading.Event()
    engine = create_engine(database.set(database="postgres"), poolclass=NullPool)

    def count() -> None:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not over.wait(LOOK_SECONDS):
                peak.see(int(connection.scalar(query, {"name": database.database}) or 0))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield peak
    finally:
        over.set()
        counter.join()


def total(footprints: Sequence[Footprint]) -> tuple[float, float]:
    """Megabytes and percent of a core, of all together."""
    return sum(each.megabytes for each in footprints), sum(each.cpu_percent for each in footprints)
