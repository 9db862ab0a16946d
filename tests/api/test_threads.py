"""Calls of the task store, outside the event loop."""

import asyncio
import threading

import pytest

from api.threads import STORE_THREADS, StoreThreads

SOON = 20


def test_so_many_calls_are_made_at_once_and_no_more() -> None:
    # Given: calls that wait for each other, as many as there may be
    threads, together, lock = StoreThreads(), threading.Barrier(STORE_THREADS), threading.Lock()
    active, most = 0, 0

    def call() -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        together.wait(SOON)
        with lock:
            active -= 1

    async def call_often() -> None:
        await asyncio.gather(*(threads.call(call) for _ in range(3 * STORE_THREADS)))

    # When
    asyncio.run(call_often())
    # Expect
    assert most == STORE_THREADS


def test_call_tells_what_came_of_it() -> None:
    threads = StoreThreads()
    assert asyncio.run(threads.call(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(threads.call(divmod, 7, 0))
