"""A Dagster instance on this service's storage, in the test's own process."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.storage.tags import TAGS_TO_MAYBE_OMIT_ON_RETRY
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from sqlalchemy import URL, Engine

from pipelines.definitions import defs
from resources.engine.home import prepare_home
from resources.engine.names import run_config
from resources.engine.storage import state_engine
from resources.requests import TaskRequest
from resources.settings import CODE_LOCATION, Settings, load_settings
from resources.store.models import Task
from resources.store.tasks import TaskStore
from tests.conftest import temporary_database
from tests.support.schedules import SCHEDULES, code_target
from tests.support.waiting import eventually


@contextmanager
def settings_from_environment() -> Iterator[Settings]:
    """This process's settings and connections, made anew and forgotten afterwards."""
    load_settings.cache_clear()
    state_engine.cache_clear()
    try:
        yield load_settings()
    finally:
        state_engine().dispose()
        load_settings.cache_clear()
        state_engine.cache_clear()


@pytest.fixture(scope="session")
def prepared(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, URL | None]]:
    """A home and a database with all tables, to be copied: making them takes a second."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    with ExitStack() as stack:
        url = None
        if backend == "postgresql":
            server = request.getfixturevalue("postgres_server")
            url = stack.enter_context(temporary_database(server))
        with pytest.MonkeyPatch.context() as patch:  # over before any other test runs
            point_to(patch, home, url)
            with settings_from_environment() as settings:
                prepare_home(settings)
        yield home, url


def point_to(patch: pytest.MonkeyPatch, home: Path, url: URL | None) -> None:
    """Have the environment name this home and this database."""
    patch.setenv("WORKERS_HOME", str(home))
    if url is not None:
        patch.setenv("WORKERS_DATABASE_URL", url.render_as_string(hide_password=False))


@pytest.fixture
def instance(
    prepared: tuple[Path, URL | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DagsterInstance]:
    """Dagster as it runs in the service, on SQLite and on PostgreSQL."""
    template_home, template = prepared
    home = shutil.copytree(template_home, tmp_path / "home")
    with ExitStack() as stack:
        url = None
        if template is not None:
            url = stack.enter_context(temporary_database(template, template=template.database))
        point_to(monkeypatch, home, url)
        stack.enter_context(settings_from_environment())
        yield stack.enter_context(DagsterInstance.from_config(str(home)))


@pytest.fixture(scope="session")
def code_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcServerTarget]:
    """The code location, served as the service serves it."""
    socket = tmp_path_factory.mktemp("code") / "s"
    log = socket.with_suffix(".log")
    schedules = socket.with_suffix(".toml")
    schedules.write_text(SCHEDULES)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket)),
                *("--module-name", "pipelines.definitions", "--location-name", CODE_LOCATION),
            ],
            env={**os.environ, "WORKERS_SCHEDULES": str(schedules)},
            stdout=output,
            stderr=output,
        )
    try:
        eventually(socket.exists, within=60)
        yield code_target(str(socket))
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def workspace_context(
    instance: DagsterInstance, code_server: GrpcServerTarget
) -> Iterator[WorkspaceProcessContext]:
    """The code location as a daemon sees it."""
    with WorkspaceProcessContext(instance, code_server) as context:
        yield context


@pytest.fixture
def engine(instance: DagsterInstance) -> Engine:
    """The task store that the instance writes."""
    return state_engine()


@pytest.fixture
def store(engine: Engine) -> TaskStore:
    return TaskStore(engine)


@pytest.fixture
def task(store: TaskStore) -> Task:
    """A task of alice, waiting to be handed over."""
    request = TaskRequest(task_type="bookings_export")
    return store.submit(request, owner="alice", request_id="r", idempotency_key=None).task


def report(instance: DagsterInstance, run: DagsterRun, *kinds: DagsterEventType) -> None:
    """Tell Dagster that this happened to the run, one after the other."""
    for kind in kinds:
        event = DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
        instance.report_dagster_event(event, run_id=run.run_id)


def stored(instance: DagsterInstance, run: DagsterRun) -> DagsterRun:
    """The run as Dagster has it."""
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


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
        inherited = parent.tags.items() if parent else ()
        kept = {tag: value for tag, value in inherited if tag not in TAGS_TO_MAYBE_OMIT_ON_RETRY}
        return instance.create_run_for_job(
            job,
            run_id=run_id,
            run_config=run_config("bookings_export", parameters),
            status=status,
            tags={**kept, **lineage, **(tags or {})},
            parent_run_id=parent.run_id if parent else None,
            root_run_id=root,
        )

    return make
