"""Keeps a run in touch with its task: heartbeat, progress, and the wish to stop."""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Self, TypeVar

from resources.errors import AttemptInterrupted, AttemptSuperseded, Unavailable
from resources.store.attempts import AttemptStore

INTERRUPT_POLL_SECONDS = 0.1
CANCEL_POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 5.0
# At most two writes a second, however fast rows come.
PROGRESS_SECONDS = 0.5
# How long a run that must stop may take to do so, before its process is ended.
STOP_SECONDS = 15.0
# How long this thread may be kept from running, as by code that does not let go of the
# interpreter, before the process is ended: the task was given to another run long ago. One look at
# a task database that does not answer takes less, even with several time-outs in a row.
STALL_SECONDS = 120.0
# How long a run waits for the task database where it cannot go on without it.
PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.5

T = TypeVar("T")

# None that Dagster manages: it would write into the very database whose absence is told.
_logger = logging.getLogger("workers.run_control")


class RunControl:
    """Watches the task's row from a thread of its own while the run works.

    When the task is no longer this run's, it calls what `interruptible` was given, so that a
    query that takes minutes ends too; `raise_if_stopped` then tells the run. A run that does not
    hear is ended, and so is one that keeps this thread from watching.
    """

    def __init__(
        self, attempt: AttemptStore, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self._attempt = attempt
        self._interrupted = interrupted
        self._stopped = threading.Event()
        self._finished = threading.Event()
        self._interrupt: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="run-control", daemon=True)

    def __enter__(self) -> Self:
        end_if_stalled(STALL_SECONDS)
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._finished.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def raise_if_stopped(self) -> None:
        """Return while the task is this run's.

        Raises:
            AttemptSuperseded: It is not.
            AttemptInterrupted: This process was asked to end.
        """
        if self._stopped.is_set():
            raise AttemptInterrupted if self._interrupted() else AttemptSuperseded

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While inside, ``interrupt`` is called from the watching thread when the run must stop."""
        with self._lock:
            self._interrupt = interrupt
        try:
            self.raise_if_stopped()
            yield
        finally:
            with self._lock:
                self._interrupt = None

    def _watch(self) -> None:
        beaten_at = looked_at = time.monotonic()
        while not self._finished.wait(INTERRUPT_POLL_SECONDS):
            if self._interrupted():
                self._stop()
                return
            if time.monotonic() - looked_at < CANCEL_POLL_SECONDS:
                continue
            looked_at = time.monotonic()
            end_if_stalled(STALL_SECONDS)
            try:
                if time.monotonic() - beaten_at >= HEARTBEAT_SECONDS:
                    self._attempt.beat()
                    beaten_at = time.monotonic()
                else:
                    self._attempt.check()
            except AttemptSuperseded:
                self._stop()
                return
            except Exception as error:  # noqa: BLE001 - it has to go on watching
                # Whether the task is still ours shows when the database is back; until then
                # nothing can be published.
                reason = type(error).__name__
                _logger.warning("The task cannot be looked at (%s); the run goes on.", reason)

    def _stop(self) -> None:
        self._stopped.set()
        end_if_stalled(STOP_SECONDS)  # also when the interrupt itself hangs
        while not self._finished.wait(INTERRUPT_POLL_SECONDS):
            self._call_interrupt()

    def _call_interrupt(self) -> None:
        """Once more: the query may not have begun when it was first cancelled."""
        with self._lock:  # so that what it works on is not closed meanwhile
            if self._interrupt is None:
                return
            try:
                self._interrupt()
            except Exception as error:  # noqa: BLE001 - it has to go on asking
                reason = type(error).__name__
                _logger.warning("The query cannot be cancelled yet (%s).", reason)


def end_if_stalled(seconds: float) -> None:
    """End this process unless this is called again, or called off, within ``seconds``.

    The timer is no Python thread, so it needs nothing of an interpreter that is held up.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=_nowhere())


@cache
def _nowhere() -> int:
    """Where stack traces go, which are for nobody: open for as long as the process lives."""
    return os.open(os.devnull, os.O_WRONLY)


def patiently(call: Callable[[], T]) -> T:
    """``call``, tried until the task database answers; what it writes may be written twice.

    Raises:
        Unavailable: It did not answer for `PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


class Progress:
    """Counts rows, and tells the task's row at most twice a second."""

    def __init__(self, attempt: AttemptStore, total: int) -> None:
        self._attempt = attempt
        self._total = total
        self._processed = 0
        self._told_at = 0.0

    def advance(self, rows: int) -> None:
        """Count ``rows`` more.

        Raises:
            AttemptSuperseded: Cancelled, or another run's by now.
        """
        self._processed += rows
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            try:
                self._attempt.report_progress(self._processed, self._total)
            except Unavailable:
                _logger.warning("The task database does not answer; progress is not told.")
            self._told_at = time.monotonic()
