"""What a storage's failures are told as: to the owner of a task, and to whoever reads a result.

Neither is told where results lie; the log has the reason.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from resources.errors import TaskFailed, Unavailable

_logger = logging.getLogger(__name__)


@contextmanager
def outages() -> Iterator[None]:
    """What cannot be read, or is damaged, is told as `Unavailable`."""
    try:
        yield
    except (OSError, ValueError, RecursionError) as error:
        _logger.warning("The result storage does not answer: %s", reason_of(error))
        msg = "The result storage does not answer."
        raise Unavailable(msg) from error


@contextmanager
def storage_failures() -> Iterator[None]:
    """What cannot be written fails the task, as `TaskFailed` (``storage_unavailable``)."""
    try:
        yield
    except OSError as error:
        raise TaskFailed(
            "storage_unavailable",
            "The result could not be stored. The operator finds the reason in the run's log; "
            "submit the task again later.",
            retryable=True,
        ) from error


@contextmanager
def unusable(what: str) -> Iterator[None]:
    """What cannot be prepared is told to the operator as `Unavailable`: ``what``, and why."""
    try:
        yield
    except OSError as error:
        msg = f"{what}: {reason_of(error)}"
        raise Unavailable(msg) from error


def reason_of(error: BaseException) -> str:
    """Why, in one line, for the operator; the object store's library adds pages of detail."""
    return " ".join(str(error).partition("\n\n")[0].split())
