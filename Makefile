# make help    this list
# make demo    set everything up, tune the embedded model, print the path of its report
# make test    set everything up, run the tests
# make check   lint, check types, the order of the folders, the CLI reference, and that the site builds
# make fix     format the code and apply the linter's fixes; make check reports what is left
# make docs    regenerate the CLI reference, build the site in site/
# make bench   benchmark against trl and others, write docs/benchmarks.md (36 minutes on 2 cores; run nothing else meanwhile)
# make bench-quick   less of each benchmark, printed, in five minutes (run nothing else meanwhile)
# make bench-least   every benchmark at toy size, to see that it still runs
# make fuzz    give the readers of strangers' files a minute each of broken ones (SECONDS=60)
# make dist    build wheel and sdist into dist/, check them, and try the wheel in an empty environment
# make sbom    list all that is installed with the wheel, with licences, as CycloneDX in dist/
# make gpu     benchmark this machine's GPU in eight minutes; results go to gpu-results/ (TORCH=cuda)
# make clean   remove the environments that these commands made
# make lock    write locks/, which hold every installed distribution with its hashes (UPGRADE="name ..." to move some)
#
# TORCH=cpu installs PyTorch's CPU build from its own index; TORCH=installed uses the one of the Python that creates the
# environment; TORCH=cuda PyPI's, which on Linux is the one for NVIDIA's GPUs; otherwise it is PyPI's unless pip has a wheel
# at hand (find-links). If the environment already has torch, it is never replaced.

PYTHON ?= python3
TORCH ?= pip
VENV := .venv
RELEASE := .venv-release
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CPU_BUILDS := https://download.pytorch.org/whl/cpu
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
LOCKED := $(PIP) install --no-deps --no-build-isolation --require-hashes

# What plain `make` does
.DEFAULT_GOAL := help
.PHONY: help demo test check fix docs bench bench-quick bench-least fuzz dist sbom gpu lock clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.core
	$(BIN)/medalist demo

# Two processes on two cores: with a thread each, they do not wait for each other.
test: $(VENV)/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/cli_reference.py --check
	$(SITE) --site-dir $(VENV)/site

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	$(BIN)/python docs/cli_reference.py
	$(SITE)

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/all.py

bench-quick: $(VENV)/.bench
	$(BIN)/python benchmarks/all.py --size quick

bench-least: $(VENV)/.bench
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/all.py --size least

fuzz: $(VENV)/.dev
	$(BIN)/python fuzz/run.py --seconds $(or $(SECONDS),60)

dist: $(RELEASE)/.made
	rm -rf dist .venv-dist/.wheel
	$(RELEASE)/bin/python -m build --no-isolation
	$(RELEASE)/bin/twine check --strict dist/*.whl dist/*.tar.gz
	$(MAKE) VENV=.venv-dist .venv-dist/.wheel
	.venv-dist/bin/python -I release/try_wheel.py

sbom: $(RELEASE)/.made
	test -e .venv-dist/.wheel || $(MAKE) dist
	$(RELEASE)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
	  -o dist/sbom.cdx.json .venv-dist

gpu: $(VENV)/.bench
	$(BIN)/python benchmarks/gpu.py --minutes 8 --out gpu-results

lock: $(RELEASE)/.made
	PATH="$(RELEASE)/bin:$$PATH" $(PYTHON) locks/write.py $(UPGRADE)

clean:
	rm -rf $(VENV) $(RELEASE) .venv-dist

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medalist needs Python 3.11 or newer; name one with PYTHON=")'
	$(PYTHON) -m venv $(if $(filter installed,$(TORCH)),--system-site-packages) $(VENV)
	touch $@

# A wheel that lies where pip's find-links point comes first, without a network. Builds for CPUs are marked +cpu; with any
# other on Linux come the libraries for NVIDIA's GPUs
$(VENV)/.torch: $(VENV)/.made
	if ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  { $(if $(filter cuda,$(TORCH)),,$(LOCKED) --no-index -r locks/torch.txt 2>/dev/null ||) \
	    $(LOCKED) $(if $(filter cpu,$(TORCH)),--index-url $(CPU_BUILDS)) -r locks/torch.txt; } \
	  && { $(PIP) show torch | grep '+cpu' > /dev/null || $(LOCKED) -r locks/gpu.txt; }; \
	fi
	touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml locks/core.txt
	$(LOCKED) -r locks/core.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

# What pip installs for someone who asks for the package, and the embedded model
$(VENV)/.wheel: $(VENV)/.torch locks/core.txt
	$(LOCKED) -r locks/core.txt
	$(PIP) install --no-deps --no-index --force-reinstall dist/*.whl
	touch $@

$(VENV)/.dev: $(VENV)/.core locks/dev.txt
	$(LOCKED) -r locks/dev.txt
	touch $@

# Chromium for the tests of the page: the machine's, or as root Debian's, or else the one that playwright offers
$(VENV)/.browser: $(VENV)/.dev
	{ command -v chromium || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable \
	  || { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -qy --no-install-recommends chromium; } \
	  || $(BIN)/playwright install chromium; } && touch $@ \
	  || echo 'There is no Chromium: the tests of the page will be skipped, or fail if NEED_BROWSER is set' >&2

$(VENV)/.bench: $(VENV)/.core locks/bench.txt
	$(LOCKED) -r locks/bench.txt
	touch $@

$(RELEASE)/.made: locks/release.txt
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check install --no-deps --require-hashes -r locks/release.txt
	touch $@
