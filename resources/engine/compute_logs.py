"""Where what runs print is kept, to be seen in Dagster's UI."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

from resources.engine.unconfigured import Unconfigured
from resources.settings import load_settings

# Where Dagster's own manager keeps them, below its home.
FOLDER = "storage"


class QuietComputeLogManager(Unconfigured, LocalComputeLogManager):
    """Keeps in files what a run prints, and prints it nowhere else.

    Stock starts four processes for each run, two of them Python, which copy the files to the
    terminal as well. That takes more than the run of a small task.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir=str(load_settings().home / FOLDER), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        """Inside, standard output and standard error go into files."""
        out, err = (
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        )
        for path in (out, err):
            ensure_file(path)
        with redirect_to_file(sys.stdout, out), redirect_to_file(sys.stderr, err):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]
