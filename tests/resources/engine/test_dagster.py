"""What this service relies on in Dagster's inner parts: told by a failure here, not in production.

Those parts are private and may change with any minor version, which is why that is pinned.
"""

import inspect
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.instance import DagsterInstance as Instance
from dagster._core.launcher import DefaultRunLauncher, RunLauncher
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import (
    PRIORITY_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    ROOT_RUN_ID_TAG,
    TAGS_TO_MAYBE_OMIT_ON_RETRY,
    WILL_RETRY_TAG,
)
from dagster._daemon.controller import daemon_controller_from_instance
from dagster._daemon.daemon import DagsterDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster._grpc import server_watcher
from sqlalchemy.exc import OperationalError

from resources.engine.coordinator import CODE_SERVER_RETRIES, WorkersRunCoordinator
from resources.engine.daemon import make_daemons
from resources.engine.dispatcher import Dispatcher
from resources.engine.launcher import WorkersRunLauncher
from resources.engine.names import OWNER_TAG, TASK_TYPE_TAG
from resources.engine.queue import WokenQueueDaemon
from resources.engine.storage import WorkersStorage, state_engine
from resources.engine.watching import WATCH_SECONDS, watch_seldom
from tests.resources.engine.conftest import settings_from_environment
from tests.support.outages import moved_away


def parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_run_storage_reaches_the_database_by_connect_alone() -> None:
    for name in ("_core_add_run", "handle_run_event", "delete_run", "_get_run_by_id", "fetchall"):
        source = inspect.getsource(getattr(SqlRunStorage, name))
        assert "self.connect()" in source or "self.fetch" in source or "self._get_runs" in source


def test_the_instance_stores_run_states_by_handle_run_event() -> None:
    source = inspect.getsource(Instance.handle_new_event)

    assert "handle_run_event" in source
    assert source.index("store_event") < source.index("handle_run_event")


def test_daemons_may_be_given_to_the_controller() -> None:
    assert "gen_daemons" in parameters(daemon_controller_from_instance)
    assert {"workspace_process_context", "shutdown_event"} <= parameters(DagsterDaemon.core_loop)


def test_one_pass_of_the_queue_is_a_method_of_its_daemon() -> None:
    assert "workspace_process_context" in parameters(QueuedRunCoordinatorDaemon.run_iteration)


def test_whether_a_failure_is_retried_can_be_asked() -> None:
    assert parameters(auto_reexecution_should_retry_run) == {
        "instance",
        "run",
        "run_failure_reason",
    }


def test_the_monitor_asks_the_launcher_for_a_runs_health() -> None:
    assert not DefaultRunLauncher().supports_check_run_worker_health
    assert "run" in parameters(RunLauncher.check_run_worker_health)


def test_dagsters_tags_are_called_so() -> None:
    assert PRIORITY_TAG == "dagster/priority"
    assert PRIORITY_TAG not in TAGS_TO_MAYBE_OMIT_ON_RETRY  # a retry inherits it
    assert (RETRY_NUMBER_TAG, RETRY_STRATEGY_TAG, ROOT_RUN_ID_TAG, WILL_RETRY_TAG) == (
        "dagster/retry_number",
        "dagster/retry_strategy",
        "dagster/root_run_id",
        "dagster/will_retry",
    )


def test_dagster_yaml_survives_what_stock_settings_do_not(instance: DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 4
    assert queue.max_user_code_failure_retries == CODE_SERVER_RETRIES >= 1000
    assert queue.user_code_failure_retry_delay == 1
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds == 5
    assert instance.run_monitoring_start_timeout_seconds == 20
    assert instance.run_monitoring_cancel_timeout_seconds == 10
    assert instance.run_monitoring_max_resume_run_attempts == 0
    assert instance.run_retries_enabled
    assert instance.run_monitoring_max_runtime_seconds == 120  # of runs that are no task
    assert instance.run_retries_max_retries == 0  # likewise
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled


def test_the_limits_that_are_set_are_dagsters(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SLOTS", "7"), ("OWNER_SLOTS", "5"), ("TYPE_SLOTS", "users_export=2")):
        monkeypatch.setenv(f"WORKERS_{name}", value)
    with settings_from_environment():
        queue = WorkersRunCoordinator().get_run_queue_config()
    assert queue.max_concurrent_runs == 7
    assert queue.tag_concurrency_limits == [
        {"key": OWNER_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 5},
        {"key": TASK_TYPE_TAG, "value": "users_export", "limit": 2},
    ]


def test_the_code_server_is_watched_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_watcher.WATCH_INTERVAL == 1  # what is replaced
    monkeypatch.setattr(server_watcher, "WATCH_INTERVAL", 1)
    watch_seldom()
    assert server_watcher.WATCH_INTERVAL == WATCH_SECONDS


def test_dagster_uses_our_classes(instance: DagsterInstance) -> None:
    ref = instance.get_ref()
    assert ref.storage_data is not None
    assert ref.storage_data.class_name == WorkersStorage.__name__
    assert isinstance(instance.run_coordinator, WorkersRunCoordinator)
    assert isinstance(instance.run_launcher, WorkersRunLauncher)
    kinds = [type(daemon) for daemon in make_daemons(instance)]
    assert kinds[:2] == [Dispatcher, WokenQueueDaemon]
    assert QueuedRunCoordinatorDaemon not in kinds
    assert "MonitoringDaemon" in {kind.__name__ for kind in kinds}


def test_on_postgresql_all_storages_share_one_pool(instance: DagsterInstance) -> None:
    if state_engine().dialect.name != "postgresql":
        return

    instance.optimize_for_webserver(5000, 60, 5)

    storages: list[Any] = [
        instance.run_storage,
        instance.event_log_storage,
        instance.schedule_storage,
    ]
    assert {id(storage._engine.pool) for storage in storages} == {id(state_engine().pool)}


def test_on_sqlite_no_storage_makes_an_empty_file_in_place_of_one_that_is_away(
    instance: DagsterInstance,
) -> None:
    if state_engine().dialect.name != "sqlite":
        return
    path = Path(state_engine().url.database or "")
    assert instance.get_runs() == []

    with moved_away(path):
        with pytest.raises(OperationalError):
            instance.get_runs()
        with pytest.raises(OperationalError):
            state_engine().connect()
        assert not path.exists()

    assert instance.get_runs() == []
