# Two commands: `make quickstart` and `make test`. Both make .venv first; the second time that is instant.
PYTHON ?= python3
BIN := .venv/bin
# One torch thread a process: more threads on few cores make everything slower.
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test lint types tests clean

quickstart: .venv/.installed
	$(BIN)/python examples/01_quickstart.py

test: lint types tests

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-test
	$(BIN)/mypy

tests: .venv/.installed-test
	$(BIN)/pytest -n 2 --dist loadgroup

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e '.[test]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
