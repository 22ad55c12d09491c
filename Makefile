# Every target works on a fresh clone with only python3 >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
HOSTS_VENV := .venv-hosts
HOSTS_STAMP := $(HOSTS_VENV)/.complete

.PHONY: setup demo test hosts check bench soak lock format

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

PINNED := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

lock: setup
	$(BIN)/$(PINNED) --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(BIN)/$(PINNED) --output-file requirements/hosts.txt requirements/hosts.in
