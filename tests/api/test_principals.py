"""Who sends a request is remembered, for a moment."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from api import principals as module
from api.principals import REMEMBERED_SECONDS, Principals
from resources.errors import Unauthorized
from resources.store.models import Principal, Role
from resources.store.tokens import TokenStore
from resources.timestamps import now

ALICE = Principal("alice", Role.USER)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class SlowTokens(TokenStore):
    """Finds a token, and is long about telling it."""

    def __init__(self, engine: Engine, clock: Clock, takes: float) -> None:
        super().__init__(engine)
        self._clock = clock
        self._takes = takes

    def authenticate(self, token: str) -> Principal:
        principal = super().authenticate(token)
        self._clock.seconds += self._takes
        return principal


@pytest.fixture
def tokens(sqlite_engine: Engine) -> TokenStore:
    return TokenStore(sqlite_engine)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def principals(tokens: TokenStore, clock: Clock) -> Principals:
    return Principals(tokens, clock)


def test_principal_is_remembered_for_less_than_a_second(
    tokens: TokenStore, principals: Principals, clock: Clock
) -> None:
    # Given
    token = tokens.create("alice")
    assert principals.remembered(token) is None
    assert principals.look_up(token) == principals.remembered(token) == ALICE
    # When
    clock.seconds = REMEMBERED_SECONDS
    # Expect
    assert principals.remembered(token) is None
    assert REMEMBERED_SECONDS < 1


def test_time_counts_from_before_the_database_was_asked(
    sqlite_engine: Engine, tokens: TokenStore, clock: Clock
) -> None:
    token = tokens.create("alice")
    principals = Principals(SlowTokens(sqlite_engine, clock, REMEMBERED_SECONDS), clock)
    assert principals.look_up(token) == ALICE
    assert principals.remembered(token) is None


def test_token_that_does_not_work_is_not_remembered(
    tokens: TokenStore, principals: Principals
) -> None:
    token = tokens.create("alice")
    principals.look_up(token)
    for unusable in ("", "wrk_unknown", token[:-1], token.swapcase(), "\ud800"):
        with pytest.raises(Unauthorized):
            principals.look_up(unusable)
        assert principals.remembered(unusable) is None


def test_revoked_token_is_refused_when_it_is_looked_up_again(
    tokens: TokenStore, principals: Principals, clock: Clock
) -> None:
    token = tokens.create("alice")
    principals.look_up(token)
    tokens.revoke(tokens.list()[0].id)
    clock.seconds = REMEMBERED_SECONDS
    assert principals.remembered(token) is None
    with pytest.raises(Unauthorized):
        principals.look_up(token)


def test_expiry_ends_what_is_remembered(
    tokens: TokenStore, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    token = tokens.create("alice", expires_in=timedelta(hours=1))
    assert principals.look_up(token) == principals.remembered(token)
    # When
    at = now() + timedelta(hours=1)
    monkeypatch.setattr(module, "now", lambda: at)
    # Expect
    assert principals.remembered(token) is None


def test_so_many_are_remembered_and_no_more(
    tokens: TokenStore, principals: Principals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    made = [tokens.create("alice") for _ in range(5)]
    for token in made:
        principals.look_up(token)
    assert [principals.remembered(token) is not None for token in made] == [False] * 2 + [True] * 3


def test_token_itself_is_not_kept(tokens: TokenStore, principals: Principals) -> None:
    token = tokens.create("alice")
    principals.look_up(token)
    assert token not in str(vars(principals))
    assert token.removeprefix("wrk_") not in str(vars(principals))
