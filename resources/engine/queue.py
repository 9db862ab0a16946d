"""Dagster's queue daemon, woken when there is something to do."""

import threading
from typing import Any

from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._daemon.daemon import DaemonIterator, SpanMarker
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

# How long it waits before it asks again whether it is to shut down.
SHUTDOWN_CHECK_SECONDS = 1.0


class WokenQueueDaemon(QueuedRunCoordinatorDaemon):
    """Takes runs from the queue when one was handed over or has ended, not every few seconds.

    What it takes, and all limits and priorities, are the stock daemon's.
    """

    def __init__(self, interval_seconds: float, wake: threading.Event) -> None:
        super().__init__(interval_seconds)
        self._wake = wake

    def core_loop(
        self, workspace_process_context: IWorkspaceProcessContext[Any], shutdown_event: Any
    ) -> DaemonIterator:
        """One pass for each wake-up, and one for each interval without any."""
        while True:
            self._wake.clear()
            yield SpanMarker.START_SPAN
            yield from self.run_iteration(workspace_process_context)
            yield SpanMarker.END_SPAN
            yield from self._wait(shutdown_event)

    def _wait(self, shutdown_event: threading.Event) -> DaemonIterator:
        waited = 0.0
        while waited < self.interval_seconds and not shutdown_event.is_set():
            if self._wake.wait(SHUTDOWN_CHECK_SECONDS):
                return
            waited += SHUTDOWN_CHECK_SECONDS
            yield None
