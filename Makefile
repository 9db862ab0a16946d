# The five verbs, the same by hand and in CI. Each makes .venv when it is missing or out of date.
# Needed: Python 3.11 or newer with venv, and make. No compiler, no root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Wheels alone: nothing is compiled. The lock files name versions and hashes, and no index.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --only-binary :all:
PACKAGES := api pipelines resources workers
# Each has servers and services of its own; tests/conftest.py says which tests stay together.
TEST_PROCESSES ?= 2

.PHONY: help install lint check test test-faults bench coverage up demo format lock clean

help: ## What there is to make
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Install what the service needs into .venv

up: install ## Run the service until Ctrl-C: API on 8000, Dagster's UI on 3000
	@exec $(BIN)/workers up

demo: install ## Export and report on a made-up source over REST, show what came out, and stop
	@exec $(BIN)/python -m workers.demo

lint: $(VENV)/.developing ## Style, and what a linter finds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: $(VENV)/.developing ## Types
	$(BIN)/mypy

test: $(VENV)/.developing ## All tests but the slow fault tests, with the real processes
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder -m "not faults" $(ARGS)

test-faults: $(VENV)/.developing ## The slow fault tests: processes crash, databases go away, memory is measured
	$(BIN)/python -m pytest -m faults $(ARGS)

bench: $(VENV)/.developing ## All measurements: exports, memory, analyses, starts beside stock Dagster, the API
	$(BIN)/python -m benchmarks.exports $(ARGS)
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.api

# Apart from the tests: being traced makes every process of the service half as slow again.
coverage: $(VENV)/.developing ## All tests, and the branch coverage of all processes
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

format: $(VENV)/.developing ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.developing ## Write the lock files anew from pyproject.toml
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --output-file requirements-dev.lock

LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --only-binary :all: --no-strip-extras --no-emit-index-url --no-annotate --no-header

clean: ## Remove what was installed and built; .workers, the service's data, stays
	rm -rf $(VENV) *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Installing into $(VENV) ..."
	$(PIP) --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
