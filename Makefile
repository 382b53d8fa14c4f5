# make demo and make test set everything up by themselves; the other targets do too.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Every process of a search, and there are hundreds in the tests, would compile what it imports:
# 3.6 s of processor time for LightGBM alone, 1.1 s with byte code.
# pip would compile all that is installed, most of which nothing imports, in one process: 40 to 60 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test quick check style types structure doctests bench bench-quality bench-search bench-compress bench-serve chaos chaos-search chaos-serve fuzz clean

help:
	@echo "make setup   make .venv alone"
	@echo "make demo    set up, then the worked example end to end (about 2 minutes)"
	@echo "make test    set up, then every check and all tests but the longest"
	@echo "make quick   set up, then the quick tests, without Ray (about a minute)"
	@echo "make check   ruff, mypy and the architecture tests"
	@echo "make fuzz    the property tests on examples that no run has seen"
	@echo "make bench   measures against the field; make chaos kills things on purpose,"
	@echo "             and runs the longest tests"
	@echo "make bench-search, make chaos-search   the same for the search alone"
	@echo "make bench-serve, make chaos-serve     the same for serving alone"
	@echo "make bench-compress    how small and fast compression makes models, and runs"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
	  { [ -x $(BIN)/python ] || uv venv -q --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; } && \
	  uv pip install -q --compile-bytecode -p $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  { [ -x $(BIN)/python ] || $(PYTHON) -m venv .venv; } && \
	  $(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt \
	    -e '.[dev]'; \
	fi
	@$(BIN)/python -m raymm.bundle.machine_code
	@touch $@

demo: setup
	$(BIN)/raymm demo

check: style types structure

style: setup
	$(BIN)/ruff check raymm jobs tests
	$(BIN)/ruff format --check raymm jobs tests

types: setup
	$(BIN)/mypy

structure: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal tests/architecture

doctests: setup
	$(BIN)/python -m pytest -q --doctest-modules raymm

# Threads of linear algebra in two processes on two cores wait for each other: a third of the time.
# Where tests ask for two threads, these are to sleep while they wait: else 113 s instead of 5 beside
# other work.
test quick fuzz chaos: export OMP_WAIT_POLICY := passive

# The architecture is looked at by `structure`.
quick: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --ignore tests/architecture \
	  -m "not ray and not slow and not long and not chaos" tests

# mypy is one process beside two. Ray's tests wait for much: the slow ones beside them take what is
# left of the processors. Reading every file for the few that need Ray would take 20 s more.
test: style structure
	@$(MAKE) --no-print-directory -j 3 types quick doctests
	@log=$$(mktemp); OMP_NUM_THREADS=1 $(BIN)/python tests/beside.py $(BIN)/python -m pytest -q \
	  -n 2 --dist worksteal -m "slow and not ray and not long and not chaos" tests >"$$log" 2>&1 & \
	slow=$$!; trap 'exit 130' INT TERM; \
	trap '[ -z "$$slow" ] || kill -- -$$slow 2>/dev/null; rm -f "$$log"' EXIT; \
	$(BIN)/python -m pytest -q -m "ray and not long and not chaos" \
	  $$(grep -lr --include='test_*.py' 'mark\.ray' tests); ray=$$?; \
	wait $$slow; status=$$?; slow=; cat "$$log"; [ $$ray = 0 ] && exit $$status

# The property tests on examples that no run has seen.
fuzz: setup
	RAYMM_HYPOTHESIS=fuzz OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal \
	  -m "hypothesis and not ray and not chaos" tests

# What the benchmarks compare with; the tests do without.
.venv/peers: .venv/ready
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install -q --compile-bytecode -p $(BIN)/python -c constraints.txt -e '.[dev,bench]'; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'; \
	fi
	@touch $@

# A bench ends with 3 where it kept all that it could judge here; it says what it did not judge.
bench: .venv/peers
	@status=0; for file in tests/benchmarks/bench_*.py; do \
	  echo "== $$file"; $(BIN)/python "$$file" || [ $$? = 3 ] || status=1; done; exit $$status

# Peers whose pins differ from raymm's live in an environment of their own.
.venv-quality/ready:
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv-quality && \
	  uv pip install -q -p .venv-quality/bin/python pip; \
	else $(PYTHON) -m venv .venv-quality; fi
	@.venv-quality/bin/python -m pip install -q --disable-pip-version-check \
	  -r tests/benchmarks/quality_peers.txt
	@touch $@

bench-quality: setup .venv-quality/ready
	$(BIN)/python tests/benchmarks/bench_quality.py

bench-search: .venv/peers
	@status=0; for name in search gp fidelity architecture pbt pareto tune; do \
	  file=tests/benchmarks/bench_$$name.py; \
	  echo "== $$file"; $(BIN)/python "$$file" || status=1; done; exit $$status

bench-compress: setup
	@status=0; for name in compress size; do file=tests/benchmarks/bench_$$name.py; \
	  echo "== $$file"; $(BIN)/python "$$file" || status=1; done; exit $$status

chaos: setup
	$(BIN)/python -m pytest -q -m "chaos or long" tests

# Drivers killed with workers of their own and with Ray's, files cut, workers killed.
chaos-search: setup
	RAYMM_CHAOS=$${RAYMM_CHAOS:-200} $(BIN)/python -m pytest -q --timeout 7200 \
	  tests/search/test_kills.py tests/search/test_kills_on_ray.py
	RAYMM_CHAOS=$${RAYMM_CHAOS:-200} $(BIN)/python -m pytest -q -m chaos tests/search/test_tune.py

bench-serve: .venv/peers
	@status=0; for name in serve batch bulk malformed monitor loop; do file=tests/benchmarks/bench_$$name.py; \
	  echo "== $$file"; $(BIN)/python "$$file" || [ $$? = 3 ] || status=1; done; exit $$status

# Promotions, bad versions, killed replicas and ten times the load, on a real Ray Serve.
chaos-serve: setup
	$(BIN)/python tests/benchmarks/chaos_serve.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache
