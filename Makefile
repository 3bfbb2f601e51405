# make demo    install into .venv, then train, certify, verify and draw a small real example
# make test    the whole suite, doctests included, on all cores
# make lint    ruff, ruff format, mypy, import-linter
# make docs    the documentation site, notebooks run anew: build/site/index.html
# make theorems  rewrite docs/theorems.md from the catalogue
# make notebooks  run the theory notebooks
# make bench   the benchmarks; MNIST=folder adds those on MNIST's IDX files
# make clean   remove the environment and everything generated
#
# PYTHON=python3.12 make demo    chooses the interpreter;  VENV=path make test  chooses the environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint docs theorems notebooks bench clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "genbounds needs Python 3.11 or newer: set PYTHON, as in 'make demo PYTHON=python3.12'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of packages: a second run installs nothing.
$(VENV)/.installed-digits: $(INPUTS) | $(BIN)/python
	@echo "Installing genbounds into $(VENV) (once; PyTorch is the large part) ..."
	$(PIP) -e '.[digits]'
	@touch $@

$(VENV)/.installed-test: $(INPUTS) | $(BIN)/python
	@echo "Installing genbounds and what its tests need into $(VENV) (once) ..."
	$(PIP) -e '.[test]'
	@touch $@

$(VENV)/.installed-lint: $(INPUTS) | $(BIN)/python
	@echo "Installing genbounds and what linting and tests need into $(VENV) (once) ..."
	$(PIP) -e '.[lint,test]'
	@touch $@

$(VENV)/.installed-docs: $(INPUTS) | $(BIN)/python
	@echo "Installing genbounds and what its documentation needs into $(VENV) (once) ..."
	$(PIP) -e '.[docs]'
	@touch $@

demo: $(VENV)/.installed-digits
	$(BIN)/genbounds demo --out demo-output

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

notebooks: $(VENV)/.installed-test
	for notebook in theory_notebooks/*.py; do MPLBACKEND=Agg $(BIN)/python $$notebook || exit 1; done

theorems: $(VENV)/.installed-digits
	$(BIN)/python docs/render_theorems.py

docs: $(VENV)/.installed-docs
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python docs/build.py build/site

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/numerics.py
	$(BIN)/python benchmarks/monte_carlo.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/per_example.py
	$(BIN)/python benchmarks/langevin.py benchmarks/output/langevin.png
	$(BIN)/python benchmarks/supersamples.py benchmarks/output/supersamples $(if $(MNIST),--root $(MNIST)/..)
	$(BIN)/python benchmarks/pathway_capture.py
	$(BIN)/python benchmarks/pathway_distances.py
	$(BIN)/python benchmarks/grokking_pathways.py
	$(BIN)/python benchmarks/ranking.py benchmarks/output/ranking
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/spectra.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/scaling.py
	@echo "benchmarks/compression.py and tightness.py need MNIST and Fashion-MNIST (--root); prompts.py needs two models"
	@echo "from packages: see benchmarks/assets.py."
ifdef MNIST
	$(BIN)/python benchmarks/mnist_certificate.py benchmarks/output --data $(MNIST)
	$(BIN)/python benchmarks/coherence.py $(MNIST) benchmarks/output/coherence --workers 2
else
	@echo "make bench MNIST=folder adds the certificates for MNIST and gradient coherence; the folder holds its four IDX files."
endif

clean:
	rm -rf $(VENV) demo-output build *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
