"""``datasets.toml``: which tables may be exported, and what the service must know of them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from resources.errors import DeclarationError


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Declaration(BaseModel):
    """One dataset as it is declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: str = Field(min_length=1)
    key: Annotated[list[str], BeforeValidator(_as_list)] = Field(min_length=1)
    date_column: str | None = None
    # The zone that timestamps without one are meant in.
    time_zone: str = "UTC"
    leave_out: list[str] = Field(default_factory=list)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = f'"{value}" is no time zone of the IANA database, such as Europe/Berlin'
            raise ValueError(msg) from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """`time_zone` as a zone."""
        return ZoneInfo(self.time_zone)


def load_declarations(path: Path) -> Mapping[str, Declaration]:
    """The declarations in the file ``path``, by the dataset's name.

    Raises:
        DeclarationError: The file is missing, is no TOML, or declares something unusable; the
            message has one line for each finding.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror}"
        raise DeclarationError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not TOML: {error}"
        raise DeclarationError(msg) from error
    declarations: dict[str, Declaration] = {}
    findings: list[str] = []
    for name, table in document.items():
        try:
            declarations[name] = Declaration.model_validate(table)
        except ValidationError as error:
            findings += [_finding(path.name, name, each) for each in error.errors()]
    if findings:
        raise DeclarationError("\n".join(findings))
    return declarations


def _finding(file: str, dataset: str, error: Any) -> str:
    where = ".".join([dataset, *(str(part) for part in error["loc"])])
    return f"{file}: {where}: {error['msg']}"
