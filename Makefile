# Everything starts here: `make demo` and `make test` install what they need by themselves.
# Needs: Python 3.11 or newer, make, and access to PyPI, the Go module proxy and, for the tests of DNS-01, apt's sources.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help venv demo demo-edge test test-ui ui-picture dashboard-picture test-fast test-clock test-node test-node-istio node-programs soak lint format bench mutants fuzz localmesh binaries chart release lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

venv: $(READY) ## make the virtual environment from the lock file

$(VENV)/.locked: requirements-dev.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

binaries: $(READY) ## build the real servers once (kube-apiserver, etcd, istiod, ...)
	@$(BIN)/python -m tests.localmesh build

demo: $(READY) ## a real mesh: honest tenants, a thief, who reaches whom; KEEP=1 leaves it running
	@$(BIN)/python -m tests.localmesh.demo $(if $(KEEP),--keep)

demo-edge: $(READY) ## a gateway's hosts get public certificates by themselves, from a real ACME server; KEEP=1 as above
	@$(BIN)/python -m tests.localmesh.demo_edge $(if $(KEEP),--keep)

# Where Python may keep no compiled modules, each of the hundreds of processes that tests start would compile all of ours anew.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest

# Five parts with a quarter of an hour of waiting each, and the unit tests: one that waits for its servers leaves the cores to the others.
IN := tests/integration
PART_1 := tests/faults $(IN)/release $(IN)/kube $(IN)/acme
PART_2 := tests/e2e $(IN)/watching $(IN)/attacks
PART_3 := $(IN)/edge $(IN)/crds $(IN)/pods $(IN)/bridges
PART_4 := $(IN)/certificates $(IN)/commands $(IN)/charts $(IN)/injector
PART_5 := tests/unit
APART := $(filter $(IN)/%,$(PART_1) $(PART_2) $(PART_3) $(PART_4))
test: $(READY) ## all tests, on real servers: six parts side by side, the output of five of them at the end
	@$(BIN)/python -m tests.localmesh build --tests
	@logs=$$(mktemp -d); trap 'rm -rf "$$logs"' EXIT; jobs=(); \
	parts=("$(PART_1)" "$(PART_2)" "$(PART_3)" "$(PART_4)" "$(PART_5)"); \
	for part in 0 1 2 3 4; do $(PYTEST) $${parts[part]} > "$$logs/$$part" 2>&1 & jobs+=($$!); done; \
	$(PYTEST) $(IN) $(addprefix --ignore=,$(APART)); status=$$?; \
	for part in 0 1 2 3 4; do wait $${jobs[part]} || status=1; cat "$$logs/$$part"; done; exit $$status

test-ui: $(READY) ## the page of `mesh-signer ui` in headless Chromium, which apt fetches where there is none
	@$(PYTEST) tests/browser

ui-picture: binaries ## take docs/ui.png anew: the page over a local cluster
	@$(BIN)/python -m tests.browser.picture

dashboard-picture: binaries ## draw docs/dashboard.svg anew: the dashboard's queries, asked of a Prometheus over a local cluster under load
	@$(BIN)/python -m tests.integration.watching.picture

# A third part uses the cores while tests of the others wait. A hundred tests take as long as all the others together.
FAST := $(PYTEST) -q --hypothesis-profile=fast -m "not heavy" tests/unit
test-fast: $(READY) ## the light tests that need no server, with a tenth of the random examples: three parts side by side
	@logs=$$(mktemp -d); trap 'rm -rf "$$logs"' EXIT; status=0; jobs=(); \
	for part in 1 2 3; do $(FAST) --part=$$part/3 > "$$logs/$$part" 2>&1 & jobs+=($$!); done; \
	for part in 1 2 3; do wait $${jobs[$$((part - 1))]} || status=1; cat "$$logs/$$part"; done; exit $$status

test-clock: $(READY) ## the same as if it were another year: no test may mix a fixed time with the clock
	@$(BIN)/python -m tests.clock

soak: binaries ## what takes too long for each change: hundreds of the largest objects, thousands of others, a hundred faults in a row
	@MESH_SIGNER_TEST_LARGE_OBJECTS=500 MESH_SIGNER_TEST_MANY_OBJECTS=1500 MESH_SIGNER_TEST_CROWD=250 $(BIN)/python -m pytest \
		tests/faults/test_large_objects.py tests/faults/test_crowded_namespace.py
	@MESH_SIGNER_TEST_FAULTS=114 $(BIN)/python -m pytest -s tests/faults/test_sequences.py

node-programs: $(READY) ## build what a real node needs once: kubelet, containerd's system, our image (as root)
	@$(BIN)/python -m tests.realnode build

test-node: $(READY) ## the image and the manifests on a real kubelet, in namespaces of its own; as root, else it says why not
	@$(BIN)/python -m tests.realnode test

test-node-istio: $(READY) ## Istio's task by istioctl on such a node: injection, iptables, the thief, the edge with an ACME server
	@$(BIN)/python -m tests.realnode test --suite=istio

lint: $(READY) ## ruff, mypy strict, import-linter, vulture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: binaries ## the benchmarks' tables, with the ratios and the machine; twenty minutes
	@$(BIN)/python -m benchmarks.start
	@echo
	@$(BIN)/python -m benchmarks.decide_cost
	@echo
	@$(BIN)/python -m benchmarks.wall
	@echo
	@$(BIN)/python -m benchmarks
	@echo
	@$(BIN)/python -m benchmarks.edge
	@echo
	@$(BIN)/python -m benchmarks.others_certificates
	@echo
	@$(BIN)/python -m benchmarks.pod_certificates
	@echo
	@$(BIN)/python -m benchmarks.scaling

mutants: $(READY) ## plant one-line faults in the core; each must be caught by a test
	@$(BIN)/python -m tests.mutants

$(VENV)/.fuzz: requirements-fuzz.lock $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-fuzz.lock
	@touch $@

fuzz: $(VENV)/.fuzz ## fuzz what strangers send: SECONDS=60 for each target, TARGET=csr for one
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(TARGET)

localmesh: binaries ## a local cluster to play with, until Ctrl-C
	@$(BIN)/python -m tests.localmesh up

chart: $(READY) ## write the Helm chart anew, after a change of manifests, options or values
	@$(BIN)/python -m charts.generate

release: $(READY) ## dist/ of the last commit: packages, chart, manifests, SBOM, image; IMAGE=name BASE=image@digest
	@$(BIN)/python -m release $(if $(IMAGE),--image $(IMAGE)) $(if $(BASE),--base $(BASE))

# Without PIP_FIND_LINKS: a folder of wheels on the machine must not decide what is locked.
COMPILE := env -u PIP_FIND_LINKS $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

lock: $(READY) ## renew the four lock files from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra fast --group dev -o requirements-dev.lock pyproject.toml requirements-build.in
	$(COMPILE) --extra fast -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock -o requirements-build.lock requirements-build.in
	$(COMPILE) --group fuzz -o requirements-fuzz.lock

clean: ## remove the virtual environment and caches (not the built servers)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
