"""Results that have expired go, and old tasks are forgotten: by a task, as everything is done."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine, update

from resources.store.models import Role
from resources.store.tables import tasks
from resources.timestamps import now
from tests.service.conftest import Setup, results_of, running_apart
from tests.support.service import Client, Service
from tests.support.ui import Ui

pytestmark = pytest.mark.service

EXPIRED, OLD = timedelta(days=8), timedelta(days=91)
RETENTION: dict[str, Any] = {"task_type": "data_cleanup"}


@pytest.fixture(scope="module")
def service(
    setup: Setup, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose tasks may be made old."""
    home = tmp_path_factory.mktemp("retention") / "home"
    with running_apart(setup, request, home) as service:
        yield service


@pytest.fixture
def state(service: Service) -> Iterator[Engine]:
    """The task database of the service."""
    url = service.environment.get("WORKERS_DATABASE_URL")
    url = url.replace("postgresql:", "postgresql+psycopg2:") if url else None
    engine = create_engine(url or f"sqlite:///{service.home}/state/runs.db")
    yield engine
    engine.dispose()


@pytest.fixture
def admin(service: Service) -> Iterator[Client]:
    client = service.client("admin", Role.ADMIN)
    yield client
    client.close()


def completed_long_ago(client: Client, state: Engine, age: timedelta) -> dict[str, Any]:
    """A completed task, as if it had ended before ``age``."""
    task = client.submit(task_type="services_export")
    done = client.until(task["id"], "completed")
    with state.begin() as connection:
        made_old = update(tasks).where(tasks.c.id == task["id"]).values(finished_at=now() - age)
        connection.execute(made_old)
    return done


def retain(client: Client, *, dry_run: bool) -> dict[str, Any]:
    """What a retention tells of what it removed."""
    options = {"dataset": "results", "dry_run": dry_run}
    done = client.until(client.submit(**RETENTION, options=options)["id"], "completed")
    manifest = client.http.get(done["result"]["url"]).json()
    (content,) = client.files(done)
    told: dict[str, Any] = manifest["retention"]
    assert told == httpx.Response(200, content=content).json()
    assert done["result"]["rows"] == told["results"] + told["runs"] + told["tasks"]
    return told


def test_what_is_past_its_time_goes_and_nothing_else(
    service: Service, admin: Client, state: Engine
) -> None:
    fresh = admin.until(admin.submit(task_type="services_export")["id"], "completed")
    expired = completed_long_ago(admin, state, EXPIRED)
    old = completed_long_ago(admin, state, OLD)
    outdated = {
        "results": 2,
        "bytes": expired["result"]["bytes"] + old["result"]["bytes"],
        "runs": 0,  # by Dagster's clock they have just ended
        "tasks": 1,
    }

    assert retain(admin, dry_run=True) == {"dry_run": True, **outdated}
    assert results_of(service, expired["id"]) != []
    assert retain(admin, dry_run=False) == {"dry_run": False, **outdated}

    assert results_of(service, expired["id"]) == results_of(service, old["id"]) == []
    assert results_of(service, fresh["id"]) != []
    assert admin.task(fresh["id"]) == fresh
    assert admin.http.get(fresh["result"]["url"]).status_code == 200
    gone = admin.http.get(expired["result"]["url"])
    assert (gone.status_code, gone.json()["code"]) == (410, "result_expired")
    assert admin.http.get(f"/{old['id']}/").status_code == 404
    assert retain(admin, dry_run=False) == {
        "dry_run": False,
        "results": 0,
        "bytes": 0,
        "runs": 0,
        "tasks": 0,
    }


def test_a_result_that_was_removed_stays_expired_where_results_are_kept_for_longer_later(
    service: Service, admin: Client, state: Engine
) -> None:
    expired = completed_long_ago(admin, state, EXPIRED)
    retain(admin, dry_run=False)
    with state.begin() as connection:  # as if it had not been due yet
        connection.execute(
            update(tasks).where(tasks.c.id == expired["id"]).values(finished_at=now())
        )

    gone = admin.http.get(expired["result"]["url"])

    assert (gone.status_code, gone.json()["code"]) == (410, "result_expired")


def test_dagsters_runs_are_forgotten_by_their_age(
    service: Service, admin: Client, state: Engine
) -> None:
    done = completed_long_ago(admin, state, OLD)
    ui = Ui(service.graphql_url, admin.http)
    with state.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE runs SET update_timestamp = '2020-01-01 00:00:00' "
            f"WHERE run_id = '{done['run_id']}'"
        )

    told = retain(admin, dry_run=False)

    assert (told["runs"], told["tasks"]) == (1, 1)
    assert ui.status(done["run_id"]) is None
    assert list(service.home.rglob(f"*{done['run_id']}*")) == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"filters": {"status": "paid"}}, "/filters"),
        ({"date_to": "2024-01-01T00:00:00Z"}, "/date_to"),
        ({"options": {"dataset": "results", "cascade": ["x"]}}, "/options/cascade"),
    ],
    ids=repr,
)
def test_retention_takes_no_selection_and_no_plan(
    admin: Client, given: dict[str, Any], pointer: str
) -> None:
    body = {**RETENTION, "options": {"dataset": "results"}, **given}

    answer = admin.http.post("/", json=body)

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
