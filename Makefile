# Set-up, demo, tests and site of archsmith: each target needs nothing but python3 (3.10 or newer) and the network for pip.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check lint types unit fast docs install clean
install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: install
	$(BIN)/archsmith search digits --budget "params<=20k" --time 3m

# the type checker has one thread: it runs beside the tests, which leave gaps
test: install lint
	$(MAKE) -j2 types unit

# for daily work: a minute
check: install lint types fast

lint: install
	$(BIN)/ruff check src tests benchmarks examples docs/conf.py
	$(BIN)/ruff format --check src tests benchmarks examples docs/conf.py

types: install
	$(BIN)/mypy

# one thread for each of the two workers: spinning threads that outnumber the cores take each other's time
unit: install
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist worksteal

# what the rest rests on, and what breaks most often; nothing that trains
FAST = tests/_internal tests/space tests/problem tests/predictors tests/feasibility tests/graph tests/run tests/report \
       tests/docs/test_pages.py tests/test_architecture.py tests/test_errors.py tests/test_api.py
fast: install
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(FAST)

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
