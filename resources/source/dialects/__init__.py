"""The databases that a source may be, and everything in which they differ: a module for each."""

from collections.abc import Mapping

from sqlalchemy import URL, Connection

from resources.source.dialects.base import Dialect
from resources.source.dialects.mysql import MySQL
from resources.source.dialects.postgresql import PostgreSQL
from resources.source.dialects.sqlite import SQLite

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (PostgreSQL(), SQLite(), MySQL())
}


def dialect_of(connected: URL | Connection) -> Dialect:
    """The dialect that is spoken at a URL or on a connection."""
    if isinstance(connected, Connection):
        return DIALECTS[connected.dialect.name]
    return DIALECTS[connected.get_backend_name()]
