"""Time zones, by their names in the IANA database."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _declared(name: str) -> str:
    if not _is_known(name):
        msg = f'"{name}" is no time zone of the IANA database, such as Europe/Berlin'
        raise ValueError(msg)
    return name


def _requested(name: str) -> str:
    if not _is_known(name):
        raise PydanticCustomError(
            "unknown_timezone", "Should be a time zone of the IANA database, such as Europe/Berlin"
        )
    return name


DeclaredZone = Annotated[str, AfterValidator(_declared)]
"""A zone in a file of the operator's: what is wrong is told with its name."""

RequestedZone = Annotated[str, AfterValidator(_requested)]
"""A zone in a request: what is wrong has a code, and no input is repeated."""
