"""Carries the task store's rows to Dagster: hands tasks over, ends those that are cancelled.

A daemon inside Dagster's daemon process. It is woken by every change of a task, and looks by
itself every few seconds: what a crash left half done is done then. Each step may be done twice
without harm.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from dagster import DagsterError, DagsterInstance, DagsterRunStatus
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.errors import (
    DagsterCodeLocationLoadError,
    DagsterUserCodeUnreachableError,
)
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteJob
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._core.workspace.context import BaseWorkspaceRequestContext, IWorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run
from dagster._daemon.daemon import DaemonIterator, DagsterDaemon
from sqlalchemy import Engine

from resources.engine.names import (
    CODE_LOCATION,
    OWNER_TAG,
    REQUEST_ID_TAG,
    TASK_ID_TAG,
    run_config,
)
from resources.engine.projection import INTERNAL_ERROR
from resources.errors import Unavailable
from resources.results import ResultStore
from resources.store.database import ChangeListener, listen
from resources.store.handover import HandoverStore
from resources.store.models import Status, Task
from resources.store.parts import DISPATCHER, PartStore

# Dagster's queue reads every queued run at each pass: it is kept short, the rest waits here.
QUEUE_LENGTH = 50
STOPS_PER_PASS = 100
# How long it sleeps where nothing wakes it.
IDLE_SECONDS = 2.0
# How long it lets a code location that does not answer come back.
OUTAGE_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 5.0
# How long a task may be pending without a change before it is looked at.
STRANDED_SECONDS = 15.0


class CodeLocationAway(Exception):
    """The code location does not answer, or has not loaded."""


class CannotHandOver(Exception):
    """Dagster refuses a task's run, and would again."""


class Dispatcher(DagsterDaemon[Any]):
    """The daemon between the task store and Dagster."""

    def __init__(
        self, engine: Engine, results: ResultStore, slots: int, wake_queue: Callable[[], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._engine = engine
        self._tasks = HandoverStore(engine)
        self._parts = PartStore(engine)
        self._results = results
        self._slots = slots
        self._wake_queue = wake_queue
        self._seen_at = 0.0
        self._looked_for_stranded_at = 0.0

    @classmethod
    def daemon_type(cls) -> str:
        """Its name among Dagster's daemons."""
        return "WORKERS_DISPATCHER"

    def core_loop(
        self,
        workspace_process_context: IWorkspaceProcessContext[Any],
        shutdown_event: threading.Event,
    ) -> DaemonIterator:
        """One pass for each change in the task store, and one every few seconds."""
        listener = listen(self._engine)
        try:
            while not shutdown_event.is_set():
                self._pass(workspace_process_context)
                yield None
                self._wait(listener, shutdown_event)
        finally:
            listener.close()

    def _wait(self, listener: ChangeListener, shutdown_event: threading.Event) -> None:
        try:
            if listener.wait(IDLE_SECONDS):
                self._wake_queue()
        except Unavailable:
            self._logger.warning("The task database does not answer.")
            shutdown_event.wait(OUTAGE_SECONDS)

    def _pass(self, context: IWorkspaceProcessContext[Any]) -> None:
        try:
            self._tell_alive()
            self._stop_cancelled(context.instance)
            self._sweep_failed()
            self._retry_stranded(context)
            self._hand_over(context)
        except Unavailable as error:
            self._logger.warning("%s", error)
        except CodeLocationAway:
            self._logger.warning("The code location does not answer; tasks wait.")
            time.sleep(OUTAGE_SECONDS)

    def _tell_alive(self) -> None:
        if time.monotonic() - self._seen_at > SIGN_OF_LIFE_SECONDS:
            self._parts.seen(DISPATCHER)
            self._seen_at = time.monotonic()

    def _hand_over(self, context: IWorkspaceProcessContext[Any]) -> None:
        free = QUEUE_LENGTH + self._slots - self._tasks.queued()
        if free <= 0:
            return
        waiting = self._tasks.waiting(free)
        if not waiting:
            return
        workspace = context.create_request_context()
        for task in waiting:
            try:
                hand_over(context.instance, workspace, task)
            except CannotHandOver:
                # It would fail again at each pass, and hold up the others.
                self._logger.exception("Task %s cannot be handed over.", task.id)
                self._tasks.fail(task, INTERNAL_ERROR)
            else:
                self._tasks.mark_handed_over(task.run_id)
                self._wake_queue()

    def _stop_cancelled(self, instance: DagsterInstance) -> None:
        for task in self._tasks.to_stop(STOPS_PER_PASS):
            if stop_run(instance, task) and task.status is Status.CANCELLED:
                self._sweep(task)

    def _sweep_failed(self) -> None:
        for task in self._tasks.to_sweep(STOPS_PER_PASS):
            self._sweep(task)

    def _sweep(self, task: Task) -> None:
        """Remove what the task's runs left; a run that takes it meanwhile keeps its files."""
        left = self._results.attempts(task.id)
        if self._tasks.is_current(task):
            for folder in left:
                folder.discard()
            self._tasks.mark_swept(task)

    def _retry_stranded(self, context: IWorkspaceProcessContext[Any]) -> None:
        """Retry what Dagster meant to retry, and gave up when the code location was away."""
        if time.monotonic() - self._looked_for_stranded_at < STRANDED_SECONDS:
            return
        self._looked_for_stranded_at = time.monotonic()
        quiet = self._tasks.quiet(timedelta(seconds=STRANDED_SECONDS), QUEUE_LENGTH)
        if quiet:
            retry_stranded(context, [task.run_id for task in quiet])


def hand_over(
    instance: DagsterInstance, workspace: BaseWorkspaceRequestContext, task: Task
) -> None:
    """Give ``task`` to Dagster under the run id its row reserves. Doing it again changes nothing.

    The steps are those of Dagster's own scheduler: a run that a crash left uncreated is
    created, one that was left unsubmitted is submitted.

    Raises:
        CodeLocationAway: Nothing can be handed over for now.
        CannotHandOver: Dagster refuses this task's run.
    """
    try:
        run = instance.get_run_by_id(task.run_id)
        if run is None:
            run = _create_run(instance, workspace, task)
        if run.status == DagsterRunStatus.NOT_STARTED:
            instance.submit_run(task.run_id, workspace)
    except (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError) as error:
        raise CodeLocationAway from error
    except DagsterError as error:
        raise CannotHandOver from error


def _create_run(
    instance: DagsterInstance, workspace: BaseWorkspaceRequestContext, task: Task
) -> Any:
    location = _code_location(workspace)
    job = _job(location, task.task_type)
    config = run_config(task.task_type, _parameters(task))
    plan = location.get_execution_plan(
        job, config, step_keys_to_execute=None, known_state=None, instance=instance
    )
    return instance.create_run(
        job_name=job.name,
        run_id=task.run_id,
        run_config=config,
        status=DagsterRunStatus.NOT_STARTED,
        tags={
            **job.run_tags,
            TASK_ID_TAG: str(task.id),
            OWNER_TAG: task.owner,
            REQUEST_ID_TAG: task.request_id,
        },
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=plan.execution_plan_snapshot,
        job_snapshot=job.job_snapshot,
        parent_job_snapshot=job.parent_job_snapshot,
        asset_selection=None,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_graph=location.get_repository(job.repository_handle.repository_name).asset_graph,
    )


def _code_location(workspace: BaseWorkspaceRequestContext) -> CodeLocation:
    if not workspace.has_code_location(CODE_LOCATION):
        raise CodeLocationAway
    return workspace.get_code_location(CODE_LOCATION)


def _job(location: CodeLocation, name: str) -> RemoteJob:
    (repository,) = location.get_repositories().values()
    return location.get_job(
        JobSubsetSelector(
            location_name=location.name,
            repository_name=repository.name,
            job_name=name,
            op_selection=None,
        )
    )


def _parameters(task: Task) -> dict[str, Any]:
    parameters = {
        "batch_size": task.batch_size,
        "filters": task.filters,
        "date_from": task.date_from,
        "date_to": task.date_to,
        "options": task.options,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def stop_run(instance: DagsterInstance, task: Task) -> bool:
    """End the run of a cancelled task; whether nothing of it is left.

    A run that does not end is asked again at the next pass; one that cannot be reached is
    marked as cancelled by Dagster's run monitoring.
    """
    run = instance.get_run_by_id(task.run_id)
    if run is None or run.is_finished:
        return True
    if run.status == DagsterRunStatus.NOT_STARTED:
        instance.report_run_canceled(run, "The task was cancelled before it was queued.")
        return True
    if run.status != DagsterRunStatus.CANCELING:
        with suppress(DagsterUserCodeUnreachableError):  # the run sees the wish by itself
            instance.run_coordinator.cancel_run(run.run_id)
    return False


def retry_stranded(context: IWorkspaceProcessContext[Any], run_ids: list[str]) -> None:
    """Retry those of the runs that failed, and whose retry was promised and given up.

    Dagster gives up for good when it cannot reach the code location at that moment. Its own
    function does the retry; it makes no second one where there is one.

    Raises:
        CodeLocationAway: It is away still.
    """
    wanted = RunsFilter(
        run_ids=run_ids, statuses=[DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "false"}
    )
    for run in context.instance.get_runs(wanted):
        try:
            retry_run(run, context)
        except (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError) as error:
            raise CodeLocationAway from error
