"""Ends or stops a process of the service at a named point, once for each time a test asks.

Its folder is put on PYTHONPATH for a service under test, so every Python process of that imports
this, and the product needs no hook of its own. A test asks by a file in the folder
``WORKERS_TEST_CRASHES`` that is named after the point (see `tests.support.crashes`); the process
that gets there first takes the file away, and sends itself the signal that stands in it.
``WORKERS_TEST_CONSTANTS`` gives constants of modules other values, such as smaller parts.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

BEFORE, AFTER = "before", "after"


def _is_success(_storage: Any, _run_id: str, event: Any, *_rest: Any) -> bool:
    return bool(event.event_type_value == "PIPELINE_SUCCESS")


def _is_retry(_storage: Any, run: Any) -> bool:
    return run.parent_run_id is not None


# point: (module, function, before or after it, for which arguments)
POINTS: dict[str, tuple[str, str, str, Callable[..., bool] | None]] = {
    "api.accepted": ("resources.store.tasks", "TaskStore.submit", AFTER, None),
    "dispatcher.created": ("resources.engine.dispatcher", "_create_run", AFTER, None),
    "dispatcher.submitted": ("resources.engine.dispatcher", "hand_over", AFTER, None),
    "tick.created": ("dagster._scheduler.scheduler", "_create_scheduler_run", AFTER, None),
    "retry.created": (
        "resources.engine.storage",
        "_ProjectingRunStorage.add_run",
        AFTER,
        _is_retry,
    ),
    "run.starting": ("dagster._grpc.impl", "core_execute_run", BEFORE, None),
    "run.started": ("pipelines.jobs", "run_task", BEFORE, None),
    "run.chunk": ("pipelines.parts", "PartWriter.write", AFTER, None),
    "run.part": ("pipelines.parts", "PartWriter._finish", AFTER, None),
    "run.manifest": (
        "resources.results.attempt_folder",
        "AttemptFolder.write_manifest",
        AFTER,
        None,
    ),
    "run.chosen": ("resources.archives.store", "ArchiveStore.choose", AFTER, None),
    "run.deleting": ("pipelines.cleanups.deletions", "Batch.delete", AFTER, None),
    "run.deleted": ("pipelines.cleanups.deletions", "Deletion.fence", BEFORE, None),
    "run.published": ("resources.store.attempts", "AttemptStore.publish", AFTER, None),
    "run.last_step": (
        "resources.engine.storage",
        "_ProjectingRunStorage.handle_run_event",
        BEFORE,
        _is_success,
    ),
    "run.succeeded": (
        "resources.engine.storage",
        "_ProjectingRunStorage.handle_run_event",
        AFTER,
        _is_success,
    ),
}


def _is_run() -> bool:
    """Whether this is a run's process, as its name tells."""
    return Path("/proc/self/comm").read_text().strip() == "workers-run"


class _Patcher(importlib.abc.MetaPathFinder):
    """Patches modules as soon as they are imported."""

    def __init__(self, folder: Path, constants: dict[str, Any]) -> None:
        self._folder = folder
        self._constants = constants
        self._hits: dict[str, int] = {}
        self._modules = {module for module, *_ in POINTS.values()}
        self._modules |= {name.rpartition(".")[0] for name in constants}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec, told to patch the module once it has run."""
        if name not in self._modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def run_and_patch(module: ModuleType) -> None:
                run(module)
                self._patch(module)

            loader.exec_module = run_and_patch
        return spec

    def _patch(self, module: ModuleType) -> None:
        for name, value in self._constants.items():
            owner, _, constant = name.rpartition(".")
            if owner == module.__name__:
                getattr(module, constant)  # fails where it is called otherwise by now
                setattr(module, constant, value)
        for point, (owner, function, moment, condition) in POINTS.items():
            if owner == module.__name__:
                self._wrap(module, function, point, moment, condition)

    def _wrap(
        self,
        module: ModuleType,
        function: str,
        point: str,
        moment: str,
        condition: Callable[..., bool] | None,
    ) -> None:
        *outer, name = function.split(".")
        holder: Any = functools.reduce(getattr, outer, module)
        original = getattr(holder, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            here = condition is None or condition(*args, **kwargs)
            if here and moment == BEFORE:
                self._reach(point)
            result = original(*args, **kwargs)
            if here and moment == AFTER:
                self._reach(point)
            return result

        setattr(holder, name, wrapped)

    def _reach(self, point: str) -> None:
        if point.startswith("run.") and not _is_run():  # the code server rehearses a run
            return
        request = self._folder / point
        try:
            wanted = json.loads(request.read_text())
        except FileNotFoundError:
            return
        self._hits[point] = self._hits.get(point, 0) + 1
        if self._hits[point] < wanted["at"]:
            return
        try:
            request.rename(self._folder / f"{point}.{os.getpid()}.taken")
        except FileNotFoundError:
            return  # another process was faster
        os.kill(os.getpid(), getattr(signal, wanted["signal"]))


if "WORKERS_TEST_CRASHES" in os.environ:
    sys.meta_path.insert(
        0,
        _Patcher(
            Path(os.environ["WORKERS_TEST_CRASHES"]),
            json.loads(os.environ.get("WORKERS_TEST_CONSTANTS", "{}")),
        ),
    )
