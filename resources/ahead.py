"""Makes items in a thread while another one uses them, so that reading and writing overlap."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from queue import Full, Queue
from types import TracebackType
from typing import Generic, Self, TypeVar

# How many items may wait to be taken: one more is in the making, and one in use.
DEPTH = 2
# How often the thread, when it waits, looks whether anybody wants more.
LOOK_SECONDS = 0.1

T = TypeVar("T")


class _End:
    """Comes after the last item."""


class Produced(Generic[T]):
    """The items that ``produce`` makes in a thread of its own, while the one before is in use.

    It is given a function that takes an item, and says whether anybody wants another. What it
    raises is raised where the items are taken. When the block is left early, ``interrupt`` is
    called until it lets go.
    """

    def __init__(
        self,
        produce: Callable[[Callable[[T], bool]], None],
        interrupt: Callable[[], None],
        *,
        depth: int,
        name: str,
    ) -> None:
        self._produce = produce
        self._interrupt = interrupt
        self._items: Queue[T | _End] = Queue(depth)
        self._error: BaseException | None = None
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._unwanted.set()
        self._thread.join(LOOK_SECONDS)
        while self._thread.is_alive():
            with suppress(Exception):  # it may end by itself in this moment
                self._interrupt()
            self._thread.join(LOOK_SECONDS)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            BaseException: What ``produce`` raised, after the items before.
        """
        item = self._items.get()
        if not isinstance(item, _End):
            return item
        self._items.put(item)  # whoever asks again is told again
        raise StopIteration if self._error is None else self._error

    def _run(self) -> None:
        try:
            self._produce(self._put)
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            self._error = error
        finally:
            self._put(_End())

    def _put(self, item: T | _End) -> bool:
        while not self._unwanted.is_set():
            with suppress(Full):
                self._items.put(item, timeout=LOOK_SECONDS)
                break
        return not self._unwanted.is_set()


class Ahead(Produced[T]):
    """The items of ``source``, which is used, and closed if it is a generator, in the thread."""

    def __init__(self, source: Iterator[T], interrupt: Callable[[], None]) -> None:
        super().__init__(partial(_each, source), interrupt, depth=DEPTH, name="reading ahead")


def _each(source: Iterator[T], put: Callable[[T], bool]) -> None:
    try:
        for item in source:
            if not put(item):
                break
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            with suppress(Exception):  # nobody asked it to go on
                close()
