"""On which line of a TOML document each key stands, which `tomllib` does not tell."""

import re
import tomllib
from bisect import bisect
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]
"""A key with those of the tables it is in; the place in an array is a number as text."""

_TOKEN = re.compile(
    r"""
      (?P<text>\"{3}(?:\\.|[^\\])*?\"{3}\"{0,2}  # may end with quotes of its own
              |'{3}.*?'{3}'{0,2}
              |"(?:\\.|[^"\\\n])*"
              |'[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<newline>\n)
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(document: str) -> Mapping[Path, int]:
    """The line, from 1, of each key of ``document``, which `tomllib` has read without an error."""
    return _Scan(document).lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of ``path``; of the nearest table around it where that has no line of its own."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scan:
    """One pass over the tokens of a document."""

    def __init__(self, document: str) -> None:
        self.lines: dict[Path, int] = {}
        self._starts = [match.end() for match in re.finditer("\n", document)]
        # The line break that ends the last statement may be missing.
        self._tokens = [*self._all(document), ("newline", "\n", len(self._starts) + 1)]
        self._next = 0
        # How many tables each array of tables has so far.
        self._counts: dict[Path, int] = {}
        self._statements()

    def _all(self, document: str) -> Iterator[tuple[str, str, int]]:
        for match in _TOKEN.finditer(document):
            if match.lastgroup != "comment":
                line = bisect(self._starts, match.start()) + 1
                yield str(match.lastgroup), match[0], line

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _sees(self, *marks: str) -> bool:
        kind, token, _ = self._tokens[self._next]
        return kind in {"mark", "newline"} and token in marks

    def _skip_newlines(self) -> None:
        while self._next < len(self._tokens) - 1 and self._sees("\n"):
            self._next += 1

    def _statements(self) -> None:
        table: Path = ()
        while self._next < len(self._tokens):
            if self._sees("\n"):
                self._next += 1
            elif self._sees("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        """``[table]``, or ``[[array of tables]]``."""
        self._take()
        is_array = self._sees("[")
        if is_array:
            self._take()
        line = self._tokens[self._next][2]
        *outer, name = self._key()
        path: Path = ()
        for each in outer:
            self._note((*path, each), line)
            path = self._current((*path, each))
        path = (*path, name)
        self._note(path, line)
        if is_array:
            self._take()
            self._counts[path] = self._counts.get(path, 0) + 1
        path = self._current(path)
        self._note(path, line)
        self._take()
        return path

    def _current(self, path: Path) -> Path:
        """``path``; where it is an array of tables, that of its last table."""
        return (*path, str(self._counts[path] - 1)) if path in self._counts else path

    def _pair(self, table: Path) -> None:
        line = self._tokens[self._next][2]
        path = (*table, *self._key())
        for length in range(len(table) + 1, len(path) + 1):
            self._note(path[:length], line)
        self._take()  # the "="
        self._value(path)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while not self._sees("=", "]"):
            part = self._take()
            if part != ".":
                parts += tomllib.loads(f"{part} = 0")  # as it is meant: quotes, escapes
        return parts

    def _value(self, path: Path) -> None:
        if self._sees("["):
            self._array(path)
        elif self._sees("{"):
            self._inline_table(path)
        else:  # a number or a time may be several tokens
            while not self._sees(",", "]", "}", "\n"):
                self._take()

    def _array(self, path: Path) -> None:
        self._take()
        index = 0
        self._skip_newlines()
        while not self._sees("]"):
            place = (*path, str(index))
            self._note(place, self._tokens[self._next][2])
            self._value(place)
            index += 1
            self._skip_comma()
        self._take()

    def _inline_table(self, path: Path) -> None:
        self._take()
        self._skip_newlines()
        while not self._sees("}"):
            self._pair(path)
            self._skip_comma()
        self._take()

    def _skip_comma(self) -> None:
        self._skip_newlines()
        if self._sees(","):
            self._take()
        self._skip_newlines()

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)
