"""``make demo``: the whole way of a task, from an empty folder to rows of a file, and a report."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click
from tqdm import tqdm

from resources.errors import WorkersError
from resources.settings import Settings, load_settings
from workers.cli import PRIVATE
from workers.greeting import fresh_token

OWNER = "demo"
TOKEN_LIFETIME = timedelta(hours=1)
READY_SECONDS = 120.0
TASK_SECONDS = 120.0
STOP_SECONDS = 15.0
REQUEST_SECONDS = 10.0
POLL_SECONDS = 0.1
SHOWN_ROWS = 5

# The example of the API's first description.
EXAMPLE = {
    "task_type": "bookings_export",
    "batch_size": 100,
    "filters": {"status": "confirmed"},
    "date_from": "2024-01-01T00:00:00Z",
    "date_to": "2024-12-31T23:59:59Z",
}
# The last month of the demo source.
REPORT = {
    "task_type": "report_generation",
    "date_from": "2025-12-01T00:00:00Z",
    "date_to": "2025-12-31T23:59:59Z",
}
PAGE = "report.html"


class DemoFailed(WorkersError):
    """The demo did not get to its end; the message says where to look."""


class Client:
    """Just enough of a client to show the API."""

    def __init__(self, base_url: str, token: str) -> None:
        self._base_url = base_url
        self._token = token

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the API answers."""
        return json.loads(self.fetch(method, self._base_url + path, body))

    def fetch(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        """What the API answers.

        Raises:
            DemoFailed: With the problem that the API tells of.
        """
        request = Request(  # noqa: S310 - http, our own API
            url,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310 - as above
                return bytes(response.read())
        except HTTPError as error:
            msg = f"{method} {url} was answered {error.code}: {error.read().decode()}"
            raise DemoFailed(msg) from error


def main() -> None:
    """Show it; exit code 1 where something went wrong."""
    os.umask(PRIVATE)
    settings = _on_free_ports(load_settings())
    try:
        with _service(settings) as base_url:
            _show(settings, base_url)
    except WorkersError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


def _on_free_ports(settings: Settings) -> Settings:
    """A demo gets in nobody's way: it takes ports that are free, not 8000 and 3000."""
    return settings.model_copy(update={"api_port": _free_port(), "ui_port": _free_port()})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _service(settings: Settings) -> Iterator[str]:
    """The running service's base URL; it is stopped at the end."""
    log = settings.home / "demo.log"
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    click.echo(f"Starting the service (its log: {_shown(log)}) ...")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "up"],
            env={
                **os.environ,
                "WORKERS_API_HOST": "127.0.0.1",
                "WORKERS_API_PORT": str(settings.api_port),
                "WORKERS_UI_PORT": str(settings.ui_port),
            },
            stdout=output,
            stderr=output,
        )
        try:
            base_url = f"http://127.0.0.1:{settings.api_port}"
            _await_ready(process, base_url, log)
            yield base_url
        finally:
            click.echo("Stopping the service ...")
            _stop(process)


def _await_ready(process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            msg = f"the service did not start:\n{log.read_text(errors='replace')[-2000:]}"
            raise DemoFailed(msg)
        try:
            with urlopen(f"{base_url}/health/ready", timeout=REQUEST_SECONDS):  # noqa: S310
                return
        except (URLError, OSError):
            time.sleep(POLL_SECONDS)
    msg = f"the service is not ready after {READY_SECONDS:.0f} s; see {log}"
    raise DemoFailed(msg)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _show(settings: Settings, base_url: str) -> None:
    client = Client(base_url, fresh_token(settings, OWNER, TOKEN_LIFETIME))
    manifest, folder = _do(client, settings, EXAMPLE, "Exporting")
    _print_rows(folder / manifest["files"][0]["name"], manifest["rows"])
    manifest, folder = _do(client, settings, REPORT, "Reporting")
    files = ", ".join(file["name"] for file in manifest["files"])
    click.echo(f"\nA report on December 2025 ({files}).")
    click.echo(f"Open it in a browser: {_shown(folder / PAGE)}")
    click.echo('"make up" keeps the service running, with Dagster\'s UI.')


def _do(
    client: Client, settings: Settings, body: Mapping[str, Any], doing: str
) -> tuple[Mapping[str, Any], Path]:
    """Submit a task, follow it, download its files: their manifest, and where they lie."""
    click.echo(f"\nPOST /api/v1/workers/\n{json.dumps(body, indent=2)}\n")
    task = client.call("POST", "/api/v1/workers/", body)
    click.echo(f"Task {task['id']} is {task['status']}.")
    _follow(client, task["id"], doing)
    manifest = client.call("GET", f"/api/v1/workers/{task['id']}/result/")
    folder = settings.home / "downloads" / str(task["id"])
    for file in manifest["files"]:
        _download(client, file, folder)
    return manifest, folder


def _follow(client: Client, task_id: int, doing: str) -> None:
    """Show a bar until the task is completed."""
    deadline = time.monotonic() + TASK_SECONDS
    with tqdm(desc=doing, unit=" rows", file=sys.stdout, mininterval=0, ascii=" =") as bar:
        while time.monotonic() < deadline:
            status = client.call("GET", f"/api/v1/workers/{task_id}/status/")
            bar.total = status["progress"]["total"]
            bar.update(status["progress"]["processed"] - bar.n)
            if status["status"] == "completed":
                return
            if status["status"] in {"failed", "cancelled"}:
                msg = f"the task is {status['status']}: {status['error']}"
                raise DemoFailed(msg)
            time.sleep(POLL_SECONDS)
    msg = f"the task is not completed after {TASK_SECONDS:.0f} s"
    raise DemoFailed(msg)


def _download(client: Client, file: Mapping[str, Any], folder: Path) -> None:
    content = client.fetch("GET", file["url"])
    if hashlib.sha256(content).hexdigest() != file["sha256"]:
        msg = f"{file['name']} did not arrive as it was sent"
        raise DemoFailed(msg)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file["name"]).write_bytes(content)


def _print_rows(path: Path, rows: int) -> None:
    import pandas as pd  # noqa: PLC0415 - not before there is something to show

    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    with pd.option_context("display.width", 120, "display.max_columns", None):
        click.echo(f"\n{frame.head(SHOWN_ROWS).to_string(index=False)}")
    click.echo(f"\n{rows} rows, {path.stat().st_size} bytes: {_shown(path)}")


def _shown(path: Path) -> str:
    """``path`` as it is shortest to type."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
