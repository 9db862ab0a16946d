"""Asks the fork server to start a run's process, or to interrupt it.

One message each way on a socket of its own (SOCK_SEQPACKET keeps messages apart), in JSON.
"""

import json
import socket
from enum import StrEnum
from pathlib import Path

from dagster._core.errors import DagsterUserCodeUnreachableError

from resources.settings import RUNS_SOCKET

MAX_MESSAGE_BYTES = 4096
# Longer than it lets a launch wait for a place.
ANSWER_SECONDS = 8.0


class Answer(StrEnum):
    """What the fork server says."""

    LAUNCHED = "launched"
    FULL = "full"  # every place is taken, and was for a while
    REFUSED = "refused"  # it cannot serve
    OTHER_CODE = "other_code"  # it cannot serve this one
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"  # no process of its runs that run


class CannotFork(Exception):
    """There is no fork server, or it cannot serve this run; the message says why."""


class OtherCode(CannotFork):
    """The fork server has not loaded the code that was asked for."""


def socket_beside(code_socket: str) -> Path:
    """Where the fork server listens that belongs to the code server at ``code_socket``."""
    return Path(code_socket).with_name(RUNS_SOCKET)


def launch(path: Path, run_id: str, server_id: str) -> None:
    """Have a process started for the run, by code that the code server ``server_id`` has.

    Raises:
        OtherCode: The fork server has loaded other code than that code server.
        CannotFork: It has to be started in another way.
        DagsterUserCodeUnreachableError: Not now; it may be asked for again. Nothing was started,
            or what was is found at the next request.
    """
    answer, why = _ask(path, {"do": "launch", "run_id": run_id, "server_id": server_id})
    if answer is Answer.FULL:
        msg = "Every place for a run's process is taken."
        raise DagsterUserCodeUnreachableError(msg)
    if answer is Answer.OTHER_CODE:
        raise OtherCode(why)
    if answer is not Answer.LAUNCHED:
        raise CannotFork(why)


def interrupt(path: Path, run_id: str) -> bool:
    """Have the run's process interrupted; false where there is none.

    Raises:
        CannotFork: There is no fork server.
        DagsterUserCodeUnreachableError: It does not answer.
    """
    answer, _ = _ask(path, {"do": "interrupt", "run_id": run_id})
    return answer is Answer.INTERRUPTED


def _ask(path: Path, request: dict[str, str]) -> tuple[Answer, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            msg = "There is none."
            raise CannotFork(msg) from error
        except OSError as error:
            raise DagsterUserCodeUnreachableError(_SILENT) from error
        try:
            connection.send(json.dumps(request).encode())
            told = json.loads(connection.recv(MAX_MESSAGE_BYTES))
        except (OSError, ValueError) as error:
            raise DagsterUserCodeUnreachableError(_SILENT) from error
    return Answer(told["answer"]), told["why"]


_SILENT = "The server of runs' processes does not answer."
