"""Does what every run does once, so that what is slow the first time is done.

By its first run a process imports modules, builds classes, compiles statements and fills caches.
What is forked from it afterwards starts with all of that.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dagster import (
    AssetExecutionContext,
    Config,
    DagsterInstance,
    Definitions,
    JobDefinition,
    MaterializeResult,
    asset,
    define_asset_job,
    in_process_executor,
    reconstructable,
)
from dagster._core.execution.api import create_execution_plan, execute_run_iterator
from dagster._core.storage.event_log.schema import AssetEventTagsTable, AssetKeyTable
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as EventTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable, SnapshotsTable
from sqlalchemy import Engine, event

_JOB = "rehearsal"
_TABLES = (RunsTable, RunTagsTable, SnapshotsTable, EventTable, AssetKeyTable, AssetEventTagsTable)

_logger = logging.getLogger(__name__)


def rehearse(engine: Engine, instance: DagsterInstance, work: Callable[[], None]) -> None:
    """Have Dagster do a run in this process, then ``work``. Nothing of it is left to be seen.

    What goes wrong is told, and costs each run's start some time: a state database that is away,
    or that lets nobody make temporary tables.
    """
    try:
        if engine.dialect.name == "postgresql":
            with _unseen(engine):
                _run(instance)
        else:
            with DagsterInstance.ephemeral() as another:
                _run(another)
        work()
    except Exception as error:  # noqa: BLE001 - none of it is needed
        _logger.warning("Runs start slowly: the rehearsal failed (%s).", type(error).__name__)
    finally:
        engine.dispose()


@contextmanager
def _unseen(engine: Engine) -> Iterator[None]:
    """Inside, what is written goes into temporary tables, which hide those of the same name."""
    statements = [f"CREATE TEMP TABLE {t.name} (LIKE {t.name} INCLUDING ALL)" for t in _TABLES]
    # Where they are looked for first, whatever the role's search path says.
    statements += ["SELECT set_config('search_path', 'pg_temp,' || current_schema(), false)"]

    def hide(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(statements))
        connection.commit()

    engine.dispose()  # so that every connection is made from now on
    event.listen(engine, "connect", hide)
    try:
        yield
    finally:
        event.remove(engine, "connect", hide)
        with engine.connect() as connection:
            connection.exec_driver_sql("DISCARD TEMP")  # behind a pooler the session would stay
            connection.commit()
        engine.dispose()


def _run(instance: DagsterInstance) -> None:
    job = reconstructable(_make_job)
    plan = create_execution_plan(job)
    run = instance.create_run_for_job(job.get_definition(), execution_plan=plan)
    try:
        for _event in execute_run_iterator(job, run, instance):
            pass
    finally:
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])


def _make_job() -> JobDefinition:
    """A job like those of the task types: an asset with a config and something upstream."""

    class Parameters(Config):
        rows: int = 0

    @asset(name=_JOB, deps=["upstream_of_rehearsal"])
    def rehearsed(_context: AssetExecutionContext, config: Parameters) -> MaterializeResult[Any]:
        return MaterializeResult(metadata={"rows": config.rows})

    job = define_asset_job(_JOB, selection=[rehearsed], executor_def=in_process_executor)
    return Definitions(assets=[rehearsed], jobs=[job]).resolve_job_def(_JOB)
