"""The looks with which the service starts: they tell, and hold nothing up.

``python -m workers.start_check``
"""

import logging
import threading
import uuid

from resources.errors import DeclarationError, SourceUnavailable, TaskFailed
from resources.results.factory import result_store
from resources.results.failures import reason_of
from resources.settings import Settings, load_settings
from workers.check import check_datasets, check_schedules
from workers.reports import printable
from workers.supervisor import say

LOOK_SECONDS = 5
# Tasks are counted from 1.
NO_TASK = 0


def look(settings: Settings) -> None:
    """Say what of the datasets does not fit the source, and whether results can be stored.

    A dataset that does not fit is refused when it is asked for; the others work.
    """
    # At once: one of them may hang.
    looks = [
        threading.Thread(target=each, args=(settings,))
        for each in (_look_at_datasets, _look_at_results)
    ]
    for each in looks:
        each.start()
    for each in looks:
        each.join()


def _look_at_datasets(settings: Settings) -> None:
    try:
        checked = check_datasets(settings.datasets, settings.source, LOOK_SECONDS)
        schedules = check_schedules(
            settings.schedules, settings.datasets, settings.source, LOOK_SECONDS
        )
    except (DeclarationError, SourceUnavailable) as error:
        say(printable([f"{settings.datasets.name} was not held against the source: {error}"]))
        return
    for finding in [*checked.findings, *schedules.findings]:
        say(printable([finding]))


def _look_at_results(settings: Settings) -> None:
    """Write a file and remove it: what a run, and the dispatcher after it, may have to do."""
    attempt = result_store(settings).attempt(NO_TASK, uuid.uuid4().hex)
    try:
        attempt.create()
        attempt.write_checkpoint({})
    except TaskFailed as error:
        reason = reason_of(error.__cause__ or error)
        say(printable([f"Results cannot be stored now; until they can, tasks fail: {reason}"]))
        return
    if not attempt.discard():
        say("Results can be stored, but not removed: what cancelled tasks leave will stay.")


if __name__ == "__main__":
    logging.basicConfig(format="Warning: %(message)s")
    look(load_settings())
