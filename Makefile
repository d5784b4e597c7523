# Every target sets up its own environment: .venv is made from requirements.lock when it is missing or older.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/python -P scripts/smdl/warm.py $(BIN)/snakemake --profile profiles/local

.PHONY: mini hinton plan test check clean

$(VENV)/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

# The whole study on real text, with small models trained on the spot.
mini: $(VENV)/installed
	$(SNAKEMAKE) --configfile config.mini.yaml --quiet rules host
	@$(BIN)/python scripts/summary.py results/mini

# The experiment of Hinton and van Camp (1993), into results/hinton.
hinton: $(VENV)/installed
	$(SNAKEMAKE) --configfile config.mini.yaml --quiet rules host -- hinton
	@cat results/hinton/tables/hinton.csv

# What the published study would run and cost: a dry run with a table, offline.
plan: $(VENV)/installed
	$(BIN)/python scripts/plan.py

test: check
	$(BIN)/pytest

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --profile profiles/local --configfile config.mini.yaml --lint

clean:
	rm -rf $(VENV)
