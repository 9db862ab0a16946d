"""The benchmark of the API runs, and its clients notice what is wrong."""

import json
import subprocess
import sys

import pytest
from sqlalchemy import URL

from benchmarks.load import Load
from tests.api.support import TASKS, Api


def test_benchmark_tells_its_figures(postgres_server: URL) -> None:
    command = [sys.executable, "-m", "benchmarks.api", "--json", "--tasks", "2000"]
    command += ["--rounds", "1", "--seconds", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert list(told) == ["post", "status", "detail", "list"]
    for figures in told.values():
        assert figures["rps"] > 0
        assert figures["p99_ms"] > 0


@pytest.mark.parametrize(
    ("status", "expected"), [(201, {"count": 0}), (200, {"count": 1}), (200, {"unknown": None})]
)
def test_clients_notice_a_wrong_answer(
    sqlite_api: Api, status: int, expected: dict[str, int | None]
) -> None:
    token = sqlite_api.tokens.create("alice")
    ask = f"GET {TASKS} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n\r\n"
    load = Load(sqlite_api.port, [[(ask, expected)]], status, warm_up=0, seconds=5)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(vars(load)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "WrongAnswer" in done.stderr
