"""What a run is given to do its task."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from pipelines.run_control import RunControl
from resources.requests import TaskRequest
from resources.results import AttemptFolder
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.store.attempts import AttemptStore
from resources.store.models import Task


@dataclass(frozen=True)
class Assignment:
    """One attempt at a task, begun.

    Attributes:
        task: As it was claimed.
        request: What was asked for, checked against the source as it is now.
        catalog: The datasets.
        source: The source, to read.
        settings: The service's.
        folder: Where this attempt writes; not made yet.
        attempt: This run's side of the task store.
        control: Tells when to stop.
        warn: Takes what an operator should know, for the run's log.
        history: Gives the metadata of the asset's last materializations, the newest first.
        fails_check: Takes the name of a check of the asset that has failed, and why, where the
            task is about to fail for it; results of others come with the materialization.
    """

    task: Task
    request: TaskRequest
    catalog: Catalog
    source: Engine
    settings: Settings
    folder: AttemptFolder
    attempt: AttemptStore
    control: RunControl
    warn: Callable[[str], None]
    history: Callable[[], Iterable[Mapping[str, Any]]] = tuple
    fails_check: Callable[[str, str], None] = lambda _name, _why: None
