"""The supervisor, with small parts in place of the service's."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from resources.settings import PROJECT_ROOT

WAIT_SECONDS = 30


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a part writes what it does."""
    return tmp_path / "log"


def supervised(name: str, code: str, log: Path, lines: int) -> subprocess.CompletedProcess[str]:
    """Supervise the part until it has written so many lines, then stop it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.supervise", str(log), str(lines), name, code],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )


def test_a_part_that_ends_is_started_again(log: Path) -> None:
    seen = supervised("brief", f"open({str(log)!r}, 'a').write('started\\n')", log, 2)

    assert "brief ended with code 0; it is started again" in seen.stderr


def test_a_part_is_started_again_though_what_it_started_keeps_its_output_open(log: Path) -> None:
    survivor = "import os, time; os.setsid(); time.sleep(600)"
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {survivor!r}])\n"
        f"open({str(log)!r}, 'a').write('started\\n')"
    )

    seen = supervised("parent", code, log, 2)

    assert "parent ended with code 0; it is started again" in seen.stderr


def test_stopping_ends_parts_that_do_not_listen_and_what_they_started(log: Path) -> None:
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],\n"
        "    start_new_session=True)\n"
        f"open({str(log)!r}, 'w').write(f'{{os.getpid()}}\\n{{child.pid}}\\n')\n"
        "time.sleep(600)"
    )

    supervised("stubborn", stubborn, log, 2)

    pids = [int(line) for line in log.read_text().splitlines()]
    assert len(pids) == 2
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_what_a_part_prints_is_passed_on_under_its_name(log: Path) -> None:
    code = f"import time; print('hello'); open({str(log)!r}, 'w').write('x\\n'); time.sleep(600)"

    seen = supervised(
        "greeter", f"import sys; sys.stdout.reconfigure(line_buffering=True); {code}", log, 1
    )

    assert "greeter | hello" in seen.stderr
