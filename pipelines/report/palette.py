"""The colours of a report, by daylight and in the dark; a test measures their contrast."""

from collections.abc import Mapping

# What each is for: `page` and `card` are grounds, `ink` and `muted` texts on them, `accent` and
# `before` columns, `line` what divides; `on-mark` is the number in a part of a band, whose parts
# are `part-1` and so on.
LIGHT: Mapping[str, str] = {
    "page": "#f4f5f8",
    "card": "#ffffff",
    "ink": "#1a2130",
    "muted": "#525c6e",
    "line": "#d8dde6",
    "accent": "#1d5fb8",
    "before": "#7a8496",
    "notice": "#fff4d6",
    "on-mark": "#ffffff",
    "part-1": "#1d5fb8",
    "part-2": "#0b7566",
    "part-3": "#a34a00",
    "part-4": "#7a3fa0",
    "part-5": "#a6244f",
    "part-6": "#5c6675",
}
DARK: Mapping[str, str] = {
    "page": "#11141a",
    "card": "#1b2029",
    "ink": "#edf0f5",
    "muted": "#aab3c2",
    "line": "#363e4b",
    "accent": "#7db2ff",
    "before": "#8b95a7",
    "notice": "#3a3218",
    "on-mark": "#11141a",
    "part-1": "#7db2ff",
    "part-2": "#4fc9b4",
    "part-3": "#f0a35e",
    "part-4": "#c9a0ee",
    "part-5": "#f48fb0",
    "part-6": "#a4adbb",
}
PARTS = 6
"""How many parts have a colour of their own; further ones have that of the last."""
