"""Where the task store is called: in threads, each of which needs one connection."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The connections of all the service's processes have to fit into what a small database allows.
STORE_THREADS = 6


class StoreThreads:
    """Calls the task store outside the event loop, so many at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``function`` returns or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
