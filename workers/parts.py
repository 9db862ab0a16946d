"""The processes that make up the service, and how each is started."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.logs import dagster_log_level
from resources.settings import CODE_LOCATION, Settings

# A path to a socket has at most 107 bytes on Linux, 103 elsewhere.
MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class Part:
    """One process of the service."""

    name: str
    command: Sequence[str]


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
    def environment(self) -> Mapping[str, str]:
        """What every part finds in its environment."""
        return {
            **os.environ,
            "WORKERS_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.settings.home),
            "PYTHONUNBUFFERED": "1",
            # What lies in the current folder must not pass for an installed package.
            "PYTHONSAFEPATH": "1",
        }

    def close(self) -> None:
        """Remove what only a running service needs."""
        self.socket.unlink(missing_ok=True)
        self.workspace.unlink(missing_ok=True)
        if self.folder.parent == Path(tempfile.gettempdir()):
            self.folder.rmdir()

    @property
    def code_server(self) -> Part:
        """Serves the job definitions, and starts the processes of runs."""
        return Part(
            "code-server",
            (
                *_python("dagster", "api", "grpc"),
                *("--module-name", "pipelines.definitions", "--empty-working-directory"),
                *("--location-name", CODE_LOCATION),
                *("--socket", str(self.socket)),
                *("--log-level", self._dagster_log_level),
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
                *_python("dagster_webserver"),
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
