"""Stock Dagster as a stack to measure.

Code server, daemon and web server on PostgreSQL, with the launcher, the executor and the queue
that Dagster has by default; runs are launched and watched over GraphQL.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import URL

from benchmarks.starts import NotDone, Submitted
from benchmarks.stock.definitions import JOB
from tests.support.service import free_port
from tests.support.waiting import eventually

LOCATION = "stock"
START_SECONDS = 90
STOP_SECONDS = 20
REQUEST_SECONDS = 60.0
LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }
"""
SELECTOR = {
    "repositoryLocationName": LOCATION,
    "repositoryName": "__repository__",
    "jobName": JOB,
}


class StockClient:
    """A client of Dagster's GraphQL."""

    def __init__(self, url: str, results: Path) -> None:
        self._http = httpx.Client(base_url=url, timeout=REQUEST_SECONDS)
        self._results = results

    def submit(self) -> Submitted:
        """Launch a run of the job."""
        launched = self._ask(LAUNCH, {"selector": SELECTOR})["launchRun"]
        if "run" not in launched:
            raise NotDone(launched["__typename"])
        run_id = launched["run"]["runId"]
        return Submitted(run_id, run_id)

    def is_done(self, submitted: Submitted) -> bool:
        """Whether the run has succeeded; its file is there then."""
        status = self._ask(STATUS, {"id": submitted.run_id})["runOrError"]["status"]
        if status in {"FAILURE", "CANCELED"}:
            msg = f"run {submitted.run_id} ended as {status}"
            raise NotDone(msg)
        return status == "SUCCESS" and (self._results / f"{submitted.run_id}.parquet").exists()

    def is_loaded(self) -> bool:
        """Whether web server and code server have found each other."""
        try:
            entries = self._ask(LOADED, {})["workspaceOrError"]["locationEntries"]
        except httpx.TransportError:
            return False
        loaded = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
        return loaded == ["RepositoryLocation"]

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._http.post("/graphql", json={"query": query, "variables": variables})
        if answer.status_code != HTTPStatus.OK:
            raise NotDone(answer.text)
        return dict(answer.json()["data"])

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class StockStack:
    """Dagster's three processes."""

    poll_seconds = 0.1
    burst_poll_seconds = 0.5
    longest_pause_seconds = 5.0

    def __init__(self, folder: Path, state: URL, source: URL) -> None:
        self.state = state
        self._home = folder / "stock"
        self._results = self._home / "results"
        self._results.mkdir(parents=True)
        self._web_port, self._code_port = free_port(), free_port()
        self._environment = {
            **os.environ,
            "DAGSTER_HOME": str(self._home),
            "STOCK_SOURCE_URL": source.render_as_string(hide_password=False),
            "STOCK_RESULTS": str(self._results),
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them, until the web server has loaded the job."""
        (self._home / "dagster.yaml").write_text(json.dumps(self._instance()))  # JSON is YAML
        workspace = self._home / "workspace.yaml"
        workspace.write_text(json.dumps(self._workspace()))
        host = ("--host", "127.0.0.1")
        server = ("dagster", "api", "grpc", "-m", "benchmarks.stock.definitions")
        self._run(*server, *host, "--port", str(self._code_port), "--location-name", LOCATION)
        eventually(self._code_server_listens, within=START_SECONDS)
        web = ("dagster_webserver", "--workspace", str(workspace))
        self._run(*web, *host, "--port", str(self._web_port))
        client = self.client(0)
        eventually(client.is_loaded, within=START_SECONDS)
        client.close()
        # Not before: both would make the tables.
        self._run("dagster._daemon", "run", "--workspace", str(workspace))

    def _instance(self) -> dict[str, Any]:
        state = self.state.render_as_string(hide_password=False)
        return {
            "storage": {"postgres": {"postgres_url": state}},
            "run_coordinator": {
                "module": "dagster.core.run_coordinator",
                "class": "QueuedRunCoordinator",
            },
            "telemetry": {"enabled": False},
        }

    def _workspace(self) -> dict[str, Any]:
        server = {"host": "127.0.0.1", "port": self._code_port, "location_name": LOCATION}
        return {"load_from": [{"grpc_server": server}]}

    def _run(self, *command: str) -> None:
        with (self._home / "stock.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )
            )

    def _code_server_listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._code_port), 1):
            return True
        return False

    def client(self, _number: int) -> StockClient:
        """A client; stock Dagster knows no owners."""
        return StockClient(f"http://127.0.0.1:{self._web_port}", self._results)

    def began(self, run_id: str) -> float:
        """When the asset's code began, as it wrote down itself."""
        return float((self._results / f"{run_id}.began").read_text())

    def processes(self) -> list[psutil.Process]:
        """The three, and those that they started."""
        found = []
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                top = psutil.Process(process.pid)
                found += [top, *top.children(recursive=True)]
        return found

    def stop(self) -> None:
        """End them, and every run."""
        left = self.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(left, STOP_SECONDS)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self._processes:
            started.wait()


@contextmanager
def running_stock(folder: Path, state: URL, source: URL) -> Iterator[StockStack]:
    """Stock Dagster, while inside; no process of it is left afterwards."""
    stack = StockStack(folder, state, source)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
