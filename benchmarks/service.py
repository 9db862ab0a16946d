"""The service as a stack to measure: ``workers up`` on PostgreSQL, asked over HTTP."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil
from sqlalchemy import URL, select

from benchmarks.starts import NotDone, Submitted
from benchmarks.tables import TABLE
from resources.store.database import connect
from resources.store.tables import tasks
from resources.store.tokens import TokenStore
from tests.support.service import STOP_SECONDS, Service
from tests.support.waiting import eventually

ROWS = 100
DATASETS = f"""
[bookings]
table = "{TABLE}"
key = "id"
date_column = "created_at"
"""
REQUEST = {"task_type": "bookings_export", "filters": {"id": {"lte": ROWS}}}
REQUEST_SECONDS = 30.0


class ServiceClient:
    """A client of the REST API."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=REQUEST_SECONDS
        )

    def submit(self) -> Submitted:
        """POST the task."""
        answer = self._http.post("/", json=REQUEST)
        if answer.status_code != HTTPStatus.CREATED:
            raise NotDone(answer.text)
        task = answer.json()
        return Submitted(str(task["id"]), task["run_id"])

    def is_done(self, submitted: Submitted) -> bool:
        """Whether it is completed; then the manifest is fetched as well."""
        status = self._http.get(f"/{submitted.task}/status/").json()
        if status["status"] in {"failed", "cancelled"} or status["attempt"] > 1:
            msg = f"task {submitted.task} is {status['status']}: {status['error']}"
            raise NotDone(msg)
        return status["status"] == "completed" and self._has_result(submitted)

    def _has_result(self, submitted: Submitted) -> bool:
        manifest = self._http.get(f"/{submitted.task}/result/").json()
        if manifest["rows"] != ROWS:
            msg = f"task {submitted.task} has {manifest['rows']} rows"
            raise NotDone(msg)
        return True

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class ServiceStack:
    """The running service."""

    poll_seconds = 0.015
    burst_poll_seconds = 0.1
    longest_pause_seconds = 1.0

    def __init__(self, service: Service, state: URL) -> None:
        self._service = service
        self.state = state

    def client(self, number: int) -> ServiceClient:
        """A client with a new token."""
        engine = connect(self.state)
        try:
            token = TokenStore(engine).create(f"owner-{number}")
        finally:
            engine.dispose()
        return ServiceClient(self._service.api_url, token)

    def began(self, run_id: str) -> float:
        """When the job claimed its task, the first that it does: its first sign of life.

        The next sign is 5 s later, and a task of 100 rows does not live so long.
        """
        engine = connect(self.state)
        try:
            with engine.connect() as connection:
                query = select(tasks.c.heartbeat_at).where(tasks.c.run_id == run_id)
                return float(connection.execute(query).scalar_one().timestamp())
        finally:
            engine.dispose()

    def processes(self) -> list[psutil.Process]:
        """Every process that works for the service, whoever its parent is."""
        found = []
        for pid in self._service.left():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found


@contextmanager
def running_service(folder: Path, state: URL, source: URL, slots: int) -> Iterator[ServiceStack]:
    """The service, while inside; no process of it is left afterwards."""
    datasets = folder / "datasets.toml"
    datasets.write_text(DATASETS)
    service = Service(
        folder / "home",
        {
            "WORKERS_DATABASE_URL": state.render_as_string(hide_password=False),
            "WORKERS_SOURCE_URL": source.render_as_string(hide_password=False),
            "WORKERS_DATASETS": str(datasets),
            "WORKERS_SLOTS": str(slots),
        },
    )
    try:
        service.start()
        yield ServiceStack(service, state)
        with suppress(subprocess.TimeoutExpired):
            service.stop()
    finally:
        service.kill()
        eventually(lambda: service.left() == [], within=STOP_SECONDS)
