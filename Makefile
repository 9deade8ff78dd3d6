# The two commands a newcomer needs: make demo, make test. `make help` lists all.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two stamps: the demo needs no test tools, so a newcomer's first minute is shorter.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check format bench hil soak clean

help:
	@echo "make demo    a virtual RS-485 bus, an agent and a centre, live in the terminal"
	@echo "make test    the whole test suite"
	@echo "make check   format, lint, types, floors, docs: seconds"
	@echo "make bench   measure against the physical limits and against other libraries"
	@echo "make soak    the long forms of the loss, power-cut and fault tests: hours"
	@echo "make hil     the bench: real processes, real proxies, every fault, and what drops says"
	@echo "make format  rewrite the code as make check wants it"
	@echo "make clean   remove the virtualenv and build products"
	@echo "Another Python: make PYTHON=python3.13 VENV=.venv-313 test"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[demo]'
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(RUN)

demo: $(RUN)
	@$(BIN)/gateway demo

check: $(DEV)
	$(BIN)/ruff format --check gateway hil tests
	$(BIN)/ruff check gateway hil tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_docs.py

format: $(DEV)
	$(BIN)/ruff format gateway hil tests
	$(BIN)/ruff check --fix gateway hil tests

test: $(DEV)
	$(BIN)/python -m pytest -q

bench: $(DEV)
	$(BIN)/python -m tests.bench

soak: $(DEV)
	$(BIN)/python -m tests.soak

hil: $(DEV)
	$(BIN)/python -m hil all

clean:
	rm -rf $(VENV) build dist
