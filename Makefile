# One command on a machine with git, make and Python 3.11 or newer: `make test` or `make demo`.
# PY=python3.12 picks the Python, VENV=… the place of the environment, ARGS="-k name" goes to pytest, WORKERS=1 is how
# many processes it has.
VENV ?= .venv
PY ?=
ARGS ?=
B := $(VENV)/bin
CPUS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# processes of pytest: half of the time of a test is waiting, for a server or for a process that it has started
WORKERS ?= $(shell expr $(CPUS) + 2)
# each begins with tests that lie side by side, and so starts the servers of fewer files; who is done takes from others
TESTS := -m pytest -n $(WORKERS) --dist worksteal
DEMO := "$(B)/etlctl" build Day MonthlyReport --date 2013-01-01..2013-01-31 --month 2013-01
# tests may leave functions without annotations; what is annotated is checked as strictly as etlctl itself
LENIENT := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators \
	--no-check-untyped-defs

# uv then trusts the certificates of the system, as pip does (the second name is that of older versions)
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1

.PHONY: test demo check format lock test-lowest test-long setup torture torture-loop torture-warehouse torture-builders bench

test: setup
	"$(B)/python" $(TESTS) $(ARGS)

demo: setup
	$(DEMO)

check: setup
	"$(B)/ruff" format --check
	"$(B)/ruff" check
	"$(B)/mypy"
	"$(B)/mypy" $(LENIENT) tests tools
	"$(B)/lint-imports" --no-logo

format: setup
	"$(B)/ruff" format
	"$(B)/ruff" check --fix

# the newest versions allowed, and the oldest ones of what users install
lock:
	@PY="$(PY)" sh tools/lock.sh

# the tests that `make test` leaves out, one after the other
test-long: setup
	"$(B)/python" -m pytest -m long $(ARGS)

# the tests once more, with the oldest versions that pyproject.toml promises to work with
test-lowest:
	@VENV=.venv-lowest PY="$(PY)" ALSO=requirements-lowest.lock sh tools/setup.sh
	.venv-lowest/bin/python $(TESTS) $(ARGS)

# the best part of an hour, not part of `make test`: kills, pauses, crashes and cut commits on every database, then
# docs/reliability-figures.md; TORTURE="--only kills --database mysql --seed 7" runs a part
torture: setup
	"$(B)/python" tests/torture/run.py $(TORTURE)

# a quarter of an hour: the demo's way through a warehouse, 200 builds killed with a load or an upload open
torture-warehouse: setup
	"$(B)/python" tests/torture/warehouse.py $(TORTURE)
	"$(B)/python" tests/torture/warehouse.py --control

# half an hour: 200 loops are ended wherever they are, four of them share 200 turns and are killed, one takes 11,000 empty
# turns; each with its controls, and with its section of docs/reliability-figures.md
torture-loop: setup
	"$(B)/python" tests/torture/loop_ends.py $(TORTURE)
	"$(B)/python" tests/torture/loops.py
	"$(B)/python" tests/torture/loop_turns.py

# a quarter of an hour: ten builders of one graph at once, then 100 rounds in which they are killed and stopped
torture-builders: setup
	"$(B)/python" tests/torture/builders.py $(TORTURE)
	"$(B)/python" tests/torture/builders.py --control

# minutes too; some compare with doit and luigi, which are installed in a temporary folder
bench: setup
	"$(B)/python" tools/bench_graph.py
	"$(B)/python" tools/bench_start.py
	"$(B)/python" tools/bench_load.py
	"$(B)/python" tools/bench_markers.py
	"$(B)/python" tools/bench_postgres.py
	"$(B)/python" tools/bench_workers.py

setup:
	@VENV="$(VENV)" PY="$(PY)" sh tools/setup.sh
