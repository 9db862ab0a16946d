"""Where everything stands in a chart: within it, and at a place that there is."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.report.charts import LABEL_CHARACTERS, WIDTH, band, bars, columns, fitted

amounts = st.floats(-1e15, 1e15, allow_nan=False) | st.none()
counts = st.integers(0, 10**12)
SLACK = 0.01


@settings(deadline=None)
@given(values=st.lists(amounts, min_size=1, max_size=130), whole=st.booleans())
def test_every_column_stands_within_its_chart(values: list[float | None], whole: bool) -> None:
    shape = columns(values, whole=whole)

    assert len(shape.columns) == len(values)
    for column, value in zip(shape.columns, values, strict=True):
        places = (column.x, column.y, column.width, column.height)
        assert all(math.isfinite(each) for each in places)
        assert shape.left - SLACK <= column.x
        assert column.x + column.width <= shape.right + SLACK
        assert column.y >= -SLACK
        assert column.height >= 0
        assert column.y + column.height <= shape.label_y
        if value and value > 0:
            assert column.y + column.height == pytest.approx(shape.zero)
        elif value:
            assert column.y == pytest.approx(shape.zero)
    assert 1 <= sum(column.is_labelled for column in shape.columns) <= 5


@settings(deadline=None)
@given(values=st.lists(amounts, min_size=1, max_size=20), whole=st.booleans())
def test_ticks_go_around_all_values_and_are_few(values: list[float | None], whole: bool) -> None:
    ticks = [tick.value for tick in columns(values, whole=whole).ticks]

    known = [value or 0 for value in values]
    room = max(map(abs, known)) * 1e-9 + 1e-9  # less than that is nothing
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= min(0, *known, 0) + room
    assert ticks[-1] >= max(0, *known, 0) - room
    assert 2 <= len(ticks) <= 8


@pytest.mark.parametrize(("highest", "ticks"), [(2, [0, 1, 2]), (8, [0, 2, 4, 6, 8])])
def test_counts_have_whole_ticks(highest: int, ticks: list[int]) -> None:
    assert [tick.value for tick in columns([0, highest], whole=True).ticks] == ticks


@pytest.mark.parametrize("values", [[0.0], [None], [0.0, 0.0, 0.0]])
def test_nothing_is_a_row_of_columns_without_height(values: list[float | None]) -> None:
    shape = columns(values)

    assert [column.height for column in shape.columns] == [0.0] * len(values)
    assert [tick.value for tick in shape.ticks] == [0.0, 1.0]


def test_a_single_column_is_no_wall() -> None:
    (column,) = columns([7]).columns

    assert column.width < 60
    assert column.height > 100


def test_heights_are_as_the_values() -> None:
    low, high = columns([30, 90]).columns

    assert high.height == pytest.approx(3 * low.height)


def test_a_loss_hangs_below_the_line() -> None:
    shape = columns([5, -5])
    gain, loss = shape.columns

    assert gain.y < shape.zero == pytest.approx(loss.y)


@settings(deadline=None)
@given(values=st.lists(counts, max_size=25))
def test_the_longest_bar_is_as_wide_as_the_chart(values: list[int]) -> None:
    shape = bars(values)

    widths = [bar.width or 0.0 for bar in shape.bars]
    assert max(widths, default=0) == pytest.approx(WIDTH if any(values) else 0)
    for bar, width in zip(shape.bars, widths, strict=True):
        assert 0 <= width <= WIDTH + SLACK
        assert bar.y + bar.height <= shape.height


def test_a_line_without_a_value_has_no_bar_and_stretches_none() -> None:
    assert [bar.width for bar in bars([5, None]).bars] == [WIDTH, None]


@settings(deadline=None)
@given(values=st.lists(counts, min_size=1, max_size=6))
def test_the_parts_of_a_band_fill_it_in_their_order(values: list[int]) -> None:
    shape = band(values)

    assert all(part.width >= 0 for part in shape.segments)
    starts = [part.x for part in shape.segments]
    assert starts == sorted(starts)
    last = shape.segments[-1]
    assert last.x + last.width <= WIDTH + SLACK
    assert last.legend_y + shape.swatch <= shape.height
    if any(values):
        filled = sum(part.width for part in shape.segments)
        assert filled == pytest.approx(WIDTH, abs=2 * len(values) + SLACK)


@settings(max_examples=40, deadline=None)
@given(label=st.text(max_size=80))
def test_a_label_is_whole_or_ends_with_an_ellipsis(label: str) -> None:
    short = fitted(label)

    assert short == label or short.endswith("…")
    assert len(short.rstrip("…")) <= len(label)


def test_long_labels_are_cut_between_characters_that_people_see() -> None:
    family = "👩\u200d👩\u200d👧"

    assert fitted("x" * 40) == "x" * (LABEL_CHARACTERS - 1) + "…"
    assert fitted(family * 30).removesuffix("…").endswith(family)
    assert fitted("e\u0301" * 40, room=3) == "e\u0301e\u0301…"
    assert fitted("語" * 40, room=7) == "語語語…"
