"""Puts the rows of an archive back where they were."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import URL, Connection, Engine

from resources.archives.rows import NotToldApart, Row, Rows, pieces, rows_of
from resources.archives.store import Archive, ArchivedTable
from resources.archives.tables import RawTable, TableName, raw_table
from resources.errors import SourceRefused, TaskFailed, WorkersError
from resources.source.connection import connect_to_write, snapshot, transaction

BATCH_ROWS = 1_000
STATEMENT_SECONDS = 60


class CannotRestore(WorkersError):
    """An archive that does not fit the source any more; the message says why, in one line."""


@dataclass
class RestoredTable:
    """What became of the rows of one table.

    Attributes:
        table: Which one.
        archived: How many rows the archive has.
        restored: Put in again.
        there: There already, with the same values.
        different: There, with other values; left as they are.
        refused: Not taken by the database, or not as they were.
    """

    table: str
    archived: int
    restored: int = 0
    there: int = 0
    different: int = 0
    refused: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row is as it was archived."""
        return self.restored + self.there == self.archived


def restore(
    archive: Archive, source: URL, tell: Callable[[RestoredTable], None]
) -> Sequence[RestoredTable]:
    """Put the rows of ``archive`` back, parents before children; what is there is left.

    Doing it again does what is left to do.

    Args:
        archive: The archive; its files are checked first.
        source: The database.
        tell: Takes what became of each table, as soon as it is done.

    Raises:
        ArchiveDamaged: Files of the archive are not what was written; nothing was restored.
        CannotRestore: The tables are others than they were; nothing was restored.
        SourceUnavailable: The source does not answer.
        Unavailable: The archive does not.
    """
    archive.check(lambda: None)
    engine = connect_to_write(source, statement_timeout_seconds=STATEMENT_SECONDS)
    try:
        with snapshot(engine) as connection:
            tables = [_table(connection, each) for each in archive.tables]
        told = []
        for archived, table in zip(archive.tables, tables, strict=True):
            told.append(_Restoration(archive, archived, table, engine).run())
            tell(told[-1])
        return told
    finally:
        engine.dispose()


def _table(connection: Connection, archived: ArchivedTable) -> RawTable:
    """The table as it is now, which has to have the columns that were archived."""
    name = TableName(archived.document["schema"], archived.document["name"])
    try:
        table = raw_table(connection, name, archived.document["key"])
    except TaskFailed:
        msg = f"There is no table {name} in the source any more."
        raise CannotRestore(msg) from None
    if table.document() != {each: archived.document[each] for each in table.document()}:
        msg = f"The columns of {name} are others than those that were archived."
        raise CannotRestore(msg)
    return table


class _Restoration:
    """Puts the rows of one table back."""

    def __init__(
        self, archive: Archive, archived: ArchivedTable, table: RawTable, engine: Engine
    ) -> None:
        self._archive = archive
        self._archived = archived
        self._table = table
        self._engine = engine
        self._told = RestoredTable(str(table.name), archived.rows)

    def run(self) -> RestoredTable:
        """Go through the rows, again where some were refused that may refer to later ones."""
        restored = 0
        while True:
            self._told = RestoredTable(self._told.table, self._told.archived, restored)
            for batch in self._archive.batches(self._archived, BATCH_ROWS):
                self._put(rows_of(batch.columns))
            again = self._told.refused and self._told.restored > restored
            # Those of an earlier round are there by now, and were not before.
            self._told.there -= restored
            restored = self._told.restored
            if not again:
                return self._told

    def _put(self, archived: Sequence[Row]) -> None:
        """Put rows in, in one transaction; where one is refused, each in one of its own."""
        try:
            self._try(archived)
        except _Refused:
            for row in archived:
                try:
                    self._try([row])
                except _Refused:
                    self._told.refused += 1

    def _try(self, archived: Sequence[Row]) -> None:
        restored = there = different = 0
        try:
            with transaction(self._engine) as connection:
                rows = Rows.on(connection, self._table)
                for piece in pieces(archived, rows.at_once()):
                    by_key = {rows.key_of(row): row for row in piece}
                    found = rows.found(list(by_key))
                    missing = [row for key, row in by_key.items() if key not in found]
                    _insert(rows, missing)
                    same = sum(found[key] == by_key[key] for key in found)
                    restored += len(missing)
                    there += same
                    different += len(found) - same
        except (SourceRefused, NotToldApart):
            raise _Refused from None
        self._told.restored += restored
        self._told.there += there
        self._told.different += different


class _Refused(Exception):
    """The database does not take rows as they were."""


def _insert(rows: Rows, missing: Sequence[Row]) -> None:
    """Put rows in, and see that they are what they were."""
    if not missing:
        return
    rows.insert(missing)
    by_key = {rows.key_of(row): row for row in missing}
    if rows.found(list(by_key)) != by_key:
        raise _Refused
