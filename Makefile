# `make demo` and `make test` do all their own set-up: a virtual environment in .venv, and the dependencies in it.
PYTHON ?= python3
BIN := .venv/bin
# What the tests run for real. As root on Debian they are installed; without, the tests that need them are skipped.
DEBIAN := samba smbclient unbound bind9 bind9-dnsutils bind9-utils iproute2 prometheus systemd

.PHONY: demo test lint check lab format clean

demo: .venv/demo-ready
	$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

test: .venv/dev-ready debian lint
	$(BIN)/pytest --cov=edge --cov-report=term:skip-covered
	$(BIN)/coverage report --fail-under=100 --include='edge/failover/*,edge/dns/zone.py,edge/dns/answer.py,edge/dns/guard.py,edge/dns/message.py'

lint: .venv/dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The network-namespace lab with real servers, narrated; RUNS fail-overs are measured. Root.
lab: .venv/dev-ready debian
	EDGE_LAB_RUNS=$(or $(RUNS),20) $(BIN)/pytest -q -s -m lab tests/lab/test_failover.py

format: .venv/dev-ready
	$(BIN)/ruff format .

clean:
	rm -rf .venv .demo build dist *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Edge needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q -e '.[demo]'
	@touch $@

.venv/dev-ready: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q -e '.[dev]'
	@touch $@ .venv/demo-ready

.PHONY: debian
debian:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  missing=$$(for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	  [ -z "$$missing" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; }; \
	fi
