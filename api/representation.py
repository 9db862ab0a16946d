"""Tasks as JSON."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from falcon.asgi import Request

from resources.settings import Settings
from resources.store.lists import TaskPage
from resources.store.models import Status, Task, TaskStatus
from resources.timestamps import to_rfc3339

COLLECTION = "/api/v1/workers/"


class Representation:
    """Makes the JSON of tasks, with absolute URLs."""

    def __init__(self, settings: Settings) -> None:
        self._public_url = settings.public_url
        self._retention = settings.result_retention

    def base_url(self, req: Request) -> str:
        """Where this API is reached: as configured, else as the client reached it."""
        return self._public_url or req.prefix

    def task_path(self, task: Task) -> str:
        """The task's canonical path."""
        return f"{COLLECTION}{task.id}/"

    def expires_at(self, task: Task) -> datetime | None:
        """When a completed task's result is past its retention, or was removed because it was."""
        if task.status is not Status.COMPLETED or task.finished_at is None:
            return None
        due = expiry(task.finished_at, self._retention)
        return due if task.swept_at is None else min(due, task.swept_at)

    def task(self, task: Task, base_url: str) -> dict[str, Any]:
        """The whole task."""
        return {
            "id": task.id,
            "task_type": task.task_type,
            "status": task.status,
            "owner": task.owner,
            "batch_size": task.batch_size,
            "filters": task.filters,
            "date_from": task.date_from,
            "date_to": task.date_to,
            "options": task.options,
            "progress": progress(task),
            "attempt": task.attempt,
            "run_id": task.run_id,
            "created_at": _time(task.created_at),
            "started_at": _time(task.started_at),
            "finished_at": _time(task.finished_at),
            "cancel_requested_at": _time(task.cancel_requested_at),
            "result": self._result(task, base_url),
            "error": _error(task),
        }

    def status(self, task: TaskStatus) -> dict[str, Any]:
        """What ``status/`` tells."""
        return {
            "id": task.id,
            "status": task.status,
            "progress": progress(task),
            "queue_position": task.queue_position,
            "attempt": task.attempt,
            "started_at": _time(task.started_at),
            "updated_at": _time(task.updated_at),
            "finished_at": _time(task.finished_at),
            "cancel_requested_at": _time(task.cancel_requested_at),
            "error": _error(task),
        }

    def page(
        self, page: TaskPage, req: Request, base_url: str, number: int, size: int
    ) -> dict[str, Any]:
        """One page of the list."""
        estimated = {"count_estimated": True} if page.is_count_estimated else {}
        return {
            "count": page.count,
            **estimated,
            "page": number,
            "page_size": size,
            "next": _page_url(req, base_url, number + 1) if page.has_next else None,
            "previous": _page_url(req, base_url, number - 1) if number > 1 else None,
            "results": [self.task(task, base_url) for task in page.tasks],
        }

    def manifest(self, task: Task, manifest: dict[str, Any], base_url: str) -> dict[str, Any]:
        """A result's manifest, with the URL of each file."""
        url = f"{base_url}{self.task_path(task)}result/"
        files = [{**file, "url": url + file["name"]} for file in manifest["files"]]
        return {**manifest, "files": files, "expires_at": _time(self.expires_at(task))}

    def _result(self, task: Task, base_url: str) -> dict[str, Any] | None:
        if task.status is not Status.COMPLETED or task.result is None:
            return None
        return {
            "rows": task.result["rows"],
            "bytes": task.result["bytes"],
            "files": task.result["files"],
            "url": f"{base_url}{self.task_path(task)}result/",
            "expires_at": _time(self.expires_at(task)),
        }


def expiry(finished_at: datetime, retention: timedelta) -> datetime:
    """When a result that was finished at ``finished_at`` is past its retention."""
    try:
        return finished_at + retention
    except OverflowError:
        return datetime.max.replace(tzinfo=finished_at.tzinfo)


def progress(task: Task | TaskStatus) -> dict[str, Any]:
    """Rows done, of how many; a completed task is at 100 percent, with no rows too."""
    percent: float | None = None
    if task.status is Status.COMPLETED:
        percent = 100.0
    elif task.total is not None:
        percent = round(100 * task.processed / task.total, 1) if task.total else 0.0
    return {"processed": task.processed, "total": task.total, "percent": percent}


def _error(task: Task | TaskStatus) -> dict[str, Any] | None:
    return task.error if task.status is Status.FAILED else None


def _time(instant: datetime | None) -> str | None:
    return None if instant is None else to_rfc3339(instant)


def _page_url(req: Request, base_url: str, number: int) -> str:
    query = urlencode({**req.params, "page": number}, doseq=True)
    return f"{base_url}{COLLECTION}?{query}"
