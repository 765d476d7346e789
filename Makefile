# Two commands, each from nothing but Python 3.11 or newer and make:
#   make run    start the server with hooks.yaml on port 5000 (or $PORT)
#   make test   lint, types and every test
# and `make check`, which says what is wrong with hooks.yaml; `make bench`, which measures; `make pictures`,
# which takes those of docs/images.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run check test bench pictures clean

run: $(VENV)/.run
	exec $(BIN)/python runner.py

check: $(VENV)/.run
	@$(BIN)/python runner.py check

test: $(VENV)/.test
	@[ -z "$$CI" ] || { command -v chromium && command -v webhook; } || \
	  { apt-get update -q && apt-get install -y -q --no-install-recommends chromium webhook; } >/dev/null
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet -r requirements-bench.txt || true
	@command -v webhook hey >/dev/null || apt-get install -y -q webhook hey >/dev/null || true
	@missed=0; for each in startup accept auth peer pages scale; do \
		echo "== $$each"; $(BIN)/python benchmarks/$$each.py || missed=1; \
	done; exit $$missed

pictures: $(VENV)/.test
	$(BIN)/python -m tests.pictures

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "hookrunner needs Python 3.11 or newer; name one: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "this Python cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.run: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.test: requirements.txt requirements-test.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements-test.txt
	@touch $@ $(VENV)/.run
