# Every word here works on a bare clone: Python 3.11 and make, nothing else.
.PHONY: help lock sbom install demo test test-fp32 guard bench-engine bench-stream check format docs docs-serve sandbox recipes clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
# Every package by the hash of its file. The project itself is built by what is pinned as well, so that no
# build environment fetches anything without one.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PINNED := $(PIP) --no-deps --require-hashes --requirement
EDITABLE := $(PIP) --no-deps --no-build-isolation --editable .
LOCK := .venv-lock
export MIMAMORI_HOME ?= $(CURDIR)/.mimamori

help:  ## list the words
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/demo  ## run the main job: a real Kafka, a real model, sample conversations
	@$(BIN)/mimamori demo $(ARGS)

test: $(VENV)/dev  ## pass the tests; ARGS='-k policy' for a part
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# Whatever CPU this is, OpenVINO is told that it has AVX2 and fp32 only; FILES=tests for all of them.
FILES := tests/unit/test_engine* tests/contract/test_device_contract.py tests/integration/test_engine_real.py \
  tests/integration/test_cli_errors.py tests/unit/test_adapt_bundle.py
test-fp32: $(VENV)/dev  ## pass the tests that meet the CPU, as on one without bf16
	@PYTHONPATH=$(CURDIR)/tests/cpu_fp32 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(FILES) $(ARGS)

guard: $(VENV)/dev  ## fail when the engine has lost a fifth of its lead over optimum's
	@$(BIN)/python -m bench.guard $(ARGS)

bench-engine: $(BENCH)/peers  ## measure the engine beside every peer PyPI has; JSON=FILE, ARGS='--quick'
	@$(BENCH)/bin/python -m bench.engine $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-stream: $(BENCH)/peers  ## measure the stream beside Faust, quixstreams, a bare loop; JSON=FILE, ARGS='--quick'
	@$(BENCH)/bin/python -m bench.stream $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

check: $(VENV)/dev  ## format, lint, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/dev  ## build the site of the documentation, and refuse broken links
	@$(BIN)/python -m docs.build

docs-serve: $(VENV)/dev  ## look at it while you write: http://localhost:8000
	@$(BIN)/python -m docs.build --serve

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
	rm -rf $(VENV) $(BENCH) $(LOCK) build .cache .mimamori .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

install: $(VENV)/dev  ## install everything, torch included, for development

# A stamp per set of extras: a second run installs nothing.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(VENV)/bin/python pyproject.toml requirements/demo.txt requirements/model.txt
	@echo "installing what the demo needs (no torch) into $(VENV) …"
	@$(PINNED) requirements/demo.txt
	@$(PINNED) requirements/model.txt
	@$(EDITABLE)
	@touch $@

$(VENV)/dev: $(VENV)/demo constraints.txt
	@echo "installing what the tests need into $(VENV): torch alone is gigabytes …"
	@$(PINNED) constraints.txt
	@$(EDITABLE)
	@touch $@

# What may be installed, and by which hashes: constraints.txt is everything (for development), each file in
# requirements/ a part of it. Pins stay as they are, unless pyproject.toml or ARGS='--upgrade-package NAME' move them.
COMPILE = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command 'make lock' $(ARGS)
ALL := --extra cpu --extra export --extra sandbox --extra review --extra dev
lock:  ## pin every package by hash, after a change to pyproject.toml
	@test -x $(LOCK)/bin/uv || $(PYTHON) -m venv $(LOCK)
	@$(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(COMPILE) pyproject.toml requirements/build.in $(ALL) --output-file constraints.txt
	@$(COMPILE) requirements/build.in --constraint constraints.txt --output-file requirements/build.txt
	@$(COMPILE) pyproject.toml --constraint constraints.txt --extra cpu --extra adapt --extra review \
	  --output-file requirements/cpu.txt
	@$(COMPILE) pyproject.toml --constraint constraints.txt --extra gpu --extra adapt --extra review \
	  --output-file requirements/gpu.txt
	@$(COMPILE) pyproject.toml requirements/build.in --constraint constraints.txt --extra cpu --extra adapt \
	  --extra review --extra sandbox --output-file requirements/demo.txt

sbom: $(VENV)/dev  ## list what the images hold, with licences: sbom/
	@$(BIN)/python -m sbom.generate $(ARGS)

# The peers would move what the project pins. So they live in a second environment, without their
# dependencies, and it finds those (torch alone is gigabytes) in the first.
$(BENCH)/peers: $(VENV)/dev bench/peers.txt
	@echo "installing the peers into $(BENCH) …"
	@$(PYTHON) -m venv $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	  "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement bench/peers.txt
	@touch $@
