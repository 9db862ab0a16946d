"""``datasets.toml``: which tables may be exported, and what the service must know of them."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from resources.errors import DeclarationError
from resources.source.columns import MAX_DECIMAL_DIGITS, Kind, Mask, Storage
from resources.timestamps import parse_duration
from resources.zones import DeclaredZone

DATASETS = ("bookings", "payments", "users", "services")
# What a column may stand for, of which analyses and reports make their figures.
ROLES = {
    "bookings": ("user", "service", "status", "amount", "currency"),
    "payments": ("booking", "status", "amount", "currency", "method"),
    "users": (),
    "services": ("name",),
}
# What a value of the column with the role "status" may mean.
MEANINGS = {
    "bookings": ("paid", "cancelled"),
    "payments": ("paid", "refunded"),
    "users": (),
    "services": (),
}

_DECIMAL = re.compile(r"decimal\((\d{1,2}), ?(\d{1,2})\)")
_READ_AS = {
    kind.value: kind
    for kind in (
        Kind.TEXT,
        Kind.INTEGER,
        Kind.FLOAT,
        Kind.BOOLEAN,
        Kind.DATE,
        Kind.TIME,
        Kind.TIMESTAMP,
        Kind.BINARY,
    )
}
# What Dagster takes for an owner; of a team's name it would take more.
_OWNER = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}|team:[\w.-]+")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class ReadAs:
    """What a column is to be read as, whatever the database declares."""

    kind: Kind
    precision: int = 0
    scale: int = 0


class ColumnDeclaration(BaseModel):
    """What is declared of one column."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    as_: str | None = Field(default=None, alias="as")
    stored: Literal["iso", "unix", "unix_ms"] | None = None
    mask: Annotated[Mask, Field(strict=False)] | None = None

    @field_validator("as_")
    @classmethod
    def _known_type(cls, value: str | None) -> str | None:
        if value is not None:
            _parse_read_as(value)
        return value

    @model_validator(mode="after")
    def _one_reading(self) -> "ColumnDeclaration":
        if self.as_ is not None and self.stored is not None:
            msg = (
                '"stored" says already what it is read as, an instant: write one of "as", "stored"'
            )
            raise ValueError(msg)
        return self

    @property
    def read_as(self) -> ReadAs | None:
        """What ``as`` asks for."""
        return None if self.as_ is None else _parse_read_as(self.as_)

    @property
    def storage(self) -> Storage | None:
        """How ``stored`` says that instants are kept."""
        return None if self.stored is None else Storage(self.stored)


def _parse_read_as(text: str) -> ReadAs:
    if text in _READ_AS:
        return ReadAs(_READ_AS[text])
    match = _DECIMAL.fullmatch(text)
    if match is None:
        msg = f'"{text}" is none of: {", ".join(_READ_AS)}, decimal(precision, scale)'
        raise ValueError(msg)
    precision, scale = int(match[1]), int(match[2])
    if not 1 <= precision <= MAX_DECIMAL_DIGITS or scale > precision:
        msg = f'"{text}" should have 1 to {MAX_DECIMAL_DIGITS} digits, the scale among them'
        raise ValueError(msg)
    return ReadAs(Kind.DECIMAL, precision, scale)


class Declaration(BaseModel):
    """One dataset as it is declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: str = Field(min_length=1)
    # PostgreSQL: the schema; MySQL: the database; absent: the connection's own.
    schema_: str | None = Field(default=None, alias="schema", min_length=1)
    key: Annotated[list[str], BeforeValidator(_as_list)] = Field(min_length=1)
    date_column: str | None = None
    # The zone that timestamps without one are meant in.
    time_zone: DeclaredZone = "UTC"
    # How old the newest row may be: a number and a unit, such as 2d.
    fresh_within: str | None = None
    leave_out: list[str] = Field(default_factory=list)
    columns: dict[str, ColumnDeclaration] = Field(default_factory=dict)
    # What columns stand for, and what values of the status mean: see `ROLES` and `MEANINGS`.
    roles: dict[str, str] = Field(default_factory=dict)
    statuses: dict[str, Annotated[list[str], BeforeValidator(_as_list)]] = Field(
        default_factory=dict
    )
    # For Dagster's UI.
    description: str | None = None
    owners: list[str] = Field(default_factory=list)

    @field_validator("fresh_within")
    @classmethod
    def _known_duration(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    @field_validator("owners")
    @classmethod
    def _usable_owners(cls, value: list[str]) -> list[str]:
        for each in value:
            if not _OWNER.fullmatch(each):
                msg = f'"{each}" is neither an e-mail address (in ASCII) nor "team:name"'
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _possible_names(self) -> "Declaration":
        for name in (self.table, self.schema_ or "", *self.named_columns()):
            if "\0" in name:
                msg = "names something with a NUL in it, which no database has"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _ages_by_a_date(self) -> "Declaration":
        if self.fresh_within is not None and self.date_column is None:
            msg = 'has "fresh_within", but no "date_column" that tells how old a row is'
            raise ValueError(msg)
        return self

    @field_validator("key")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            msg = "names a column twice"
            raise ValueError(msg)
        return value

    @property
    def zone(self) -> ZoneInfo:
        """`time_zone` as a zone."""
        return ZoneInfo(self.time_zone)

    @property
    def freshness(self) -> timedelta | None:
        """How old the newest row may be; None: as old as it is."""
        return None if self.fresh_within is None else parse_duration(self.fresh_within)

    @property
    def full_name(self) -> str:
        """The table with its schema, for people."""
        return f"{self.schema_}.{self.table}" if self.schema_ else self.table

    def named_columns(self) -> list[str]:
        """Every column that is named, once."""
        dates = [self.date_column] if self.date_column else []
        named = [*self.key, *dates, *self.leave_out, *self.columns, *self.roles.values()]
        return list(dict.fromkeys(named))


def load_declarations(path: Path) -> Mapping[str, Declaration]:
    """The declarations in the file ``path``, by the dataset's name.

    Raises:
        DeclarationError: The file is missing, is no TOML, or declares something unusable; the
            message has one line for each finding.
    """
    declarations, findings = read_declarations(path)
    if findings:
        raise DeclarationError("\n".join(line for lines in findings.values() for line in lines))
    return declarations


def read_declarations(
    path: Path,
) -> tuple[Mapping[str, Declaration], Mapping[str, Sequence[str]]]:
    """The declarations in the file ``path``, and what is unusable in the others, by their names.

    Raises:
        DeclarationError: The file is missing, or is no TOML.
    """
    declarations: dict[str, Declaration] = {}
    findings: dict[str, Sequence[str]] = {}
    for name, table in _document(path).items():
        if name not in DATASETS:
            there_are = ", ".join(DATASETS)
            findings[name] = [f"{path.name}: {name}: is no dataset; there are {there_are}"]
            continue
        try:
            declaration = Declaration.model_validate(table)
        except ValidationError as error:
            findings[name] = [_finding(path.name, name, each) for each in error.errors()]
        else:
            if unknown := list(_unknown_meanings(path.name, name, declaration)):
                findings[name] = unknown
            else:
                declarations[name] = declaration
    return declarations, findings


def _unknown_meanings(file: str, dataset: str, declared: Declaration) -> Iterator[str]:
    """What is said of roles and statuses that nothing in ``dataset`` has."""
    for table, given, known in (
        ("roles", declared.roles, ROLES[dataset]),
        ("statuses", declared.statuses, MEANINGS[dataset]),
    ):
        there_are = f"there are {', '.join(known)}" if known else f"{dataset} have none"
        for name in given:
            if name not in known:
                where = f"{file}: {dataset}.{table}.{name}"
                yield f"{where}: is nothing that can be declared; {there_are}"
    if declared.statuses and "status" not in declared.roles:
        yield f"{file}: {dataset}.statuses: of which column? Declare roles.status"


def _document(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = (
            f"{path.name} cannot be read ({error.strerror}): set WORKERS_DATASETS to where it is, "
            "or have `workers init` write a first version"
        )
        raise DeclarationError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not TOML: {error}"
        raise DeclarationError(msg) from error


def _finding(file: str, dataset: str, error: Any) -> str:
    where = ".".join([dataset, *(str(part) for part in error["loc"])])
    match error["type"]:
        case "missing":
            said = "is needed, and not there"
        case "extra_forbidden":
            known = Declaration if len(error["loc"]) == 1 else ColumnDeclaration
            names = [field.alias or name for name, field in known.model_fields.items()]
            said = f"is nothing that can be declared; there are {', '.join(names)}"
        case "model_type":
            said = f"should be a table, as [{where}] makes it"
        case _:
            said = error["msg"].removeprefix("Value error, ")
    return f"{file}: {where}: {said}"
