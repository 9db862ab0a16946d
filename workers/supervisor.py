"""Starts the parts, starts again what dies, and stops everything.

No process manager: none of the well-kept ones makes its children end with it when it is killed
(docs/decisions/0006).
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from resources.processes import adopt_orphans, children, die_with_parent, reap
from workers.plan import Part

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS = 6.0
KILL_SECONDS = 1.0
FIRST_RESTART_SECONDS = 0.5
MAX_RESTART_SECONDS = 10.0
# A part that ran for so long is restarted without delay when it dies.
STEADY_SECONDS = 30.0
ORPHAN_SECONDS = 2.0
LINE_LIMIT = 2**20


@dataclass
class _Running:
    part: Part
    process: asyncio.subprocess.Process
    output: asyncio.Task[None]
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Looks after a set of parts until it is told to stop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._running: dict[str, _Running] = {}
        self._brief: set[int] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        adopt_orphans()
        self.run_beside(self._reap_orphans())

    def stop_on_signals(self) -> None:
        """`STOP_SIGNALS` ask for the end; `wait` then returns."""
        loop = asyncio.get_running_loop()
        for signo in STOP_SIGNALS:
            loop.add_signal_handler(signo, self._stopping.set)

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stopping.is_set()

    async def start(self, part: Part) -> None:
        """Start ``part``, and keep it running."""
        await self._spawn(part)
        self.run_beside(self._keep(part))

    async def carry_out(self, part: Part, seconds: float) -> None:
        """Run ``part`` once, to its end, for at most ``seconds``; that it fails is only said."""
        process = await self._execute(part, output=None)
        self._brief.add(process.pid)
        try:
            code = await asyncio.wait_for(process.wait(), seconds)
            if code:
                say(f"{part.name} ended with code {code}.")
        except TimeoutError:
            say(f"{part.name} did not end within {seconds:g} s; it is stopped.")
        finally:
            _kill_group(process.pid)
            await process.wait()
            self._brief.remove(process.pid)

    def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Have ``work`` done while the parts run; the end cuts it short."""
        self._keepers.append(asyncio.create_task(work))

    async def wait(self, seconds: float | None = None) -> bool:
        """Until the end is asked for (true), at most ``seconds`` (false)."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _spawn(self, part: Part) -> None:
        with _pipe() as (readable, writable):
            # No pipe of asyncio's: that would take the part for alive for as long as anything
            # that it started keeps its output open.
            process = await self._execute(part, output=writable)
            output = asyncio.create_task(_copy_output(part.name, readable))
        self._running[part.name] = _Running(part, process, output)

    async def _execute(self, part: Part, *, output: int | None) -> asyncio.subprocess.Process:
        """Start a process that writes to ``output``, or to where this one does."""
        return await asyncio.create_subprocess_exec(
            *part.command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else asyncio.subprocess.STDOUT,
            # A Ctrl-C in the terminal reaches this process alone, which stops the others.
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    async def _keep(self, part: Part) -> None:
        delay = FIRST_RESTART_SECONDS
        while True:
            running = self._running[part.name]
            code = await running.process.wait()
            if self.stopping:
                return
            _kill_group(running.process.pid)
            if time.monotonic() - running.started > STEADY_SECONDS:
                delay = FIRST_RESTART_SECONDS
            say(f"{part.name} ended with code {code}; it is started again in {delay:g} s.")
            if await self.wait(delay):
                return
            delay = min(delay * 2, MAX_RESTART_SECONDS)
            await self._spawn(part)

    async def _reap_orphans(self) -> None:
        """What a dead part leaves becomes this process's child; it must not stay as a zombie."""
        while not await self.wait(ORPHAN_SECONDS):
            own = {running.process.pid for running in self._running.values()} | self._brief
            for pid in children():
                if pid not in own:
                    reap(pid)

    async def stop(self) -> None:
        """End every part and everything the parts started; nothing is left afterwards."""
        self._stopping.set()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for running in self._running.values():
            _signal_group(running.process.pid, signal.SIGTERM)
        await self._wait_for_parts(STOP_SECONDS)
        for running in self._running.values():
            _kill_group(running.process.pid)
        await self._wait_for_parts(KILL_SECONDS)
        await _kill_orphans()
        for running in self._running.values():
            running.output.cancel()
        await asyncio.gather(
            *(running.output for running in self._running.values()), return_exceptions=True
        )

    async def _wait_for_parts(self, seconds: float) -> None:
        waits = [asyncio.create_task(each.process.wait()) for each in self._running.values()]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=seconds)
            for wait in pending:
                wait.cancel()


def say(line: str) -> None:
    """Tell the operator; standard output is for what scripts read."""
    _print(f"workers | {line}")


def _print(line: str) -> None:
    # A full disk behind standard error must not stop the parts.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], int]]:
    """A pipe whose writing end is closed here at the end; who reads closes the other."""
    reading, writing = os.pipe()
    readable = os.fdopen(reading, "rb", buffering=0)
    try:
        yield readable, writing
    except BaseException:
        readable.close()
        raise
    finally:
        os.close(writing)


async def _copy_output(name: str, pipe: IO[bytes]) -> None:
    stream = asyncio.StreamReader(limit=LINE_LIMIT)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    with contextlib.closing(transport):
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than LINE_LIMIT: its start was dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            _print(f"{name} | {text}")


def _signal_group(pid: int, signo: signal.Signals) -> None:
    # A part leads a group of its own: this reaches the run processes it started, too.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signo)


def _kill_group(pid: int) -> None:
    _signal_group(pid, signal.SIGKILL)


async def _kill_orphans() -> None:
    """Kill what the parts left behind; it has become this process's own child."""
    deadline = time.monotonic() + KILL_SECONDS
    while (left := children()) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            reap(pid)
        await asyncio.sleep(0.05)
