"""The processes that make up the service, and how each is started."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from resources.logs import dagster_log_level
from resources.settings import CODE_LOCATION, RUNS_SOCKET, Settings
from workers.plan import Part, Plan

# A path to a socket has at most 107 bytes on Linux, 103 elsewhere.
MAX_SOCKET_PATH = 100
# Libraries that start a thread when they are imported: a process that has one cannot be forked.
SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's
}


@dataclass(frozen=True)
class Runtime:
    """Where the parts of one running service meet."""

    settings: Settings
    folder: Path

    @classmethod
    def create(cls, settings: Settings) -> "Runtime":
        """Make the folder, for this user alone: who reaches the code server's socket runs code."""
        folder = settings.home / "run"
        if len(os.fsencode(folder / "code.sock")) > MAX_SOCKET_PATH:
            folder = Path(tempfile.mkdtemp(prefix="workers-"))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        runtime = cls(settings, folder)
        runtime.socket.unlink(missing_ok=True)
        runtime.workspace.write_text(runtime._workspace_document())
        return runtime

    @property
    def socket(self) -> Path:
        """Where the code server listens."""
        return self.folder / "code.sock"

    @property
    def workspace(self) -> Path:
        """The workspace that points to it."""
        return self.folder / "workspace.yaml"

    def _workspace_document(self) -> str:
        server = {"socket": str(self.socket), "location_name": CODE_LOCATION}
        return json.dumps({"load_from": [{"grpc_server": server}]})  # JSON is YAML

    @property
    def environment(self) -> dict[str, str]:
        """What every part finds in its environment."""
        return {
            **os.environ,
            "WORKERS_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.settings.home),
            "PYTHONUNBUFFERED": "1",
            # What lies in the current folder must not pass for an installed package.
            "PYTHONSAFEPATH": "1",
            **SINGLE_THREADED,
        }

    @property
    def plan(self) -> Plan:
        """What is started in which order, and what is told once it is ready."""
        api_url = f"http://{_reachable(self.settings.api_host)}:{self.settings.api_port}"
        ui_url = f"http://{_reachable(self.settings.ui_host)}:{self.settings.ui_port}"
        return Plan(
            first=[self.code_server, self.api],
            socket=str(self.socket),
            then=[self.daemon, self.ui],
            ready_urls=[f"{api_url}/health/ready", f"{ui_url}/server_info"],
            told=[f"API         {api_url}/api/v1/workers/", f"Dagster UI  {ui_url}/"],
            greeting=Part("greeting", _python("workers.greeting")),
            look=Part("start check", _python("workers.start_check")),
            leftovers=self._leftovers,
        )

    @property
    def _leftovers(self) -> list[str]:
        temporary = self.folder.parent == Path(tempfile.gettempdir())
        folder = [self.folder] if temporary else []
        runs = self.socket.with_name(RUNS_SOCKET)
        return [str(path) for path in (self.socket, runs, self.workspace, *folder)]

    @property
    def code_server(self) -> Part:
        """Serves the job definitions, and starts the processes of runs."""
        return Part(
            "code-server",
            _python(
                "resources.engine.code_server",
                "pipelines.definitions",
                "pipelines.rehearsal",
                str(self.socket),
            ),
        )

    @property
    def api(self) -> Part:
        """The REST API."""
        return Part("api", _python("api"))

    @property
    def daemon(self) -> Part:
        """Dagster's daemon, with the dispatcher in it."""
        return Part("daemon", _python("resources.engine.daemon", str(self.workspace)))

    @property
    def ui(self) -> Part:
        """Dagster's web server."""
        return Part(
            "ui",
            (
                *_python("resources.engine.ui"),
                *("--workspace", str(self.workspace)),
                *("--host", self.settings.ui_host, "--port", str(self.settings.ui_port)),
                *("--dagster-log-level", self._dagster_log_level),
                *("--code-server-log-level", self._dagster_log_level),
                *("--log-level", "warning"),
            ),
        )

    @property
    def _dagster_log_level(self) -> str:
        return dagster_log_level(self.settings.log_level)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _reachable(host: str) -> str:
    """The host in a URL under which this machine reaches what listens on ``host``."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what they are called, no bind
    return local.get(host, f"[{host}]" if ":" in host else host)
