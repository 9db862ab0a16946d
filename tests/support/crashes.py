"""Has processes of a service crash, or stand still, at points that a test names."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually

_HOOKS = Path(__file__).parent / "crash_points"


@dataclass(frozen=True)
class Crashes:
    """What is asked of the processes of one service, by files in a folder."""

    folder: Path

    def environment(self, **constants: Any) -> dict[str, str]:
        """What the service needs in its environment.

        Args:
            constants: Values for constants of modules, by their full names.
        """
        self.folder.mkdir(exist_ok=True)
        return {
            "PYTHONPATH": os.pathsep.join([str(_HOOKS), os.environ.get("PYTHONPATH", "")]),
            "WORKERS_TEST_CRASHES": str(self.folder),
            "WORKERS_TEST_CONSTANTS": json.dumps(constants),
        }

    def ask(self, point: str, *, at: int = 1, signal: str = "SIGKILL") -> None:
        """Have the next process that gets to ``point`` for the ``at``-th time get ``signal``."""
        unfinished = self.folder / f"{point}.new"
        unfinished.write_text(json.dumps({"at": at, "signal": signal}))
        unfinished.rename(self.folder / point)

    def taken(self, point: str) -> int | None:
        """The process that got there, None: none yet. Forgotten when it was told."""
        for taken in self.folder.glob(f"{point}.*.taken"):
            taken.unlink()
            return int(taken.name.removeprefix(f"{point}.").removesuffix(".taken"))
        return None

    def await_taken(self, point: str, within: float) -> int:
        """The process that gets there; it is dead or stands still now."""
        return eventually(lambda: self.taken(point), within=within) or 0
