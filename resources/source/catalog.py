"""The datasets of a source, each looked up when it is asked for."""

import threading
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from resources.errors import DeclarationError, SourceUnavailable
from resources.source.connection import snapshot
from resources.source.dataset import Dataset, UnusableKey, look_up
from resources.source.declarations import Declaration

# How long a failed look-up stands.
FAILURE_SECONDS = 2.0
# How long one that succeeded does: tables change while the service runs.
FRESH_SECONDS = 60.0


class Catalog:
    """The datasets of one source. Safe to share between threads.

    Each is looked up when it is first asked for, and again after a minute. While the source does
    not answer, what was known of it stands.
    """

    def __init__(
        self, engine: Engine, declarations: Mapping[str, Declaration], *, check_keys: bool = True
    ) -> None:
        """Make a catalog that has looked at nothing yet.

        Args:
            engine: The source.
            declarations: What is declared, by the dataset's name.
            check_keys: Whether a key that no constraint holds is tried on the rows, once. Runs
                do without: it reads the whole table.
        """
        self._entries = {
            name: _Entry(engine, name, declaration, check_key=check_keys)
            for name, declaration in declarations.items()
        }

    def dataset(self, name: str) -> Dataset:
        """The dataset ``name``.

        Raises:
            DeclarationError: It is not declared, or the declaration does not fit the source.
            SourceUnavailable: The source does not answer.
        """
        entry = self._entries.get(name)
        if entry is None:
            msg = f'The dataset "{name}" is not declared: add a table [{name}] to datasets.toml.'
            raise DeclarationError(msg)
        return entry.dataset()

    def declared(self, names: Sequence[str]) -> Sequence[str]:
        """Those of ``names`` that are declared; where none is, all of them, to be refused."""
        return [name for name in names if name in self._entries] or names

    def findings(self) -> list[str]:
        """All that does not fit the source, in one line each.

        Raises:
            SourceUnavailable: The source does not answer.
        """
        found: list[str] = []
        for entry in self._entries.values():
            try:
                entry.dataset()
            except DeclarationError as error:
                found += str(error).splitlines()
        return found


class _Entry:
    """One dataset of a catalog, and what came of its last look-up."""

    def __init__(
        self, engine: Engine, name: str, declaration: Declaration, *, check_key: bool
    ) -> None:
        self._engine = engine
        self._name = name
        self._declaration = declaration
        self._check_key = check_key
        self._dataset: Dataset | None = None
        self._failure: DeclarationError | SourceUnavailable | None = None
        self._looked_up_at = 0.0
        self._lock = threading.Lock()

    def dataset(self) -> Dataset:
        """The dataset; looked up anew where that is due."""
        with self._lock:
            known = self._current()
            if known is None:
                self._look_up()
                known = self._dataset
            if self._failure is not None:
                raise self._failure
            assert known is not None  # noqa: S101 - a look-up leaves one of the two
            return known

    def _current(self) -> Dataset | None:
        """What was found, while it stands; a failure that stands is raised."""
        age = time.monotonic() - self._looked_up_at
        if self._failure is not None:
            # A source that does not answer is not asked again by everybody who waited for it.
            # Nor are rows read again and again that have no key.
            stands = FRESH_SECONDS if isinstance(self._failure, UnusableKey) else FAILURE_SECONDS
            if age < stands:
                raise self._failure
            return None
        return self._dataset if age < FRESH_SECONDS else None

    def _look_up(self) -> None:
        try:
            with snapshot(self._engine) as connection:
                self._dataset = look_up(
                    connection, self._name, self._declaration, check_key=self._check_key
                )
            self._failure = None
            self._check_key = False
        except SourceUnavailable as error:
            if self._dataset is None:
                self._failure = error
        except DeclarationError as error:
            self._dataset, self._failure = None, error
        self._looked_up_at = time.monotonic()
