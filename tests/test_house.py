"""What holds for the whole project: who may import whom, and that the docs tell everything."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.definitions import defs
from resources.settings import PROJECT_ROOT, Settings
from resources.task_types import REGISTRY

PACKAGES = ("api", "pipelines", "resources", "workers")


def modules(package: str) -> Iterator[Path]:
    return (PROJECT_ROOT / package).rglob("*.py")


def imports(path: Path) -> set[str]:
    """The names of all modules that ``path`` imports, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("resources", {"api", "pipelines", "workers"}),
        ("api", {"pipelines", "workers", "dagster", "pandas", "pyarrow"}),
        ("pipelines", {"api", "workers", "falcon", "uvicorn"}),
        ("workers", {"api", "pipelines", "dagster"}),
    ],
)
def test_a_package_imports_only_what_it_stands_on(package: str, forbidden: set[str]) -> None:
    found = {
        f"{path.relative_to(PROJECT_ROOT)}: {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in forbidden
    }

    assert found == set()


def test_dagsters_inner_parts_are_imported_in_one_place_alone() -> None:
    found = {
        f"{path.relative_to(PROJECT_ROOT)}: {name}"
        for package in PACKAGES
        for path in modules(package)
        for name in imports(path)
        if name.startswith("dagster._") and path.parent != PROJECT_ROOT / "resources" / "engine"
    }

    assert found == set()


def test_the_api_runs_without_dagster_and_pandas_and_by_default_without_s3() -> None:
    code = (
        "import sys, api.__main__; "
        "print(sorted({'dagster', 'pandas', 'pyarrow', 'numpy', 'obstore'} & sys.modules.keys()))"
    )

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout.strip() == "[]"


def test_the_process_that_supervises_imports_nothing_but_the_standard_library() -> None:
    # What the interpreter loads at its start, such as the finder of this project, is not its doing.
    code = (
        "import sys; before = {*sys.modules}; import workers.supervise; "
        "print(sorted({name.split('.')[0] for name in sys.modules.keys() - before}"
        " - sys.stdlib_module_names))"
    )

    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert seen.stdout.strip() == "['__mp_main__', 'resources', 'workers']"


def test_no_module_of_ours_shadows_a_dependency() -> None:
    """Our top-level names are common words; every dependency must still find its own."""
    locked = (PROJECT_ROOT / "requirements.lock").read_text()
    code = (
        "import importlib.metadata as m\n"
        "names = {n for d in m.distributions() for n in "
        "(d.read_text('top_level.txt') or '').split() if d.name != 'workers'}\n"
        f"print(sorted(names & {set(PACKAGES)!r}))"
    )

    seen = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )

    assert "dagster==" in locked
    assert seen.stdout.strip() == "[]"
    everything = "import dagster_webserver.app, dagster_graphql, gql, falcon, uvicorn, alembic"
    subprocess.run([sys.executable, "-c", everything], cwd=PROJECT_ROOT, check=True)


def test_dagsters_minor_version_is_pinned() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    pins = {spec.split(">=")[0]: spec for spec in project["dependencies"] if "dagster" in spec}

    assert pins["dagster"].endswith(",<1.14")
    assert pins["dagster-webserver"].endswith(",<1.14")
    assert pins["dagster-postgres"].endswith(",<0.30")


def test_every_task_type_has_its_job_and_its_two_modules() -> None:
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    pages = {
        package: {path.stem for path in (PROJECT_ROOT / package).glob("*.py")}
        for package in ("pipelines", "resources/task_types")
    }

    assert jobs == REGISTRY.keys()
    assert pages["pipelines"] >= REGISTRY.keys()
    assert pages["resources/task_types"] >= REGISTRY.keys()


@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_readme_tells_of_every_setting(readme: str, name: str) -> None:
    assert f"`WORKERS_{name.upper()}`" in (PROJECT_ROOT / readme).read_text()


def test_the_lock_files_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (PROJECT_ROOT / name).read_text()
        assert "://" not in text
        assert "--index-url" not in text
