# Fieldgate. Needs make and Python 3.11 or newer; everything else is set up in .venv, once.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix webui/ui --no-audit --no-fund --no-update-notifier
UV := uv==0.13.8
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
  --generate-hashes --custom-compile-command 'make lock'

# PYTHON=… chooses; else the first of these that really runs (pyenv leaves shims that don't), is new
# enough and can make a venv (Debian's python3 can't before python3-venv is installed).
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11)
GOOD_PYTHON := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# What the page is built from: a change of any of these builds it anew.
PAGE := $(shell find webui/ui -name node_modules -prune -o -type f ! -name '*.test.ts' -print)

.SUFFIXES:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test lint bench lock clean anew

help:
	@echo 'make run     set up and start Fieldgate: http://127.0.0.1:8088   (ARGS="-c my.yaml")'
	@echo 'make test    run the tests that gate    (ARGS="tests/broker -k retained": only these)'
	@echo 'make lint    check style and types'
	@echo 'make bench   measure'
	@echo 'make lock    pin the dependencies again after a change in pyproject.toml'
	@echo '             (ARGS=--upgrade: the newest that pyproject.toml allows)'
	@echo 'make clean   remove everything that the above made, but no data and no config'

run: $(VENV)/.fieldgate
	@exec $(BIN)/fieldgate run $(ARGS)

# pytest comes last, so that its summary is the last line.
test: $(VENV)/.tools $(VENV)/.fieldgate webui/ui/node_modules/.package-lock.json
ifeq ($(ARGS),)
	@$(NPM) run test
	$(BIN)/python -m pytest --cov
else
	$(BIN)/python -m pytest $(ARGS)
endif

lint: $(VENV)/.tools webui/ui/node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(NPM) run lint

bench: $(VENV)/.tools $(VENV)/.fieldgate
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(VENV)/pyvenv.cfg
	@$(PIP) install '$(UV)'
	$(COMPILE) $(ARGS) --extra test --output-file requirements-test.lock
	$(COMPILE) $(ARGS) --constraints requirements-test.lock --output-file requirements.lock

clean:
	rm -rf $(VENV) dist webui/static webui/ui/node_modules .coverage .coverage.* htmlcov
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Set-up. A stamp is touched when its step is done; while a step runs there is .venv/.unfinished, and
# whoever finds it, or a .venv whose Python is gone or that was moved here, starts with an empty one.

ifneq ($(shell (test ! -e $(VENV)/.unfinished && grep -qF "$(CURDIR)/$(VENV)" $(BIN)/activate && \
  $(BIN)/python -c 'import pip' && echo works) 2>/dev/null),works)
$(VENV)/pyvenv.cfg: anew
endif

$(VENV)/pyvenv.cfg:
	@chosen=; \
	for python in $(PYTHONS); do \
	  if "$$python" -c '$(GOOD_PYTHON)' >/dev/null 2>&1; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo 'Fieldgate needs Python 3.11 or newer with venv (tried:' $(PYTHONS)'). To install it:' >&2; \
	  if command -v apt-get >/dev/null; then echo '  sudo apt install python3 python3-venv' >&2; \
	  else echo '  see https://www.python.org/downloads/' >&2; fi; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$chosen" --version) (once; about a minute) …"; \
	rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.unfinished && \
	"$$chosen" -m venv $(VENV) && rm $(VENV)/.unfinished

$(VENV)/.packages: $(VENV)/pyvenv.cfg requirements.lock
	@echo 'Installing the packages of requirements.lock …'
	@touch $(VENV)/.unfinished
	@$(PIP) install --require-hashes -r requirements.lock
	@rm $(VENV)/.unfinished && touch $@

$(VENV)/.tools: $(VENV)/.packages requirements-test.lock
	@echo 'Installing the tools of requirements-test.lock …'
	@touch $(VENV)/.unfinished
	@$(PIP) install --require-hashes -r requirements-test.lock
	@rm $(VENV)/.unfinished && touch $@

$(VENV)/.fieldgate: $(VENV)/.packages pyproject.toml hatch_build.py gateway/__init__.py $(PAGE)
	@echo 'Building the page and installing Fieldgate …'
	@touch $(VENV)/.unfinished
	@$(PIP) install --no-deps --editable .
	@rm $(VENV)/.unfinished && touch $@

ifeq ($(wildcard webui/static/index.html),)
$(VENV)/.fieldgate: anew
endif

webui/ui/node_modules/.package-lock.json: webui/ui/package-lock.json | $(VENV)/.tools
	@echo 'Installing the packages of webui/ui/package-lock.json …'
	@$(NPM) ci --silent
	@touch $@
