"""Exports by declaration alone, with the code that runs use, into a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from sqlalchemy import URL, Engine, update

from pipelines.exports import Export
from pipelines.run_control import RunControl
from resources.requests import parse_request, select_rows
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import load_declarations
from resources.source.masking import Masking
from resources.store.attempts import AttemptStore
from resources.store.models import Status
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.results import local_results

MASK_KEY = b"a key of the zoo"


@dataclass(frozen=True)
class Exporter:
    """Exports datasets of one source, as its runs would."""

    state: Engine
    folder: Path
    source: URL
    datasets: str

    def catalog(self) -> Catalog:
        """The datasets, as the API knows them; its engine opens a connection for each use."""
        path = self.folder / "datasets.toml"
        path.write_text(dedent(self.datasets), encoding="utf-8")
        return Catalog(connect_source(self.source), load_declarations(path))

    def findings(self) -> list[str]:
        """What does not fit."""
        return self.catalog().findings()

    def export(self, dataset: str, options: Mapping[str, Any], **asked: Any) -> Path:
        """The one file of an export of ``dataset``."""
        export = self.prepare(dataset, options, **asked)
        exported = export.run()
        (file,) = exported.manifest["files"]
        assert file["rows"] == exported.manifest["rows"]
        return self.folder / "results" / export.folder.name / str(file["name"])

    def prepare(self, dataset: str, options: Mapping[str, Any], **asked: Any) -> Export:
        """An export of ``dataset``, ready to run, of a task that is being processed."""
        catalog = self.catalog()
        body = {"task_type": f"{dataset}_export", "options": dict(options), **asked}
        request = parse_request(body, catalog)
        store = TaskStore(self.state)
        task = store.submit(request, owner="zoo", request_id="r", idempotency_key=None).task
        with self.state.begin() as connection:
            connection.execute(
                update(tasks).where(tasks.c.id == task.id).values(status=Status.PROCESSING)
            )
        attempt = AttemptStore(self.state, task.run_id)
        results = local_results(self.folder / "results")
        return Export(
            request=request,
            selection=select_rows(request, catalog),
            source=connect_source(self.source),
            masking=Masking(MASK_KEY),
            folder=results.attempt(task.id, task.run_id),
            attempt=attempt,
            control=RunControl(attempt),
        )
