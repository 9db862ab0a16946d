"""Whether the service is up, for whoever watches it."""

from datetime import timedelta
from http import HTTPStatus

from falcon.asgi import Request, Response

from api.threads import StoreThreads
from resources.errors import Unavailable
from resources.store.parts import DISPATCHER, PartStore

# The dispatcher says every five seconds that it is alive.
DISPATCHER_PATIENCE = timedelta(seconds=30)


class Liveness:
    """``/health/live``: this process answers."""

    async def on_get(self, _req: Request, resp: Response) -> None:
        """Always 200."""
        resp.media = {"status": "ok"}


class Readiness:
    """``/health/ready``: what the service needs answers too."""

    def __init__(self, parts: PartStore, threads: StoreThreads) -> None:
        self._parts = parts
        self._threads = threads

    async def on_get(self, _req: Request, resp: Response) -> None:
        """200, or 503 with what is down."""
        down = await self._threads.call(self._down)
        resp.media = {"status": "unavailable" if down else "ok", "down": down}
        if down:
            resp.status = HTTPStatus.SERVICE_UNAVAILABLE

    def _down(self) -> list[str]:
        try:
            alive = self._parts.is_alive(DISPATCHER, DISPATCHER_PATIENCE)
        except Unavailable:
            return ["database"]
        return [] if alive else ["dispatcher"]
