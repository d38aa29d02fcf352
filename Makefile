# `make perf` judges a gateway, `make test` tests perfgate itself; each sets up what it needs.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: perf test lint venv requirements clean

perf: venv
	$(BIN)/pytest tests/perf $(ARGS)

test: venv
	$(BIN)/pytest tests/harness -n auto $(ARGS)

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/actionlint -shellcheck= -pyflakes=
	$(BIN)/zizmor --offline --quiet .

venv: .venv/.complete

# uv comes first, by hash, through pip; everything else comes through uv, by hash. --compile-bytecode: uv does not by
# itself, and a generator or mock that compiles while it is measured is measured wrong.
.venv/.complete: requirements-uv.txt requirements.txt pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.txt
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

# The pins, made anew from pyproject.toml; the form names no host.
requirements: venv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --extra dev pyproject.toml --output-file requirements.txt $(ARGS)

clean:
	rm -rf .venv
