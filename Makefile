# Python 3.11 or later and make are all that is needed; the rest is installed into .venv.
# JDK 17 and Maven, where present, give the real Apache Kafka instead of its stand-in.

.DEFAULT_GOAL := help
.PHONY: help up demo web check test test-full soak bench-evaluation clean distclean venv

# Without its bytecode kept, every process of a suite compiles the project anew: twice as long until it is ready.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.installed
CACHES := .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist test-results web/dist

# In two processes, the longest files first: much of their time is waiting, most of all in the browser. Its files
# share a town and so a process (tests/conftest.py), beside which the other one has a core and more to itself.
# What hangs is ended later than elsewhere: the first test of a file starts backends, and another file uses a core.
WITH_BACKENDS := $(wildcard tests/browser tests/e2e tests/chaos tests/integration) \
	-n 2 --dist loadfile --no-loadscope-reorder --timeout 300

# The first Python that is new enough; empty where there is none.
FIND_PYTHON = for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; \
	done

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  for demo: SCALE=0.1 (part of the city), MESSAGES=path, ONESHOT=1 (end after the table)"
	@echo "  for demo and up: BROKER=kafka or BROKER=tansu instead of the best that is here"

up: $(STAMP) web ## start the whole suite and keep it running until Ctrl-C
	@$(BIN)/daibiaotong up

demo: $(STAMP) web ## start the suite and play a year of the city in it
	@$(BIN)/daibiaotong demo

web: $(STAMP) ## build the web pages, where their sources changed
	@$(BIN)/python -m deploy.local.webbuild

check: $(STAMP) ## format, lint, types, import rules and the quick tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.local.webbuild check
	$(BIN)/pytest $(wildcard tests/unit tests/architecture tests/contract) -q -n 2 --dist loadfile

test: check ## check, then the tests with real backends, processes and a browser
	$(BIN)/pytest $(WITH_BACKENDS) --durations=25

test-full: check ## test, with the long random and load runs
	SEQUENCES=$${SEQUENCES:-10000} $(BIN)/pytest $(WITH_BACKENDS) --full

soak: $(STAMP) ## ten thousand random sequences of commands with kills in between (SEED=1, SEQUENCES=500)
	SEQUENCES=$${SEQUENCES:-10000} $(BIN)/pytest tests/chaos/test_random_commands.py -q -s

bench-evaluation: $(STAMP) ## how fast events become scores; ROUNDS=1 EVENTS=50000 for a short look
	$(BIN)/python -m benchmarks.evaluation

clean: ## remove the run folder (all local data) and caches; refused while a suite runs
	@python=$$($(FIND_PYTHON)); test ! -e .run/lock || "$${python:-$(BIN)/python}" deploy/local/lock.py .run
	rm -rf .run $(CACHES)
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv and node_modules
	rm -rf .venv *.egg-info web/node_modules

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or later is needed (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)" >&2; \
		exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python lacks its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; \
		exit 1; \
	fi; \
	echo "installing into .venv (half a minute, only when the requirements change) ..."; \
	$$python -m venv .venv && $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]' && touch $@
