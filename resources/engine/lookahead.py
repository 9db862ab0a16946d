"""Which waiting tasks Dagster is given: no more than may start soon, so that its queue is short.

The limits themselves are Dagster's (`resources.engine.coordinator`). Its queue reads every queued
run at each pass, one that may not start again and again, and it takes runs in the order in which
they came. So what waits is kept in the task store, whose order is fair, and Dagster gets of each
owner and each limited type one task more than may run at once, and of all a few more than that.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resources.settings import Settings
from resources.store.handover import InFlight, WaitingTask
from resources.store.models import Priority, Status

# Runs in Dagster's queue that may start, beyond those that wait for their owner's limit or their
# type's: what starts while the dispatcher makes a pass.
READY = 8


@dataclass(frozen=True)
class Limits:
    """How many tasks run at once: of all, of one owner, of the types that have a limit."""

    slots: int
    owner_slots: int
    type_slots: Mapping[str, int]

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that are set."""
        return cls(settings.slots, settings.slots_per_owner, settings.type_slots)

    @property
    def in_flight(self) -> int:
        """How many tasks Dagster is to have.

        As many as run. Of those that cannot start yet at most one for each owner and one for each
        type at its limit, and there are no more such owners or types than tasks that run. And
        those that are ready.
        """
        return self.slots + 2 * self.slots + READY


class LookAhead:
    """What Dagster has, and what it may be given besides."""

    def __init__(self, limits: Limits, in_flight: Iterable[InFlight]) -> None:
        # A task is held up by what goes before it: what runs, and what has its priority or more.
        # So tasks of a higher priority go to Dagster, whose queue sorts them, past lower ones.
        self._loads = {priority.rank: _Load(limits) for priority in Priority}
        for each in in_flight:
            running = each.status is Status.PROCESSING
            for rank, load in self._loads.items():
                if running or each.priority >= rank:
                    load.add(each.owner, each.task_type, each.runs)

    def has_room(self, priority: int) -> bool:
        """Whether any task of this priority might be given."""
        return self._loads[priority].has_room()

    def take(self, waiting: Iterable[WaitingTask]) -> list[WaitingTask]:
        """Those of ``waiting`` that are to be given now, in this order; they count from now on."""
        return [task for task in waiting if self._takes(task)]

    def _takes(self, task: WaitingTask) -> bool:
        if not self._loads[task.priority].has_room_for(task):
            return False
        for rank, load in self._loads.items():
            if task.priority >= rank:
                load.add(task.owner, task.task_type, 1)
        return True


@dataclass
class _Load:
    """How many tasks go before the waiting ones of one priority."""

    limits: Limits
    all: int = 0
    owners: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    def add(self, owner: str, task_type: str, runs: int) -> None:
        # What somebody started in Dagster itself may be any number of runs. More than an owner may
        # have hold up nobody else.
        counted = max(0, min(runs, self.limits.owner_slots + 1 - self.owners[owner]))
        self.all += counted
        self.owners[owner] += counted
        self.types[task_type] += counted

    def has_room(self) -> bool:
        return self.all < self.limits.in_flight

    def has_room_for(self, task: WaitingTask) -> bool:
        of_type = self.limits.type_slots.get(task.task_type, math.inf)
        return (
            self.has_room()
            and self.owners[task.owner] <= self.limits.owner_slots
            and self.types[task.task_type] <= of_type
        )
