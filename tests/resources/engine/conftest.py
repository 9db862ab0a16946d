"""A Dagster instance on this service's storage, in the test's own process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from sqlalchemy import Engine

from pipelines.definitions import defs
from resources.engine.home import prepare_home
from resources.engine.names import run_config
from resources.engine.storage import state_engine
from resources.settings import load_settings
from tests.conftest import temporary_database


@pytest.fixture
def instance(
    backend: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DagsterInstance]:
    """Dagster as it runs in the service, on SQLite and on PostgreSQL."""
    monkeypatch.setenv("WORKERS_HOME", str(tmp_path / "home"))
    if backend == "sqlite":
        yield from _open()
        return
    with temporary_database(request.getfixturevalue("postgres_server")) as url:
        text = url.render_as_string(hide_password=False)
        monkeypatch.setenv("WORKERS_DATABASE_URL", text)
        yield from _open()


def _open() -> Iterator[DagsterInstance]:
    load_settings.cache_clear()
    state_engine.cache_clear()
    settings = load_settings()
    prepare_home(settings)
    with DagsterInstance.from_config(str(settings.home)) as instance:
        yield instance
    state_engine().dispose()
    load_settings.cache_clear()
    state_engine.cache_clear()


@pytest.fixture
def engine(instance: DagsterInstance) -> Engine:
    """The task store that the instance writes."""
    return state_engine()


RunMaker = Callable[..., DagsterRun]


@pytest.fixture
def new_run(instance: DagsterInstance) -> RunMaker:
    """Makes runs of ``bookings_export`` as Dagster does."""

    def make(
        run_id: str | None = None,
        *,
        parent: DagsterRun | None = None,
        status: DagsterRunStatus = DagsterRunStatus.NOT_STARTED,
        tags: dict[str, str] | None = None,
        **parameters: Any,
    ) -> DagsterRun:
        job = defs.resolve_job_def("bookings_export")
        root = (parent.root_run_id or parent.run_id) if parent else None
        lineage = {"dagster/root_run_id": root} if root else {}
        return instance.create_run_for_job(
            job,
            run_id=run_id,
            run_config=run_config("bookings_export", parameters),
            status=status,
            tags={**(parent.tags if parent else {}), **lineage, **(tags or {})},
            parent_run_id=parent.run_id if parent else None,
            root_run_id=root,
        )

    return make
