"""Values that nothing can be reckoned with, and sums and means that keep every digit."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Context, Decimal
from traceback import walk_tb

import pyarrow as pa

from resources.errors import TaskFailed

# How many digits a mean has more than what it is the mean of.
MEAN_DIGITS = 2
# A sum has up to 38 digits, and a mean two more. Python's own context would round to 28.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_OWN = "pipelines."

_logger = logging.getLogger(__name__)


class Unmeasurable(TaskFailed):
    """A value is beyond what can be reckoned with; does not say which."""

    def __init__(self) -> None:
        super().__init__(
            "value_not_measurable",
            "A number or a date in the rows is too large, or too far away, to be reckoned with. "
            "Submit the task for a shorter window or for fewer datasets; to be rid of it, correct "
            "the value, or leave its column out of the declaration.",
            retryable=False,
        )


@contextmanager
def values_told() -> Iterator[None]:
    """Raise what goes wrong with a value as `Unmeasurable`: libraries' own words may quote it.

    Raises:
        Unmeasurable: A value is beyond what Python, Arrow or a document can hold.
    """
    try:
        yield
    except (ArithmeticError, ValueError, pa.ArrowNotImplementedError) as error:
        # Of which type it is, and where it was raised, tells nothing of the value.
        what, where = type(error).__name__, _own_place(error)
        _logger.error("A value cannot be reckoned with: %s in %s", what, where)
        raise Unmeasurable from None


def _own_place(error: BaseException) -> str:
    """The innermost line of this package's own through which ``error`` came."""
    places = [
        f"{module}, line {line}"
        for frame, line in walk_tb(error.__traceback__)
        if (module := str(frame.f_globals.get("__name__"))).startswith(_OWN)
    ]
    return places[-1]


def mean(total: Decimal, count: int, scale: int) -> Decimal:
    """The mean of values of that ``scale``, with two digits more; halves go to the even digit."""
    return to_scale(_EXACT.divide(total, Decimal(count)), scale + MEAN_DIGITS)


def to_scale(value: Decimal, scale: int) -> Decimal:
    """``value`` with so many digits after the point; halves go to the even digit."""
    return _EXACT.quantize(value, Decimal(1).scaleb(-scale))


def plus(one: Decimal, other: Decimal) -> Decimal:
    """The sum, of every digit."""
    return _EXACT.add(one, other)
