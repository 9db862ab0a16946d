"""What a forked process does: a run, or telling that a run's process was lost."""

from contextlib import suppress
from dataclasses import dataclass

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._grpc.impl import core_execute_run
from dagster._utils import get_run_crash_explanation
from dagster._utils.hosted_user_process import recon_job_from_origin


@dataclass(frozen=True)
class DagsterRuns:
    """Runs of ``instance``, which holds no connection when the processes are forked."""

    instance: DagsterInstance

    def execute(self, run_id: str) -> None:
        """The whole run, as the code server's own run processes do it.

        Dagster itself writes down how it ends, and raises nothing for a run that fails.
        """
        run = self.instance.get_run_by_id(run_id)
        if run is None or run.job_code_origin is None:
            return  # deleted since, or by nobody's job
        job = recon_job_from_origin(run.job_code_origin)
        has_begun = False
        with suppress(KeyboardInterrupt, DagsterExecutionInterruptedError):  # it is written
            for event in core_execute_run(job, run, self.instance, inject_env_vars=False):
                has_begun |= event.event_type is DagsterEventType.RUN_START
        if not has_begun:
            self._end_cancelled(run_id)

    def _end_cancelled(self, run_id: str) -> None:
        """End a run whose end was asked for before it began: Dagster itself leaves it so."""
        run = self.instance.get_run_by_id(run_id)
        if run is not None and run.status is DagsterRunStatus.CANCELING:
            self.instance.report_run_canceled(run)

    def report_lost(self, run_id: str, exit_code: int) -> None:
        """Tell Dagster that the run's process ended before the run did."""
        run = self.instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        prefix = f"Run execution process for {run_id}"
        self.instance.report_engine_event(get_run_crash_explanation(prefix, exit_code), run)
        self.instance.report_run_failed(run)
