"""The geometry of charts: where everything stands, in the units of an SVG `WIDTH` wide.

Charts are narrow, so that their texts can be read on a phone; wide screens put two side by side.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH = 400.0

_LEAST_LEFT = 24.0
_LABEL_MARGIN = 9.0
_CHARACTER = 7.8  # about the width of one in a label
_LABEL_HALF = 28.0
_RIGHT = 4.0
_TOP = 10.0
_PLOT_HEIGHT = 170.0
_BELOW = 26.0
_TICKS = 4
_NOTHING = 1e-9
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_GAP = 0.22  # of a column's place
_WIDEST_COLUMN = 48.0
_X_LABELS = 5

_BAR_HEIGHT = 10.0
_BAR_PLACE = 38.0
_BAR_LABEL_BASE = 14.0
_BAR_TOP = 20.0
# About how many characters of usual width a label beside a value has room for.
LABEL_CHARACTERS = 34

_BAND_HEIGHT = 30.0
_BAND_GAP = 2.0
_LEGEND_PLACE = 24.0
_SWATCH = 16.0
_NARROWEST_NUMBERED = 16.0


@dataclass(frozen=True)
class Tick:
    """A line across, the value it stands for, and how that is written."""

    y: float
    value: float
    label: str


@dataclass(frozen=True)
class Column:
    """A column over time; one without a value has no height.

    Attributes:
        x: Its left edge; likewise ``y`` its upper one.
        label_x: Where the middle of its label stands.
        is_labelled: Whether there is room for its label.
    """

    x: float
    y: float
    width: float
    height: float
    label_x: float
    is_labelled: bool


@dataclass(frozen=True)
class Columns:
    """A chart over time."""

    height: float
    zero: float
    left: float
    right: float
    label_y: float
    ticks: Sequence[Tick]
    columns: Sequence[Column]


@dataclass(frozen=True)
class Bar:
    """A bar from the left, below its label; without a width there is the label alone."""

    y: float
    label_y: float
    width: float | None
    height: float


@dataclass(frozen=True)
class Bars:
    """Values side by side, one below the other."""

    height: float
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Segment:
    """A part of a whole, and its line in the legend.

    Attributes:
        is_numbered: Whether the number by which the legend knows it fits into it.
    """

    x: float
    width: float
    is_numbered: bool
    legend_y: float


@dataclass(frozen=True)
class Band:
    """A whole and its parts."""

    height: float
    band_height: float
    swatch: float
    segments: Sequence[Segment]


def columns(
    values: Sequence[float | None], written: Callable[[float], str] = str, *, whole: bool = False
) -> Columns:
    """A chart of ``values`` over time.

    Args:
        values: The height of each column.
        written: How a value on the axis is written.
        whole: Whether they are counts, and so are the ticks.
    """
    known = [0.0 if value is None else value for value in values]
    scale = _ticks(min([0.0, *known]), max([0.0, *known]), least=1.0 if whole else 0.0)
    low, high = scale[0], scale[-1]

    def y_of(value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (high - value) / (high - low)

    ticks = [Tick(y_of(value), value, written(value)) for value in scale]
    longest = max(len(tick.label) for tick in ticks)
    left = max(_LEAST_LEFT, longest * _CHARACTER + _LABEL_MARGIN)
    place = (WIDTH - left - _RIGHT) / max(1, len(values))
    width = min(place * (1 - _GAP), _WIDEST_COLUMN)
    every = max(1, math.ceil(len(values) / _X_LABELS))
    drawn = []
    for index, value in enumerate(known):
        centre = left + place * (index + 0.5)
        label_x = min(centre, WIDTH - _LABEL_HALF)
        top, bottom = y_of(max(value, 0.0)), y_of(min(value, 0.0))
        drawn.append(
            Column(centre - width / 2, top, width, bottom - top, label_x, index % every == 0)
        )
    return Columns(
        height=_TOP + _PLOT_HEIGHT + _BELOW,
        zero=y_of(0.0),
        left=left,
        right=WIDTH - _RIGHT,
        label_y=_TOP + _PLOT_HEIGHT + 18,
        ticks=ticks,
        columns=drawn,
    )


def _ticks(low: float, high: float, least: float) -> list[float]:
    """Round values from at or below ``low`` to at or above ``high``, both ends among them."""
    if high - low < _NOTHING:
        return [0.0, 1.0]
    step = max(_round_step((high - low) / _TICKS), least)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def _round_step(rough: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return magnitude * next(step for step in _STEPS if step * magnitude >= rough * 0.999_999)


def bars(values: Sequence[float | None]) -> Bars:
    """One bar for each value, the longest as wide as the chart; None: a line without a bar."""
    longest = max([0.0, *(value for value in values if value is not None)])
    return Bars(
        height=max(1, len(values)) * _BAR_PLACE,
        bars=[
            Bar(
                y=index * _BAR_PLACE + _BAR_TOP,
                label_y=index * _BAR_PLACE + _BAR_LABEL_BASE,
                width=None if value is None else _share(value, longest) * WIDTH,
                height=_BAR_HEIGHT,
            )
            for index, value in enumerate(values)
        ],
    )


def _share(value: float, whole: float) -> float:
    return max(0.0, value) / whole if whole else 0.0


def band(values: Sequence[float]) -> Band:
    """A band whose parts have the widths of ``values``, with a legend below."""
    total = math.fsum(values)
    edges = [0.0]
    for value in values:
        edges.append(edges[-1] + WIDTH * _share(value, total))
    segments = []
    for index, (left, right) in enumerate(pairwise(edges)):
        width = max(0.0, right - left - _BAND_GAP)
        legend_y = _BAND_HEIGHT + 14 + index * _LEGEND_PLACE
        segments.append(Segment(left, width, width >= _NARROWEST_NUMBERED, legend_y))
    height = _BAND_HEIGHT + 14 + len(values) * _LEGEND_PLACE
    return Band(height, _BAND_HEIGHT, _SWATCH, segments)


def fitted(label: str, room: int = LABEL_CHARACTERS) -> str:
    """``label``, shortened where it is wider than ``room`` characters of usual width."""
    if sum(map(_width, label)) <= room:
        return label
    kept, used = 0, 1  # the ellipsis
    for index, character in enumerate(label):
        used += _width(character)
        if used > room:
            break
        if not _joins(label, index + 1):
            kept = index + 1
    return label[:kept].rstrip() + "…"


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _joins(label: str, index: int) -> bool:
    """Whether the character at ``index`` belongs to the one before it."""
    return index < len(label) and (
        _width(label[index]) == 0 or label[index - 1] == "\u200d" or _is_skin_tone(label[index])
    )


def _is_skin_tone(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"
