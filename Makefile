# One page: what this project can do from a fresh checkout. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name))))
SEEDS ?= 2000
N ?= 20
SUITES ?=
REPEATS ?= 1000
KILLS ?= 500
VENV := .venv
BIN := $(VENV)/bin
# Compiled modules make every start several times faster; some shells forbid them.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH

.PHONY: help venv demo test test-all test-acceptance test-acceptance-more test-others check format reference flakes soak chaos simulate exhaustive bench wheel clean
PYTHON_WILL_DO = "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
NEEDS_PYTHON = "Tailrace needs Python 3.11 or newer, and found $$("$(PYTHON)" --version 2>/dev/null || echo none);" \
  "name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"

help: ## this list
	@$(PYTHON_WILL_DO) || [ -x $(BIN)/python ] || echo $(NEEDS_PYTHON) >&2
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON_WILL_DO) || { echo $(NEEDS_PYTHON) >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.developing: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.installed $@

venv: $(VENV)/.developing ## the virtual environment, with all that development needs

demo: $(VENV)/.installed ## a month of real weather, backfilled before your eyes
	$(BIN)/tailrace demo

test-all: test ## everything that must hold before a push; what needs more than this machine's Python will join it

test: $(VENV)/.developing ## the test suite, PostgreSQL included (under 15 minutes on 2 cores)
	@echo "three parts side by side; each is shown when it has ended, some minutes from now"
	@$(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target test-acceptance test-acceptance-more test-others

# In two parts by name, of about the same length: much of it is waiting for processes.
test-acceptance: $(VENV)/.developing
	$(BIN)/python -m pytest tests/acceptance/execution tests/acceptance/test_[a-i]*.py

test-acceptance-more: $(VENV)/.developing
	$(BIN)/python -m pytest tests/acceptance/test_[j-z]*.py

test-others: $(VENV)/.developing
	$(BIN)/python -m pytest --ignore=tests/acceptance tests

check: $(VENV)/.developing ## format, lint, types, import contracts, fast tests (under a minute)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest tests/unit tests/architecture

format: $(VENV)/.developing ## write the code the way we write it
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

reference: $(VENV)/.developing ## write the pages of docs/ that are made from declarations
	$(BIN)/python docs/write_reference.py

flakes: $(VENV)/.developing ## the suite N (20) times, half of them beside a load, in random order; SUITES="unit simulation"
	$(BIN)/python -m tests.flakes --runs $(N) $(SUITES)

soak: $(VENV)/.developing ## the flaky test of 2016, REPEATS times (1000: within an hour)
	$(BIN)/python -m pytest tests/acceptance/test_soak.py -m soak --soak-repeats=$(REPEATS)

chaos: $(VENV)/.developing ## KILLS (500) of jobs, workers, zygotes, tasks and PostgreSQL on each database; nothing lost
	$(BIN)/python -W ignore -m tests.chaos --kills $(KILLS)

simulate: $(VENV)/.developing ## explore SEEDS simulated histories (2000)
	$(BIN)/tailrace simulate --seeds $(SEEDS)

exhaustive: $(VENV)/.developing ## every interleaving of the thread's world, three preemptions and a crash (two hours)
	$(BIN)/python -m pytest -m soak tests/simulation

bench: $(VENV)/.developing ## every promised figure beside its target and a floor of the same run
	$(BIN)/python -m benchmarks

wheel: $(VENV)/.developing ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what the other targets made
	rm -rf $(VENV) .flakes dist build .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
