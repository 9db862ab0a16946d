"""What is to be supervised, as `workers up` hands it to the process that it becomes.

Of the standard library alone, as is `workers.supervise`, which reads it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Part:
    """One process of the service, or one that is done with soon."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Plan:
    """The parts of one service, when it is ready, and what follows.

    Attributes:
        first: Started at once.
        socket: Where the code server listens: once it takes connections, the others follow.
        then: Started after that.
        ready_urls: They answer with 200 once all is ready.
        told: The lines that say then where it is reached.
        greeting: Carried out then where somebody sits before a terminal.
        look: Carried out last.
        leftovers: What only a running service needs: files, and folders after what they hold.
    """

    first: Sequence[Part]
    socket: str
    then: Sequence[Part]
    ready_urls: Sequence[str]
    told: Sequence[str]
    greeting: Part
    look: Part
    leftovers: Sequence[str]

    def to_json(self) -> str:
        """All of it, as a JSON document."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, document: str) -> "Plan":
        """What `to_json` made a document of."""
        values: dict[str, Any] = json.loads(document)
        for name in ("first", "then"):
            values[name] = [Part(**part) for part in values[name]]
        for name in ("greeting", "look"):
            values[name] = Part(**values[name])
        return cls(**values)

    def clean_up(self) -> None:
        """Remove what only a running service needs."""
        for path in map(Path, self.leftovers):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
