"""The application: its routes, and what they are made of."""

from dataclasses import dataclass
from typing import Any

from falcon.asgi import App, Request, Response
from sqlalchemy import Engine

from api.errors import add_error_handlers
from api.health import Liveness, Readiness
from api.middleware import Authentication, ContentNegotiation, PlainPaths, RequestIds
from api.principals import Principals
from api.representation import Representation
from api.results import TaskResult, TaskResultFile
from api.tasks import Task, Tasks
from api.threads import StoreThreads
from resources.results import ResultStore
from resources.settings import Settings
from resources.source.catalog import Catalog
from resources.store.parts import PartStore
from resources.store.tasks import TaskStore
from resources.store.tokens import TokenStore

WorkersApp = App[Request, Response]


@dataclass(frozen=True)
class Backends:
    """What the application stands on."""

    engine: Engine
    catalog: Catalog
    results: ResultStore


def create_app(settings: Settings, backends: Backends) -> WorkersApp:
    """The Falcon application. It opens nothing until a request needs it."""
    threads = StoreThreads()
    app: WorkersApp = App(middleware=_middleware(backends, threads))
    app.req_options.strip_url_path_trailing_slash = True
    add_error_handlers(app)
    _add_routes(app, settings, backends, threads)
    return app


def _middleware(backends: Backends, threads: StoreThreads) -> list[Any]:
    return [
        RequestIds(),
        Authentication(Principals(TokenStore(backends.engine)), threads),
        PlainPaths(),
        ContentNegotiation(),
    ]


def _add_routes(
    app: WorkersApp, settings: Settings, backends: Backends, threads: StoreThreads
) -> None:
    store = TaskStore(backends.engine)
    representation = Representation(settings)
    task = Task(store, threads, representation)
    result = TaskResult(store, threads, backends.results, representation)
    app.add_route("/api/v1/workers", Tasks(store, threads, backends.catalog, representation))
    app.add_route("/api/v1/workers/{task_id}", task)
    app.add_route("/api/v1/workers/{task_id}/status", task, suffix="status")
    app.add_route("/api/v1/workers/{task_id}/result", result)
    app.add_route(
        "/api/v1/workers/{task_id}/result/{name}", TaskResultFile(result, backends.results)
    )
    app.add_route("/health/live", Liveness())
    app.add_route("/health/ready", Readiness(PartStore(backends.engine), threads))
