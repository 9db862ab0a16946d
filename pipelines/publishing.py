"""How the files of an attempt become the task's result, or are gone."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pipelines.run_control import patiently
from resources.errors import AttemptSuperseded
from resources.requests import TaskRequest
from resources.results import AttemptFolder, ResultFile
from resources.store.attempts import AttemptStore

JSON_TYPE = "application/json"


@contextmanager
def writing_result(
    folder: AttemptFolder, keeps_after: Callable[[BaseException], bool] = lambda _: False
) -> Iterator[None]:
    """While inside, the files of a result are written; an error removes them.

    Args:
        folder: Where they are written.
        keeps_after: Of which errors they stay, because another attempt may go on with them.
    """
    try:
        yield
    except BaseException as error:
        if not keeps_after(error):
            folder.discard()
        raise


def store_file(
    folder: AttemptFolder, name: str, content: bytes, *, media_type: str, rows: int = 0
) -> ResultFile:
    """Write ``content``, which fits into memory, as the file ``name`` of a result.

    Raises:
        TaskFailed: The storage does not take it (``storage_unavailable``).
    """
    with folder.writing(name) as file:
        file.write(content)
    return ResultFile(name, rows, len(content), file.sha256, media_type)


def store_json(
    folder: AttemptFolder, name: str, document: Mapping[str, Any], *, rows: int = 0
) -> ResultFile:
    """As `store_file`, of ``document`` as JSON."""
    content = json.dumps(document, ensure_ascii=False, indent=1).encode()
    return store_file(folder, name, content, media_type=JSON_TYPE, rows=rows)


def manifest_of(
    request: TaskRequest,
    files: Sequence[ResultFile],
    *,
    rows: int,
    snapshots: Sequence[dict[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """The manifest of a result of ``files``; ``more`` is told besides."""
    return {
        "rows": rows,
        "bytes": sum(file.bytes for file in files),
        "files": [asdict(file) for file in files],
        "schema": [],
        "filters": request.filters,
        "date_from": request.date_from,
        "date_to": request.date_to,
        "snapshots": list(snapshots),
    } | more


def publish(manifest: dict[str, Any], folder: AttemptFolder, attempt: AttemptStore) -> None:
    """Make what ``manifest``, which is written, tells of the task's result: one write.

    The files go only where it is certain that they are not published.

    Raises:
        AttemptSuperseded: The task was cancelled or given to another run.
        Unavailable: The task database did not answer.
    """
    result = {
        "rows": manifest["rows"],
        "bytes": manifest["bytes"],
        "files": len(manifest["files"]),
        "folder": folder.name,
    }
    try:
        patiently(lambda: attempt.publish(result))
    except AttemptSuperseded:
        folder.discard()
        raise
    folder.remove_other_attempts()
