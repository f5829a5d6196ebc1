# Everything happens in .venv; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
SOURCES := stgraph tests benchmarks

# torch-scatter stays beside the environment, so that the tests run without it and with it.
SCATTER       := $(VENV)/scatter
# PyG calls it where edges are sorted by their target. Space layers never do, which the first file
# asserts; so only what PyG's own layers are used for is tested with it.
SCATTER_TESTS := tests/test_torch_scatter.py tests/test_pyg.py tests/edges/test_adjacency.py \
  tests/layers/test_every_convolution.py
# As many tests at once as there are cores; JOBS=0 runs them one by one.
JOBS         ?= logical
PYTEST        = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
TORCH         = $$($(BIN)/python -c "import torch; print(torch.__version__)")

# Where the environment says to keep no bytecode, each process compiles the sources again, and tests
# start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-video test tests slow long lint bench mutate docs clean

help: ## list what there is to make
	@sed -n 's/^\([a-z-]*\): .*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.demo ## set up, train the demonstration, write runs/demo/report.html
	@echo "== demo: dynamic regions and their fixed-grid twin on embedded digits"
	$(BIN)/stgraph demo

# ruff and mypy run beside the tests, since each takes a core and no more.
demo-video: $(VENV)/.demo-video ## set up, make videos, train, test, extract graphs, show: runs/demo_video
	@echo "== demo-video: from files of videos to answers, metrics, graphs and a page"
	$(BIN)/stgraph demo-video

test: $(VENV)/.dev scatter ## set up, lint, check types, run the tests with and without torch-scatter
	@$(MAKE) --no-print-directory -j 2 lint tests

tests: $(VENV)/.dev scatter ## the tests alone
	@echo "== tests: graph code with torch-scatter"
	PYTHONPATH=$(SCATTER) STGRAPH_EXPECT_SCATTER=1 $(PYTEST) -m "not slow" $(SCATTER_TESTS)
	@echo "== tests: everything that is not slow, without torch-scatter"
	STGRAPH_EXPECT_SCATTER=0 $(PYTEST) -m "not slow"

slow: $(VENV)/.dev ## the slow tests, and laws on all of their random cases
	@echo "== tests: slow ones, and laws on all of their random cases"
	STGRAPH_EXPECT_SCATTER=0 STGRAPH_ALL_EXAMPLES=1 $(PYTEST) --durations 12 -m "(slow or law) and not long"

long: $(VENV)/.dev ## what CI does not run: of many slow tests of a kind all but a few, and what takes minutes
	@echo "== tests: long ones"
	STGRAPH_EXPECT_SCATTER=0 $(PYTEST) -m long

lint: $(VENV)/.dev ## ruff and mypy
	@echo "== lint: ruff, mypy"
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

bench: $(VENV)/.dev ## measure all of benchmarks/ into runs/benchmarks/ (10 minutes, idle cores)
	$(BIN)/python benchmarks/suite.py

mutate: $(VENV)/.dev ## change the code at random and count what the tests notice (hours)
	$(PIP) install --quiet -c constraints.txt -e ".[mutation]"
	$(BIN)/python benchmarks/mutation.py --json benchmarks/results/mutation.json

docs: $(VENV)/.docs ## build the documentation into site/
	$(BIN)/mkdocs build --strict

clean: ## remove what make and the tools made, .venv and runs excepted
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

# A stamp is older than its inputs after a change of either: pip then installs again.
$(VENV)/.demo: $(INPUTS) | $(BIN)/python
	@echo "== set-up: stgraph with [train,viz] into $(VENV)"
	$(PIP) install --quiet -c constraints.txt -e ".[train,viz]"
	@touch $@

$(VENV)/.demo-video: $(INPUTS) | $(BIN)/python
	@echo "== set-up: stgraph with [train,video,viz] into $(VENV)"
	$(PIP) install --quiet -c constraints.txt -e ".[train,video,viz]"
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	@echo "== set-up: stgraph with [train,video,viz,export,docs,dev] into $(VENV)"
	$(PIP) install --quiet -c constraints.txt -e ".[train,video,viz,export,docs,dev]"
	@touch $@ $(VENV)/.demo $(VENV)/.demo-video $(VENV)/.docs

$(VENV)/.docs: $(INPUTS) | $(BIN)/python
	@echo "== set-up: stgraph with [docs] into $(VENV)"
	$(PIP) install --quiet -c constraints.txt -e ".[docs]"
	@touch $@

$(BIN)/python:
	@echo "== set-up: $(VENV) from $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)

# Compiled against one torch: another torch builds it, and caches its wheel, anew.
.PHONY: scatter
scatter: $(VENV)/.dev
	@if [ "$$(cat $(SCATTER)/.torch 2>/dev/null)" != "$(TORCH)" ]; then \
	  echo "== set-up: compiling torch-scatter once into $(SCATTER) (about 5 minutes)"; \
	  rm -rf $(SCATTER); \
	  printf '[build_ext]\nparallel = %s\n' "$$($(BIN)/python -c 'import os; print(os.cpu_count())')" > $(VENV)/build.cfg; \
	  DIST_EXTRA_CONFIG=$(CURDIR)/$(VENV)/build.cfg \
	  $(PIP) install --quiet -c constraints.txt --no-build-isolation --no-deps \
	    --cache-dir "$$($(PIP) cache dir)/torch-$(TORCH)" --target $(SCATTER) torch-scatter && \
	  echo "$(TORCH)" > $(SCATTER)/.torch; \
	fi
