"""What the store hands out: a task, its status, who is asking."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Principal:
    """Who sends a request, told from the token."""

    owner: str
    role: Role

    @property
    def is_admin(self) -> bool:
        """Whether every owner's tasks are visible."""
        return self.role is Role.ADMIN


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

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """The task in ``row``, which may have more columns."""
        values = {name: getattr(row, name) for name in cls.__dataclass_fields__}
        return cls(**values | {"status": Status(values["status"])})
