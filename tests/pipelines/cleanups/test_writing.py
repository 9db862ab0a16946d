"""A deletion's statements have their time each, and do not read more than they must."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import URL

from pipelines.cleanups.writing import STATEMENT_SECONDS
from resources.archives.rows import Row, Rows
from resources.errors import SourceRefused, SourceUnavailable
from resources.source.connection import connect_to_write, transaction
from resources.source.dialects import sqlite
from tests.support.cleanups import Cleaner, planned
from tests.support.shops import Shop

# So many steps that the clock is looked at some times.
LONG = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    "SELECT max(i) FROM n"
)


def test_each_statement_has_its_own_time_in_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.sqlite"
    path.touch()
    url = URL.create("sqlite", database=str(path))
    engine = connect_to_write(url, statement_timeout_seconds=STATEMENT_SECONDS)
    now = [0.0]
    monkeypatch.setattr(sqlite, "time", SimpleNamespace(monotonic=lambda: now[0]))

    with transaction(engine) as connection:
        for _ in range(3):
            now[0] += 0.9 * STATEMENT_SECONDS
            assert connection.exec_driver_sql(LONG.format(100_000)).scalar() == 100_000

    # Each look at the clock takes a second.
    ticking = count()
    monkeypatch.setattr(sqlite, "time", SimpleNamespace(monotonic=lambda: float(next(ticking))))
    with pytest.raises(SourceUnavailable) as ended, transaction(engine) as connection:
        connection.exec_driver_sql(LONG.format(10**9))
    assert not isinstance(ended.value, SourceRefused)
    engine.dispose()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_refers_is_not_looked_for_with_every_statement(
    shop: Shop, cleaning: Cleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 2099) "
        "INSERT INTO bookings (id) SELECT i FROM n"
    )
    looked, referred_by = list[int](), Rows.referred_by

    def and_note(rows: Rows, reference: object, keys: Sequence[Row]) -> bool:
        looked.append(len(keys))
        return referred_by(rows, reference, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(Rows, "referred_by", and_note)
    body = {
        "batch_size": 100_000,
        "filters": {"id": {"gte": 100}},
        "options": {"dataset": "bookings"},
    }

    cleaning.clean(**planned(cleaning, body))

    assert looked == [2_000]
    assert len(shop.rows("bookings")) == 60
