# `make demo` and `make test` do all their own set-up: a virtual environment in .venv, and the dependencies in it.
PYTHON ?= python3
BIN := .venv/bin
# What the tests run for real. As root on Debian they are installed; without, the tests that need them are skipped.
DEBIAN := samba smbclient unbound bind9 bind9-dnsutils bind9-utils knot knot-dnsutils nsd gdnsd dnsperf \
  pdns-server pdns-backend-bind pdns-recursor dnsmasq-base knot-resolver zonemaster-cli iproute2 prometheus systemd \
  gcc python3-dev
# Debian's npm does not go with a Node.js from elsewhere: only where there is none.
DEBIAN += $(if $(shell command -v npm),,nodejs npm)

# A second implementation of DynamoDB, for the stores' tests; without npm they are skipped.
DYNALITE := dynalite@4.0.0

# What a whole run asks of the emulated AWS; then the policy is held against it.
CALLS := .calls

# Installed, systemd-resolved would take /etc/resolv.conf over: it is unpacked beside the project. Without it its tests
# are skipped.
UNPACK := sh -c 'mkdir -p .debian && cd .debian && apt-get download -qq $$0 && dpkg -x $$0_*.deb . && rm $$0_*.deb || true'

.PHONY: demo test lint lab forwarders partitions bench abuse faults fuzz simulate hammer mutants versions conformance format clean

demo: .venv/demo-ready
	$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

test: debian .venv/dev-ready .node/ready lint
	rm -f $(CALLS)
	EDGE_AWS_CALLS=$(abspath $(CALLS)) $(BIN)/pytest -n 2 --dist loadfile --cov=edge --cov-report=term:skip-covered
	$(BIN)/pytest -q --calls $(CALLS) tests/switches/test_iam_policy.py
	$(BIN)/coverage report --fail-under=100 --include='edge/failover/*,edge/dns/zone.py,edge/dns/answer.py,edge/dns/encoder.py,edge/dns/guard.py,edge/dns/message.py,edge/dns/cookies.py,edge/dns/rates.py,edge/dns/site.py,edge/dns/bites.py'

lint: .venv/dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The network-namespace lab with real servers, narrated; RUNS fail-overs are measured. Root.
lab: debian .venv/dev-ready
	EDGE_LAB_RUNS=$(or $(RUNS),20) $(BIN)/pytest -q -s -m lab tests/lab/test_failover.py

# Every forwarder by default and as shipped, in front of two agents and of two peers: the tables of docs/forwarders.md.
# ROUNDS outages of each kind. Root; about half an hour, and an hour with FLIPS=20 and PATIENCE=900.
forwarders: debian .venv/dev-ready
	$(BIN)/python -m tests.lab.forwarders_table --flips $(or $(FLIPS),6) --rounds $(or $(ROUNDS),5) --patience $(or $(PATIENCE),60)

# Two agents on one store: their leader ended with the live node, and every partition, ROUNDS times: the tables of
# docs/partitions.md. LABS laboratories at once. Root; about twenty minutes.
partitions: debian .venv/dev-ready
	$(BIN)/python -m tests.lab.partitions_page --rounds $(or $(ROUNDS),3) --labs $(or $(LABS),3)

# Side by side with the servers written in C; ROUNDS rounds of SECONDS each. DOCS=1 puts the figures into docs/.
bench: debian .venv/dev-ready
	$(BIN)/python -m tests.bench --rounds $(or $(ROUNDS),5) --seconds $(or $(SECONDS),5) $(if $(DOCS),--plot)

# Floods, slow connections, kill -9 and a controller at its worst, while a forwarder asks and looks at every answer.
abuse: debian .venv/dev-ready
	$(BIN)/python -m tests.load --rounds $(or $(ROUNDS),5) --seconds $(or $(SECONDS),5) $(if $(DOCS),--docs)

# Two agents of the commit OLD (HEAD~20) are upgraded to this version one after the other, and back, while nodes and leaders die.
versions: .venv/dev-ready
	$(BIN)/python -m tests.versions $(or $(OLD),HEAD~20)

# The lease: 16 threads in each of two processes fight for it for SECONDS (60), and a checker reads the log of grants.
hammer: .venv/dev-ready .node/ready
	$(BIN)/python -m tests.stores.hammer --seconds $(or $(SECONDS),60)

# Every step of a switch under every fault of AWS, and kill -9 there: the table of docs/faults.md.
faults: .venv/dev-ready
	EDGE_FAULTS=docs/faults.md $(BIN)/pytest -q -s tests/switches/test_faults.py

# RUNS (200) stories of several agents on virtual time, from SEED (0) on, JOBS (1) at a time; the story of each that
# breaks a rule.
simulate: .venv/dev-ready
	$(BIN)/python -m tests.simulation --runs $(or $(RUNS),200) --seed $(or $(SEED),0) --jobs $(or $(JOBS),1)

# Every deliberate fault of tests/mutants/catalogue.py in a copy of the code, and the test that finds it.
mutants: .venv/dev-ready
	$(BIN)/python -m tests.mutants

# For SECONDS (60), or until PACKETS; ENGINE=atheris is guided by coverage.
fuzz: .venv/dev-ready
	$(if $(filter atheris,$(ENGINE)),$(BIN)/pip install -q -e '.[fuzz]')
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(PACKETS),--packets $(PACKETS)) $(if $(ENGINE),--engine $(ENGINE))

# The protocol check by rules on edge and four peers, and 100,000 questions to edge, NSD and Knot.
conformance: debian .venv/dev-ready
	$(BIN)/python -m tests.conformance.differential
	-$(BIN)/python -m tests.conformance.check

format: .venv/dev-ready
	$(BIN)/ruff format .

clean:
	rm -rf .venv .demo .debian .node build dist *.egg-info edge/dns/*.so

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Edge needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml setup.py edge/dns/_turn.c | .venv/bin/python
	$(BIN)/pip install -q -e '.[demo]'
	@touch $@

.venv/dev-ready: pyproject.toml setup.py edge/dns/_turn.c | .venv/bin/python
	$(BIN)/pip install -q -e '.[dev]'
	@touch $@ .venv/demo-ready

.node/ready: Makefile | debian
	@mkdir -p .node
	@npm install --prefix .node --no-save --no-audit --no-fund --silent $(DYNALITE) && touch $@ \
	  || echo "dynalite can't be installed: its tests are skipped"

.PHONY: debian
debian:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  missing=$$(for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	  [ -z "$$missing" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; }; \
	  [ -x .debian/lib/systemd/systemd-resolved ] || $(UNPACK) systemd-resolved; \
	fi
