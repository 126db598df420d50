# The developer's surface. `make demo` and `make test` do all the set-up on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VERSIONS ?=
CASES ?=
FILE ?=
BUILT_IN ?= model_store/voxswap_store/built_in_voices
WITH ?=
ONLY ?=
ROUNDS ?=
JUDGES := .judges
SRC := server client model_store proto training tests bench deploy

.PHONY: setup demo test test-all test-system check parity parity-text bench peers screenshots evaluate-builtin dashboards proto lint type imports fmt

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/voxswap demo

# One worker a core, each with one thread: two OpenMP pools on the same cores wait for each other.
TESTS = OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadscope

test: setup
	$(TESTS) -m "not gpu and not slow"

test-all: setup
	$(TESTS) -m "not gpu"

# Installs the Debian packages that these tests drive (as root; else it says which), and skips none of them.
test-system: setup
	$(BIN)/python tests/fixtures/debian.py
	$(TESTS) -m "system and not gpu" --require-system

check: lint type imports
	$(BIN)/buf lint proto
	$(BIN)/buf format --diff --exit-code proto
	$(BIN)/buf breaking proto --against proto/voxswap-v1.binpb
	$(BIN)/python proto/generate.py --check
	$(BIN)/python deploy/grafana/generate.py --check

lint: setup
	$(BIN)/ruff check $(SRC)
	$(BIN)/ruff format --check $(SRC)

type: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

fmt: setup
	$(BIN)/ruff check --fix-only $(SRC)
	$(BIN)/ruff format $(SRC)

dashboards: setup
	$(BIN)/python deploy/grafana/generate.py

proto: setup
	$(BIN)/python proto/generate.py

parity: setup
	@test -n "$(GOLDENS)" || { echo "usage: make parity GOLDENS=<dir> [VERSIONS=v2,v2Pro] [CASES=en_*]"; exit 2; }
	$(BIN)/voxswap parity "$(GOLDENS)" $(if $(VERSIONS),--versions "$(VERSIONS)") $(if $(CASES),--cases "$(CASES)")

parity-text: setup
	@test -n "$(FILE)" || { echo "usage: make parity-text FILE=<jsonl>"; exit 2; }
	$(BIN)/voxswap parity-text --accepted tests/goldens/text/accepted.toml $(FILE)

# Everything that has a goal, in one run; ONLY and ROUNDS make it shorter: docs/BENCHMARKS.md.
# What stops fails the target, but what was found is judged all the same.
PEERS = OMP_NUM_THREADS=1 $(BIN)/python -m bench.peers cpufast=.peers/cpufast genie=.peers/genie --to docs/benchmarks \
  $(if $(ROUNDS),--rounds $(ROUNDS))
ALONE = $(BIN)/voxswap bench --size full --threads 1 --cpu-time --write \
  $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds $(ROUNDS))
GOALS = $(BIN)/python -m bench.goals docs/benchmarks

bench: setup .peers/cpufast .peers/genie
	failed=0; $(PEERS) || failed=1; $(ALONE) || failed=1; $(GOALS) && exit $$failed

# Other servers need other versions of nearly everything: each has an environment of its own.
.peers/%: bench/peers/%.txt
	test -x $@/bin/python || $(PYTHON) -m venv $@
	$@/bin/pip install --quiet --requirement $<
	touch $@

peers: setup .peers/cpufast .peers/genie
	failed=0; $(PEERS) || failed=1; $(GOALS) && exit $$failed

screenshots: setup
	$(BIN)/python bench/screenshots.py docs/images

# The judges stay out of the server's environment: they are read from a folder of their own.
$(JUDGES): bench/judges.txt | setup
	$(BIN)/pip install --quiet --no-deps --upgrade --target $@ --requirement $<
	touch $@

evaluate-builtin: setup $(JUDGES)
	@test -e "$(BUILT_IN)" || { echo "usage: make evaluate-builtin [BUILT_IN=<folder of stage export>] [WITH=<options>]"; exit 2; }
	PYTHONPATH=$(JUDGES):training OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m bench.evaluate_builtin "$(BUILT_IN)" $(WITH)
