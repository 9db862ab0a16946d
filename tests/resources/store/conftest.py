"""Tasks as tests of the store set them up and look at them, past the store."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, select, update

from resources.requests import TaskRequest
from resources.store.models import Task
from resources.store.tables import tasks
from resources.store.tasks import TaskStore, new_task_values


@dataclass(frozen=True)
class Rows:
    """The rows of ``tasks``."""

    engine: Engine

    def submit(self, owner: str = "alice", key: str | None = None, **fields: Any) -> Task:
        """A task as a client makes it."""
        request = TaskRequest(task_type="bookings_export", **fields)
        store = TaskStore(self.engine)
        return store.submit(request, owner=owner, request_id="r", idempotency_key=key).task

    def add(self, owner: str = "alice", **columns: Any) -> int:
        """A row with these columns; returns its id."""
        values = new_task_values(
            owner=owner, task_type="bookings_export", request_id="r", run_id=str(uuid.uuid4())
        )
        rest = {"batch_size": 1, "filters": {}, "options": {}, "fingerprint": ""}
        with self.engine.begin() as connection:
            adding = insert(tasks).values(values | rest | columns).returning(tasks.c.id)
            return int(connection.execute(adding).scalar_one())

    def set(self, task: Task, **columns: Any) -> None:
        """Write columns of one row."""
        with self.engine.begin() as connection:
            connection.execute(update(tasks).where(tasks.c.id == task.id).values(columns))

    def read(self, task: Task) -> dict[str, Any]:
        """One row."""
        (row,) = [row for row in self.all() if row["id"] == task.id]
        return row

    def all(self) -> list[dict[str, Any]]:
        """Every row, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(tasks).order_by(tasks.c.id))
            return [dict(row._mapping) for row in rows]


@pytest.fixture
def rows(engine: Engine) -> Rows:
    """The rows of an empty task store, on SQLite and on PostgreSQL."""
    return Rows(engine)


@pytest.fixture(params=["sqlite", "postgresql"])
def dead_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A task store that does not answer."""
    urls = {
        "sqlite": "sqlite:////nowhere/state/runs.db",
        "postgresql": "postgresql+psycopg2://postgres@127.0.0.1:1/runs",
    }
    engine = create_engine(urls[request.param])
    yield engine
    engine.dispose()
