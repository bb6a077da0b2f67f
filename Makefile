# Two commands do everything on a fresh machine with Python >= 3.11: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run run-kafka test faults mutation check format schemas benchmarks clean

run: $(VENV)/.installed-dev        ## everything on a laptop: broker, journal, sample traffic, live view
	$(BIN)/paymux dev $(ARGS)

run-kafka: $(VENV)/.installed-kafka ## the same on a real Apache Kafka that it starts itself
	$(BIN)/paymux dev --kafka $(ARGS)

test: $(VENV)/.installed-test      ## every test, real Apache Kafka included
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder $(ARGS)

faults: $(VENV)/.installed-test    ## break everything, with a seed that is printed; ARGS="--long" for hours of it
	$(BIN)/python -m faults $(ARGS)

mutation: $(VENV)/.installed-test $(VENV)/.installed-mutation ## do the tests notice a change? ARGS="paymux.relay.*" for one module
	$(BIN)/python -m mutmut run $(ARGS)
	$(BIN)/python -m mutmut results

check: $(VENV)/.installed-test     ## format, lint, types, import contracts
	$(BIN)/ruff format --check src tests benchmarks faults examples
	$(BIN)/ruff check src tests benchmarks faults examples
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff format src tests benchmarks faults examples
	$(BIN)/ruff check --fix src tests benchmarks faults examples

schemas: $(VENV)/.installed-test   ## write schemas/ from canonical.py
	$(BIN)/paymux schemas --write schemas

benchmarks: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

$(VENV)/.installed-%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "paymux needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build dist mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
