"""Analyses by declaration alone, with the code that runs use, of tasks that are being processed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

from sqlalchemy import URL, Engine, update

from pipelines.assignments import Assignment
from pipelines.data_analysis import run_analysis
from pipelines.insights.figures import Window
from pipelines.insights.workspace import Workspace, workspace
from pipelines.run_control import RunControl
from resources.requests import parse_request
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.source.connection import connect_source
from resources.source.declarations import DATASETS, load_declarations
from resources.store.attempts import AttemptStore
from resources.store.models import Status, Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore
from tests.support.results import local_results

ALL = Window(None, None, "UTC")


def utc(*date: int) -> datetime:
    """An instant of UTC."""
    return datetime(*date, tzinfo=UTC)  # type: ignore[arg-type,misc]


@dataclass(frozen=True)
class Analyst:
    """Makes assignments of one source, as its runs would get them."""

    state: Engine
    folder: Path
    source: URL
    datasets: str
    warnings: list[str] = field(default_factory=list)

    def assignment(self, task_type: str = "data_analysis", **asked: Any) -> Assignment:
        """A task, begun."""
        path = self.folder / "datasets.toml"
        path.write_text(dedent(self.datasets), encoding="utf-8")
        source = connect_source(self.source)
        catalog = Catalog(source, load_declarations(path))
        request = parse_request({"task_type": task_type, **asked}, catalog)
        store = TaskStore(self.state)
        task = store.submit(request, owner="ann", request_id="r", idempotency_key=None).task
        with self.state.begin() as connection:
            connection.execute(
                update(tasks).where(tasks.c.id == task.id).values(status=Status.PROCESSING)
            )
        attempt = AttemptStore(self.state, task.run_id)
        return Assignment(
            task=task,
            request=request,
            catalog=catalog,
            source=source,
            settings=Settings(home=self.home),
            folder=local_results(self.home / "results").attempt(task.id, task.run_id),
            attempt=attempt,
            control=RunControl(attempt),
            warn=self.warnings.append,
        )

    @property
    def home(self) -> Path:
        """Where the service would keep what it writes."""
        return self.folder / "home"

    @contextmanager
    def workspace(self, window: Window = ALL, names: Sequence[str] = ()) -> Iterator[Workspace]:
        """The datasets, loaded."""
        assignment = self.assignment()
        declared = names or assignment.catalog.declared(DATASETS)
        datasets = [assignment.catalog.dataset(name) for name in declared]
        with workspace(assignment, datasets, window) as loaded:
            yield loaded

    def files(self) -> list[Path]:
        """All files in the home but locks."""
        found = self.home.rglob("*") if self.home.exists() else ()
        return [path for path in found if path.is_file() and path.name != "lock"]

    def analyse(self, **asked: Any) -> "Analysed":
        """An analysis, published."""
        assignment = self.assignment(**asked)
        with assignment.control:
            made = run_analysis(assignment)
        folder = self.home / "results" / assignment.folder.name
        document = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
        metadata = {
            name: getattr(each, "value", each) for name, each in (made.metadata or {}).items()
        }
        return Analysed(assignment.task, folder, document, metadata)


@dataclass(frozen=True)
class Analysed:
    """What an analysis made: its task, its folder, ``analysis.json``, and what Dagster is told."""

    task: Task
    folder: Path
    document: dict[str, Any]
    metadata: dict[str, Any]

    def columns(self, dataset: str) -> dict[str, dict[str, Any]]:
        """The columns of a dataset, by their names."""
        return {each["name"]: each for each in self.document["datasets"][dataset]["columns"]}

    @property
    def left_out(self) -> dict[str, str]:
        """What is missing, by the figure."""
        return {each["figure"]: each["missing"] for each in self.document["left_out"]}
