"""Bearer tokens: random, shown once, stored as a digest."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, bindparam, func, insert, literal, select, update

from resources.errors import Unauthorized, WorkersError
from resources.store.database import UtcDateTime, read, read_transaction, write_transaction
from resources.store.models import DAGSTER_OWNER, Principal, Role
from resources.store.tables import tokens
from resources.timestamps import now

# Tells where a token found in a log or a commit belongs.
PREFIX = "wrk_"
TOKEN_BYTES = 32
MAX_OWNER_LENGTH = 255
MAX_ID = 2**63 - 1  # what the column holds
_WORKING_TOKEN = select(tokens.c.owner, tokens.c.role, tokens.c.expires_at).where(
    tokens.c.digest == bindparam("digest"),
    tokens.c.revoked_at.is_(None),
    tokens.c.expires_at.is_(None) | (tokens.c.expires_at > bindparam("at")),
)


class UnusableOwner(WorkersError):
    """An owner's name that cannot be one."""


class TokenNotFound(WorkersError):
    """No token has that id."""


@dataclass(frozen=True)
class Token:
    """A token as it is listed: never the secret itself."""

    id: int
    owner: str
    role: Role
    name: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def state(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now():
            return "expired"
        return "active"


class TokenStore:
    """Makes, checks, lists and revokes tokens."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        owner: str,
        role: Role = Role.USER,
        *,
        expires_in: timedelta | None = None,
        replaces: str | None = None,
    ) -> str:
        """A new token for ``owner``, returned this one time.

        Args:
            owner: Whose tasks the token reaches.
            role: What it allows.
            expires_in: How long it works; None: until it is revoked.
            replaces: A name; the token that has it is revoked, and this one takes it.

        Raises:
            UnusableOwner: The owner's name is empty, too long or not printable.
            Unavailable: The database does not answer.
        """
        check_owner(owner)
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        at = now()
        row = {
            "digest": token_digest(token),
            "owner": owner,
            "role": role,
            "name": replaces,
            "created_at": at,
            "expires_at": at + expires_in if expires_in is not None else None,
        }
        with write_transaction(self._engine) as connection:
            if replaces is not None:
                connection.execute(
                    update(tokens)
                    .where(tokens.c.name == replaces, tokens.c.revoked_at.is_(None))
                    .values(revoked_at=at)
                )
            connection.execute(insert(tokens).values(row))
        return token

    def authenticate(self, token: str) -> Principal:
        """Who ``token`` belongs to.

        Raises:
            Unauthorized: Unknown, expired or revoked.
            Unavailable: The database does not answer.
        """
        found = read(self._engine, _WORKING_TOKEN, {"digest": token_digest(token), "at": now()})
        if not found:
            raise Unauthorized
        (row,) = found
        return Principal(row.owner, Role(row.role), row.expires_at)

    def list(self) -> list[Token]:
        """All tokens, oldest first."""
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.id)).all()
        return [
            Token(
                id=row.id,
                owner=row.owner,
                role=Role(row.role),
                name=row.name,
                created_at=row.created_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
            )
            for row in rows
        ]

    def revoke(self, token_id: int) -> None:
        """Stop a token from working. Doing it again changes nothing.

        Raises:
            TokenNotFound: No token has that id.
            Unavailable: The database does not answer.
        """
        msg = f"No token has the id {token_id}."
        if not 0 < token_id <= MAX_ID:
            raise TokenNotFound(msg)
        with write_transaction(self._engine) as connection:
            known = connection.execute(
                update(tokens)
                .where(tokens.c.id == token_id)
                .values(revoked_at=func.coalesce(tokens.c.revoked_at, literal(now(), UtcDateTime)))
            )
            if known.rowcount == 0:
                raise TokenNotFound(msg)


def token_digest(token: str) -> str:
    """What is kept of a token."""
    # A token has 256 random bits: a plain digest cannot be guessed back, a slow one gains nothing.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def check_owner(owner: str) -> None:
    """See that ``owner`` is a name that tasks can belong to.

    Raises:
        UnusableOwner: It is empty, too long, not printable, or means something else.
    """
    if owner == DAGSTER_OWNER:
        msg = f'"{DAGSTER_OWNER}" owns the runs that are started in Dagster; admins see them.'
        raise UnusableOwner(msg)
    if not owner or len(owner) > MAX_OWNER_LENGTH or not owner.isprintable() or owner.isspace():
        msg = f"An owner has 1 to {MAX_OWNER_LENGTH} printable characters."
        raise UnusableOwner(msg)
