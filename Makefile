# `make quickstart` runs the first example; `make test` runs every check that a change must pass.
# Each target installs what it needs into .venv, which takes minutes once and then nothing.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
# One torch thread a process: more threads on few cores make everything slower.
export OMP_NUM_THREADS ?= 1
# Tests start a hundred processes. Where byte code is not kept, each compiles the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install quickstart test test-fast lint types tests coverage docs site dist clean

quickstart: .venv/.installed
	$(BIN)/python examples/01_quickstart.py

test: lint types tests

# Tests of a file share what is expensive, so that one worker runs all of them. The order of files is
# that of tests/conftest.py.
PYTEST := -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# The inner loop: what takes below a second or two.
test-fast: .venv/.installed-test
	$(BIN)/python $(PYTEST) -m "not slow"

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-test
	$(BIN)/mypy

tests: .venv/.installed-test
	$(BIN)/python $(PYTEST)

# Branch coverage of the package, worker processes included; fails below the figure in pyproject.toml.
coverage: .venv/.installed-test
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The site, in docs/_build/html. Warnings are errors.
docs: .venv/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

# The same without executing the notebooks, which the tests do: a check of references and pages.
site: .venv/.installed-docs
	DOCS_QUICK=1 $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/site

# The wheel and the sdist, in dist/, each installed and tried outside the checkout.
dist: .venv/.installed-test
	.ci/dist $(BIN)/python

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

# What every check needs, in one go. Of 25,000 modules only those that are imported are compiled, at
# their first import: pip would compile all of them, which takes one core two minutes.
install: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --no-compile -e '.[test,docs]'
	touch .venv/.installed .venv/.installed-test .venv/.installed-docs

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.installed-test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e '.[test]'
	touch $@ .venv/.installed

.venv/.installed-docs: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet -e '.[docs]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv build dist docs/_build docs/notebooks docs/gallery .coverage*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
