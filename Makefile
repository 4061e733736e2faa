PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := redis-server espeak-ng flite apertium apertium-eng-spa apertium-eng-cat apertium-en-gl rubberband-cli
TEST_PACKAGES := chromium ffmpeg fonts-dejavu-core
MISSING = $$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf '%s ' $$p; done)

.PHONY: demo test check fix bench clean packages test-packages

demo: packages $(VENV)/embedded node_modules/.installed models/.installed  ## dub the test broadcast, or URL=... TO=es,ca
	@$(BIN)/python -m loadtest demo $(if $(URL),--url '$(URL)') $(if $(TO),--to $(TO)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(PORT),--port $(PORT))

test: packages test-packages $(VENV)/test node_modules/.installed models/.installed check  ## everything that CI runs
	$(BIN)/pytest

check: $(VENV)/test  ## format, lint, types, import walls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: $(VENV)/test  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: packages $(VENV)/test models/.installed  ## the short form of every measure
	$(BIN)/python -m loadtest bus
	$(BIN)/python -m loadtest placement
	$(BIN)/python -m loadtest media

clean:
	rm -rf $(VENV) node_modules models build .cache .mypy_cache .ruff_cache .pytest_cache artefacts *.egg-info

packages test-packages: packages := $(PACKAGES)
test-packages: packages := $(TEST_PACKAGES)
packages test-packages:
	@missing="$(call MISSING,$(packages))"; [ -z "$$missing" ] || { \
	  echo "Installing Debian packages: $$missing"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	  || { echo "Could not install $$missing: install them by hand and call make again."; exit 1; }; }

$(VENV)/bin/python:
	@echo "Creating a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Dragoman needs Python 3.11, 3.12 or 3.13; say PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }

$(VENV)/embedded: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Python packages: the embedded engines and every service"
	@$(BIN)/pip install -q -e '.[embedded,loadtest]' -c constraints.txt && touch $@

$(VENV)/test: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Python packages: the embedded engines, every service, test tools"
	@$(BIN)/pip install -q -e '.[embedded,test]' -c constraints.txt && touch $@ $(VENV)/embedded

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "Installing Debian packages: npm"; $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends npm >/dev/null; }
	@echo "Installing npm packages: the player and the charts"
	@npm ci --no-audit --no-fund --silent && touch $@

models/.installed:
	@echo "Fetching the voice embedding (the Resemblyzer wheel, 16 MB)"
	@$(BIN)/pip download -q --no-deps --dest models Resemblyzer==0.1.4 && touch $@
