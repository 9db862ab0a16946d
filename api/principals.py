"""Who sends a request: remembered for half a second, so that not each one asks the database."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from resources.store.models import Principal
from resources.store.tokens import TokenStore, token_digest
from resources.timestamps import now

# A revoked token stops working within a second.
REMEMBERED_SECONDS = 0.5
MOST_REMEMBERED = 1_000


@dataclass(frozen=True)
class _Known:
    principal: Principal
    until: float


class Principals:
    """Tells principals from tokens. Tokens that do not work are looked up each time.

    What is remembered is bounded in time and in number; the tokens themselves are not kept.
    """

    def __init__(self, tokens: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._remembering = Lock()

    def remembered(self, token: str) -> Principal | None:
        """Who ``token`` belonged to a moment ago, if somebody asked. Never waits."""
        known = self._known.get(token_digest(token))
        if known is None or known.until <= self._clock() or known.principal.is_expired(now()):
            return None
        return known.principal

    def look_up(self, token: str) -> Principal:
        """Who ``token`` belongs to.

        Raises:
            Unauthorized: Unknown, expired or revoked.
            Unavailable: The database does not answer.
        """
        # Counted from before the look: what is revoked after it is noticed in time.
        until = self._clock() + REMEMBERED_SECONDS
        principal = self._tokens.authenticate(token)
        self._remember(token_digest(token), _Known(principal, until))
        return principal

    def _remember(self, digest: str, known: _Known) -> None:
        with self._remembering:
            self._known.pop(digest, None)  # so that it becomes the newest
            self._known[digest] = known
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
