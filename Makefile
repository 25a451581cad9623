# Two commands do all the set-up: `make demo` (the main job) and `make test`.
# An install step runs again only when a requirement, a constraint or a package's pyproject.toml changed.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo base test check attack audit wheels docs clean

# The first Python from 3.11 to 3.13; `make demo PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
  $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$candidate && break; done)

VENV := .venv
BIN := $(VENV)/bin
# Source-only packages and our own are built with the build tools installed (and pinned) in the environment,
# not in fresh ones made by pip: DeepSpeed's build would fetch a second torch there.
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation
# Files whose hashes stand in locks/ (tools/lock.py writes them). What follows each of these lines finds its packages there
# already and adds what has no one hash: torch, whose builds for a CPU and for CUDA share a version, and our own packages.
LOCKED := $(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation --requirement
PINS := constraints.txt requirements.txt $(wildcard packages/*/pyproject.toml)

help:  ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo: $(VENV)/.demo-installed  ## train a tiny judge through all three stages, evaluate each, write the report
	$(BIN)/python apps/pipeline.py $(ARGS)

base: $(VENV)/.demo-installed  ## the embedded base model again, from its seed (an hour on two cores)
	for recipe in tiny_base tiny_reading tiny_unasked; do \
	  $(BIN)/torchrun --nproc-per-node 2 apps/make_tiny.py recipe=$$recipe strategy=ddp trainer.devices=2 \
	    trainer.accelerator=cpu trainer.num_threads=1 || exit 1; \
	done

test: $(VENV)/.test-installed  ## run all tests on this machine's CPUs; ARGS="-k parser" passes words on to pytest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.test-installed  ## ruff (lint, format) and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

attack: $(VENV)/.test-installed  ## hostile files, media, endpoints and clients, all on this machine; a table with counts (three minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.attack $(ARGS)

audit: $(VENV)/.build-installed  ## pins against floors and, where it can be reached, an advisory source
	$(BIN)/python tools/audit.py $(ARGS)

wheels: $(VENV)/.build-installed  ## build the four wheels into dist/; tools/try_wheels.py installs them one by one
	rm -rf dist
	for package in packages/*; do (cd $$package && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d ../../dist) || exit 1; done

docs: $(VENV)/.docs-installed  ## build the documentation site into outputs/site; every link is checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir outputs/site

clean:  ## remove the environment (not the outputs)
	rm -rf $(VENV)

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 with venv found. Install one (Debian: apt-get install python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.build-installed: $(VENV)/.created locks/build.txt
	$(LOCKED) locks/build.txt
	@touch $@

$(VENV)/.docs-installed: $(VENV)/.created constraints.txt requirements-docs.txt locks/docs.txt
	$(LOCKED) locks/docs.txt
	$(INSTALL) -r requirements-docs.txt
	@touch $@

$(VENV)/.demo-installed: $(VENV)/.build-installed $(PINS) locks/demo.txt
	@echo "Installing the demo's packages into $(VENV) (a few minutes the first time)"
	$(LOCKED) locks/demo.txt
	$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.test-installed: $(VENV)/.demo-installed requirements-test.txt locks/test.txt tools/mend_torch_companions.py
	@echo "Installing the test engines and peers into $(VENV) (about 4 GB the first time)"
	$(LOCKED) locks/test.txt
	$(INSTALL) -r requirements-test.txt
	$(BIN)/python tools/mend_torch_companions.py
	@touch $@
