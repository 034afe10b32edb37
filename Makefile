# Each target is complete by itself on a machine with Python 3.11, make and git.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test check format bench bench-cluster bench-ssot mutants simulate cluster chaos fuzz audit proof clean

setup: $(STAMP)

$(STAMP): pyproject.toml ssot/pyproject.toml requirements/base.txt requirements/dev.txt requirements/constraints.txt
	$(PYTHON) -m venv $(VENV) 2>/dev/null || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt -c requirements/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e ./ssot
	touch $(STAMP)

# What the tests want of the system; once.
$(VENV)/.system: $(STAMP) requirements/system.sh
	sh requirements/system.sh
	touch $@

demo: setup
	$(BIN)/goldenpath demo

test: setup $(VENV)/.system
	$(BIN)/python -m pytest -n 2 --dist loadfile
	cd ssot && ../$(BIN)/python -m pytest -n 2 --dist worksteal

check: setup $(VENV)/.system
	$(BIN)/ruff format --check src tests benchmarks examples ssot
	$(BIN)/ruff check src tests benchmarks examples ssot
	$(BIN)/pyright
	$(BIN)/pyright --project ssot
	$(BIN)/lint-imports
	$(BIN)/ssot guard
	$(MAKE) audit
	$(MAKE) test

format: setup
	$(BIN)/ruff format src tests benchmarks examples ssot
	$(BIN)/ruff check --fix src tests benchmarks examples ssot

bench: setup
	$(BIN)/python -m benchmarks

bench-cluster: setup
	$(BIN)/python -m benchmarks.cluster

bench-ssot: setup
	$(BIN)/python ssot/benchmarks/speed.py --json ssot/benchmarks/results.json

mutants: setup
	$(BIN)/python -m tests.mutants

SEEDS ?= 1000
FROM ?= 1
simulate: setup
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM)) $(if $(TRACE),--trace) \
		$(if $(PLANTED),--planted) $(if $(MACHINES),--machines $(MACHINES)) $(if $(USERS),--users $(USERS)) $(if $(STEPS),--steps $(STEPS))

cluster: setup
	$(BIN)/python -m goldenpath.testing.cluster $(if $(PORT),--port $(PORT))

MINUTES ?= 10
chaos: setup $(VENV)/.system
	$(BIN)/python -m tests.cluster --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(POSTGRES),--postgres $(POSTGRES))

audit: setup
	$(BIN)/pip-audit --requirement requirements/constraints.txt --no-deps --disable-pip

proof: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/proof.txt -c requirements/constraints.txt
	$(BIN)/python -m tests.proof $(if $(HOURS),--hours $(HOURS))

SECONDS ?= 60
fuzz: setup
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis dist
