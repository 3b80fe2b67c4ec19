# Everything a newcomer and CI call. Needs Python 3.11+, make and pip, nothing else.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
DATA ?=

.PHONY: help setup demo up test interop check protos docs format lock bench clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(READY)  ## install everything into .venv; seconds when nothing changed

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Framehouse needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## import, measure and export a sample dataset (DATA=path takes your own)
	@$(BIN)/python -m tests.demo $(DATA)

up: $(READY)  ## start the suite on this machine
	@$(BIN)/framehouse up

test: $(READY)  ## unit, service and end-to-end tests on the real stack
	$(BIN)/pytest -n 2 --dist loadfile

interop: $(READY)  ## open what is written in the tools that own the formats
	$(BIN)/pytest tests/interop

check: $(READY)  ## format, lint, types, contracts, imports, manifests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/stubs.py --check
	$(BIN)/python deploy/check.py
	$(BIN)/python -m services.conversion.page --check

protos: $(READY)  ## generate the stubs from the contracts
	$(BIN)/python protos/stubs.py

docs: $(READY)  ## make docs/formats.md from the formats
	$(BIN)/python -m services.conversion.page

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## pin the newest versions of everything in requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-annotate --no-header pyproject.toml -o requirements.lock --upgrade

bench: $(READY)  ## measure against the floors and the peers
	$(BIN)/python -m tests.benchmarks

clean:  ## remove what the other targets made
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
