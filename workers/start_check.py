"""The look at the datasets with which the service starts: it tells, and holds nothing up."""

import threading

from resources.errors import DeclarationError, SourceUnavailable
from resources.settings import Settings
from workers.check import check_datasets
from workers.reports import printable
from workers.supervisor import say

LOOK_SECONDS = 5


def look_in_background(settings: Settings) -> None:
    """Say what of the datasets does not fit the source, when it is known.

    A dataset that does not fit is refused when it is asked for; the others work.
    """
    # A daemon: a source that hangs must not keep the service from ending.
    threading.Thread(target=_look, args=(settings,), name="datasets", daemon=True).start()


def _look(settings: Settings) -> None:
    try:
        checked = check_datasets(settings.datasets, settings.source, LOOK_SECONDS)
    except (DeclarationError, SourceUnavailable) as error:
        say(printable([f"{settings.datasets.name} was not held against the source: {error}"]))
        return
    for finding in checked.findings:
        say(printable([finding]))
