"""Supervises small parts until a file has enough lines, then stops them; a process of its own.

``python -m tests.support.supervise FILE LINES NAME CODE``. A supervisor kills every child that its
process has when it stops, so it cannot share one with the tests.
"""

import asyncio
import os
import sys
from pathlib import Path

from workers.plan import Part
from workers.supervisor import Supervisor


async def supervise(file: Path, lines: int, part: Part) -> None:
    supervisor = Supervisor(os.environ)
    await supervisor.start(part)
    while not await asyncio.to_thread(_has_lines, file, lines):
        await supervisor.wait(0.05)
    await supervisor.stop()


def _has_lines(file: Path, lines: int) -> bool:
    return file.exists() and len(file.read_text().splitlines()) >= lines


if __name__ == "__main__":
    name, code = sys.argv[3:]
    command = (sys.executable, "-c", code)
    asyncio.run(supervise(Path(sys.argv[1]), int(sys.argv[2]), Part(name, command)))
