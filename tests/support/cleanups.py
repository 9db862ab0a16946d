"""Cleanups as a run carries them out, without the service around them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster import MaterializeResult
from pydantic import SecretStr
from sqlalchemy import URL, Engine, select, update

from pipelines.assignments import Assignment
from pipelines.data_cleanup import run_cleanup
from pipelines.run_control import RunControl
from resources.archives.store import ArchiveStore, archive_store
from resources.requests import parse_request
from resources.results import ResultStore
from resources.results.factory import result_store
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import Declaration
from resources.store.attempts import AttemptStore
from resources.store.models import Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore


@dataclass(frozen=True)
class Cleaner:
    """Runs cleanups of one source."""

    state: Engine
    source_url: URL
    settings: Settings
    declarations: Mapping[str, Declaration]

    @property
    def results(self) -> ResultStore:
        """Where results lie."""
        return result_store(self.settings)

    @property
    def archives(self) -> ArchiveStore:
        """Where archives lie."""
        return archive_store(self.settings)

    @contextmanager
    def catalog(self) -> Iterator[tuple[Catalog, Engine]]:
        """The datasets, and the source to read."""
        source = connect_source(self.source_url)
        try:
            yield Catalog(source, self.declarations, check_keys=False), source
        finally:
            source.dispose()

    def submit(self, **body: Any) -> Task:
        """A task at work."""
        with self.catalog() as (catalog, _):
            request = parse_request({"task_type": "data_cleanup", **body}, catalog)
        store = TaskStore(self.state)
        task = store.submit(request, owner="ada", request_id="r", idempotency_key=None).task
        self.set_run(task.id, task.run_id)
        return task

    def set_run(self, task_id: int, run_id: str) -> None:
        """Have the task be at work, by the run ``run_id``."""
        with self.state.begin() as connection:
            connection.execute(
                update(tasks)
                .where(tasks.c.id == task_id)
                .values(status=Status.PROCESSING, run_id=run_id, error=None)
            )

    def run(self, task_id: int, run_id: str, **body: Any) -> MaterializeResult[Any]:
        """One attempt at a task."""
        attempt = AttemptStore(self.state, run_id)
        task = attempt.claim()
        assert task.id == task_id
        with self.catalog() as (catalog, source), RunControl(attempt) as control:
            return run_cleanup(
                Assignment(
                    task=task,
                    request=parse_request({"task_type": "data_cleanup", **body}, catalog),
                    catalog=catalog,
                    source=source,
                    settings=self.settings,
                    folder=self.results.attempt(task.id, run_id),
                    attempt=attempt,
                    control=control,
                    warn=lambda _: None,
                )
            )

    def clean(self, **body: Any) -> tuple[Task, dict[str, Any]]:
        """A task, done in one attempt; and the manifest of its result."""
        task = self.submit(**body)
        self.run(task.id, task.run_id, **body)
        query = select(tasks.c.result).where(tasks.c.id == task.id)
        with self.state.connect() as connection:
            result: dict[str, Any] = connection.execute(query).scalar_one()
        return task, self.results.manifest(result["folder"])

    def plan(self, **body: Any) -> dict[str, Any]:
        """What a dry run tells; it stands in the file as well."""
        _, manifest = self.clean(**body)
        (file,) = manifest["files"]
        folder = next(self.settings.home.glob(f"results/*/*/{file['name']}"))
        assert file["name"] == folder.name == "plan.json"
        return dict(manifest["plan"])

    def of(self, source_url: URL) -> "Cleaner":
        """The same, with the source reached by another URL."""
        secret = SecretStr(source_url.render_as_string(hide_password=False))
        settings = self.settings.model_copy(update={"source_url": secret})
        return replace(self, source_url=source_url, settings=settings)

    def files(self, place: str) -> list[Path]:
        """The files of all ``results`` or ``archives``."""
        return sorted(path for path in (self.settings.home / place).rglob("*") if path.is_file())

    def log(self, task_id: int) -> dict[str, Any]:
        """What the last run wrote of the archive of a task."""
        (path,) = (self.settings.home / "archives" / str(task_id)).glob("*/log-*.json")
        return dict(json.loads(path.read_text()))


def cleaner(
    state: Engine, source_url: URL, home: Path, declarations: Mapping[str, Declaration]
) -> Cleaner:
    """Runs cleanups of the source at ``source_url``, with everything else below ``home``."""
    settings = Settings(
        home=home, source_url=SecretStr(source_url.render_as_string(hide_password=False))
    )
    home.mkdir(exist_ok=True)
    made = Cleaner(state, source_url, settings, declarations)
    made.results.prepare()
    made.archives.prepare()
    return made


def planned(cleaning: Cleaner, body: Mapping[str, Any]) -> dict[str, Any]:
    """The request that deletes what a dry run of ``body`` has planned."""
    plan_hash = cleaning.plan(**body)["plan_hash"]
    return {**body, "options": {**body["options"], "dry_run": False, "plan_hash": plan_hash}}
