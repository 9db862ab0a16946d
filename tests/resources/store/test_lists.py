"""Lists of tasks: what is counted, what is estimated, and that indexes carry them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from benchmarks.task_store import fill
from resources.store.database import can_estimate, connect, read_transaction
from resources.store.lists import TaskFilter, list_statement, list_values
from resources.store.migrate import migrate
from resources.store.models import Principal, Role, Status
from resources.store.tasks import TaskStore
from tests.conftest import temporary_database
from tests.resources.store.conftest import Rows

ALICE = Principal("alice", Role.USER)
ROOT = Principal("root", Role.ADMIN)
COUNTED = 3
TYPES = ["payments_export", "users_export"]
FILLED = 20_000

FILTERS = [
    TaskFilter(statuses, task_types)
    for statuses, task_types in itertools.product(
        ([], [Status.FAILED], [Status.FAILED, Status.PENDING], [Status.COMPLETED]),
        ([], TYPES[:1], TYPES),
    )
]


@pytest.fixture
def store(engine: Engine) -> TaskStore:
    """A store that counts to three."""
    return TaskStore(engine, most_counted=COUNTED)


def analyze(engine: Engine) -> None:
    """Have PostgreSQL look at what is in its tables, as it does by itself after a while."""
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))


def test_list_of_all_is_counted_up_to_the_number(store: TaskStore, rows: Rows) -> None:
    for owner in ("alice", "bob", "carol"):
        rows.add(owner)
    page = store.page(ROOT, TaskFilter(), page=1, page_size=1)
    assert (page.count, page.is_count_estimated, page.has_next) == (COUNTED, False, True)


def test_longer_list_of_all_is_estimated_where_counting_is_slow(
    store: TaskStore, rows: Rows, engine: Engine
) -> None:
    for owner in ("alice", "bob", "carol", "dave"):
        rows.add(owner)
    analyze(engine)
    page = store.page(ROOT, TaskFilter(), page=1, page_size=1)
    assert (page.count, page.has_next) == (COUNTED + 1, True)
    assert page.is_count_estimated is can_estimate(engine)


def test_estimate_follows_the_filter(store: TaskStore, rows: Rows, engine: Engine) -> None:
    for number in range(100):
        rows.add(status=Status.FAILED if number % 2 else Status.PENDING, task_type=TYPES[0])
    analyze(engine)
    for wanted in (TaskFilter([Status.FAILED]), TaskFilter([Status.FAILED], TYPES)):
        page = store.page(ROOT, wanted, page=1, page_size=10)
        assert page.count == pytest.approx(50, abs=10)


def test_estimate_is_never_less_than_what_was_seen(store: TaskStore, rows: Rows) -> None:
    """However wrong the planner is: it knows nothing of these tasks yet."""
    for _ in range(10):
        rows.add(task_type=TYPES[0])
    for number in (1, 2, 3):
        page = store.page(ROOT, TaskFilter(task_types=TYPES[:1]), page=number, page_size=3)
        assert page.count > number * 3


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 5, 100])
def test_pages_of_an_estimated_list_lead_to_its_end_and_no_further(
    store: TaskStore, rows: Rows, page_size: int
) -> None:
    ids = [rows.add(owner) for owner in ("alice", "bob", "carol", "dave", "eve")]
    seen: list[int] = []
    for number in itertools.count(1):
        page = store.page(ROOT, TaskFilter(), page=number, page_size=page_size)
        seen += [task.id for task in page.tasks]
        if not page.has_next:
            break
    assert seen == ids[::-1]
    assert (page.count, page.is_count_estimated) == (5, False)


def test_one_owners_tasks_are_counted_however_many(store: TaskStore, rows: Rows) -> None:
    for _ in range(COUNTED + 2):
        rows.add("alice")
        rows.add("bob")
    for principal, wanted in ((ALICE, TaskFilter()), (ROOT, TaskFilter(owner="alice"))):
        page = store.page(principal, wanted, page=1, page_size=1)
        assert (page.count, page.is_count_estimated) == (COUNTED + 2, False)


def test_user_who_asks_for_anothers_tasks_sees_none(store: TaskStore, rows: Rows) -> None:
    rows.add("alice")
    rows.add("bob")
    page = store.page(ALICE, TaskFilter(owner="bob"), page=1, page_size=1)
    assert (page.tasks, page.count) == ([], 0)


def explained(engine: Engine, how: str, owner: str, wanted: TaskFilter, page: int) -> Sequence[Any]:
    """How the database goes about a page of a user's list."""
    values = list_values(Principal(owner, Role.USER), wanted)
    bounds = {"before": (page - 1) * 20, "one_more": 21}
    statement = list_statement(frozenset(values), is_counted=True)
    compiled = statement.compile(dialect=engine.dialect)
    sql = compiled.construct_expanded_state({**values, **bounds})
    bound: Any = tuple(sql.positional_parameters) if sql.positiontup else sql.parameters
    with read_transaction(engine) as connection:
        return connection.exec_driver_sql(f"{how} {sql.statement}", bound).all()


@pytest.mark.parametrize("page", [1, 50])
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_sqlite_reads_lists_by_owner_from_indexes(
    sqlite_engine: Engine, wanted: TaskFilter, page: int
) -> None:
    plan = explained(sqlite_engine, "EXPLAIN QUERY PLAN", "alice", wanted, page)
    steps = [row[3] for row in plan]
    reads = [step for step in steps if " tasks" in step]
    shown = "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"
    searches = [step for step in reads if step != shown]
    assert reads.count(shown) == 1
    assert len(searches) == 2
    for step in searches:
        assert step.startswith("SEARCH tasks USING COVERING INDEX")
        assert "(owner=?" in step


@pytest.fixture(scope="module")
def filled(postgres_server: URL) -> Iterator[Engine]:
    """A store on PostgreSQL with tasks of many owners."""
    with temporary_database(postgres_server) as url:
        engine = connect(url)
        migrate(engine)
        fill(engine, FILLED)
        yield engine
        engine.dispose()


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node.get("Relation Name") == "tasks":
        yield node
    for child in node.get("Plans", []):
        yield from scans(child)


@pytest.mark.parametrize("page", [1, 50])
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("owner", ["owner-1", "owner-5"])
def test_postgresql_reads_lists_by_owner_from_indexes(
    filled: Engine, owner: str, wanted: TaskFilter, page: int
) -> None:
    ((plans,),) = explained(filled, "EXPLAIN (FORMAT JSON)", owner, wanted, page)
    found = list(scans(plans[0]["Plan"]))
    searches = [node for node in found if node["Node Type"] == "Index Only Scan"]
    (shown,) = [node for node in found if node not in searches]
    assert (shown["Node Type"], shown["Index Name"]) == ("Index Scan", "pk_tasks")
    assert len(searches) == 2
    for node in searches:
        assert "owner = " in node["Index Cond"]
