"""Forks a process for each run from one that has loaded everything a run needs.

The server is one thread that holds nothing a child could share by mistake: no connection, no
other thread. It starts what its socket asks for, interrupts it, and sees it end. Requests are
`resources.engine.fork_client`'s.
"""

import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from dagster._utils.interrupts import capture_interrupts

from resources.engine.fork_client import MAX_MESSAGE_BYTES, Answer
from resources.processes import die_with_parent, name_process, thread_count

# Dagster has written a run's end a moment before its process is gone: the next one waits so long
# for its place.
PLACE_SECONDS = 5.0
# What ends by itself on SIGTERM has this long to do so before it gets one of its own.
GRACE_SECONDS = 0.5
# How often it looks at the time, while anything depends on that.
LOOK_SECONDS = 0.1
# What `ps` shows.
RUN_NAME = "workers-run"
REPORTER_NAME = "workers-report"
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}


class RunWork(Protocol):
    """What the forked processes do."""

    def execute(self, run_id: str) -> None:
        """The whole run. A process that does not get to its end was lost."""

    def report_lost(self, run_id: str, exit_code: int) -> None:
        """Tell Dagster that the run's process ended before the run did."""


@dataclass
class _Waiting:
    """A launch for which there is no place yet."""

    connection: socket.socket
    run_id: str
    until: float = field(default_factory=lambda: time.monotonic() + PLACE_SECONDS)


class ForkServer:
    """Serves on ``listener`` until it is told to end, or its companion ends.

    Attributes:
        server_id: The id of the code server that has loaded the same code.
        companion: The id of that server's process: this one ends with it.
        places: How many runs there are at once, at most.
    """

    def __init__(
        self,
        listener: socket.socket,
        work: RunWork,
        *,
        server_id: str,
        companion: int,
        places: int,
    ) -> None:
        self._listener = listener
        self._work = work
        self._server_id = server_id
        self._companion = companion
        self._places = places
        self._runs: dict[int, str] = {}
        self._reporter = 0
        self._lost: deque[tuple[str, int]] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._connections: set[socket.socket] = set()
        self._ending_since: float | None = None
        self._wakeup, self._signalled = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Until every child has ended after the end was asked for."""
        self._listen_to_signals()
        self._listener.settimeout(0)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._drain)
        self._reap()  # what ended before the signals were listened to
        while self._ending_since is None or self._children():
            depends = self._waiting or self._lost or self._ending_since is not None
            for key, _ in self._selector.select(LOOK_SECONDS if depends else None):
                key.data(key.fileobj)
            self._reap()
            self._report_lost()
            self._launch_waiting()
            self._pass_on_end()

    def _listen_to_signals(self) -> None:
        for end in (self._wakeup, self._signalled):
            end.settimeout(0)
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signo in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signo, self._ask_for_end)

    def _ask_for_end(self, *_: Any) -> None:
        self._ending_since = self._ending_since or time.monotonic()

    def _drain(self, wakeup: socket.socket) -> None:
        with suppress(BlockingIOError):
            while wakeup.recv(MAX_MESSAGE_BYTES):
                pass

    def _children(self) -> set[int]:
        return {self._companion, self._reporter, *self._runs} - {0}

    def _pass_on_end(self) -> None:
        """A signal to the whole group has reached the children too; one to this process has not."""
        since = self._ending_since
        if since is None or since == float("inf") or time.monotonic() - since < GRACE_SECONDS:
            return
        for pid in self._children():
            os.kill(pid, signal.SIGTERM)
        self._ending_since = float("inf")

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it has gone away since
            return
        connection.settimeout(0)
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._receive)

    def _receive(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        try:
            match json.loads(connection.recv(MAX_MESSAGE_BYTES)):
                case {"do": "launch", "run_id": str(run_id), "server_id": str(server_id)}:
                    self._launch(connection, run_id, server_id)
                case {"do": "interrupt", "run_id": str(run_id)}:
                    self._interrupt(connection, run_id)
                case _:
                    self._hang_up(connection)
        except (OSError, ValueError, RecursionError):  # it has hung up, or is none of ours
            self._hang_up(connection)

    def _launch(self, connection: socket.socket, run_id: str, server_id: str) -> None:
        threads = thread_count()
        if self._ending_since is not None:
            self._hang_up(connection)  # its run goes back to the queue
        elif threads != 1:  # the others would be missing in its children, with the locks they hold
            why = f"The fork server has {threads} threads, where it should have one."
            self._answer(connection, Answer.REFUSED, why)
        elif server_id != self._server_id:
            self._answer(connection, Answer.OTHER_CODE, "The fork server has loaded other code.")
        elif run_id in self._runs.values():
            self._answer(connection, Answer.LAUNCHED)
        else:
            self._waiting.append(_Waiting(connection, run_id))

    def _launch_waiting(self) -> None:
        """Start what there is a place for, in the order it came."""
        while self._waiting and len(self._runs) < self._places:
            waiting = self._waiting.popleft()
            if self._ending_since is not None or _has_hung_up(waiting.connection):
                self._hang_up(waiting.connection)  # it will ask again, or has asked somebody else
                continue
            try:
                pid = self._fork(RUN_NAME, partial(self._work.execute, waiting.run_id))
            except OSError:  # the system has no room for another process
                self._answer(waiting.connection, Answer.FULL)
                return
            self._runs[pid] = waiting.run_id
            self._answer(waiting.connection, Answer.LAUNCHED)
        while self._waiting and self._waiting[0].until < time.monotonic():
            self._answer(self._waiting.popleft().connection, Answer.FULL)

    def _report_lost(self) -> None:
        """Have the runs that were lost reported, one after the other."""
        while self._lost and not self._reporter:
            run_id, exit_code = self._lost[0]
            report = partial(self._work.report_lost, run_id, exit_code)
            try:
                self._reporter = self._fork(REPORTER_NAME, report)
            except OSError:  # later, then
                return
            self._lost.popleft()

    def _interrupt(self, connection: socket.socket, run_id: str) -> None:
        pids = [pid for pid, each in self._runs.items() if each == run_id]
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        # One that waits sees by itself that it is to end, as soon as it has a process.
        is_known = bool(pids) or any(each.run_id == run_id for each in self._waiting)
        self._answer(connection, Answer.INTERRUPTED if is_known else Answer.UNKNOWN)

    def _answer(self, connection: socket.socket, answer: Answer, why: str = "") -> None:
        with suppress(OSError):  # who asked may be gone
            connection.send(json.dumps({"answer": answer, "why": why}).encode())
        self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        connection.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, exit_code: int) -> None:
        run_id = self._runs.pop(pid, None)
        if pid == self._companion:
            self._companion = 0
            self._ask_for_end()
        elif pid == self._reporter:
            self._reporter = 0
        elif run_id is not None and exit_code != 0:
            self._lost.append((run_id, exit_code))

    def _fork(self, name: str, work: Callable[[], None]) -> int:
        """The id of a new process, which does ``work`` and ends."""
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_child(parent, name, work)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return pid

    def _be_child(self, parent: int, name: str, work: Callable[[], None]) -> NoReturn:
        """Let go of all that is the server's, work, and end without the server's clean-up."""
        exit_code = 1
        try:
            die_with_parent(parent)
            name_process(name)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for signo in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signo, signal.default_int_handler)
            self._close_all()
            with capture_interrupts():
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                work()
            exit_code = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the server's code ends here
            print(f"A run's process ended with {type(error).__name__}.", file=sys.stderr)  # noqa: T201
        finally:
            for signo in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signo, signal.SIG_IGN)
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(exit_code)

    def _close_all(self) -> None:
        self._selector.close()
        for each in (self._listener, self._wakeup, self._signalled, *self._connections):
            each.close()


def open_listener(path: Path) -> socket.socket:
    """A socket at ``path`` that this user alone reaches; a request waits until it is served."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen()
    return listener


def _has_hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
