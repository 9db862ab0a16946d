"""Dagster's run launcher: has runs forked, and tells whether they are still alive."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from dagster import DagsterRun
from dagster._api.get_server_id import sync_get_server_id
from dagster._core.launcher import (
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    WorkerStatus,
)
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Row, select

from resources.engine import fork_client
from resources.engine.fork_client import CannotFork, OtherCode
from resources.engine.names import task_type_of
from resources.engine.storage import state_engine
from resources.errors import Unavailable
from resources.store.database import read_transaction
from resources.store.models import Status
from resources.store.tables import tasks
from resources.timestamps import now

# A run writes its heartbeat every 5 s, and Dagster's monitor looks every 5 s. With a second look
# before it is given up, a dead one is found within 25 s or so.
HEARTBEAT_PATIENCE = timedelta(seconds=15)
SECOND_LOOK = timedelta(seconds=4)

_logger = logging.getLogger("dagster.workers.launcher")


class WorkersRunLauncher(DefaultRunLauncher):
    """Starts runs by the fork server; sees dead ones by the heartbeat in the task's row.

    The stock launcher has the code server start a new interpreter for each, which takes seconds,
    and cannot tell a dead run: one whose code server died would stay "started" for ever.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silent_since: dict[str, datetime] = {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process, unless its task was cancelled or given to another run.

        Between a look at the queue and a launch both can happen (dagster#3323).
        """
        run = context.dagster_run
        if task_type_of(run) is None or (not run.is_finished and _is_wanted(run)):
            self._start_process(context)
        elif not run.is_finished:
            self._instance.report_run_canceled(run, "Its task waits for it no longer.")

    def _start_process(self, context: LaunchRunContext) -> None:
        """Have the run's process forked; where that cannot be, started as Dagster does."""
        run = context.dagster_run
        try:
            _fork(run.run_id, _location(context))
        except CannotFork as error:
            super().launch_run(context)
            warning = f"It starts slowly, for its process cannot be forked: {error}"
            _logger.warning("Run %s: %s", run.run_id, warning)
            self._instance.report_engine_event(warning, run)

    def terminate(self, run_id: str) -> bool:
        """Ask the run to end, as Dagster's own launcher does: whether its process was told."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        with suppress(CannotFork):
            if _interrupt(run):
                return True
        # The code server may have started it; the tag alone does not say that it did.
        tried = GRPC_INFO_TAG in run.tags
        return tried and bool(super().terminate(run_id))  # type: ignore[no-untyped-call]

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes, so Dagster's run monitoring asks."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process was heard of lately.

        One that was not is looked at twice: when the task database comes back after a while,
        every heartbeat is old.
        """
        row = _task_row(run)
        if row is None or row.heartbeat_at is None or not _is_silent(row.heartbeat_at):
            self._silent_since.pop(run.run_id, None)  # without a task there is nothing to go by
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if now() - self._silent_since.setdefault(run.run_id, now()) < SECOND_LOOK:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._silent_since[run.run_id]
        silence = int(HEARTBEAT_PATIENCE.total_seconds())
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"no heartbeat for more than {silence} seconds"
        )


def _location(context: LaunchRunContext) -> GrpcServerCodeLocation:
    run = context.dagster_run
    if context.workspace is None or run.remote_job_origin is None:
        msg = "Nothing is known of its code location."
        raise CannotFork(msg)
    location = context.workspace.get_code_location(run.remote_job_origin.location_name)
    if not isinstance(location, GrpcServerCodeLocation) or location.socket is None:
        msg = "Its code location has no socket."
        raise CannotFork(msg)
    return location


def _fork(run_id: str, location: GrpcServerCodeLocation) -> None:
    path = fork_client.socket_beside(location.socket or "")
    try:
        fork_client.launch(path, run_id, location.server_id)
    except OtherCode:
        # What is known of the code server here may be of before its last start.
        fork_client.launch(path, run_id, sync_get_server_id(location.client))


def _interrupt(run: DagsterRun) -> bool:
    origin = run.remote_job_origin and run.remote_job_origin.repository_origin.code_location_origin
    if not isinstance(origin, GrpcServerCodeLocationOrigin) or origin.socket is None:
        return False
    return fork_client.interrupt(fork_client.socket_beside(origin.socket), run.run_id)


def _is_silent(heartbeat_at: datetime) -> bool:
    return heartbeat_at < now() - HEARTBEAT_PATIENCE


def _is_wanted(run: DagsterRun) -> bool:
    try:
        row = _task_row(run)
    except Unavailable:
        return True  # Dagster would fail it; a run that is not wanted finds that out by itself
    return row is not None and row.status == Status.PENDING


def _task_row(run: DagsterRun) -> Row[Any, Any] | None:
    query = select(tasks.c.status, tasks.c.heartbeat_at).where(tasks.c.run_id == run.run_id)
    with read_transaction(state_engine()) as connection:
        return connection.execute(query).first()
