"""Serves the API: ``python -m api``."""

import gc
import logging
import sys
import threading
from contextlib import suppress
from typing import Any

import uvicorn

from api.app import Backends, create_app
from api.server import HttpProtocol, QuietServer
from api.threads import STORE_THREADS
from resources.errors import SourceUnavailable
from resources.logs import configure_logging
from resources.results.factory import result_store
from resources.settings import Settings, load_settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
from resources.store.database import connect

SHUTDOWN_SECONDS = 5
# The API asks the source for the columns of a table, nothing more.
LOOK_UP_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
COULD_NOT_START = 3


def main() -> None:
    """Serve until terminated."""
    settings = load_settings()
    configure_logging(settings.log_level)
    source = connect_source(settings.source, statement_timeout_seconds=LOOK_UP_SECONDS)
    backends = Backends(
        engine=connect(settings.state_url, pool_size=STORE_THREADS),
        catalog=Catalog(source, load_declarations(settings.datasets)),
        results=result_store(settings),
    )
    # A daemon: a source that hangs must not keep the process from ending.
    threading.Thread(target=_look_ahead, args=(backends.catalog,), daemon=True).start()
    logging.getLogger("api").info(
        "The API listens on http://%s:%s", settings.api_host, settings.api_port
    )
    gc.freeze()  # what is there by now stays: the collector need not look at it again and again
    server = QuietServer(uvicorn.Config(create_app(settings, backends), **server_options(settings)))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(COULD_NOT_START)


def _look_ahead(catalog: Catalog) -> None:
    """Look the datasets up before somebody waits for them: trying a key may take seconds.

    What does not fit, or does not answer, is told to whoever asks for it.
    """
    with suppress(SourceUnavailable):
        catalog.findings()


def server_options(settings: Settings) -> dict[str, Any]:
    """How uvicorn is to serve the application."""
    return {
        "host": settings.api_host,
        "port": settings.api_port,
        "http": HttpProtocol,
        "ws": "none",  # nothing here speaks WebSocket: a handshake is a request like any other
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    }


if __name__ == "__main__":
    main()
