"""All foreign keys of a source, as its own catalogue has them.

Nothing that the connection's user may not see, or has to name otherwise, is missing: rows that a
deletion takes along, unseen, would be lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from resources.errors import TaskFailed

_PROCESS_DENIED = 1227


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. A schema is None where it is the connection's own.

    Attributes:
        schema: The schema of the table that refers.
        table: The table that refers.
        columns: Its columns.
        referred_schema: The schema of the table that is referred to.
        referred_table: The table that is referred to; of partitions, the whole table.
        referred_columns: Its columns, as many.
        part: Schema and name of the partition of it that is meant, where it is one.
    """

    schema: str | None
    table: str
    columns: tuple[str, ...]
    referred_schema: str | None
    referred_table: str
    referred_columns: tuple[str, ...]
    part: tuple[str, str] | None = None


# One that a partition has from its whole table (it has a parent) is the whole table's.
_OF_POSTGRESQL = text(
    """
    SELECT child_schema.nspname AS schema, child.relname AS "table",
        root_schema.nspname AS referred_schema, root.relname AS referred_table,
        named_schema.nspname AS part_schema, named.relname AS part,
        named.oid <> root.oid AS is_part,
        ARRAY(
            SELECT a.attname::text
            FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS c (number, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number
            ORDER BY c.position
        ) AS columns,
        ARRAY(
            SELECT a.attname::text
            FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS c (number, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.number
            ORDER BY c.position
        ) AS referred_columns
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class child ON child.oid = k.conrelid
    JOIN pg_catalog.pg_namespace child_schema ON child_schema.oid = child.relnamespace
    JOIN pg_catalog.pg_class named ON named.oid = k.confrelid
    JOIN pg_catalog.pg_namespace named_schema ON named_schema.oid = named.relnamespace
    JOIN pg_catalog.pg_class root ON root.oid = CASE
        WHEN named.relispartition THEN pg_catalog.pg_partition_root(named.oid) ELSE named.oid
    END
    JOIN pg_catalog.pg_namespace root_schema ON root_schema.oid = root.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0
    ORDER BY child_schema.nspname, child.relname, k.conname
    """
)


def of_postgresql(connection: Connection) -> list[ForeignKey]:
    """All of a database of PostgreSQL, whatever the search path is.

    Raises:
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    return [
        ForeignKey(
            row.schema,
            row.table,
            tuple(row.columns),
            row.referred_schema,
            row.referred_table,
            tuple(row.referred_columns),
            (row.part_schema, row.part) if row.is_part else None,
        )
        for row in connection.execute(_OF_POSTGRESQL)
    ]


# MariaDB tells names as it writes those of files, and MySQL as they are.
_OF_INNODB = """
    SELECT k.id AS id, k.for_name AS whole, k.ref_name AS referred_whole,
        {for_schema} AS `schema`, {for_name} AS `table`,
        {ref_schema} AS referred_schema, {ref_name} AS referred_table,
        c.for_col_name AS `column`, c.ref_col_name AS referred_column, k.n_cols AS columns
    FROM information_schema.{keys} k
    LEFT JOIN information_schema.{columns} c ON c.id = k.id
    ORDER BY k.for_name, k.id, c.pos
"""


def of_innodb(connection: Connection) -> list[ForeignKey]:
    """All of a server of MySQL or MariaDB, those of databases that its user may not see too.

    Raises:
        TaskFailed: The user may not read InnoDB's catalogue, or a name in it cannot be told
            (``source_refused``).
        sqlalchemy.exc.DBAPIError: The source does not answer.
    """
    try:
        rows = connection.execute(text(_innodb_query(connection))).all()
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] != _PROCESS_DENIED:
            raise
        raise TaskFailed(
            "source_refused",
            "The source's user needs the right PROCESS (GRANT PROCESS ON *.* TO …): without it, "
            "MySQL and MariaDB do not tell which tables of other databases refer to rows that are "
            "to be deleted. Nothing was deleted.",
            retryable=False,
        ) from None
    return [_of_rows(list(each)) for _, each in groupby(rows, key=lambda row: (row.whole, row.id))]


def _innodb_query(connection: Connection) -> str:
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    parts = {}
    for of in ("for", "ref"):
        schema = f"SUBSTRING_INDEX(k.{of}_name, '/', 1)"
        name = f"SUBSTR(k.{of}_name, LOCATE('/', k.{of}_name) + 1)"
        parts[f"{of}_schema"] = _from_file_name(schema) if is_mariadb else schema
        parts[f"{of}_name"] = _from_file_name(name) if is_mariadb else name
    prefix = "innodb_sys_foreign" if is_mariadb else "innodb_foreign"
    return _OF_INNODB.format(keys=prefix, columns=f"{prefix}_cols", **parts)


def _from_file_name(encoded: str) -> str:
    return f"CONVERT(CONVERT(CAST({encoded} AS BINARY) USING filename) USING utf8mb4)"


def _of_rows(rows: Sequence[Any]) -> ForeignKey:
    """The foreign key that ``rows`` tell the columns of."""
    first = rows[0]
    # A slash in a name that is told as it is may end the database's name or be a part of it.
    is_unclear = any(name.count("/") != 1 for name in (first.whole, first.referred_whole))
    columns = tuple(row.column for row in rows)
    referred = tuple(row.referred_column for row in rows)
    if is_unclear or None in {*columns, *referred} or len(rows) != first.columns:
        raise TaskFailed(
            "source_refused",
            "A foreign key in the source cannot be told: the name of its table, or of its "
            "database, has a slash in it, or it has just been changed. Nothing was deleted.",
            retryable=False,
        )
    return ForeignKey(
        first.schema, first.table, columns, first.referred_schema, first.referred_table, referred
    )
