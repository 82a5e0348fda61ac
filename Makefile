# Everything runs from a virtual environment, .venv, that the first target makes. Python 3.11 or newer is all it needs.

VENV ?= .venv
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && exit; done; echo python3)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
CORE := $(VENV)/.flowmint-core
DEV := $(VENV)/.flowmint-dev
CODE := src tests benchmarks examples

.PHONY: help demo test check format lint types imports wheel clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/'

demo: $(CORE) ## Balance the built-in simulated data and show the gain
	@$(BIN)/flowmint demo

# A file's tests stay in one process, with what they share; some processes of Ray and of the command line start more.
test: $(DEV) ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: lint types imports wheel test ## Run everything that a change must pass

format: $(DEV) ## Lay the code out and mend what can be mended without thought
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

lint: $(DEV) ## Check style and layout
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(DEV) ## Check types
	$(BIN)/mypy

imports: $(DEV) ## Check that imports point down only
	$(BIN)/lint-imports

wheel: $(DEV) ## Build the wheel and try it in an environment of its own
	scripts/check_wheel.sh $(BIN)/python

clean: ## Remove the environment and what was built
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The last file that venv writes: an interrupted set-up starts again.
$(BIN)/activate:
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "Flowmint needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo 'not there')." \
			"Install it, or name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV), once; this takes some minutes, most of them for torch."
	$(PYTHON) -m venv $(VENV)

$(CORE): $(BIN)/activate pyproject.toml constraints.txt
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation -e '.[detectors]'
	@touch $@

$(DEV): $(CORE)
	$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@
