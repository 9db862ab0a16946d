"""Bearer tokens."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError

from resources.errors import Unauthorized, Unavailable
from resources.store.models import Principal, Role
from resources.store.tables import tokens
from resources.store.tokens import PREFIX, TokenNotFound, TokenStore, UnusableOwner
from resources.timestamps import now


@pytest.fixture
def store(engine: Engine) -> TokenStore:
    return TokenStore(engine)


def works(store: TokenStore, token: str) -> bool:
    try:
        store.authenticate(token)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize("role", Role)
def test_token_tells_its_owner_and_role(store: TokenStore, role: Role) -> None:
    token = store.create("alice", role)
    assert store.authenticate(token) == Principal("alice", role)


def test_owner_is_a_user_unless_said_otherwise(store: TokenStore) -> None:
    assert store.authenticate(store.create("alice")).role is Role.USER


def test_tokens_are_long_and_differ(store: TokenStore) -> None:
    made = {store.create("alice") for _ in range(10)}
    assert len(made) == 10
    assert {token[: len(PREFIX)] for token in made} == {PREFIX}
    assert min(len(token) for token in made) >= len(PREFIX) + 43  # 256 bits


def test_secret_is_not_stored(store: TokenStore, engine: Engine) -> None:
    token = store.create("alice", replaces="demo")
    with engine.connect() as connection:
        stored = str(connection.execute(select(tokens)).all())
    assert token not in stored
    assert token.removeprefix(PREFIX) not in stored


@pytest.mark.parametrize(
    "token", ["", "wrk_", "wrk_unknown", "alice", "\0", "\ud800", "ü", "x" * 10_000, "'", "%"]
)
def test_unknown_token_is_refused(store: TokenStore, token: str) -> None:
    store.create("alice")
    with pytest.raises(Unauthorized):
        store.authenticate(token)


def test_digest_is_no_token(store: TokenStore, engine: Engine) -> None:
    store.create("alice")
    with engine.connect() as connection:
        digest = connection.scalar(select(tokens.c.digest))
    assert not works(store, str(digest))


def test_token_works_until_it_expires(store: TokenStore, engine: Engine) -> None:
    token = store.create("alice", expires_in=timedelta(minutes=1))
    assert works(store, token)
    with engine.begin() as connection:
        connection.execute(update(tokens).values(expires_at=now()))
    assert not works(store, token)


def test_revoked_token_no_longer_works(store: TokenStore) -> None:
    revoked, other = store.create("alice"), store.create("alice")
    store.revoke(store.list()[0].id)
    assert not works(store, revoked)
    assert works(store, other)


def test_revoking_again_changes_nothing(store: TokenStore) -> None:
    store.create("alice")
    (token,) = store.list()
    store.revoke(token.id)
    (first,) = store.list()
    store.revoke(token.id)
    assert store.list() == [first]
    assert first.revoked_at is not None


@pytest.mark.parametrize("token_id", [0, -1, 10**9, 2**63, -(2**80)])
def test_unknown_id_is_not_revoked(store: TokenStore, token_id: int) -> None:
    token = store.create("alice")
    with pytest.raises(TokenNotFound, match=str(token_id)):
        store.revoke(token_id)
    assert works(store, token)


def test_list_shows_the_oldest_first_and_each_state(store: TokenStore) -> None:
    store.create("alice")
    store.create("bob", Role.ADMIN, expires_in=timedelta(days=1))
    store.create("carol", expires_in=timedelta(seconds=-1))
    store.create("dave", expires_in=timedelta(seconds=-1))
    store.revoke(store.list()[3].id)
    listed = store.list()
    assert [(each.owner, each.role, each.state) for each in listed] == [
        ("alice", "user", "active"),
        ("bob", "admin", "active"),
        ("carol", "user", "expired"),
        ("dave", "user", "revoked"),
    ]
    assert [each.id for each in listed] == sorted(each.id for each in listed)
    bob = listed[1]
    assert bob.expires_at is not None
    assert bob.expires_at - bob.created_at == timedelta(days=1)


def test_token_takes_the_place_of_the_one_it_replaces(store: TokenStore) -> None:
    others = [store.create("alice"), store.create("alice", replaces="other")]
    old = store.create("alice", replaces="demo")
    new = store.create("bob", replaces="demo")
    assert not works(store, old)
    assert works(store, new)
    assert all(works(store, token) for token in others)
    named = [each.name for each in store.list() if each.state == "active"]
    assert named == [None, "other", "demo"]


def test_replacement_that_fails_leaves_the_old_token_at_work(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: the next token is one that is there already
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: "the same")
    old = store.create("alice", replaces="demo")
    # When
    with pytest.raises(IntegrityError):
        store.create("alice", replaces="demo")
    # Expect
    assert works(store, old)
    assert len(store.list()) == 1


@pytest.mark.parametrize(
    "owner", ["a", "x" * 255, "Zoë Ops", "東京", "o'; DROP TABLE tokens", "😀"]
)
def test_printable_owner_is_taken(store: TokenStore, owner: str) -> None:
    assert store.authenticate(store.create(owner)).owner == owner


@pytest.mark.parametrize("owner", ["", " ", "x" * 256, "a\nb", "a\0", "\ud800", "\u200b", "\t"])
def test_other_owner_is_refused(store: TokenStore, owner: str) -> None:
    with pytest.raises(UnusableOwner):
        store.create(owner)
    assert store.list() == []


def test_owner_of_what_is_started_in_dagster_gets_no_token(store: TokenStore) -> None:
    with pytest.raises(UnusableOwner, match="started in Dagster"):
        store.create("dagster")


USES: list[Callable[[TokenStore], object]] = [
    lambda store: store.create("alice"),
    lambda store: store.authenticate("wrk_any"),
    lambda store: store.list(),
    lambda store: store.revoke(1),
]


@pytest.mark.parametrize("use", USES)
def test_database_that_does_not_answer_is_unavailable(
    dead_engine: Engine, use: Callable[[TokenStore], object]
) -> None:
    with pytest.raises(Unavailable):
        use(TokenStore(dead_engine))
