# Everything a newcomer needs; each target sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-long test-slow test-docs test-pythons check docs web web-unit web-e2e web-test clean

demo: $(VENV)/.core
	$(BIN)/featherface detect examples --save out
	@echo "drawn pictures are in out/"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not long" -n 2

# Exports, kills, slow senders: some seconds each.
test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -m "long and not slow" -n 2

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# Every code block of the pages, the examples that train, the five-minute start in a fresh clone, and a release.
test-docs: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal tests/docs

# Without torch, on the other supported Pythons that this machine has (on the PATH, or by pyenv): the core, evaluating
# and batch.
test-pythons:
	@for version in 3.12 3.13; do \
	    python=; \
	    for candidate in python$$version $$HOME/.pyenv/versions/$$version.*/bin/python; do \
	        if $$candidate --version >/dev/null 2>&1; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then echo "skipped: Python $$version is not here"; continue; fi; \
	    echo "Python $$version, without torch"; \
	    "$$python" -m venv $(VENV)-$$version && \
	    $(VENV)-$$version/bin/python -m pip install --quiet -c constraints.txt -e '.[batch,evaluate]' pytest pytest-xdist hypothesis pillow && \
	    $(VENV)-$$version/bin/python -m pytest -q -n 2 -m "not slow and not long" \
	        tests/core tests/batch tests/evaluate tests/cli/test_detect.py tests/cli/test_evaluate.py || exit 1; \
	done

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "the site is in build/site/"

web: web/node_modules/.installed
	cd web && npm run build

# Vite and Vitest need Node.js alone, Playwright a Chromium, too.
web-unit: web
	cd web && npm test

web-e2e: web $(VENV)/.core
	@command -v $${CHROMIUM:-/usr/bin/chromium} >/dev/null || { echo "no Chromium: apt-get install chromium, or set CHROMIUM to its path"; exit 1; }
	cd web && FEATHERFACE=$${FEATHERFACE:-../$(BIN)/featherface} npm run e2e

web-test: web-unit web-e2e

web/node_modules/.installed: web/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing; the page needs Node.js 20.19 or newer"; exit 1; }
	cd web && npm ci --no-audit --no-fund
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "featherface needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) $(VENV)-3.* out runs .cache
