"""Health, for whoever watches the service."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, update

from resources.store.database import connect
from resources.store.parts import DISPATCHER, PartStore
from resources.store.tables import parts
from resources.timestamps import now
from tests.api.conftest import Serve
from tests.api.support import Api


@pytest.mark.parametrize("slash", ["", "/"])
def test_live_process_says_so_to_anybody(sqlite_api: Api, slash: str) -> None:
    answer = sqlite_api.client().get(f"/health/live{slash}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("slash", ["", "/"])
def test_service_is_ready_while_the_dispatcher_is_alive(api: Api, slash: str) -> None:
    PartStore(api.engine).seen(DISPATCHER)
    answer = api.client().get(f"/health/ready{slash}")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "down": []})


def test_service_without_a_dispatcher_is_not_ready(api: Api) -> None:
    answer = api.client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "down": ["dispatcher"]}


@pytest.mark.parametrize(("short_of", "status"), [(timedelta(seconds=5), 200), (timedelta(), 503)])
def test_dispatcher_is_down_when_it_is_silent_for_too_long(
    api: Api, short_of: timedelta, status: int
) -> None:
    PartStore(api.engine).seen(DISPATCHER)
    with api.engine.begin() as connection:
        seen_at = now() - timedelta(seconds=30) + short_of
        connection.execute(update(parts).values(seen_at=seen_at))
    assert api.client().get("/health/ready").status_code == status


def test_service_without_its_database_is_live_and_not_ready(serve: Serve, tmp_path: Path) -> None:
    engine = connect(URL.create("sqlite", database=str(tmp_path / "missing" / "runs.db")))
    client = serve(engine=engine).client()
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "down": ["database"]}
    engine.dispose()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_told_in_json(sqlite_api: Api, path: str) -> None:
    assert sqlite_api.client().get(path).headers["content-type"] == "application/json"
