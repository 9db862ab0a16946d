"""What is said to a person of a database and of what is in it."""

from collections.abc import Iterable, Sequence

from sqlalchemy import URL

from resources.errors import SourceUnavailable
from resources.source.dialects import dialect_of

# More names than these in one line nobody reads.
MOST_NAMES = 12


def place(url: URL) -> str:
    """The database at ``url``, without who asks and with which password."""
    if dialect_of(url).name == "sqlite":
        return f"the SQLite database {url.database}"
    port = f":{url.port}" if url.port else ""
    named = f' "{url.database}"' if url.database else ""
    return f"the database{named} at {url.host or 'localhost'}{port}"


def unavailable(url: URL, error: SourceUnavailable) -> str:
    """That a source does not answer, and what to see to."""
    said = str(error).removesuffix(".")
    if dialect_of(url).name == "sqlite":
        return f"{said}: see that the file {url.database} is there, and is a SQLite database."
    return (
        f"{said}: see that {place(url)} can be reached from here, and that the URL's user and "
        "password are right."
    )


def listed(names: Sequence[str]) -> str:
    """Names in one line, the first of them where they are many."""
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(lines: Iterable[str]) -> str:
    """Lines, each of which stays one whatever names it holds, and moves no cursor."""
    return "\n".join(
        "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
        )
        for line in lines
    )
