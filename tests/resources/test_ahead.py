"""Reading ahead changes neither the items nor the errors, and leaves no thread."""

import threading
from collections.abc import Iterator

import pytest

from resources.ahead import DEPTH, Ahead
from tests.support.waiting import eventually


def nothing() -> None:
    """Interrupts what needs none."""


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "reading ahead"]


@pytest.mark.parametrize("count", [0, 1, DEPTH, 100])
def test_items_come_in_their_order(count: int) -> None:
    with Ahead(iter(range(count)), nothing) as ahead:
        assert list(ahead) == list(range(count))
    assert threads() == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError

    seen: list[int] = []
    with pytest.raises(KeyError), Ahead(failing(), nothing) as ahead:
        seen.extend(ahead)
    assert seen == [1, 2]
    assert threads() == []


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made: list[int] = []

    def noting() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with Ahead(noting(), nothing) as ahead:
        assert next(iter(ahead)) == 0
        eventually(lambda: len(made) == DEPTH + 2, within=5)
    assert len(made) == DEPTH + 2


def test_a_block_that_is_left_closes_the_source_in_its_own_thread() -> None:
    closed: list[threading.Thread] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread())

    with Ahead(endless(), nothing) as ahead:
        assert next(iter(ahead)) == 1
    assert [each.name for each in closed] == ["reading ahead"]
    assert threads() == []


def test_a_source_that_is_busy_is_interrupted() -> None:
    released = threading.Event()

    def busy() -> Iterator[int]:
        yield 1
        assert released.wait(60)

    with Ahead(busy(), released.set) as ahead:
        assert next(iter(ahead)) == 1
    assert threads() == []
