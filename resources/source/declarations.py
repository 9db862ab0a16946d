"""``datasets.toml``: which tables may be exported, and what the service must know of them."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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

DATASETS = ("bookings", "payments", "users", "services")

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
# What Dagster takes for an owner.
_OWNER = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|team:[\w.-]+")


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
    time_zone: str = "UTC"
    leave_out: list[str] = Field(default_factory=list)
    columns: dict[str, ColumnDeclaration] = Field(default_factory=dict)
    # For Dagster's UI.
    description: str | None = None
    owners: list[str] = Field(default_factory=list)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = f'"{value}" is no time zone of the IANA database, such as Europe/Berlin'
            raise ValueError(msg) from error
        return value

    @field_validator("owners")
    @classmethod
    def _usable_owners(cls, value: list[str]) -> list[str]:
        for each in value:
            if not _OWNER.fullmatch(each):
                msg = f'"{each}" is neither an e-mail address nor "team:name"'
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _possible_names(self) -> "Declaration":
        for name in (self.table, self.schema_ or "", *self.named_columns()):
            if "\0" in name:
                msg = "names something with a NUL in it, which no database has"
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
    def full_name(self) -> str:
        """The table with its schema, for people."""
        return f"{self.schema_}.{self.table}" if self.schema_ else self.table

    def named_columns(self) -> list[str]:
        """Every column that is named, once."""
        dates = [self.date_column] if self.date_column else []
        return list(dict.fromkeys([*self.key, *dates, *self.leave_out, *self.columns]))


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
            declarations[name] = Declaration.model_validate(table)
        except ValidationError as error:
            findings[name] = [_finding(path.name, name, each) for each in error.errors()]
    return declarations, findings


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
