"""How the service's own processes log: one line each, to standard error."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(level: str) -> None:
    """Write everything from ``level`` on."""
    # What `FORMAT` does not show need not be found out for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=level.upper(), format=FORMAT, stream=sys.stderr)


def dagster_log_level(level: str) -> str:
    """The level for Dagster's own processes: at "info" they write several lines a minute."""
    return "warning" if level == "info" else level


def use_own_format(logger: logging.Logger) -> None:
    """Have what ``logger`` writes look like everything else, without colours."""
    for handler in logger.handlers:
        handler.setFormatter(logging.Formatter(FORMAT))
