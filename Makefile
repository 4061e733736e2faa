PYTHON ?= python3
FAMILY ?= embedded
NEURAL := .venv-neural
VENV := $(if $(filter neural,$(FAMILY)),$(NEURAL),.venv)
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := redis-server espeak-ng flite apertium apertium-eng-spa apertium-eng-cat apertium-en-gl rubberband-cli
TEST_PACKAGES := chromium ffmpeg fonts-dejavu-core fonts-noto-core fonts-noto-cjk mpv
MISSING = $$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || printf '%s ' $$p; done)

.PHONY: demo weights test test-neural check fix bench compose-check clean packages test-packages

demo: packages $(VENV)/$(FAMILY) node_modules/.installed models/.installed $(if $(filter neural,$(FAMILY)),weights)  ## dub the test broadcast, or URL=... TO=es,ca
	@$(if $(filter neural,$(FAMILY)),set -a; . models/neural/neural.env; set +a;) \
	  $(BIN)/python -m loadtest demo $(if $(URL),--url '$(URL)') $(if $(TO),--to $(TO)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(PORT),--port $(PORT))

weights: $(NEURAL)/neural  ## fetch the neural models that fit this machine
	@$(NEURAL)/bin/python -m services.weights --folder models/neural --languages $(or $(TO),es)

test: packages test-packages $(VENV)/test node_modules/.installed models/.installed models/.faces check  ## everything that CI runs
	$(BIN)/pytest

test-neural: packages test-packages $(NEURAL)/neural models/.installed  ## the neural engines on tiny models
	HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 WANDB_MODE=disabled $(NEURAL)/bin/python -m pytest tests/neural

compose-check: $(VENV)/test  ## build every image, dub the test broadcast through them, kill a container
	$(BIN)/python -m loadtest compose

check: $(VENV)/test  ## format, lint, types, import walls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m deploy.audit

fix: $(VENV)/test  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: packages $(VENV)/test models/.installed  ## the short form of every measure
	$(BIN)/python -m loadtest bus
	$(BIN)/python -m loadtest placement --hours 2
	$(BIN)/python -m loadtest media

clean:
	rm -rf $(VENV) $(NEURAL) node_modules models build .cache .mypy_cache .ruff_cache .pytest_cache artefacts *.egg-info

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

$(NEURAL)/neural: pyproject.toml constraints.txt
	@echo "Creating $(NEURAL) with the neural engines (about 3 GB)"
	@$(PYTHON) -m venv $(NEURAL)
	@$(NEURAL)/bin/pip install -e '.[embedded,neural,test]' -c constraints.txt
	@$(NEURAL)/bin/python deploy/torchaudio.py && touch $@

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "Installing Debian packages: npm"; $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends npm >/dev/null; }
	@echo "Installing npm packages: the player and the charts"
	@npm ci --no-audit --no-fund --silent && touch $@

models/.installed: | $(VENV)/bin/python
	@echo "Fetching the voice embedding (the Resemblyzer wheel, 16 MB)"
	@$(BIN)/pip download -q --no-deps --dest models Resemblyzer==0.1.4 && touch $@

models/.faces: | $(VENV)/bin/python
	@echo "Fetching the face models (the archive of face_recognition_models, 100 MB)"
	@$(BIN)/pip download -q --no-deps --no-binary :all: --dest models face_recognition_models==0.3.0 && touch $@
