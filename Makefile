# Two commands for a newcomer: make demo, make test. The rest is for those who change things.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DATA ?= ../shared/data
# More than there are cores, as tests wait: for exchanges that are silent, or processes that end.
JOBS ?= 4
# Bytecode is kept, whatever the environment says: tests start hundreds of processes, and each would compile all it imports.
export PYTHONDONTWRITEBYTECODE =
BENCH = $(VENV)-bench/bin/python -m benchmarks

.PHONY: demo test trials coverage soak lint format docs lowest bench bench-quick clean help

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo ## Run the whole way once: exchange, ccxt, lake, answers
	$(BIN)/ticklake demo --lake demo-lake $(if $(wildcard $(DATA)),--data $(DATA))

test: $(VENV)/test $(VENV)-peers/ready ## Run every test
	POLARS_MAX_THREADS=1 TICKLAKE_TEST_PEERS=$(VENV)-peers $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

trials: $(VENV)/test ## Run the seeds of trials that make test leaves out
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m trials

coverage: $(VENV)/coverage $(VENV)-peers/ready ## Run the tests, or TESTS, and show in htmlcov/ which lines they reach
	TICKLAKE_TEST_PEERS=$(VENV)-peers $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term:skip-covered --cov-report=html $(TESTS)

soak: $(VENV)/test ## Kill writers, rebuilds, backups and migrations by the thousand, with wrong clocks too, flip bits, let histories and processes run for hours, and look at the memory of a collector
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m soak

lint: $(VENV)/lint ## Check style, types, the direction of imports, and that the code gets no denser
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python tools/style_report.py --check

format: $(VENV)/lint ## Format the code
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: $(VENV)/docs ## Build the documentation site into site/; every broken link fails
	$(BIN)/mkdocs build --strict

lowest: ## Run the fast tests on the lowest versions that pyproject.toml allows
	$(PYTHON) tools/lowest.py > .lowest.txt
	$(PYTHON) -m venv --clear $(VENV)-lowest && $(VENV)-lowest/bin/pip install -q -c .lowest.txt -e '.[test]'
	$(VENV)-lowest/bin/python -m pytest -n 3 -m 'not slow and not soak and not trials' -q

bench: $(VENV)-bench/ready ## Measure against peers and write the README table: half an hour, nothing else running
	$(BENCH).run --json bench.json --readme README.md && $(BENCH).growth --json growth.json && $(BENCH).memory --json memory.json

bench-quick: $(VENV)-bench/ready ## The same on less data, in four minutes
	$(BENCH).run --quick && $(BENCH).growth --quick && $(BENCH).memory --quick

clean: ## Remove what make made
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-bench $(VENV)-peers .lowest.txt demo-lake site htmlcov .coverage*

$(VENV)/demo: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q -e . && touch $@

$(VENV)/test: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q -e '.[test]' && touch $@ $(VENV)/demo

$(VENV)/coverage: $(VENV)/test
	$(BIN)/pip install -q -e '.[test,coverage]' && touch $@

$(VENV)/lint: $(VENV)/test
	$(BIN)/pip install -q -e '.[test,lint]' && touch $@

$(VENV)/docs: $(VENV)/demo
	$(BIN)/pip install -q -e '.[docs]' && touch $@

$(VENV)-bench/ready: pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench && $(VENV)-bench/bin/pip install -q -r benchmarks/requirements.txt -e '.[ta,server,client]' && touch $@

$(VENV)-peers/ready: tests/peers/requirements.txt tests/peers/requirements-v2.txt
	$(PYTHON) -m venv $(VENV)-peers && $(VENV)-peers/bin/pip install -q -r tests/peers/requirements.txt
	$(VENV)-peers/bin/pip install -q --no-deps --target $(VENV)-peers/v2 --upgrade -r tests/peers/requirements-v2.txt && touch $@
