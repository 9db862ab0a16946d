"""Every error the service raises on purpose, in one tree.

::

    WorkersError
     ├─ InvalidRequest        what was sent is wrong; lists each bad field
     ├─ Unauthorized          no usable token
     ├─ Forbidden             a good token, but not for this
     ├─ NotFound
     │   ├─ TaskNotFound
     │   ├─ PageOutOfRange
     │   ├─ ResultFileNotFound
     │   └─ ArchiveNotFound
     ├─ Conflict
     │   ├─ TaskNotCancellable
     │   ├─ IdempotencyKeyReused
     │   └─ ResultNotReady
     ├─ ResultExpired
     ├─ Unavailable           something behind the service does not answer
     │   └─ SourceUnavailable
     │       ├─ SourceAway        it cannot be reached, or answers nobody now
     │       └─ SourceRefused     it answers, and does not carry out the query
     ├─ ArchiveDamaged        files of an archive are not what its manifest says
     ├─ DeclarationError      datasets.toml does not fit the source
     ├─ ScheduleError         schedules.toml has something unusable
     ├─ AttemptSuperseded     this run no longer holds its task
     │   └─ AttemptInterrupted    this run's process was asked to end
     └─ TaskFailed            ends a run; becomes the task's ``error``

They know nothing of HTTP: ``api.errors`` gives each its status. Their messages reach clients, so
they hold no path, SQL or secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class WorkersError(Exception):
    """Base of all errors in this tree."""


@dataclass(frozen=True)
class FieldError:
    """One bad field of a request.

    Attributes:
        pointer: Where, as an RFC 6901 JSON pointer; a query parameter is ``/name``.
        code: Why, stable and in snake_case.
        detail: Why, in words, and what to send instead.
    """

    pointer: str
    code: str
    detail: str


class InvalidRequest(WorkersError):
    """A request with at least one bad field; carries all of them."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.pointer}: {error.detail}" for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def single(cls, pointer: str, code: str, detail: str) -> "InvalidRequest":
        """The error for one bad field."""
        return cls([FieldError(pointer, code, detail)])


class Unauthorized(WorkersError):
    """The request carries no token, or one that is unknown, expired or revoked."""


class Forbidden(WorkersError):
    """The token's role does not allow this."""


class NotFound(WorkersError):
    """Nothing here that this client may see."""


class TaskNotFound(NotFound):
    """No such task, or another owner's: the two cannot be told apart."""


class PageOutOfRange(NotFound):
    """A page past the end of a list."""


class ResultFileNotFound(NotFound):
    """The result has no file of that name."""


class ArchiveNotFound(NotFound):
    """The task has no archive."""


class Conflict(WorkersError):
    """The request does not fit the state of things."""


class TaskNotCancellable(Conflict):
    """The task is final."""


class IdempotencyKeyReused(Conflict):
    """The key was used for another request."""


class ResultNotReady(Conflict):
    """The task has not completed."""


class ResultExpired(WorkersError):
    """The result is past its retention."""


class Unavailable(WorkersError):
    """Something the service needs does not answer; the same request may work later."""


class SourceUnavailable(Unavailable):
    """The source database does not answer, or ended a query."""


class SourceAway(SourceUnavailable):
    """The source database cannot be reached, or answers nobody now."""


class SourceRefused(SourceUnavailable):
    """The source database answers, but refuses a query, or fails in it."""


class ArchiveDamaged(WorkersError):
    """A file of an archive is missing, or is not what its manifest says."""


class DeclarationError(WorkersError):
    """The dataset declarations do not fit the source; says what to write instead."""


class ScheduleError(WorkersError):
    """The declared schedules are unusable; one line for each finding, with what to write."""


class AttemptSuperseded(WorkersError):
    """The task was cancelled or given to another run: this run must stop and touch nothing."""


class AttemptInterrupted(AttemptSuperseded):
    """The run's process was asked to end, by Dagster or by whoever stops the service."""


class TaskFailed(WorkersError):
    """Ends a run for a reason the task's owner is told.

    Attributes:
        code: Stable and in snake_case.
        detail: In words a user can act on.
        retryable: Whether the same request may succeed later.
    """

    def __init__(self, code: str, detail: str, *, retryable: bool) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retryable = retryable
