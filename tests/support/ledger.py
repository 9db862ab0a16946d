"""What the fault tests did to how many tasks, and what became of those: a table at the end."""

import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SEED = int(os.environ.get("WORKERS_TEST_SEED") or secrets.randbelow(2**32))


def chance(name: str) -> random.Random:
    """The random choices of one test, the same again for the same seed."""
    return random.Random(f"{SEED} {name}")


@dataclass
class Row:
    """What one kind of test did and saw."""

    name: str
    faults: int = 0
    tasks: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def assert_clean(self) -> None:
        """Nothing was lost, nothing done twice, nothing is stuck."""
        assert (self.lost, self.doubled, self.stuck) == ([], [], [])


@contextmanager
def injected(name: str, tasks: int = 1) -> Iterator[Row]:
    """Enter a fault that hits so many tasks; what does not come out right counts as lost."""
    entered = row(name)
    entered.faults += 1
    entered.tasks += tasks
    try:
        yield entered
    except AssertionError as error:
        entered.lost.append(str(error))
        raise


_rows: dict[str, Row] = {}
_notes: list[str] = []


def row(name: str) -> Row:
    """The row of that name, to add to."""
    return _rows.setdefault(name, Row(name))


def note(line: str) -> None:
    """Tell something below the table."""
    _notes.append(line)


def table() -> list[str]:
    """The rows as lines; none where no fault was injected."""
    if not _rows:
        return []
    head = (
        f"{'faults injected':44} {'faults':>7} {'tasks':>6} {'lost':>5} {'doubled':>8} {'stuck':>6}"
    )
    lines = [
        f"{each.name:44} {each.faults:>7} {each.tasks:>6} {len(each.lost):>5} "
        f"{len(each.doubled):>8} {len(each.stuck):>6}"
        for each in _rows.values()
    ]
    return [
        head,
        *lines,
        *_notes,
        f"seed {SEED}: WORKERS_TEST_SEED={SEED} makes the same choices again",
    ]
