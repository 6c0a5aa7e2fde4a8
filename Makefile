# Every target makes the virtual environment it needs; a fresh machine wants only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROOMS := engine broker connectors apps
ARGS ?=
SECONDS ?= 60
PIP_INSTALL = .ci/again $(BIN)/pip install --quiet

.PHONY: demo test lint format compat fuzz bench docs clean

demo: $(VENV)/installed  ## real flights through the broker, windows and a join, into SQLite
	$(BIN)/ottla flights $(ARGS)

test: $(VENV)/installed-dev  ## the default tests: nothing but the package index is needed
	$(BIN)/pytest --numprocesses 4 $(ARGS)

lint: $(VENV)/installed-dev  ## ruff and strict mypy over all rooms
	$(BIN)/ruff check $(ROOMS) tests
	$(BIN)/ruff format --check $(ROOMS) tests
	$(BIN)/mypy

compat: $(VENV)/installed-compat  ## real clients and peers, which it installs by name
	PYTHON=$(BIN)/python tests/compat/install
	OTTLA_KAFKA_CLASSPATH="$(CURDIR)/.compat/kafka/*" $(BIN)/pytest tests/compat $(ARGS)

fuzz: $(VENV)/installed-dev  ## every decoder, the log and a whole broker against bent bytes, SECONDS=60 for each kind
	OTTLA_FUZZ_SECONDS=$(SECONDS) $(BIN)/pytest tests/fuzz --timeout 0 --show-capture no -rP $(ARGS)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix $(ROOMS) tests
	$(BIN)/ruff format $(ROOMS) tests

bench: $(VENV)/installed
	$(BIN)/ottla bench $(ARGS)

docs: $(VENV)/installed-docs
	$(BIN)/mkdocs build --strict

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ottla needs Python 3.11 or newer; say which with make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/installed-%: pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --editable '.[$*]'
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis site dist
