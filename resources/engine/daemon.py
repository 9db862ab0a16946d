"""Dagster's daemon process, with the dispatcher and the woken queue among its daemons.

``python -m resources.engine.daemon WORKSPACE_FILE``
"""

import logging
import sys
import threading
from typing import Any

from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import (
    create_daemons_from_instance,
    daemon_controller_from_instance,
)
from dagster._daemon.daemon import DagsterDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from dagster._utils.interrupts import setup_interrupt_handlers

from resources.engine.coordinator import FALLBACK_INTERVAL_SECONDS
from resources.engine.dispatcher import Dispatcher
from resources.engine.lookahead import Limits
from resources.engine.queue import WokenQueueDaemon
from resources.engine.storage import state_engine
from resources.engine.watching import watch_seldom
from resources.logs import dagster_log_level, use_own_format
from resources.results.factory import result_store
from resources.settings import load_settings


def make_daemons(instance: DagsterInstance) -> list[DagsterDaemon[Any]]:
    """The daemons that Dagster wants for ``instance``, its queue woken, and the dispatcher."""
    settings = load_settings()
    wake = threading.Event()
    queue = WokenQueueDaemon(FALLBACK_INTERVAL_SECONDS, wake)
    limits = Limits.of(settings)
    dispatcher = Dispatcher(state_engine(), result_store(settings), limits, wake.set)
    stock = create_daemons_from_instance(instance)
    others = [each for each in stock if not isinstance(each, QueuedRunCoordinatorDaemon)]
    return [dispatcher, queue, *others]


def main(workspace_file: str) -> None:
    """Run until interrupted."""
    setup_interrupt_handlers()
    watch_seldom()
    with (
        DagsterInstance.get() as instance,
        daemon_controller_from_instance(
            instance,
            workspace_load_target=WorkspaceFileTarget([workspace_file]),
            gen_daemons=make_daemons,
            log_level=dagster_log_level(load_settings().log_level),
        ) as controller,
    ):
        use_own_format(logging.getLogger("dagster"))
        controller.check_daemon_loop()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(0)
