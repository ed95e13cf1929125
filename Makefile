# Two commands on a fresh machine do everything, the set-up included:
#   make demo   adapts the small backbone that ships with Edgewise to handwritten digits, offline
#   make test   lint, types, documentation and the fast tests
# Another Python: make test PYTHON=python3.12

ifeq ($(origin PYTHON),undefined)
  new-enough = $(shell $(1) -c 'import sys; print("yes" if sys.version_info >= (3, 10) else "")' 2>/dev/null)
  PYTHON := $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.10,$(if $(call new-enough,$(name)),$(name))))
endif
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format docs build clean

help: ## what there is to run
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(READY) ## adapt a network to handwritten digits and write a report (about 3 minutes, offline)
	$(BIN)/edgewise demo

test: lint docs ## everything a change must pass
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test-slow: $(READY) ## the tests that take longer
	$(BIN)/pytest -m slow --timeout 3600

lint: $(READY) ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## bring the sources into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## every link and every example named in the documentation is there
	$(BIN)/python docs/check.py

build: $(READY) ## the wheel and the source archive
	$(BIN)/python -m build

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests recipes docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "Edgewise needs Python 3.10 or newer, and $(or $(PYTHON),python3) is older or missing. Name another: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) could not create $(VENV). On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,demo,reprogram,serve]"
	@touch $@
