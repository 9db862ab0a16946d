"""Dagster's storage, in the task store's database and on its connections.

A run and its task change in one transaction, where stock storage commits each statement by itself.
On PostgreSQL all of a process's storages share one pool; stock ones open a connection for each
query, as they do on SQLite here too.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from dagster import DagsterEvent, DagsterEventType, DagsterRun
from dagster._core.errors import DagsterRunNotFoundError
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS, RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.scheduler.instigation import InstigatorState, ScheduleInstigatorData
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.dagster_run import DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.base import ScheduleStorage
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.tags import GRPC_INFO_TAG, MAX_RETRIES_TAG
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres import (
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from sqlalchemy import Connection, Engine

from resources.engine import projection
from resources.engine.event_batches import BatchedEvents
from resources.engine.failures import failure_reason
from resources.engine.unconfigured import Unconfigured
from resources.settings import Settings, load_settings
from resources.store.database import connect
from resources.store.models import Task

# What does not count ends as well: a task has no more runs than this, if no more are asked for.
MOST_RUNS = 30


# How many connections to the state database a process of Dagster's keeps; as many again are opened
# while they are needed.
POOL_SIZE = 2


@cache
def state_engine() -> Engine:
    """The engine of this process for the state database."""
    return connect(load_settings().state_url, pool_size=POOL_SIZE)


class _ProjectingRunStorage(SqlRunStorage):
    """Writes the task whenever it writes a run, in one transaction."""

    _joined: ClassVar[threading.local] = threading.local()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """The transaction this thread is in, else a connection of the stock storage's kind."""
        joined: Connection | None = getattr(self._joined, "connection", None)
        if joined is not None:
            yield joined
        else:
            with super().connect() as connection:  # type: ignore[safe-super]
                yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction for all that the stock storage does inside."""
        if getattr(self._joined, "connection", None) is not None:
            msg = "A transaction of the run storage inside another would wait for itself."
            raise RuntimeError(msg)
        with state_engine().begin() as connection:
            self._joined.connection = connection
            try:
                yield connection
            finally:
                self._joined.connection = self._joined.run = None

    def _get_run_by_id(self, run_id: str) -> DagsterRun | None:
        """The run; inside a transaction it is read once, until it is written."""
        known: DagsterRun | None = getattr(self._joined, "run", None)
        if known is not None and known.run_id == run_id:
            return known
        return super()._get_run_by_id(run_id)

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a new run, and join it with its task."""
        # A retry inherits the tags; how its parent's process was reached does not hold for it.
        tags = {name: value for name, value in dagster_run.tags.items() if name != GRPC_INFO_TAG}
        dagster_run = dagster_run.with_tags(tags)
        with self._transaction() as connection:
            relatives = self._relatives(dagster_run)
            return super().add_run(projection.run_added(connection, dagster_run, relatives))

    def _relatives(self, run: DagsterRun) -> int:
        if run.parent_run_id is None:
            return 0
        try:
            _, group = self.get_run_group(run.parent_run_id)
        except DagsterRunNotFoundError:  # deleted since
            return 0
        return len(group)

    def handle_run_event(
        self, run_id: str, event: DagsterEvent, update_timestamp: datetime | None = None
    ) -> None:
        """Move a run to the state that ``event`` means, and its task with it.

        A run that is finished stays as it is: its process may have got further than the
        request that ended it (dagster#34175).
        """
        if event.event_type not in EVENT_TYPE_TO_PIPELINE_RUN_STATUS:
            return
        with self._transaction() as connection:
            task = projection.lock_task(connection, run_id)
            self._joined.run = run = self._get_run_by_id(run_id)
            if run is None or run.is_finished:
                return
            if task is not None and self._exceeds_its_time(task, run, event, update_timestamp):
                task = projection.ran_out_of_time(connection, task)
                self.add_run_tags(run_id, {MAX_RETRIES_TAG: "0"})
                self._joined.run = None
            event = projection.as_it_ends(task, event)
            super().handle_run_event(run_id, event, update_timestamp)
            self._joined.run = None
            if task is not None:
                self._project(connection, task, run, event)

    def _exceeds_its_time(
        self, task: Task, run: DagsterRun, event: DagsterEvent, at: datetime | None
    ) -> bool:
        """Whether Dagster's monitor ends the run because it has worked for too long.

        The monitor asks for its end as a user would; what tells the two apart is the time.
        """
        asked = event.event_type is DagsterEventType.RUN_CANCELING
        if not asked or task.cancel_requested_at is not None or at is None:
            return False
        (record,) = self.get_run_records(RunsFilter(run_ids=[run.run_id]))
        limit = projection.max_runtime_of(run)
        if record.start_time is None or limit is None:
            return False
        return at.timestamp() - record.start_time > limit

    def _project(
        self, connection: Connection, task: Task, before: DagsterRun, event: DagsterEvent
    ) -> None:
        status = EVENT_TYPE_TO_PIPELINE_RUN_STATUS[event.event_type]
        # Dagster itself decides this only after the event, when the task was read already.
        will_retry = status == DagsterRunStatus.FAILURE and self._will_retry(before, event)
        projection.run_changed(connection, task, status, event, will_retry=will_retry)

    def _will_retry(self, before: DagsterRun, event: DagsterEvent) -> bool:
        run = self._get_run_by_id(before.run_id)
        if run is None:
            return False
        if _does_not_count(before, event):
            run = self._allow_one_more(run)
        instance = self._instance
        return instance.run_retries_enabled and auto_reexecution_should_retry_run(
            instance, run, failure_reason(event)
        )

    def _allow_one_more(self, run: DagsterRun) -> DagsterRun:
        limit = run.tags.get(MAX_RETRIES_TAG, "")
        if not limit.isdecimal() or int(limit) >= MOST_RUNS:
            return run
        more = {MAX_RETRIES_TAG: str(int(limit) + 1)}
        self.add_run_tags(run.run_id, more)
        return run.with_tags({**run.tags, **more})

    def delete_run(self, run_id: str) -> None:
        """Delete a run; its task, if open, has failed."""
        with self._transaction() as connection:
            projection.run_deleted(connection, run_id)
            super().delete_run(run_id)

    def wipe(self) -> None:
        """Delete all runs; their tasks, if open, have failed."""
        with self._transaction() as connection:
            projection.all_runs_deleted(connection)
            super().wipe()


def _does_not_count(run: DagsterRun, event: DagsterEvent) -> bool:
    """Whether the failure is no fault of the task's: its job had not begun, or was interrupted.

    As by a stop of the service.
    """
    not_begun = {DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING}
    return (
        run.status in not_begun or failure_reason(event) is RunFailureReason.UNEXPECTED_TERMINATION
    )


class _UpToDateRuns(SqlRunStorage):
    """Does not ask whether the tables are of this version of Dagster.

    They are: before any part of the service starts, `prepare_home` sees to it. Stock asks the
    database's catalogue each time.
    """

    def has_run_stats_index_cols(self) -> bool:
        """Yes."""
        return True

    def has_backfill_id_column(self) -> bool:
        """Yes."""
        return True


class _UpToDateEvents(SqlEventLogStorage):
    """As `_UpToDateRuns`, for the tables of events."""

    def _has_asset_key_col_on_connection(self, _conn: Connection, _column_name: str) -> bool:
        return True

    def has_table(self, _table_name: str) -> bool:
        """Yes."""
        return True


def _delete_checks(connection: Connection, run_id: str) -> None:
    of_run = AssetCheckExecutionsTable.c.run_id == run_id
    connection.execute(AssetCheckExecutionsTable.delete().where(of_run))


class _SqliteEvents(SqliteEventLogStorage):
    """Events in files, one for each run."""

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        """A connection to the run's file, which is made anew where another process removed it."""
        if run_id is not None and not Path(self.path_for_shard(run_id)).exists():
            self._initialized_dbs.discard(run_id)
        with super().run_connection(run_id) as connection:
            yield connection

    def delete_events(self, run_id: str) -> None:
        """Delete all that was noted of the run, and its file, which stock would leave there."""
        for path in Path(self.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"):
            path.unlink(missing_ok=True)
        with self.index_connection() as connection:
            self.delete_events_for_run(connection, run_id)
            _delete_checks(connection, run_id)


class _SqliteRuns(_ProjectingRunStorage, _UpToDateRuns, SqliteRunStorage):
    """Runs in the SQLite file that holds the tasks too."""

    def make_no_file(self, path: Path) -> None:
        """From now on fail where the file is missing; the stock storage would make an empty one."""
        self._conn_string = f"sqlite:///file:{quote(str(path))}?mode=rw&uri=true"


class _SwitchesStay(SqlScheduleStorage):
    """Does not let the scheduler undo what somebody switches while it looks.

    It writes back, with the time at which it looked, the whole state that it read before.
    """

    def update_instigator_state(self, state: InstigatorState) -> InstigatorState:
        """Store ``state``, unless it is the scheduler's, and somebody has switched meanwhile."""
        stored = self.get_instigator_state(state.instigator_origin_id, state.selector_id)
        if stored is not None and stored.status != state.status and _looked_since(stored, state):
            return stored
        return super().update_instigator_state(state)


def _looked_since(stored: InstigatorState, state: InstigatorState) -> bool:
    """Whether ``state`` tells of a look that ``stored`` does not know of."""
    before, after = (
        each.instigator_data.last_iteration_timestamp or 0.0
        if isinstance(each.instigator_data, ScheduleInstigatorData)
        else 0.0
        for each in (stored, state)
    )
    return after > before


class _SqliteSchedules(_SwitchesStay, SqliteScheduleStorage):
    """Schedules and their ticks in a SQLite file of their own."""


class _Pooled:
    """A storage for PostgreSQL on this process's pool."""

    _engine: Engine

    def use_pool(self) -> None:
        """Replace the stock engine, which opens a connection for each query."""
        self._engine = state_engine().execution_options(isolation_level="AUTOCOMMIT")

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Nothing: the web server would get a second pool for each storage."""


class _PostgresRuns(_Pooled, _ProjectingRunStorage, _UpToDateRuns, PostgresRunStorage):
    """Runs in the PostgreSQL database that holds the tasks too."""


class _PostgresEvents(_Pooled, _UpToDateEvents, BatchedEvents):
    """Events in the same database."""

    def delete_events(self, run_id: str) -> None:
        """Delete all that was noted of the run; stock leaves the results of its checks."""
        super().delete_events(run_id)
        with self.index_connection() as connection:
            _delete_checks(connection, run_id)


class _PostgresSchedules(_Pooled, _SwitchesStay, PostgresScheduleStorage):
    """Schedules and their ticks in the same database."""


class WorkersStorage(Unconfigured, DagsterStorage, ConfigurableClass):
    """Dagster's runs, events and schedules: in SQLite by default, else in PostgreSQL."""

    # Whether missing tables are made. One process does that; to look for them costs each of the
    # others three connections.
    creates_tables: ClassVar[bool] = False

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._runs: RunStorage
        self._events: EventLogStorage
        self._schedules: ScheduleStorage
        settings = load_settings()
        if settings.database_url is None:
            self._open_sqlite(settings)
        else:
            self._open_postgresql(settings)
        super().__init__()  # type: ignore[no-untyped-call]

    def _open_sqlite(self, settings: Settings) -> None:
        folder = settings.state_folder
        self._runs = runs = _SqliteRuns.from_local(str(folder))
        runs.make_no_file(folder / "runs.db")
        self._events = _SqliteEvents(str(folder / "events"))
        self._schedules = _SqliteSchedules.from_local(str(folder / "schedules"))

    def _open_postgresql(self, settings: Settings) -> None:
        url = settings.state_url.render_as_string(hide_password=False)
        create = self.creates_tables
        self._runs = runs = _PostgresRuns(url, create)
        self._events = events = _PostgresEvents(url, create)
        self._schedules = schedules = _PostgresSchedules(url, create)
        for storage in (runs, events, schedules):
            storage.use_pool()

    def register_instance(self, instance: Any) -> None:
        """Make ``instance`` known to each storage."""
        super().register_instance(instance)
        for storage in (self._runs, self._events, self._schedules):
            if not storage.has_instance:
                storage.register_instance(instance)

    @property
    def run_storage(self) -> RunStorage:
        """Runs, and the tasks with them."""
        return self._runs

    @property
    def event_log_storage(self) -> EventLogStorage:
        """What happened in runs."""
        return self._events

    @property
    def schedule_storage(self) -> ScheduleStorage:
        """Schedules and their ticks."""
        return self._schedules

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What dagster.yaml says of this class."""
        return self._inst_data
