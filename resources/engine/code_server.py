"""The code location's server, and beside it the one that forks the runs' processes.

``python -m resources.engine.code_server DEFINITIONS REHEARSAL SOCKET``

The code is loaded once, then the process splits: the child serves the definitions over gRPC, the
parent forks runs. So both have the very same code, and neither outlives the other.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from typing import NoReturn

from dagster import DagsterInstance
from dagster._cli.api import grpc_command

from resources.engine.fork_client import socket_beside
from resources.engine.fork_server import ForkServer, open_listener
from resources.engine.rehearsal import rehearse
from resources.engine.run_process import DagsterRuns
from resources.engine.storage import state_engine
from resources.logs import configure_logging, dagster_log_level
from resources.processes import die_with_parent
from resources.settings import CODE_LOCATION, load_settings


def main(definitions: str, rehearsal: str, code_socket: str) -> None:
    """Serve until terminated, or until the gRPC server has ended.

    Args:
        definitions: The module with Dagster's definitions.
        rehearsal: The module whose ``rehearse`` does what a job's own code does.
        code_socket: Where the definitions are served.
    """
    server_id = str(uuid.uuid4())
    if sys.platform != "linux":  # elsewhere runs start as Dagster starts them
        serve_definitions(definitions, code_socket, server_id)
    with open_listener(socket_beside(code_socket)) as listener:
        importlib.import_module(definitions)
        work: Callable[[], None] = importlib.import_module(rehearsal).rehearse
        _keep_memory_shared()
        companion = _fork_companion(definitions, code_socket, server_id, listener)
        serve_runs(listener, work, server_id, companion)


def serve_definitions(module: str, code_socket: str, server_id: str) -> NoReturn:
    """Be Dagster's own code server."""
    grpc_command.main(
        [
            *("--module-name", module, "--empty-working-directory"),
            *("--location-name", CODE_LOCATION),
            *("--socket", code_socket),
            *("--fixed-server-id", server_id),
            *("--log-level", dagster_log_level(load_settings().log_level)),
        ]
    )
    sys.exit()


def _fork_companion(module: str, code_socket: str, server_id: str, listener: socket.socket) -> int:
    """The id of a new process, which serves the definitions."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        listener.close()
        die_with_parent(parent)
        serve_definitions(module, code_socket, server_id)
    return pid


def serve_runs(
    listener: socket.socket, work: Callable[[], None], server_id: str, companion: int
) -> None:
    """Be the fork server."""
    settings = load_settings()
    configure_logging(settings.log_level)
    with DagsterInstance.get() as instance:
        rehearse(state_engine(), instance, work)
        _keep_memory_shared()
        ForkServer(
            listener,
            DagsterRuns(instance),
            server_id=server_id,
            companion=companion,
            places=settings.slots,
        ).serve()


def _keep_memory_shared() -> None:
    """Keep the collector off what is there: to look at it would copy it into every child."""
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until there is somebody to ask
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(0)
