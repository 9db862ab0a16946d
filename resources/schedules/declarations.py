"""``schedules.toml``: which tasks are submitted when, for whom, and about what."""

import keyword
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from resources.errors import FieldError, ScheduleError
from resources.requests import TaskRequest, body_errors
from resources.schedules.cron import check_cron
from resources.schedules.toml_lines import key_lines, line_of
from resources.schedules.windows import check_window, window_at
from resources.store.models import Priority
from resources.store.tokens import UnusableOwner, check_owner
from resources.task_types import REGISTRY
from resources.zones import DeclaredZone

# Dagster's rule for names, which stand in the addresses of its UI; and what it keeps for itself.
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)
RESERVED = frozenset(
    {
        *("context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict"),
        *("output_arg_dict", "int", "str", "float", "bool", "input", "output", "type"),
        *keyword.kwlist,
    }
)
_DATES = ("date_from", "date_to")


class _Timing(BaseModel):
    """What a schedule declares besides the request it stands for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cron: str
    time_zone: DeclaredZone = "UTC"
    window: str | None = None
    owner: str
    enabled: bool = True
    description: str | None = Field(default=None, min_length=1)

    @field_validator("cron")
    @classmethod
    def _names_moments(cls, value: str) -> str:
        check_cron(value)
        return value

    @field_validator("window")
    @classmethod
    def _known_window(cls, value: str | None) -> str | None:
        if value is not None:
            check_window(value)
        return value

    @field_validator("owner")
    @classmethod
    def _usable_owner(cls, value: str) -> str:
        try:
            check_owner(value)
        except UnusableOwner as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return value


_REQUEST_KEYS = tuple(TaskRequest.model_fields)
KEYS = (*_Timing.model_fields, *_REQUEST_KEYS)
"""Everything that may stand in a schedule's table."""


@dataclass(frozen=True)
class Schedule:
    """One schedule as it is declared.

    Attributes:
        name: The key of its table.
        cron: When it is due, five fields; read in the zone.
        time_zone: The zone, by its IANA name.
        owner: Whose tasks it makes.
        enabled: Whether it is on as long as nobody says otherwise in Dagster's UI.
        description: For people.
        window: The dates its tasks are about, told anew at each tick; None: as in `body`.
        body: What a client would send for such a task.
    """

    name: str
    cron: str
    time_zone: str
    owner: str
    enabled: bool
    description: str | None
    window: str | None
    body: Mapping[str, Any]

    @property
    def task_type(self) -> str:
        """The type of its tasks."""
        return str(self.body["task_type"])

    @property
    def priority(self) -> Priority:
        """Which tasks its own go before."""
        return Priority(self.body.get("options", {}).get("priority", Priority.NORMAL))

    def request_at(self, tick: datetime) -> dict[str, Any] | None:
        """What a client would send at ``tick``; None where there is no time in the window.

        The options are as a task keeps them, the dates in UTC.
        """
        request = TaskRequest.model_validate(dict(self.body))
        options = request.type.options.model_validate(request.options)
        body = request.model_dump(exclude_none=True) | {"options": options.told()}
        if self.window is None:
            return body
        window = window_at(self.window, tick, ZoneInfo(self.time_zone))
        if window is None:
            return None
        return body | {"date_from": window.date_from, "date_to": window.date_to}


@dataclass(frozen=True)
class _Finding:
    """Something unusable: where, the schedule first, and what about it."""

    path: tuple[str, ...]
    said: str


@dataclass(frozen=True)
class Declared:
    """What a file declares.

    Attributes:
        schedules: Those that can be used, by name.
        findings: What is unusable of the others, in one line each, with its file and line.
        lines: The line of each key in the file.
        file: The file's name.
    """

    schedules: Mapping[str, Schedule]
    findings: Sequence[str]
    lines: Mapping[tuple[str, ...], int]
    file: str

    def finding(self, path: tuple[str, ...], said: str) -> str:
        """One line that says ``said`` of what stands at ``path``."""
        return f"{self.file}:{line_of(self.lines, path)}: {'.'.join(path)}: {said}"


def load_schedules(path: Path) -> Mapping[str, Schedule]:
    """The schedules in the file ``path``, by name.

    Raises:
        ScheduleError: The file is missing, is no TOML, or declares something unusable; the
            message has one line for each finding.
    """
    declared = read_schedules(path)
    if declared.findings:
        raise ScheduleError("\n".join(declared.findings))
    return declared.schedules


def read_schedules(path: Path) -> Declared:
    """The schedules in the file ``path``, and all that is unusable in it."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        said = (
            f"{path.name} cannot be read ({error.strerror}): set WORKERS_SCHEDULES to where it is; "
            "an empty file has no schedules"
        )
        return Declared({}, [said], {}, path.name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Declared({}, [_not_toml(path.name, error)], {}, path.name)
    lines = key_lines(text)
    schedules: dict[str, Schedule] = {}
    found: list[_Finding] = []
    for name, table in document.items():
        unusable = list(_findings(name, table))
        if unusable:
            found += unusable
        else:
            schedules[name] = _schedule(name, table)
    declared = Declared(schedules, [], lines, path.name)
    found.sort(key=lambda each: line_of(lines, each.path))
    told = [declared.finding(each.path, each.said) for each in found]
    return Declared(schedules, list(dict.fromkeys(told)), lines, path.name)


def _not_toml(file: str, error: Exception) -> str:
    """`tomllib` names the line at the end of what it says."""
    match = re.fullmatch(r"(?P<said>.*) \(at line (?P<line>\d+), column \d+\)", str(error), re.S)
    if match is None:
        return f"{file} is not TOML: {error}"
    return f"{file}:{match['line']}: is not TOML: {match['said']}"


def _schedule(name: str, table: Mapping[str, Any]) -> Schedule:
    timing = _Timing.model_validate({k: v for k, v in table.items() if k not in _REQUEST_KEYS})
    return Schedule(name=name, **timing.model_dump(), body=_body(table))


def _body(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _as_json(table[key]) for key in _REQUEST_KEYS if key in table}


def _findings(name: str, table: Any) -> Iterator[_Finding]:
    """What is unusable in the declaration of the schedule ``name``."""
    if not _NAME.fullmatch(name):
        yield _Finding((name,), "a name has 1 to 100 letters, digits and underscores, no others")
    elif name in RESERVED:
        yield _Finding((name,), "is a word that Dagster keeps for itself: give it another name")
    if not isinstance(table, dict):
        yield _Finding((name,), f"should be a table, as [{name}] makes it")
        return
    timing = {key: value for key, value in table.items() if key not in _REQUEST_KEYS}
    try:
        _Timing.model_validate(timing)
    except ValidationError as error:
        for each in error.errors(include_input=False):
            yield _Finding((name, *map(str, each["loc"])), _said(each))
    for field in body_errors(_body(table)):
        path = pointer_path(field)
        yield _Finding((name, *path), _field_said(field, path, table))
    yield from _without_json(table, (name,))
    if "window" in table and (fixed := [key for key in _DATES if key in table]):
        said = f"the dates are fixed already, by {' and '.join(fixed)}: write one or the other"
        yield _Finding((name, "window"), said)


def pointer_path(field: FieldError) -> list[str]:
    """The keys, from the schedule's table on, that lead to a bad field of its request."""
    steps = field.pointer.split("/")[1:]
    return [step.replace("~1", "/").replace("~0", "~") for step in steps]


def _said(error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is needed, and not there"
        case "extra_forbidden":
            return f"is nothing that can be declared; there are {', '.join(KEYS)}"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _field_said(field: FieldError, path: Sequence[str], table: Mapping[str, Any]) -> str:
    if field.code == "required":
        return "is needed, and not there"
    if field.code == "unknown_field" and len(path) > 1:  # an option: the type is known
        known = REGISTRY[table["task_type"]].options.model_fields
        return f"is no option of {table['task_type']}; there are {', '.join(known)}"
    if field.code == "unknown_task_type":
        return f"is no task type; there are {', '.join(sorted(REGISTRY))}"
    return field.detail.removesuffix(".")


def _as_json(value: Any) -> Any:
    """``value`` as a client would send it: TOML has dates and times of its own."""
    match value:
        case dict():
            return {key: _as_json(each) for key, each in value.items()}
        case list():
            return [_as_json(each) for each in value]
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return value


def _without_json(value: Any, path: tuple[str, ...]) -> Iterator[_Finding]:
    """The numbers that TOML has, and a request cannot."""
    if isinstance(value, float) and not math.isfinite(value):
        yield _Finding(path, "should be a number")
    inner: Any = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, each in inner:
        yield from _without_json(each, (*path, str(key)))
