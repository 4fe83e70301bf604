# Everything happens in ./.venv, from the hash-locked lists in requirements/; nothing is installed
# outside it. PYTHON=/path/to/python chooses the interpreter, ARGS="..." goes to pytest or the demo.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-image test-clients check bench lock clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
CODE := $(wildcard git_credential_relay tests benchmarks entrypoint)
# Two more than there are processors: many tests wait for a deadline or for a token's end.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); if [ "$$n" -gt 4 ]; then n=4; fi; echo $$((n + 2)))
PACKAGE := pyproject.toml git_credential_relay/__init__.py

# A copied, moved or half-made environment does not work: make it again.
ifneq ($(shell cat $(VENV)/.made-in 2>/dev/null && test -x $(BIN)/python && echo ok),$(CURDIR) ok)
$(shell rm -rf $(VENV))
endif

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.broker ## real git clones and pushes with tokens that expire in between
	@$(BIN)/git-credential-relay demo $(ARGS)

# The tests start thousands of Pythons. Where byte code must not be written, each of them would
# compile all that it imports, and pytest rewrite each test file in each of its processes.
test test-image test-clients: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.dev ## the test suite; ARGS="-k name" for a part of it, JOBS=n for the processes
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

test-image: $(VENV)/.image ## build the images and run containers of them; needs root, buildah, podman, runc, mmdebstrap
	@$(BIN)/python -m pytest --timeout 900 $(ARGS) tests/image

test-clients: $(VENV)/.dev ## push and run gh from inside a real opencode, which npm fetches; needs root
	@REAL_OPENCODE=$${REAL_OPENCODE:-$$(PYTHON=$(BIN)/python .ci/opencode build/opencode)}; export REAL_OPENCODE; \
		$(BIN)/python -m pytest --timeout 120 $(ARGS) tests/clients

check: $(VENV)/.dev ## formatting, lint, types, import direction, shell scripts
	@out=$$($(BIN)/ruff format --check --output-format concise $(CODE)) || { \
		printf '%s\n' "$$out" 'check: run $(BIN)/ruff format' >&2; exit 1; }
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/mypy --no-error-summary $(CODE)
	@$(BIN)/lint-imports >$(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH"; if command -v shellcheck >/dev/null; then \
		git ls-files -z --cached --others --exclude-standard \
			| xargs -0 awk 'FNR == 1 { if (/^#!.*[\/ ](ba|da)?sh( |$$)/) print FILENAME; nextfile }' \
			| xargs -r -d '\n' shellcheck; \
	else echo 'check: no shellcheck, so shell scripts are not checked (apt-get install shellcheck)'; fi
	@echo 'check: all good'

bench: $(VENV)/.dev ## a `get` beside named peers, the sidecar and the broker under load
	@$(BIN)/python -m compileall -q git_credential_relay
	@$(BIN)/python benchmarks/bench.py $(ARGS)
	@echo && $(BIN)/python -m benchmarks.sidecar
	@echo && $(BIN)/python benchmarks/broker.py

lock: $(VENV)/.made-in ## choose and pin new versions of everything in requirements/*.in
	@$(PIP) install --upgrade uv
	@cooled=$$(date -u -d '7 days ago' +%Y-%m-%dT%H:%M:%SZ); cd requirements && for list in runtime broker dev image; do \
		UV_CUSTOM_COMPILE_COMMAND='make lock' ../$(BIN)/uv pip compile --no-config --quiet --upgrade --universal --generate-hashes \
			--python-version 3.11 --exclude-newer "$$cooled" --output-file $$list.txt $$list.in || exit 1; \
	done
	@$(PIP) uninstall --yes uv
	@echo 'lock: requirements/*.txt written'

clean: ## remove the environment and everything generated
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# Both stamps come with the editable package; the development list contains the broker's list.
$(VENV)/.broker: requirements/broker.txt $(PACKAGE) | $(VENV)/.made-in
	@echo 'setting up $(VENV) from $<'
	@$(PIP) install --compile --require-hashes --requirement $<
	@$(PIP) install --compile --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(PACKAGE) | $(VENV)/.made-in
	@echo 'setting up $(VENV) from $<'
	@$(PIP) install --compile --require-hashes --requirement $<
	@$(PIP) install --compile --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.broker

$(VENV)/.image: requirements/image.txt $(VENV)/.dev
	@$(PIP) install --compile --require-hashes --requirement $<
	@touch $@

$(VENV)/.made-in:
	@command -v git >/dev/null || { \
		echo 'git not found. Install it, on Debian or Ubuntu: apt-get install git' >&2; exit 1; }
	@bare=; chosen=; \
	for python in $(or $(PYTHON),python3.14 python3.13 python3.12 python3.11 python3); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then chosen=$$python; break; fi; \
		bare=$$python; \
	done; \
	if [ -n "$$chosen" ]; then \
		"$$chosen" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; \
	elif [ -n "$$bare" ]; then \
		echo "$$bare cannot make a virtual environment. Install its venv module, on Debian or Ubuntu:" \
			"apt-get install python3-venv" >&2; exit 1; \
	else \
		echo 'no Python 3.11 or newer found$(if $(PYTHON), at $(PYTHON)). Install it, on Debian or Ubuntu:' \
			'apt-get install python3 python3-venv' >&2; exit 1; \
	fi
	@printf '%s\n' '$(CURDIR)' >$@
