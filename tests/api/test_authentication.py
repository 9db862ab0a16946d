"""Who is let in: bearer tokens, and nothing without one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from resources.store.models import Role
from resources.store.tables import tokens
from resources.timestamps import now
from tests.api.support import ROUTES, TASKS, Api, File, assert_problem
from tests.support.waiting import eventually

Spelling = Callable[[bytes], bytes]

UNUSABLE: dict[str, Spelling] = {
    "empty": lambda _: b"",
    "scheme alone": lambda _: b"Bearer",
    "token alone": lambda token: token,
    "other scheme": lambda token: b"Basic " + token,
    "longer scheme": lambda token: b"Bearers " + token,
    "colon": lambda token: b"Bearer: " + token,
    "tab": lambda token: b"Bearer\t" + token,
    "comma": lambda token: b"Bearer " + token + b",",
    "two tokens": lambda token: b"Bearer " + token + b" " + token,
    "two credentials": lambda token: b"Bearer " + token + b", Bearer " + token,
    "quoted": lambda token: b'Bearer "' + token + b'"',
    "unknown": lambda _: b"Bearer wrk_unknown",
    "first character cut": lambda token: b"Bearer " + token[1:],
    "last character cut": lambda token: b"Bearer " + token[:-1],
    "without prefix": lambda token: b"Bearer " + token.removeprefix(b"wrk_"),
    "one character more": lambda token: b"Bearer " + token + b"a",
    "padded": lambda token: b"Bearer " + token + b"=",
    "other case": lambda token: b"Bearer " + token.swapcase(),
    "not ascii": lambda token: b"Bearer " + token + b"\xc3\xa4",
    "not utf-8": lambda _: b"Bearer \xff\xfe",
    "escaped": lambda token: b"Bearer %77" + token[1:],
    "very long": lambda _: b"Bearer " + b"a" * 20_000,
    "a wildcard": lambda _: b"Bearer %",
    "SQL": lambda _: b"Bearer ' OR 1=1 --",
}


# What the API promises of a token that was revoked.
WITHIN_SECONDS = 1.0


def assert_soon_unauthorized(client: httpx.Client) -> None:
    """The client's token stops working: it may be remembered for a moment."""
    eventually(lambda: client.get(TASKS).status_code == 401, within=WITHIN_SECONDS, every=0.01)
    assert_unauthorized(client.get(TASKS))


def assert_unauthorized(answer: httpx.Response) -> None:
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("spelling", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_credentials_are_refused(sqlite_api: Api, spelling: Spelling) -> None:
    token = sqlite_api.tokens.create("alice").encode()
    answer = sqlite_api.client().get(TASKS, headers={b"Authorization": spelling(token)})
    assert_unauthorized(answer)


def test_two_authorization_headers_are_refused(sqlite_api: Api) -> None:
    value = f"Bearer {sqlite_api.tokens.create('alice')}"
    headers = [("Authorization", value), ("Authorization", value)]
    assert_unauthorized(sqlite_api.client().get(TASKS, headers=headers))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_scheme_is_told_in_any_case(sqlite_api: Api, scheme: str) -> None:
    value = scheme + sqlite_api.tokens.create("alice")
    answer = sqlite_api.client().get(TASKS, headers={"Authorization": value})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", TASKS),
        ("POST", TASKS),
        ("PUT", TASKS),
        ("OPTIONS", TASKS),
        ("GET", f"{TASKS}1/"),
        ("DELETE", f"{TASKS}1/"),
        ("GET", f"{TASKS}abc/"),
        ("GET", f"{TASKS}1/status/"),
        ("GET", f"{TASKS}1/result/"),
        ("GET", f"{TASKS}1/result/part-00001.csv"),
        ("GET", "/api/nowhere"),
        ("GET", "/api/"),
        ("GET", "/api"),
        ("GET", "//api/v1/workers/"),
        ("GET", "/%61pi/v1/workers/"),
        ("GET", f"{TASKS}?page=0&access_token={{token}}"),
    ],
)
def test_nothing_under_api_answers_without_a_token(sqlite_api: Api, method: str, path: str) -> None:
    token = sqlite_api.tokens.create("alice")
    target = path.format(token=token)
    request = f"{method} {target} HTTP/1.1\r\nHost: tasks\r\nAccept: text/html\r\n\r\n"
    answer = sqlite_api.send(request.encode())
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_addresses_outside_api_need_no_token(sqlite_api: Api) -> None:
    assert sqlite_api.client().get("/health/live").status_code == 200
    assert_problem(sqlite_api.client().get("/apis"), 404, "not_found")


@pytest.mark.parametrize("path", ["//api/v1/workers/", "///api/v1/workers"])
def test_leading_slashes_do_not_lead_past_the_token(sqlite_api: Api, path: str) -> None:
    token = sqlite_api.tokens.create("alice")
    request = f"GET {path} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n\r\n"
    assert sqlite_api.send(request.encode()).status == 200


def test_expired_token_no_longer_works(api: Api) -> None:
    # Given
    client = api.client(api.tokens.create("alice", expires_in=timedelta(hours=1)))
    assert client.get(TASKS).status_code == 200
    # When
    with api.engine.begin() as connection:
        connection.execute(update(tokens).values(expires_at=now()))
    # Expect
    assert_soon_unauthorized(client)


def test_revoked_token_stops_working_within_a_second(api: Api) -> None:
    # Given
    revoked, other = (api.client(api.tokens.create("alice")) for _ in range(2))
    assert revoked.get(TASKS).status_code == other.get(TASKS).status_code == 200
    # When
    api.tokens.revoke(api.tokens.list()[0].id)
    # Expect
    assert_soon_unauthorized(revoked)
    assert other.get(TASKS).status_code == 200


def _expired(api: Api) -> str:
    return api.tokens.create("alice", expires_in=timedelta(seconds=-1))


def _revoked(api: Api) -> str:
    token = api.tokens.create("alice")
    api.tokens.revoke(max(each.id for each in api.tokens.list()))
    return token


NO_LONGER_OR_NEVER: dict[str, Callable[[Api], str | None]] = {
    "none": lambda _: None,
    "unknown": lambda _: "wrk_unknown",
    "expired": _expired,
    "revoked": _revoked,
    "cut": lambda api: api.tokens.create("alice")[:-1],
    "of another case": lambda api: api.tokens.create("alice").swapcase(),
    "an admin's, expired": lambda api: api.tokens.create(
        "root", Role.ADMIN, expires_in=timedelta(seconds=-1)
    ),
}


@pytest.mark.parametrize("token", NO_LONGER_OR_NEVER.values(), ids=NO_LONGER_OR_NEVER)
def test_unusable_token_is_refused_on_every_route_and_changes_nothing(
    sqlite_api: Api, token: Callable[[Api], str | None]
) -> None:
    # Given: tasks that the token's owner has
    alice = sqlite_api.user("alice")
    pending, completed = sqlite_api.submit(alice), sqlite_api.submit(alice)
    sqlite_api.complete(completed, File("part-00001.csv", b"id\n"))
    before = alice.get(TASKS).json()
    client = sqlite_api.client(token(sqlite_api))
    # When
    for method, route in ROUTES:
        for task in (pending, completed):
            body = {"task_type": "bookings_export"}
            assert_unauthorized(client.request(method, route.format(**task), json=body))
    # Expect
    assert alice.get(TASKS).json() == before


def test_token_tells_the_owner(api: Api) -> None:
    for owner in ("alice", "Zoë / Ops", "o'; DROP TABLE tasks --"):
        assert api.submit(api.user(owner))["owner"] == owner


@pytest.mark.parametrize("role", Role)
def test_refusal_is_the_same_for_every_reason(sqlite_api: Api, role: Role) -> None:
    expired = sqlite_api.tokens.create("alice", role, expires_in=timedelta(seconds=-1))
    revoked = sqlite_api.tokens.create("alice", role)
    sqlite_api.tokens.revoke(sqlite_api.tokens.list()[-1].id)
    answers = [_told(sqlite_api, token) for token in (None, "unknown", expired, revoked)]
    assert answers == [answers[0]] * 4


def _told(api: Api, token: str | None) -> dict[str, Any]:
    answer = api.client(token).get(TASKS, headers={"X-Request-ID": "same"})
    assert_unauthorized(answer)
    return dict(answer.json())
