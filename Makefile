# Squall.  `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# Without its cache of compiled modules, every task and trial would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up down status nightly kill-matrix airflow-kills test check static format unit integration system lock schemas screenshots clean

help: ## Show this list
	@grep -hE '^[a-z%_-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | column -ts "$$(printf '\t')"

setup: ## Set up the virtual environment from the lock (once; then it is a matter of milliseconds)
	@$(PYTHON) scripts/setup.py

up: setup ## Start the embedded servers, Airflow and MLflow, and leave them running
	@$(BIN)/squall up

down: ## Revert what is still in, then stop everything
	@$(BIN)/squall down

status: setup ## Show what runs and what is open
	@$(BIN)/squall status

nightly: setup ## Run one night of chaos on the reference pipeline, and show its first screen
	@$(BIN)/squall night

test: setup ## All tests: unit and conformance on every core, then integration (real servers) and system (real Airflow)
	@$(PYTEST) tests/unit tests/conformance -n auto; alone=$$?; \
	  $(PYTEST) tests --ignore tests/unit --ignore tests/conformance && exit $$alone

check: setup static unit ## Format, lint, types, import contracts, unit and conformance tests

static:
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/squall schema --check --out schemas
	@$(BIN)/python scripts/generate_docs.py --check
	@$(BIN)/python scripts/readme.py --check

format: setup ## Format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

unit: setup
	@$(PYTEST) tests/unit tests/conformance -q -n auto

integration: setup ## Tests against the real embedded servers
	@$(PYTEST) tests/integration

system: setup ## Tests under the real scheduler
	@$(PYTEST) tests/system

cluster-test: setup ## Shipped experiments of each family, a dead machine and a killed task on Celery: three machines that share no folder and no process table (about ten minutes)
	@$(PYTEST) tests/cluster tests/integration/test_carrying.py

live-tests: setup ## What takes many minutes: approvals, more kills under real schedulers, more rival processes of one run
	@$(PYTEST) tests -m live

bench-%: setup ## Measure: bench-nightly, bench-parse, bench-ledger, bench-faults_data, bench-stream_relay, bench-verdicts, bench-blind, bench-few_pairs, bench-nights, bench-score_rules, bench-gates, bench-redeciding, bench-audit, bench-fencing, bench-scale, bench-sparse, bench-formats, bench-ci_cache
	@$(BIN)/python -m benchmarks.$*

kill-matrix: setup ## Kill the run of every fault at every point, and write docs/kill-matrix.md (about two hours on two cores)
	@$(BIN)/python -m tests.kill_matrix --workers 2 --quiet --write

airflow-kills: setup ## Kill, mark, clear, pause and restart under the real scheduler, and write docs/airflow-kills.md (half an hour)
	@$(BIN)/python -m tests.airflow_kills --write

bench-judging: setup .venv-bench/ready ## Measure fairness intervals and drift checks beside fairlearn, evidently and scipy
	@$(BIN)/python -m benchmarks.judging --opponents .venv-bench/bin/python

bench-kills_beside: setup .venv-bench/ready ## Count what the same kills leave behind: Chaos Toolkit beside Squall
	@$(BIN)/python -m benchmarks.kills_beside --opponents .venv-bench/bin/python

.venv-bench/ready: requirements/bench.txt | setup
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-bench
	@$(BIN)/uv pip sync -q --python .venv-bench/bin/python requirements/bench.txt
	@touch $@

audit-oracles: setup .venv-oracles/ready ## Hold the evidence against independent implementations: compliance-trestle, pymerkle, securesystemslib
	@SQUALL_ORACLES=$(CURDIR)/.venv-oracles/bin/python $(PYTEST) tests/oracles

.venv-oracles/ready: requirements/oracles.txt | setup
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .venv-oracles
	@$(BIN)/uv pip sync -q --python .venv-oracles/bin/python requirements/oracles.txt
	@touch $@

lock: setup ## Resolve the dependencies again
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q pyproject.toml --extra airflow --extra celery --extra lab --extra telemetry --extra pdf --extra dev \
	  -c requirements/constraints.txt --python-version 3.11 --universal --generate-hashes -o requirements/lock.txt
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q requirements/oracles.in --python-version 3.11 --universal \
	  --generate-hashes -o requirements/oracles.txt
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q requirements/bench.in --python-version 3.11 --universal \
	  --generate-hashes -o requirements/bench.txt
	@echo 'uv==0.13.9' | UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile -q - --python-version 3.11 \
	  --universal --generate-hashes -o requirements/bootstrap.txt

schemas: setup ## Generate the JSON Schemas, the pages of faults, probes and fields, and the quotes of the README
	@$(BIN)/squall schema --out schemas
	@$(BIN)/python scripts/generate_docs.py
	@$(BIN)/python scripts/readme.py

screenshots: setup ## Take the README's pictures from the running stack (after `make up` and a night)
	@$(BIN)/python scripts/screenshots.py

clean: down ## Stop everything and delete the embedded servers' data
	@rm -rf .squall
