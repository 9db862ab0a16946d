"""PostgreSQL's domains: what each is, in the end, based on.

SQLAlchemy tells a domain's type without its precision and without "with time zone" after one.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy import types as sql
from sqlalchemy.dialects import postgresql

_BASES = text(
    """
    WITH RECURSIVE typed (name, type, modifier, depth) AS (
        SELECT attname, atttypid, atttypmod, 0
        FROM pg_catalog.pg_attribute
        WHERE attnum > 0 AND NOT attisdropped AND attrelid = pg_catalog.to_regclass(
            coalesce(pg_catalog.quote_ident(:schema) || '.', '') || pg_catalog.quote_ident(:table)
        )
        UNION ALL
        SELECT name, typbasetype, typtypmod, depth + 1
        FROM typed JOIN pg_catalog.pg_type ON oid = type
        WHERE typtype = 'd'
    )
    SELECT name, pg_catalog.format_type(type, modifier) AS formatted, typtype = 'e' AS is_enum
    FROM typed JOIN pg_catalog.pg_type ON oid = type
    WHERE depth > 0 AND typtype <> 'd'
    """
)
_FORMATTED = re.compile(
    r"(?P<word>[^(\[]+?)(?:\((?P<digits>\d+)(?:,(?P<scale>-?\d+))?\))?"
    r"(?P<zone> with(?:out)? time zone)?(?P<array>(?:\[\])*)"
)


def base_types(
    connection: Connection, table: str, schema: str | None
) -> Mapping[str, sql.TypeEngine[Any]]:
    """The types behind the columns of ``table`` that are of a domain, by the column's name."""
    rows = connection.execute(_BASES, {"table": table, "schema": schema})
    return {row.name: sql.Text() if row.is_enum else _type(row.formatted) for row in rows}


def _type(formatted: str) -> sql.TypeEngine[Any]:
    """The type that PostgreSQL writes so, such as "numeric(12,2)" or "timestamp with time zone"."""
    match = _FORMATTED.fullmatch(formatted)
    if match is None:
        return sql.NullType()
    word = match["word"] + (match["zone"] or "")
    known: Any = postgresql.base.ischema_names.get(word, sql.NullType)
    made: sql.TypeEngine[Any]
    if known is postgresql.NUMERIC and match["digits"]:
        made = sql.Numeric(int(match["digits"]), int(match["scale"] or 0))
    elif word.endswith(" with time zone"):
        made = known(timezone=True)
    else:
        made = known()
    return postgresql.ARRAY(made) if match["array"] else made
