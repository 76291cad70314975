# Every verb of the project. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SEED ?= 1
MINUTES ?= 10
SEEDS ?= 200
WORLD ?=
WORKERS ?= 2
NOT_LONG := not faults and not attack and not day and not slurm and not ray and not kubernetes and not certificates and not image and not upgrade
OURS := libs/kernel libs/etcd3 libs/store libs/telemetry libs/content libs/chassis libs/sdk libs/client libs/cli libs/fake services deploy protos/generate.py protos/compile_elsewhere.py protos/make_sdk.py $(wildcard examples/*.py examples/*/*.py)

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 14

setup: $(BIN)/.ready ## Make .venv with everything the project needs

$(BIN)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: setup ## Run one real job through the whole mesh and report it in build/demo/report.json
	@$(BIN)/python -m suanmesh_local.demo

dev: setup ## Run a node with three sites in the foreground
	@$(BIN)/suan dev

doctor: setup ## Say what this machine lacks
	@$(BIN)/suan doctor

test: setup ## Run every test but the long fault combinations, attacks, days, Slurm site, clusters and upgrades
	@$(BIN)/python -m pytest -m "$(NOT_LONG)" -n $(WORKERS) --dist loadfile --ignore tests/mesh
	@$(BIN)/python -m pytest -m "$(NOT_LONG)" -n $(WORKERS) --dist loadfile tests/mesh

test-faults: setup ## Run every combination of victim and step
	@$(BIN)/python -m pytest -m faults tests/mesh

test-attack: setup ## Run the floods and probes of a hostile caller or task
	@$(BIN)/python -m pytest -m attack tests

test-day: setup ## Play a researcher's day with 500 MB and 30,000 files, by the command line and by a program, and an array of 10,000 tasks
	@$(BIN)/python -m pytest -m day --durations=0 tests/mesh/test_a_day.py tests/scenario/test_large_arrays.py

test-upgrade: setup ## Renew every service and agent from an older version to this one, while jobs run and calls come
	@$(BIN)/python -m pytest -m upgrade --durations=0 tests/mesh

test-slurm: setup ## Run 200 jobs at a Slurm site while slurmctld and the agent are killed ten times each; needs slurm-wlm and root
	@$(BIN)/python -m pytest -m slurm -s tests/mesh/test_a_slurm_site.py

test-kubernetes: setup ## Run the Kubernetes engine at length: make test-kubernetes KUBECONFIG=... IMAGE=... SHARED=/nfs, else on a stand-in
	@test -n "$(KUBECONFIG)" || echo "no KUBECONFIG: on the stand-in. A real cluster is kind's (kind create cluster, with extraMounts for SHARED), k3s's (/etc/rancher/k3s/k3s.yaml) or any other's; IMAGE is of deploy/oci/build.sh, where its nodes find it" >&2
	@KUBECONFIG=$(KUBECONFIG) IMAGE=$(IMAGE) SHARED=$(SHARED) NAMESPACE=$(or $(NAMESPACE),suanmesh-site) $(BIN)/python -m pytest -m "kubernetes or not kubernetes" -k kubernetes -s tests/contract tests/mesh/test_a_kubernetes_site.py

test-ray: setup ## Run 60 jobs at a Ray site while Ray's head and the agent are killed four times each
	@$(BIN)/python -m pytest -m ray -s tests

test-image: setup ## Build the image of containers and start its programs; needs root, buildah and mmdebstrap
	@$(BIN)/python -m pytest -m image tests/mesh/test_the_image.py

test-certificates: setup ## Use a node whose certificates are good for two minutes: make test-certificates MINUTES=10
	@MINUTES=$(MINUTES) $(BIN)/python -m pytest -m certificates -s tests/mesh/test_certificates.py

test-chaos: setup ## Hurt a node by a seed, then judge its books: make test-chaos SEED=1 MINUTES=10
	@PYTHONPATH=tests $(BIN)/python -m chaos --seed $(SEED) --minutes $(MINUTES)

test-scenarios: setup ## Play a node on virtual time by seeds: make test-scenarios SEEDS=200, or WORLD=crashes SEED=17
	@PYTHONPATH=tests PYTHONHASHSEED=0 $(BIN)/python -m scenario --seeds $(SEEDS) $(if $(WORLD),--world $(WORLD)) $(if $(filter command line,$(origin SEED)),--seed $(SEED))

# Service and contract suites start servers, etcd and sandboxes and take minutes: `make test` runs them.
check: check-gen lint types layers test-quick ## Everything that must be clean before a landing, in under two minutes

test-quick: setup ## Run the tests that start no process
	@$(BIN)/python -m pytest tests/unit tests/house

gen: setup ## Generate libs/wire and the docs tables
	@$(BIN)/python protos/generate.py
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m deploy.prometheus.generate && $(BIN)/python -m deploy.dashboards.generate

check-gen: gen ## Fail if what is committed differs from what is generated
	@git diff --exit-code --stat -- libs/wire docs deploy/prometheus deploy/dashboards

check-breaking: setup ## Fail if the contracts break what the last release promised; before the first there is nothing to break
	@$(BIN)/python protos/generate.py google && $(BIN)/python protos/check_breaking.py

keep-contracts: setup ## Keep the contracts as what the release that is being made promises
	@$(BIN)/python protos/generate.py google && $(BIN)/python protos/check_breaking.py keep

check-elsewhere: setup ## Compile contracts and clients in C++, Go, Java and TypeScript; names what it lacks for one
	@$(BIN)/python protos/compile_elsewhere.py

sdk: setup ## Pack the contracts for a language below build/sdk: make sdk LANG=cpp, go, typescript or python
	@$(BIN)/python protos/make_sdk.py $(if $(filter command line,$(origin LANG)),$(LANG))

fmt: setup ## Format code and contracts
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix . && $(BIN)/buf format -w protos

lint: setup ## Lint code and contracts
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/python protos/generate.py google && $(BIN)/buf lint && $(BIN)/buf format --exit-code -d protos >/dev/null

types: setup ## Check types strictly
	@$(BIN)/mypy $(OURS)

layers: setup ## Check who may import whom
	@$(BIN)/lint-imports --no-cache

bench: setup ## Measure one area, a file of bench/: make bench AREA=dispatch
	@PYTHONPATH=tests:bench $(BIN)/python -P bench/$(AREA).py

lock: ## Write requirements.lock anew from pyproject.toml
	@$(BIN)/python deploy/lock.py

clean: ## Remove everything that was built
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help setup demo dev doctor test test-faults test-attack test-day test-upgrade test-slurm test-ray test-kubernetes test-image test-chaos test-scenarios check test-quick gen check-gen check-breaking keep-contracts check-elsewhere sdk fmt lint types layers bench lock clean
