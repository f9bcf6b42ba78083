# `make demo` and `make test` are all that a fresh machine with Python >= 3.11 needs: they make the venv and install everything.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One Python of each minor version that this machine has, for `make test-all`; paths without their leading slash.
PYTHONS = $(shell for p in $(PYTHON) python3.11 python3.12 python3.13 python3.14 $$HOME/.pyenv/versions/*/bin/python3; do \
  "$$p" -c 'import sys; v = sys.version_info; v >= (3, 11) and print("%d.%d" % v[:2], sys.executable[1:])' 2>/dev/null; \
  done | sort -u -k1,1 | cut -d" " -f2)

# What is installed: what the lock says; or, where this says `highest` or `lowest-direct`, what pyproject.toml allows.
RESOLUTION ?=
REQUIREMENTS := $(if $(RESOLUTION),--requirement $(VENV)/requirements.txt,--require-hashes --requirement lock.txt)
# Everything that development needs, resolved by uv; it names no index, so that each machine uses its own.
COMPILE = $(VENV)/bin/uv pip compile --quiet --no-header
LOCKED = --universal --generate-hashes --python-version 3.11
RESOLVE = $(COMPILE) --extra node --extra client --extra embedded --extra testing \
  --extra avro --extra otel --extra parquet --extra postgres --extra protobuf --extra websocket --extra zstd \
  --group test --group browser --group lint --group bench --group build

IMAGE_EXTRAS := node avro otel postgres protobuf websocket zstd

.PHONY: demo test lint pytest test-all test-slow bench docs format clean lock
demo: $(READY)
	@$(BIN)/projection demo

test: lint pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything, 75 minutes together on two cores: the tests under each Python at hand, the oldest with the oldest libraries
# that pyproject.toml allows, the newest with the newest, those between (or else the oldest) with those of the lock; then
# the long suites, and the property tests with more examples. One seed for all, so that what a sample leaves out is long.
test-all: export SAMPLE_SEED := $(or $(SAMPLE_SEED),$(shell date +%s))
test-all: OLDEST = $(firstword $(PYTHONS))
test-all: NEWEST = $(lastword $(PYTHONS))
test-all: lint
	$(MAKE) VENV=.venv/lowest-direct RESOLUTION=lowest-direct PYTHON=/$(OLDEST) pytest
	for python in $(or $(filter-out $(OLDEST) $(NEWEST),$(PYTHONS)),$(OLDEST)); do \
	  $(MAKE) VENV=.venv/under-$$(echo $$python | tr / _) PYTHON=/$$python pytest || exit 1; done
	$(MAKE) VENV=.venv/highest RESOLUTION=highest PYTHON=/$(NEWEST) pytest
	$(BIN)/pytest -n 2 --dist worksteal -rP -m "long or property" --hypothesis-seed=$$SAMPLE_SEED

pytest: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal -m "not long"

# The tests as on a machine that is slow and busy, by a quota that root may set (tests/slow_machine.py).
test-slow: $(READY)
	$(BIN)/python tests/slow_machine.py 0.67 $(BIN)/pytest -n 2 --dist worksteal -m "not long"

bench: $(READY)
	@$(BIN)/python -m benchmarks

# The pages as a site, in build/docs/site.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python tests/docs/docs_site.py build/docs
	$(BIN)/zensical build --strict --clean --config-file build/docs/zensical.toml
	@echo "to read them: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs/site"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The lock anew: the newest versions that pyproject.toml allows, for every supported Python and platform; and out of it,
# what is in the image of deploy/Dockerfile, and what that is built by.
lock:
	@test -n "$(PYTHON)" && $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv
	$(RESOLVE) $(LOCKED) --upgrade --output-file lock.txt pyproject.toml
	$(COMPILE) $(LOCKED) --no-annotate --constraint lock.txt $(addprefix --extra ,$(IMAGE_EXTRAS)) \
	  --output-file deploy/lock/image.txt pyproject.toml
	printf 'hatchling\nlark\nsetuptools\n' | $(COMPILE) $(LOCKED) --no-annotate --allow-unsafe --constraint lock.txt \
	  --output-file deploy/lock/build.txt -

$(READY): pyproject.toml lock.txt hatch_build.py grammar/projection.lark
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found on PATH. Set PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(if $(RESOLUTION),$(BIN)/python -m pip install --quiet uv)
	$(if $(RESOLUTION),$(RESOLVE) --resolution $(RESOLUTION) --output-file $(VENV)/requirements.txt pyproject.toml)
	$(BIN)/python -m pip install --quiet $(REQUIREMENTS)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
