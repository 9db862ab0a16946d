"""What a run notes of its finished parts, and how another one goes on after them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Self

import pyarrow as pa

from resources.results import AttemptFolder, ResultFile
from resources.source.arrow import arrow_type
from resources.source.columns import Column


@dataclass(frozen=True)
class Part:
    """One finished part.

    Attributes:
        file: The file.
        taken_at: When the snapshot was taken from which its rows are (RFC 3339).
        last_key: The key of its last row, as texts; none where nobody may go on after it.
    """

    file: ResultFile
    taken_at: str
    last_key: Sequence[str] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The part that was noted as ``document``."""
        return cls(ResultFile(**document["file"]), document["taken_at"], document["last_key"])


class Journal:
    """The parts that a run has finished, noted beside them one by one.

    Attributes:
        parts: Those that are finished, in the order of their rows.
        taken_at: When the snapshot was taken from which the rows are now (RFC 3339).
        stem: What the parts' names begin with.
    """

    def __init__(
        self,
        folder: AttemptFolder,
        origin: str = "",
        key: Sequence[Column] = (),
        *,
        stem: str = "part",
    ) -> None:
        """See the class.

        Args:
            folder: Where the parts are.
            origin: What the rows are of, and how they are written: who goes on must have the same.
            key: The columns of the key, where another run may go on; its values are noted then.
            stem: What the parts' names begin with.
        """
        self.stem = stem
        self._folder = folder
        self._origin = origin
        self._key = key
        self.parts: list[Part] = []
        self.taken_at = ""

    @property
    def rows(self) -> int:
        """Rows in all finished parts."""
        return _rows_of(self.parts)

    @property
    def last_key(self) -> Sequence[Any] | None:
        """The key after which rows are missing; None: all are."""
        if not self.parts:
            return None
        return [
            pa.scalar(text).cast(arrow_type(column)).as_py()
            for column, text in zip(self._key, self.parts[-1].last_key, strict=True)
        ]

    def note(self, file: ResultFile, last_row: pa.RecordBatch | None) -> None:
        """Note that ``file`` is finished; ``last_row`` holds its last row, if it has any.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        self.parts.append(Part(file, self.taken_at, self._key_of(last_row)))
        self._write()

    def _key_of(self, row: pa.RecordBatch | None) -> list[str]:
        if row is None:
            return []
        return [row.column(column.name)[0].cast(pa.string()).as_py() for column in self._key]

    def _write(self) -> None:
        parts = [asdict(part) for part in self.parts]
        self._folder.write_checkpoint({"origin": self._origin, "parts": parts})

    def snapshots(self) -> list[dict[str, Any]]:
        """Of each snapshot when it was taken, how many rows are from it, and in which files."""
        told = []
        for taken_at, group in groupby(self.parts, key=lambda part: part.taken_at):
            parts = list(group)
            names = [part.file.name for part in parts]
            told.append({"taken_at": taken_at, "rows": _rows_of(parts), "files": names})
        return told

    def go_on(self, raise_if_stopped: Callable[[], None]) -> None:
        """Make the folder, and take over what an earlier attempt of the task has finished.

        What this attempt itself has finished, before it lost the source, is there already.

        Args:
            raise_if_stopped: Asked before each part, which takes a while to be looked at.

        Raises:
            TaskFailed: The storage does not take it (``storage_unavailable``).
        """
        self.parts = self._usable(self._folder)
        if self.parts:
            return
        self._folder.discard()
        self._folder.create()
        earlier = [(self._usable(other), other) for other in self._folder.others()]
        if not earlier:
            return
        parts, other = max(earlier, key=lambda each: _rows_of(each[0]))
        for part in parts:
            raise_if_stopped()
            if not self._folder.take_over(other, part.file):
                break
            self.parts.append(part)
            self._write()

    def _usable(self, folder: AttemptFolder) -> list[Part]:
        """The parts in ``folder`` that one may go on after."""
        noted = folder.read_checkpoint() or {}
        try:
            parts = [Part.from_document(each) for each in noted["parts"]]
        except (KeyError, TypeError):
            return []
        fitting = noted.get("origin") == self._origin
        return parts if fitting and all(part.last_key for part in parts) else []


def _rows_of(parts: Sequence[Part]) -> int:
    return sum(part.file.rows for part in parts)
