"""Waiting for something to come true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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


def always(look: Callable[[], object], *, during: float, every: float = 0.1) -> None:
    """``look`` stays true for ``during`` seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert look()
        time.sleep(every)
