"""Query parameters of the list, checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request

from resources.errors import FieldError, Forbidden, InvalidRequest
from resources.store.lists import TaskFilter
from resources.store.models import Principal, Status
from resources.store.tokens import MAX_OWNER_LENGTH
from resources.task_types import REGISTRY

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 20
# A page further on cannot exist: ids have 63 bits.
MAX_PAGE = 2**63 // MAX_PAGE_SIZE
_MAX_DIGITS = 19


@dataclass(frozen=True)
class ListParameters:
    """What of the list is wanted."""

    wanted: TaskFilter
    page: int
    page_size: int


def read_list_parameters(req: Request, principal: Principal) -> ListParameters:
    """The parameters of ``GET /api/v1/workers/``.

    Raises:
        InvalidRequest: With every parameter that is unknown or has an unusable value.
        Forbidden: ``owner`` is for admins.
    """
    given = {name: _as_list(value) for name, value in req.params.items()}
    reader = _Reader(given)
    statuses = reader.each("status", _one_of(list(Status)))
    task_types = reader.each("task_type", _one_of(sorted(REGISTRY)))
    owner = reader.single("owner", _owner, None)
    page = reader.single("page", _number(MAX_PAGE), 1)
    page_size = reader.single("page_size", _number(MAX_PAGE_SIZE), DEFAULT_PAGE_SIZE)
    reader.finish()
    if owner is not None and not principal.is_admin:
        msg = "Only an admin may filter by owner."
        raise Forbidden(msg)
    wanted = TaskFilter([Status(each) for each in statuses], task_types, owner)
    return ListParameters(wanted, page, page_size)


def _as_list(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]


class _Reader:
    """Reads parameters one by one, and collects what is wrong."""

    def __init__(self, given: dict[str, list[str]]) -> None:
        self._left = dict(given)
        self._errors: list[FieldError] = []

    def each(self, name: str, parse: Callable[[str], Any]) -> list[Any]:
        """The values of a parameter that may repeat."""
        return [self._parsed(name, value, parse, None) for value in self._left.pop(name, [])]

    def single(self, name: str, parse: Callable[[str], Any], default: Any) -> Any:
        """The value of a parameter that may stand once."""
        values = self._left.pop(name, [])
        if not values:
            return default
        if len(values) > 1:
            self._add(name, "repeated_parameter", "May stand once.")
            return default
        return self._parsed(name, values[0], parse, default)

    def _parsed(self, name: str, value: str, parse: Callable[[str], Any], default: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            self._add(name, "invalid_value", str(error))
            return default

    def finish(self) -> None:
        """Refuse what is wrong, and what nobody asked for."""
        for name in self._left:
            self._add(name, "unknown_parameter", "The list has no such parameter.")
        if self._errors:
            raise InvalidRequest(self._errors)

    def _add(self, name: str, code: str, detail: str) -> None:
        self._errors.append(FieldError(f"/{name}", code, detail))


def _one_of(known: list[Any]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in known:
            msg = f"Should be one of: {', '.join(known)}."
            raise ValueError(msg)
        return value

    return parse


def _number(most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        digits = value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS
        if not digits or not 1 <= int(value) <= most:
            msg = f"Should be a whole number from 1 to {most}."
            raise ValueError(msg)
        return int(value)

    return parse


def _owner(value: str) -> str:
    if not 1 <= len(value) <= MAX_OWNER_LENGTH or not value.isprintable():
        msg = f"Should have 1 to {MAX_OWNER_LENGTH} printable characters."
        raise ValueError(msg)
    return value
