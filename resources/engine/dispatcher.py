"""Carries the task store's rows to Dagster: hands tasks over, ends those that are cancelled.

A daemon inside Dagster's daemon process. It is woken by every change of a task, and looks by
itself every few seconds: what a crash left half done is done then. Each step may be done twice
without harm.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from dagster import DagsterError, DagsterInstance, DagsterRunStatus
from dagster._check import CheckError
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.errors import (
    DagsterCodeLocationLoadError,
    DagsterUserCodeUnreachableError,
)
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteJob
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._core.workspace.context import BaseWorkspaceRequestContext, IWorkspaceProcessContext
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import retry_run
from dagster._daemon.daemon import DaemonIterator, DagsterDaemon
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from resources.engine.failures import INTERNAL_ERROR, WORKER_LOST
from resources.engine.lookahead import Limits, LookAhead
from resources.engine.names import (
    OWNER_TAG,
    REQUEST_ID_TAG,
    TASK_ID_TAG,
    run_config,
)
from resources.engine.plans import Plans
from resources.errors import Unavailable
from resources.results import ResultStore
from resources.settings import CODE_LOCATION
from resources.store.database import ChangeListener, listen
from resources.store.handover import HandoverStore, WaitingTask, Work
from resources.store.models import Priority, Status, Task
from resources.store.parts import DISPATCHER, PartStore

T = TypeVar("T", Task, WaitingTask)

ENDS_PER_PASS = 100
# How long it sleeps where nothing wakes it.
IDLE_SECONDS = 5.0
# How long it waits before it asks again whether it is to shut down.
SHUTDOWN_CHECK_SECONDS = 1.0
# How long it lets a code location that does not answer come back.
OUTAGE_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 5.0
# How long a task may be pending without a change before it is looked at.
STRANDED_SECONDS = 15.0
# How long it leaves a result storage alone that does not answer: asking it may take seconds, for
# which tasks would wait.
SWEEP_AGAIN_SECONDS = 10.0
MAX_REFUSALS = 5


_plans = Plans()
_logger = logging.getLogger(__name__)


class CodeLocationAway(Exception):
    """The code location does not answer, or has not loaded."""


class CannotHandOver(Exception):
    """Dagster refuses a task's run, and would again."""


class Dispatcher(DagsterDaemon[Any]):
    """The daemon between the task store and Dagster."""

    def __init__(
        self, engine: Engine, results: ResultStore, limits: Limits, wake_queue: Callable[[], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._engine = engine
        self._tasks = HandoverStore(engine)
        self._parts = PartStore(engine)
        self._results = results
        self._limits = limits
        self._wake_queue = wake_queue
        self._seen_at = 0.0
        # Not at once: what a restart interrupted Dagster may still do by itself.
        self._looked_for_stranded_at = time.monotonic()
        self._sweeps_at = 0.0
        self._refusals: Counter[int] = Counter()

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
            while True:  # who runs it stops asking for more
                if not shutdown_event.is_set():
                    self._pass(workspace_process_context)
                yield None
                self._wait(listener, shutdown_event)
        finally:
            listener.close()

    def _wait(self, listener: ChangeListener, shutdown_event: threading.Event) -> None:
        deadline = time.monotonic() + IDLE_SECONDS
        try:
            while time.monotonic() < deadline and not shutdown_event.is_set():
                if listener.wait(SHUTDOWN_CHECK_SECONDS):
                    self._wake_queue()
                    return
        except Unavailable:
            self._logger.warning("The task database does not answer.")
            shutdown_event.wait(OUTAGE_SECONDS)

    def _pass(self, context: IWorkspaceProcessContext[Any]) -> None:
        """Look once at what there is to do, then every step, whatever becomes of the others."""
        try:
            work = self._tasks.work(ends=ENDS_PER_PASS, waiting=self._front)
        except Unavailable as error:
            self._logger.warning("%s", error)
            return
        for step in (
            self._tell_alive,
            self._stop_cancelled,
            self._sweep_failed,
            self._retry_stranded,
            self._hand_over,
        ):
            try:
                step(context, work)
            except Unavailable as error:
                self._logger.warning("%s", error)
            except CodeLocationAway:
                self._logger.warning("The code location does not answer; tasks wait.")
                time.sleep(OUTAGE_SECONDS)

    @property
    def _front(self) -> int:
        """How many waiting tasks of each priority it looks at: more than can be given at once."""
        return 2 * self._limits.in_flight

    def _for_each(self, tasks: Iterable[T], action: Callable[[T], None]) -> None:
        """Do ``action`` to every task; one that fails holds up no other, and comes again."""
        for task in tasks:
            try:
                action(task)
            except (Unavailable, CodeLocationAway):
                raise
            except Exception:
                self._logger.exception("Task %s: %s failed.", task.id, action.__name__)

    def _tell_alive(self, _context: IWorkspaceProcessContext[Any], _work: Work) -> None:
        if time.monotonic() - self._seen_at > SIGN_OF_LIFE_SECONDS:
            self._parts.seen(DISPATCHER)
            self._seen_at = time.monotonic()

    def _hand_over(self, context: IWorkspaceProcessContext[Any], work: Work) -> None:
        chosen = self._choose(work)
        if not chosen:
            return
        workspace = context.create_request_context()

        def give(chosen: WaitingTask) -> None:
            task = self._tasks.waiting_task(chosen.id)
            if task is None:  # a pass takes a while: cancelled meanwhile
                return
            try:
                hand_over(context.instance, workspace, task)
            except CannotHandOver as error:
                self._refused(task, error)
            else:
                self._tasks.mark_handed_over(task)
                self._wake_queue()

        self._for_each(chosen, give)

    def _choose(self, work: Work) -> list[WaitingTask]:
        """The waiting tasks that Dagster is to have now."""
        look_ahead = LookAhead(self._limits, work.in_flight)
        chosen = []
        for priority in reversed(Priority):
            front = [task for task in work.waiting if task.priority == priority.rank]
            taken = look_ahead.take(front)
            if not taken and len(front) == self._front and look_ahead.has_room(priority.rank):
                # Owners at their limits are all that stands in front.
                firsts = self._tasks.first_of_each_kind()
                taken = look_ahead.take(t for t in firsts if t.priority == priority.rank)
            chosen += taken
        return chosen

    def _refused(self, task: Task, error: CannotHandOver) -> None:
        """What Dagster refuses again and again would be refused for ever: it has failed."""
        self._refusals[task.id] += 1
        self._logger.warning("Task %s was refused.", task.id, exc_info=error)
        if self._refusals[task.id] >= MAX_REFUSALS:
            del self._refusals[task.id]
            self._tasks.give_up(task, INTERNAL_ERROR)

    def _stop_cancelled(self, context: IWorkspaceProcessContext[Any], work: Work) -> None:
        def stop(task: Task) -> None:
            if stop_run(context.instance, task) and task.status is Status.CANCELLED:
                self._sweep(task)

        self._for_each(work.to_stop, stop)

    def _sweep_failed(self, _context: IWorkspaceProcessContext[Any], work: Work) -> None:
        self._for_each(work.to_sweep, self._sweep)

    def _sweep(self, task: Task) -> None:
        """Remove what the task's runs left; a run that takes it meanwhile keeps its files.

        Where the storage does not answer, nothing is known to be gone: the task is swept later.
        """
        if time.monotonic() < self._sweeps_at:
            return
        try:
            left = self._results.attempts(task.id)
        except Unavailable as error:
            self._logger.warning("%s", error)
            self._sweeps_at = time.monotonic() + SWEEP_AGAIN_SECONDS
            return
        if not self._tasks.is_current(task):
            return
        gone = [folder.discard() for folder in left]
        if all(gone):
            self._tasks.mark_swept(task)

    def _retry_stranded(self, context: IWorkspaceProcessContext[Any], _work: Work) -> None:
        """See that a task whose retry was promised gets it, or fails.

        Dagster forgets a retry for good when its database or the code location is away at the
        wrong moment.
        """
        if time.monotonic() - self._looked_for_stranded_at < STRANDED_SECONDS:
            return
        self._looked_for_stranded_at = time.monotonic()

        def retry(task: Task) -> None:
            if not has_future(context, task):
                self._tasks.give_up(task, WORKER_LOST)

        quiet = self._tasks.quiet(timedelta(seconds=STRANDED_SECONDS), ENDS_PER_PASS)
        self._for_each(quiet, retry)


def hand_over(
    instance: DagsterInstance, workspace: BaseWorkspaceRequestContext, task: Task
) -> None:
    """Give ``task`` to Dagster under the run id its row reserves. Doing it again changes nothing.

    The steps are those of Dagster's own scheduler: a run that a crash left uncreated is
    created, one that was left unsubmitted is submitted.

    Raises:
        CodeLocationAway: Nothing can be handed over for now.
        Unavailable: Neither, for Dagster's storage does not answer.
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
    except DBAPIError as error:
        msg = "Dagster's storage does not answer."
        raise Unavailable(msg) from error
    except (DagsterError, CheckError, LookupError) as error:
        raise CannotHandOver from error


def _create_run(
    instance: DagsterInstance, workspace: BaseWorkspaceRequestContext, task: Task
) -> Any:
    location = _code_location(workspace)
    job = _job(location, task.task_type)
    config = run_config(task.task_type, _parameters(task))
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
        execution_plan_snapshot=_plans.plan(instance, location, job),
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
    if run is None:
        return True
    if run.is_finished:
        if run.status == DagsterRunStatus.FAILURE:
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
        return True
    if run.status == DagsterRunStatus.NOT_STARTED:
        instance.report_run_canceled(run, "The task was cancelled before it was queued.")
        return True
    if run.status != DagsterRunStatus.CANCELING:
        with suppress(DagsterUserCodeUnreachableError):  # the run sees the wish by itself
            instance.run_coordinator.cancel_run(run.run_id)
    return False


def has_future(context: IWorkspaceProcessContext[Any], task: Task) -> bool:
    """Whether something will come of a pending task; what is due for that is done.

    A run that was created and never queued is queued: whoever created it died in between, or was
    refused (a tick of a schedule counts as done then). A retry that is due is made, by Dagster's
    own function; there is no second one where there is one already.

    Raises:
        CodeLocationAway: Nothing can be retried for now.
    """
    instance = context.instance
    run = instance.get_run_by_id(task.run_id)
    if run is None:
        return False
    try:
        if run.status == DagsterRunStatus.NOT_STARTED:
            instance.submit_run(run.run_id, context.create_request_context())
        if not run.is_finished:
            return True
        retry_run(run, context)
        _, group = instance.get_run_group(run.run_id) or ("", [])
    except (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError) as error:
        raise CodeLocationAway from error
    except DBAPIError as error:
        msg = "Dagster's storage does not answer."
        raise Unavailable(msg) from error
    except (DagsterError, CheckError, LookupError):
        # Such as a run whose first attempt's run was deleted, which Dagster retries no more; or one
        # that was made where nobody can launch it from here.
        _logger.warning("Nothing will come of task %s.", task.id, exc_info=True)
        return False
    return any(other.parent_run_id == run.run_id for other in group)
