"""What the store hands out: a task, its status, who is asking."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Row

# Who owns the tasks of runs that were started in Dagster.
DAGSTER_OWNER = "dagster"


class Status(StrEnum):
    """A task's status: the state of its latest run."""

    PENDING = "pending"  # accepted; waits for a slot, or for its next attempt
    PROCESSING = "processing"  # its run is at work
    COMPLETED = "completed"  # its result is published; never changes again
    FAILED = "failed"  # no attempt is left; only a re-execution in Dagster's UI reopens it
    CANCELLED = "cancelled"  # never changes again

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Role(StrEnum):
    """What a token allows."""

    USER = "user"  # own tasks
    ADMIN = "admin"  # everybody's tasks, and the task types that change data


class Priority(StrEnum):
    """Which tasks go first: all of a higher priority before any of a lower one."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"  # for admins

    @property
    def rank(self) -> int:
        """The priority as Dagster counts: 0 is normal, more goes first."""
        return {Priority.LOW: -1, Priority.NORMAL: 0, Priority.HIGH: 1}[self]


@dataclass(frozen=True)
class Principal:
    """Who sends a request, told from the token.

    Attributes:
        owner: Whose tasks they are.
        role: What the token allows.
        expires_at: Until when the token works; None: until it is revoked.
    """

    owner: str
    role: Role
    expires_at: datetime | None = field(default=None, compare=False)

    @property
    def is_admin(self) -> bool:
        """Whether every owner's tasks are visible."""
        return self.role is Role.ADMIN

    def is_expired(self, at: datetime) -> bool:
        """Whether the token no longer works at this instant."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass(frozen=True)
class Task:
    """One task as it stood when it was read. Attributes are columns of ``tasks``."""

    id: int
    owner: str
    task_type: str
    status: Status
    batch_size: int
    filters: dict[str, Any]
    date_from: str | None
    date_to: str | None
    options: dict[str, Any]
    priority: int  # a `Priority.rank`
    turn: int
    request_id: str
    run_id: str
    attempt: int
    processed: int
    total: int | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    handed_over_at: datetime | None
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    swept_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))  # a row has the text

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """The task in ``row``, which may have more columns."""
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class TaskStatus:
    """What of a task changes on its way; attributes are columns of ``tasks``, but for the last.

    Attributes:
        queue_position: Which one it is in the queue (1 starts next); None once it is not pending.
    """

    id: int
    status: Status
    attempt: int
    processed: int
    total: int | None
    error: dict[str, Any] | None
    priority: int
    turn: int
    handed_over_at: datetime | None
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    queue_position: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))  # a row has the text
