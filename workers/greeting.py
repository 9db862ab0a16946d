"""A token for whoever sits before the terminal: ``python -m workers.greeting``."""

from datetime import timedelta

from resources.errors import WorkersError
from resources.settings import Settings, load_settings
from resources.store.database import connect
from resources.store.tokens import TokenStore
from workers.supervisor import say

LOCAL_OWNER = "local"
LOCAL_TOKEN_LIFETIME = timedelta(hours=24)


def greet(settings: Settings) -> None:
    """Say a new token, or why there is none."""
    try:
        token = fresh_token(settings, LOCAL_OWNER, LOCAL_TOKEN_LIFETIME)
    except WorkersError as error:
        say(f"No token was made: {error}")
        return
    say(f"Token       {token}  (owner {LOCAL_OWNER}, valid for 24 hours)")


def fresh_token(settings: Settings, owner: str, lifetime: timedelta) -> str:
    """A new token of ``owner``; the last one that was made so for them works no longer."""
    engine = connect(settings.state_url)
    try:
        return TokenStore(engine).create(owner, expires_in=lifetime, replaces=owner)
    finally:
        engine.dispose()


if __name__ == "__main__":
    greet(load_settings())
