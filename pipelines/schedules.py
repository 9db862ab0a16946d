"""The declared schedules as Dagster's.

They are evaluated in the code server, at each tick: nothing is asked there, of the source or of
the state database. What a tick makes is a run as any other, whose task belongs to the schedule's
owner; Dagster sees to it that there is one for each tick.
"""

import logging
from collections.abc import Iterable, Iterator

from dagster import (
    DagsterError,
    DefaultScheduleStatus,
    Definitions,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
)

from resources.engine.names import OWNER_TAG, PRIORITY_TAG, TASK_TYPE_TAG, run_config
from resources.schedules.declarations import Schedule, read_schedules
from resources.settings import load_settings
from resources.store.models import Priority

_logger = logging.getLogger(__name__)


def schedule_definitions() -> Definitions:
    """The schedules that can be used; what cannot is told in the log.

    `workers up` does not start with a file that has findings. One that goes bad while the service
    runs takes no other schedule with it, and no job.
    """
    declared = read_schedules(load_settings().schedules)
    for finding in declared.findings:
        _logger.error("Not scheduled: %s", finding)
    return Definitions(schedules=list(_usable(declared.schedules.values())))


def _usable(declared: Iterable[Schedule]) -> Iterator[ScheduleDefinition]:
    for schedule in declared:
        try:
            yield as_dagster_schedule(schedule)
        except DagsterError as error:
            _logger.error("Not scheduled: %s: Dagster refuses it: %s", schedule.name, error)


def as_dagster_schedule(schedule: Schedule) -> ScheduleDefinition:
    """``schedule`` as Dagster's UI shows it and its daemon carries it out."""

    def evaluate(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        request = schedule.request_at(context.scheduled_execution_time)
        if request is None:
            return SkipReason(f"There is no time in the window {schedule.window}.")
        task_type = request.pop("task_type")
        return RunRequest(run_config=run_config(task_type, request), tags=run_tags(schedule))

    status = DefaultScheduleStatus
    return ScheduleDefinition(
        name=schedule.name,
        cron_schedule=schedule.cron,
        execution_timezone=schedule.time_zone,
        job_name=schedule.task_type,
        execution_fn=evaluate,
        default_status=status.RUNNING if schedule.enabled else status.STOPPED,
        description=schedule.description or _summary(schedule),
        tags={OWNER_TAG: schedule.owner, TASK_TYPE_TAG: schedule.task_type},
    )


def run_tags(schedule: Schedule) -> dict[str, str]:
    """What a tick's run carries; Dagster adds the schedule's name, and the time of the tick."""
    tags = {OWNER_TAG: schedule.owner}
    if schedule.priority is not Priority.NORMAL:
        tags[PRIORITY_TAG] = str(schedule.priority.rank)
    return tags


def _summary(schedule: Schedule) -> str:
    about = f", window {schedule.window}" if schedule.window else ""
    return f"{schedule.task_type}{about}; tasks of {schedule.owner}"
