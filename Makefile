# Everything a person types here. `make` alone lists it.
# Needs nothing but make and Python 3.11 or newer; what is downloaded stays in .venv.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A PYTHONPATH of the caller's could put another `config` or `tests` in front of ours.
unexport PYTHONPATH PYTHONHOME
# Without compiled files, each process that a test starts would compile ours anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready
CHECKS := format lint types layers dead-code spelling docs

.PHONY: help setup run demo test simulate simulate-postgres simulate-trace soak bench verify-dynamics verify-salesforce verify-hubspot check format $(CHECKS:%=check-%)

help: ## List what can be typed
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## Start everything on this machine, with stand-ins for the three CRMs; Ctrl-C stops
	@exec $(BIN)/dealreg serve --sandbox

demo: $(READY) ## Follow one registration from a partner to the three CRMs and back
	@exec $(BIN)/dealreg demo

test: $(READY) ## Run every test; starts the PostgreSQL and Redis servers it needs
	@exec $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# SEEDS=n stories from FROM=n; the last line is JSON. SEEDS that nobody has told are the best ones.
SEEDS ?= 200
FROM ?= 0

simulate: $(READY) ## Tell SEEDS=200 stories FROM=0 that try to break the sync engine
	@exec $(BIN)/python -m tests.simulation SEEDS=$(SEEDS) FROM=$(FROM)

simulate-postgres: $(READY) ## The same stories on a real PostgreSQL
	@exec $(BIN)/python -m tests.simulation STORE=postgres MUTANTS=0 SEEDS=$(SEEDS) FROM=$(FROM)

simulate-trace: $(READY) ## Tell one story, SEED=n, line by line, as small as it still fails
	@exec $(BIN)/python -m tests.simulation trace $(SEED) small

bench: $(READY) ## Measure the sync engine on the sandbox: calls, speed, recovery; takes minutes
	@exec $(BIN)/python -m benchmarks.sync_economy $(BENCH)

soak: $(READY) ## Kill processes, spoil 4,000 deals, contest 20,000 submissions, take 500 rows over, tell 5,000 stories, hunt every mutant; takes hours
	@KILL_SECONDS=120 $(BIN)/python -m pytest -q -s tests/process
	@DEALS=4000 $(BIN)/python -m pytest -q -s tests/integration/sync/test_many_deals.py \
	  tests/acceptance/test_switch_on.py
	@CONTESTED=20000 $(BIN)/python -m pytest -q -s tests/integration/test_contested.py
	@CUT_OVER_ROWS=500 $(BIN)/python -m pytest -q tests/acceptance/test_cut_over.py
	@$(BIN)/python -m tests.simulation planner FROM=$(FROM)
	@exec $(BIN)/python -m tests.simulation SEEDS=5000 FROM=$(FROM) FRESH=200

verify-dynamics: $(READY) ## Hold Dynamics 365 and its stand-in against clients of others; needs npm
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint constraints.txt --editable '.[test,verify]'
	@npm install --no-package-lock --no-audit --no-fund --silent --prefix tests/verify/dynamics
	@exec $(BIN)/python -m tests.verify.dynamics

verify-salesforce: $(READY) ## Hold Salesforce and its stand-in against clients of others; needs npm
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint constraints.txt --editable '.[test,verify]'
	@npm install --no-package-lock --no-audit --no-fund --silent --prefix tests/verify/salesforce
	@exec $(BIN)/python -m tests.verify.salesforce

verify-hubspot: $(READY) ## Hold HubSpot and its stand-in against clients of others; needs npm
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint constraints.txt --editable '.[test,verify]'
	@npm install --no-package-lock --no-audit --no-fund --silent --prefix tests/verify/hubspot
	@exec $(BIN)/python -m tests.verify.hubspot

check: $(READY) ## Check format, lint, types, layers, dead code, spelling and docs
	@$(MAKE) --keep-going $(CHECKS:%=check-%) && echo "All checks passed."

format: $(READY) ## Format the code and fix what can be fixed safely
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix .

setup: $(READY) ## Make .venv (done by itself when needed)
	@echo ".venv is ready."

# The first Python that is new enough; an unfinished or outdated .venv is made again.
$(READY): pyproject.toml constraints.txt
	@set -e; \
	modern='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "import pip; $$modern" 2>/dev/null; then \
	  for python in python3 python3.13 python3.12 python3.11 python3.14 none; do \
	    if [ $$python = none ]; then \
	      echo "dealreg needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)"; \
	      echo "Install one (Debian, Ubuntu: sudo apt install python3.12-venv;"; \
	      echo "macOS: brew install python@3.12), then type the same again."; \
	      exit 1; \
	    fi; \
	    if $$python -c "$$modern" 2>/dev/null; then break; fi; \
	  done; \
	  $$python -m venv --clear .venv; \
	fi; \
	echo "Installing the dependencies into .venv (about a minute, once) ..."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint constraints.txt --editable '.[test]'; \
	touch $(READY)

check-format:
	@echo "format: ruff format"; \
	$(BIN)/ruff format --check --quiet --output-format concise . || { echo "Type: make format"; exit 1; }

check-lint:
	@echo "lint: ruff check"; $(BIN)/ruff check --quiet --output-format concise .

check-types:
	@echo "types: mypy"; $(BIN)/mypy --no-error-summary

check-layers:
	@echo "layers: lint-imports"; found=$$($(BIN)/lint-imports --no-logo) || { echo "$$found"; exit 1; }

# Fields are left out: dataclasses, rows and enumerations are read in ways vulture cannot see.
check-dead-code:
	@echo "dead code: vulture"; status=0; found=$$($(BIN)/vulture) || status=$$?; \
	[ $$status -eq 0 ] || [ $$status -eq 3 ] || exit $$status; \
	! echo "$$found" | grep -E "unused (function|class|method|property|import)|unreachable"

check-spelling:
	@echo "spelling: codespell"; $(BIN)/codespell

check-docs:
	@echo "docs: links, commands and house limits"; \
	found=$$($(BIN)/python -m pytest -q --no-header --tb=short tests/test_tooling.py) || { echo "$$found"; exit 1; }
