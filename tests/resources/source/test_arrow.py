"""Many cells at a time become what each of them would become alone."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resources.source.arrow import _plain_decimals, _sqlite_decimal, arrow_type
from resources.source.columns import decimal


def doubles(scale: int) -> st.SearchStrategy[float]:
    """Numbers that are, or nearly are, decimals of so many places."""
    near = st.integers(-(10**16), 10**16).map(lambda units: units / 10**scale)
    return near | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 0.3])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 38), st.data())
def test_doubles_become_the_decimals_that_each_of_them_is(precision: int, data: Any) -> None:
    scale = data.draw(st.integers(0, precision))
    cell = st.none() | st.integers(-(10**17), 10**17) | doubles(scale)
    cells = data.draw(st.lists(cell, min_size=1, max_size=3))
    column = decimal("total", precision, scale)

    together = _plain_decimals(cells, column)

    if together is not None:
        one_by_one = [None if each is None else _sqlite_decimal(each, scale) for each in cells]
        together.validate(full=True)
        assert together.equals(pa.array(one_by_one, arrow_type(column)))


@given(st.lists(st.none() | st.integers(-(10**8), 10**8), max_size=20))
@example([0, None, 12])
def test_amounts_of_money_are_converted_together(cents: list[int | None]) -> None:
    cells = [None if each is None else each / 100 for each in cents]

    together = _plain_decimals(cells, decimal("total", 10, 2))

    assert together is not None
    assert together.to_pylist() == [
        None if each is None else Decimal(each).scaleb(-2) for each in cents
    ]


def test_what_is_no_plain_decimal_is_left_to_be_looked_at_alone() -> None:
    column = decimal("total", 10, 2)

    for cells in ([0.1 + 0.2], [1.005], ["1.50"], [10**17], [1e300], [float("inf")], [1e8]):
        assert _plain_decimals(cells, column) is None
