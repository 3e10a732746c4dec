# Everything here sets up what it needs: a virtual environment in .venv with the pinned dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Errors only: what else pip has to say concerns the machine, not this project.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: demo test test-long check lint types bench docs release-check clean lock

demo: $(READY)
	$(BIN)/sunwell demo

test: $(READY)
	$(BIN)/python -m pytest -q -n auto

# Properties alone, with five hundred examples for forty.
test-long: $(READY)
	$(BIN)/python -m pytest -q -n auto -m "hypothesis and not live" --hypothesis-profile long --timeout 1200

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

check: lint types test

bench: $(READY)
	$(BIN)/python benchmarks/client_cpu.py

# The documents as a site, in build/site/html. Its tools are not needed for anything else.
docs: $(READY) $(VENV)/.docs
	$(BIN)/python docs/build_site.py build/site

$(VENV)/.docs: requirements/docs.txt $(READY)
	@$(PIP_INSTALL) --require-hashes -r requirements/docs.txt
	@touch $@

# Builds what is published and tries it in environments that have nothing else; no package index is asked.
release-check: $(READY)
	$(BIN)/python .ci/release_check.py

$(READY): requirements/dev.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Sunwell needs Python 3.11 or later: set PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: python3-venv)"; exit 1; }
	@echo "Setting up $(VENV), once: a minute or two"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@# compat: a path instead of an import hook, which type checkers and editors would not follow
	@$(PIP_INSTALL) --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $(READY)

# Writes the pinned files anew; needs uv on the PATH.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --extra dev pyproject.toml requirements/build.in -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --extra docs -c requirements/dev.txt pyproject.toml -o requirements/docs.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
