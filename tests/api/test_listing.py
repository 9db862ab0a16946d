"""The list of tasks: order, filters, pages."""

import itertools
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import URL

from resources.settings import Settings
from resources.store.database import connect
from resources.store.migrate import migrate
from resources.store.tasks import TaskStore
from tests.api.conftest import Serve
from tests.api.support import TASKS, Api, File, assert_problem, bad_fields
from tests.conftest import temporary_database
from tests.support.outages import disposed

STATUSES = ["pending", "processing", "completed", "failed", "cancelled"]


def ids(page: dict[str, Any]) -> list[int]:
    return [task["id"] for task in page["results"]]


@pytest.fixture
def alice(api: Api) -> httpx.Client:
    return api.user("alice")


@pytest.fixture
def one_of_each(api: Api, alice: httpx.Client) -> dict[str, int]:
    """The id of a task of each status."""
    tasks = {status: api.submit(alice) for status in STATUSES}
    for status, task in tasks.items():
        api.bring_to(alice, task, status)
    return {status: task["id"] for status, task in tasks.items()}


def test_page_one_of_nothing_is_empty(alice: httpx.Client) -> None:
    assert alice.get(TASKS).json() == {
        "count": 0,
        "page": 1,
        "page_size": 20,
        "next": None,
        "previous": None,
        "results": [],
    }


def test_newest_task_comes_first_and_twenty_make_a_page(api: Api, alice: httpx.Client) -> None:
    submitted = [api.submit(alice)["id"] for _ in range(21)]
    listed = alice.get(TASKS).json()
    assert ids(listed) == submitted[:0:-1]
    assert (listed["count"], listed["page"], listed["page_size"]) == (21, 1, 20)


def test_count_that_is_estimated_says_so(
    serve: Serve, postgres_server: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.app.TaskStore", partial(TaskStore, most_counted=2))
    with temporary_database(postgres_server) as url, disposed(connect(url)) as engine:
        # Given
        migrate(engine)
        api = serve(engine=engine)
        alice, root = api.user(), api.admin()
        for _ in range(2):
            api.submit(alice)
        assert "count_estimated" not in root.get(TASKS, params={"page_size": 1}).json()
        # When
        api.submit(alice)
        # Expect
        page = root.get(TASKS, params={"page_size": 1}).json()
        assert page["count"] >= 3
        assert page["count_estimated"] is True
        last = root.get(root.get(page["next"]).json()["next"]).json()
        assert (last["count"], last["next"], "count_estimated" in last) == (3, None, False)
        assert "count_estimated" not in alice.get(TASKS, params={"page_size": 1}).json()


def test_list_holds_whole_tasks(alice: httpx.Client, one_of_each: dict[str, int]) -> None:
    listed = alice.get(TASKS).json()["results"]
    assert listed == [alice.get(f"{TASKS}{task['id']}/").json() for task in listed]
    assert [task["status"] for task in listed] == STATUSES[::-1]


@pytest.mark.parametrize("status", STATUSES)
def test_status_filters(alice: httpx.Client, one_of_each: dict[str, int], status: str) -> None:
    listed = alice.get(TASKS, params={"status": status}).json()
    assert (ids(listed), listed["count"]) == ([one_of_each[status]], 1)


@pytest.mark.parametrize("wanted", list(itertools.combinations(STATUSES, 2)))
def test_repeated_status_means_any_of(
    alice: httpx.Client, one_of_each: dict[str, int], wanted: tuple[str, str]
) -> None:
    listed = alice.get(TASKS, params={"status": wanted}).json()
    assert set(ids(listed)) == {one_of_each[status] for status in wanted}
    assert listed["count"] == 2


def test_task_type_filters(api: Api, alice: httpx.Client) -> None:
    task, other = api.submit(alice), api.submit(alice)
    api.set(other, task_type="run_in_the_past")
    listed = alice.get(TASKS, params={"task_type": ["bookings_export"] * 2}).json()
    assert (ids(listed), listed["count"]) == ([task["id"]], 1)


def test_filters_all_have_to_fit(alice: httpx.Client, one_of_each: dict[str, int]) -> None:
    wanted: dict[str, Any] = {
        "status": ["failed"],
        "task_type": "bookings_export",
        "page": 1,
        "page_size": 100,
    }
    assert ids(alice.get(TASKS, params=wanted).json()) == [one_of_each["failed"]]


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 6, 100])
def test_pages_lead_through_all_tasks_and_back(
    api: Api, alice: httpx.Client, page_size: int
) -> None:
    # Given
    submitted = [api.submit(alice)["id"] for _ in range(5)]
    # When
    page = alice.get(TASKS, params={"page_size": page_size}).json()
    pages = [page]
    while page["next"]:
        page = alice.get(page["next"]).json()
        pages.append(page)
    # Expect
    assert [each for page in pages for each in ids(page)] == submitted[::-1]
    assert [page["page"] for page in pages] == list(range(1, len(pages) + 1))
    assert {(page["count"], page["page_size"]) for page in pages} == {(5, page_size)}
    while page["previous"]:
        page = alice.get(page["previous"]).json()
        assert page == pages[page["page"] - 1]
    assert page == pages[0]


def test_neighbours_keep_the_filters(api: Api, alice: httpx.Client) -> None:
    for _ in range(3):
        api.submit(alice)
    wanted = {"status": ["pending", "failed"], "task_type": ["bookings_export"], "page_size": ["1"]}
    page = alice.get(TASKS, params={**wanted, "page": "2"}).json()
    for neighbour, number in (("next", "3"), ("previous", "1")):
        url = urlsplit(page[neighbour])
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{api.url}{TASKS}"
        assert parse_qs(url.query) == {**wanted, "page": [number]}


def test_neighbours_keep_the_owner_that_an_admin_asked_for(api: Api) -> None:
    owner = "a&b = ü/%?"
    client = api.user(owner)
    submitted = [api.submit(client)["id"] for _ in range(2)]
    api.submit(api.user("bob"))
    root = api.admin()
    page = root.get(TASKS, params={"owner": owner, "page_size": 1}).json()
    assert ids(root.get(page["next"]).json()) == submitted[:1]


@pytest.mark.parametrize("page", [2, 3, 1000, 2**63 // 100])
def test_page_past_the_end_is_out_of_range(api: Api, alice: httpx.Client, page: int) -> None:
    api.submit(alice)
    for page_size in (1, 100):
        answer = alice.get(TASKS, params={"page": page, "page_size": page_size})
        assert_problem(answer, 404, "page_out_of_range")


def test_page_two_of_nothing_is_out_of_range(alice: httpx.Client) -> None:
    answer = alice.get(TASKS, params={"status": "failed", "page": 2})
    assert_problem(answer, 404, "page_out_of_range")


NO_NUMBERS = ["", "0", "-1", "+1", "abc", "1.5", "1.0", "1e1", "0x1", " 1", "1 ", "1,2", "null"]
NO_NUMBERS += ["%00", "\uff11", "²", "1_0", "9" * 19, "9" * 20, "9" * 5000, "' OR 1=1", "\n1"]
NO_NUMBERS += ["true", "1e9", "1e400", "NaN", "Infinity", "[1]", "{}", "\ud7ff", "1;2", "%31"]


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("name", ["page", "page_size"])
def test_unusable_number_is_refused(sqlite_api: Api, name: str, value: str) -> None:
    answer = sqlite_api.user().get(TASKS, params={name: value})
    assert bad_fields(answer) == {f"/{name}": "invalid_value"}


@pytest.mark.parametrize("page_size", [101, 1000])
def test_page_has_at_most_a_hundred_tasks(sqlite_api: Api, page_size: int) -> None:
    answer = sqlite_api.user().get(TASKS, params={"page_size": page_size})
    assert bad_fields(answer) == {"/page_size": "invalid_value"}


@pytest.mark.parametrize("name", ["page", "page_size", "owner"])
def test_parameter_may_stand_once(sqlite_api: Api, name: str) -> None:
    answer = sqlite_api.admin().get(TASKS, params={name: ["1", "1"]})
    assert bad_fields(answer) == {f"/{name}": "repeated_parameter"}


@pytest.mark.parametrize(
    "value", ["", "PENDING", "pending,failed", "done", "pending ", "'", "\0", "%", "ü"]
)
@pytest.mark.parametrize("name", ["status", "task_type"])
def test_unknown_status_or_type_is_refused(sqlite_api: Api, name: str, value: str) -> None:
    answer = sqlite_api.user().get(TASKS, params={name: value})
    assert bad_fields(answer) == {f"/{name}": "invalid_value"}


@pytest.mark.parametrize("value", ["", "\0", "a\nb", "x" * 256])
def test_owner_that_cannot_be_is_refused(sqlite_api: Api, value: str) -> None:
    answer = sqlite_api.admin().get(TASKS, params={"owner": value})
    assert bad_fields(answer) == {"/owner": "invalid_value"}


@pytest.mark.parametrize(
    "name", ["colour", "Status", "status[]", "limit", "order_by", "", "a/b~c", "\0", "'; --", "ü"]
)
def test_unknown_parameter_is_refused(sqlite_api: Api, name: str) -> None:
    answer = sqlite_api.user().get(TASKS, params={name: "1"})
    assert bad_fields(answer) == {f"/{name}": "unknown_parameter"}


def test_every_bad_parameter_is_named_at_once(sqlite_api: Api) -> None:
    query = {"page": "0", "page_size": "x", "status": "done", "task_type": "x", "colour": "red"}
    assert set(bad_fields(sqlite_api.user().get(TASKS, params=query))) == {
        f"/{name}" for name in query
    }


def test_urls_name_the_host_that_the_client_reached(sqlite_api: Api) -> None:
    # Given
    token = sqlite_api.tokens.create("alice")
    client = sqlite_api.client(token)
    task, _ = sqlite_api.submit(client), sqlite_api.submit(client)
    sqlite_api.complete(task, File("part-00001.csv", b"id\n"))
    # When
    answer = client.get(TASKS, params={"page_size": 1, "page": 2}, headers={"Host": "tasks:99"})
    # Expect
    page = answer.json()
    assert page["previous"] == f"http://tasks:99{TASKS}?page_size=1&page=1"
    assert page["results"][0]["result"]["url"] == f"http://tasks:99{TASKS}{task['id']}/result/"


def test_urls_are_absolute_without_a_host(sqlite_api: Api) -> None:
    token = sqlite_api.tokens.create("alice")
    for _ in range(2):
        sqlite_api.submit(sqlite_api.client(token))
    request = f"GET {TASKS}?page_size=1 HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
    page = sqlite_api.send(request.encode()).json()
    assert page["next"] == f"{sqlite_api.url}{TASKS}?page_size=1&page=2"


def test_urls_start_with_the_public_url_where_one_is_set(serve: Serve, settings: Settings) -> None:
    # Given
    public = "https://tasks.example.com/behind/a/proxy"
    api = serve(settings=settings.model_copy(update={"public_url": public}))
    client = api.user()
    # When
    created = client.post(TASKS, json={"task_type": "bookings_export"})
    task = created.json()
    api.submit(client)
    api.complete(task, File("part-00001.csv", b"id\n"))
    page = client.get(TASKS, params={"page_size": 1}).json()
    # Expect
    url = f"{public}{TASKS}{task['id']}/"
    assert created.headers["location"] == url
    assert page["next"] == f"{public}{TASKS}?page_size=1&page=2"
    assert client.get(f"{TASKS}{task['id']}/").json()["result"]["url"] == f"{url}result/"
    (file,) = client.get(f"{TASKS}{task['id']}/result/").json()["files"]
    assert file["url"] == f"{url}result/part-00001.csv"
