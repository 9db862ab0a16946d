"""How each column of a table is best declared, judged by its type, its name and some rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import types as sql

from resources.source.arrow import NOT_REPRESENTABLE, to_array
from resources.source.columns import Column, Kind, Mask, Storage, UnsupportedColumn
from resources.source.declarations import ColumnDeclaration
from resources.source.dialects.base import Dialect, Reflected
from resources.source.introspection.names import sounds_like_time
from resources.source.introspection.samples import Cells, Samples
from resources.source.introspection.sensitive import is_secret, personal_mask

PLAIN = ColumnDeclaration()
TEXT = ColumnDeclaration.model_validate({"as": "text"})
# As which times are tried, the narrowest first.
_TIMES: Sequence[ColumnDeclaration] = [
    ColumnDeclaration.model_validate(each)
    for each in (
        {"as": "date"},
        {"as": "timestamp"},
        {"as": "time"},
        {"stored": "iso"},
        {"stored": "unix"},
        {"stored": "unix_ms"},
    )
]
# Whole numbers that are seconds or milliseconds of the years 1980 to 2100 or so.
_PLAUSIBLE = {
    Storage.UNIX: range(315_000_000, 4_200_000_000),
    Storage.UNIX_MS: range(315_000_000_000, 4_200_000_000_000),
}
_TIME_KINDS = {Kind.TIMESTAMP, Kind.INSTANT, Kind.DATE, Kind.TIME}


@dataclass(frozen=True)
class Reading:
    """How one column is to be declared.

    Attributes:
        name: The column's name.
        declared: What is declared of it.
        column: What it then is; None: it is left out.
        reason: Why anything is declared, or it is left out; empty: nothing is.
        possible: What might be declared instead, for whom it concerns.
        suggested: The mask that might be wanted.
    """

    name: str
    declared: ColumnDeclaration
    column: Column | None
    reason: str = ""
    possible: str = ""
    suggested: Mask | None = None


def read_columns(
    dialect: Dialect, samples: Samples, reflected: Mapping[str, Reflected]
) -> list[Reading]:
    """How each column is to be declared, in their order.

    Raises:
        SourceUnavailable: The source does not answer.
    """
    natural = {name: _made(dialect, name, each, PLAIN) for name, each in reflected.items()}
    # Secrets are not looked at.
    cells = samples.of_all(
        [each for name, each in natural.items() if each is not None and not is_secret(each, name)]
    )
    judge = _Judge(dialect, samples)
    return [
        judge.reading(name, each.type, natural[name], cells.get(name))
        for name, each in reflected.items()
    ]


def _made(
    dialect: Dialect, name: str, reflected: Reflected, declared: ColumnDeclaration
) -> Column | None:
    try:
        if declared.read_as is not None:
            return dialect.read_as(name, reflected.type, declared.read_as)
        if declared.storage is not None:
            return dialect.stored_as(name, reflected.type, declared.storage)
        return dialect.column(name, reflected.type)
    except UnsupportedColumn:
        return None


@dataclass(frozen=True)
class _Judge:
    dialect: Dialect
    samples: Samples

    def reading(
        self, name: str, declared: Any, natural: Column | None, cells: Cells | None
    ) -> Reading:
        if is_secret(natural, name):
            return Reading(name, PLAIN, None, "its name is one of a secret")
        if natural is not None and cells is None:
            return Reading(name, PLAIN, None, "the source refuses to read it")
        known = Reflected(declared, nullable=True)
        if natural is None:
            reading = self._unsupported(name, known)
        else:
            reading = self._supported(natural, known, cells or ())
        return _with_mask(reading)

    def _supported(self, natural: Column, known: Reflected, cells: Cells) -> Reading:
        is_time = natural.kind in _TIME_KINDS
        may_be_time = natural.kind in {Kind.TEXT, Kind.INTEGER} and sounds_like_time(natural.name)
        if may_be_time or (is_time and not self._fits(natural, cells)):
            for declared, column in self._times(natural.name, known, cells):
                reason = f"the rows looked at hold {_told(declared, natural)}"
                return Reading(natural.name, declared, column, reason)
        if self._fits(natural, cells):
            return Reading(natural.name, PLAIN, natural)
        return self._as_text(
            natural.name, known, f"the rows looked at hold what is no {natural.kind}"
        )

    def _times(
        self, name: str, known: Reflected, cells: Cells
    ) -> Iterator[tuple[ColumnDeclaration, Column]]:
        """The declarations with which all cells are times; where there are none, nothing is."""
        present = [cell for cell in cells if cell is not None]
        if not present:
            return
        for declared in _TIMES:
            column = _made(self.dialect, name, known, declared)
            if column is None or not self._fits(column, present):
                continue
            plausible = _PLAUSIBLE.get(column.storage)
            if plausible is None or all(cell in plausible for cell in present):
                yield declared, column

    def _unsupported(self, name: str, known: Reflected) -> Reading:
        if _is_numeric(known.type):
            reading = self._as_text(name, known, "a numeric of any size, or of too many digits")
            possible = 'as = "decimal(38, 9)" where all values fit'
            return Reading(name, reading.declared, reading.column, reading.reason, possible)
        if isinstance(known.type, str):
            return self._untyped(name, known)
        return self._as_text(name, known, "files have no such type")

    def _untyped(self, name: str, known: Reflected) -> Reading:
        """A column of SQLite whose type does not say what it holds; its rows do."""
        text = Column(name, Kind.TEXT, storage=Storage.CAST)
        cells = self.samples.of(text) or ()
        if sounds_like_time(name):
            for declared, column in self._times(name, known, cells):
                reason = f"the rows looked at hold {_told(declared, text)}"
                return Reading(name, declared, column, reason)
        types = {type(cell) for cell in cells if cell is not None}
        said = "its type does not say what it holds; the rows looked at hold"
        for wanted, kind, what in (
            ({int}, "integer", "whole numbers"),
            ({int, float}, "float", "numbers"),
            ({bytes}, "binary", "bytes"),
        ):
            if types and types <= wanted:
                declared = ColumnDeclaration.model_validate({"as": kind})
                return Reading(
                    name, declared, _made(self.dialect, name, known, declared), f"{said} {what}"
                )
        return self._as_text(name, known, "its type does not say what it holds")

    def _as_text(self, name: str, known: Reflected, reason: str) -> Reading:
        column = _made(self.dialect, name, known, TEXT)
        cells = None if column is None else self.samples.of(column)
        if column is None or cells is None or not self._fits(column, cells):
            return Reading(name, PLAIN, None, f"{reason}, and it cannot be read as text")
        return Reading(name, TEXT, column, reason)

    def _fits(self, column: Column, cells: Cells) -> bool:
        try:
            to_array(column, cells, self.dialect.name)
        except NOT_REPRESENTABLE:
            return False
        return True


def _is_numeric(declared: Any) -> bool:
    if isinstance(declared, str):
        return declared.strip().upper().startswith(("NUMERIC", "DECIMAL"))
    return isinstance(getattr(declared, "data_type", declared), sql.Numeric)


def _told(declared: ColumnDeclaration, natural: Column) -> str:
    """What is held where a time is declared so."""
    match declared.stored:
        case "iso":
            return "times as ISO 8601 texts"
        case "unix":
            return "times as Unix seconds"
        case "unix_ms":
            return "times as Unix milliseconds"
    return f"{declared.as_}s as texts" if natural.kind is Kind.TEXT else f"{declared.as_}s"


def _with_mask(reading: Reading) -> Reading:
    if reading.column is None:
        return reading
    return Reading(
        reading.name,
        reading.declared,
        reading.column,
        reading.reason,
        reading.possible,
        personal_mask(reading.column),
    )
