"""Waiting for something to come true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 0.1


def eventually(look: Callable[[], T], *, within: float, every: float = 0.05) -> T:
    """The first true value of ``look``; fails when ``within`` seconds are over."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; last seen: {seen!r}")
        time.sleep(every)


def settles(look: Callable[[], object], *, during: float, within: float) -> None:
    """``look`` is true for ``during`` seconds on end, beginning ``within`` seconds from now."""
    deadline = time.monotonic() + within
    true_since: float | None = None
    while true_since is None or time.monotonic() - true_since < during:
        if look():
            true_since = true_since or time.monotonic()
        else:
            true_since = None
            assert time.monotonic() < deadline, f"does not settle within {within} s"
        time.sleep(EVERY_SECONDS)


def always(look: Callable[[], object], *, during: float, every: float = EVERY_SECONDS) -> None:
    """``look`` stays true for ``during`` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert look()
        time.sleep(every)
