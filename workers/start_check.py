"""The looks with which the service starts: they tell, and hold nothing up."""

import threading

from resources.errors import DeclarationError, SourceUnavailable, Unavailable
from resources.results.factory import result_store
from resources.settings import Settings
from workers.check import check_datasets
from workers.reports import printable
from workers.supervisor import say

LOOK_SECONDS = 5
# Tasks are counted from 1.
NO_TASK = 0


def look_in_background(settings: Settings) -> None:
    """Say what of the datasets does not fit the source, when it is known, and of the results.

    A dataset that does not fit is refused when it is asked for; the others work.
    """
    # Daemons: what hangs must not keep the service from ending.
    for look in (_look_at_datasets, _look_at_results):
        threading.Thread(target=look, args=(settings,), name=look.__name__, daemon=True).start()


def _look_at_datasets(settings: Settings) -> None:
    try:
        checked = check_datasets(settings.datasets, settings.source, LOOK_SECONDS)
    except (DeclarationError, SourceUnavailable) as error:
        say(printable([f"{settings.datasets.name} was not held against the source: {error}"]))
        return
    for finding in checked.findings:
        say(printable([finding]))


def _look_at_results(settings: Settings) -> None:
    try:
        result_store(settings).attempts(NO_TASK)
    except Unavailable as error:  # why, it has logged
        say(f"{error} Until it does, tasks fail and results cannot be fetched.")
