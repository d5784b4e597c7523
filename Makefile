# Every target sets up its own environment: .venv is made from requirements.lock when it is missing or older, what the
# site adds from requirements.site.lock, and what tests add from requirements.test.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules and not programs of .venv: those name the folder that they were installed in, and a clone may be moved.
RUN := $(BIN)/python -P
SMDL := $(RUN) -m smdl.cli
# One screen, or a line now and then where there is no terminal; the full log is in .snakemake/log.
VIEW := --logger smdl
SNAKEMAKE := $(RUN) src/smdl/runtime/warm.py $(RUN) -m snakemake --profile profiles/local $(VIEW)

# Snakemake wants a cache that it can write; a home that cannot be written, or none, shall stop nobody.
WRITABLE := test -n "$$XDG_CACHE_HOME$$HOME" && cache="$${XDG_CACHE_HOME:-$$HOME/.cache}" && mkdir -p "$$cache" && test -w "$$cache"
ifneq ($(shell { $(WRITABLE); } 2>/dev/null && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.cache
export XDG_CONFIG_HOME := $(CURDIR)/.cache
endif

# Compiled modules are kept: where each start compiles all that it imports anew, as this variable of many an image has it,
# the imports of a job with torch take nearly three times as long. An installation compiles what jobs import, a tenth of what pip would compile.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: mini population report paper crate status calibration hinton theory motifs allocation plan mini-slurm slurm-doctor gpu-check site test check clean

# A clone that was moved has lost its library, which is installed by its place: it is installed anew.
ifneq ($(shell cat $(VENV)/installed 2>/dev/null),$(CURDIR))
$(VENV)/installed: anew
endif
.PHONY: anew

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps --editable .
	$(RUN) -c 'import smdl.runtime.warm as warm; [__import__(name) for name in (*warm.HEAVY, "snakemake.cli")]'
	printf %s '$(CURDIR)' > $@

$(VENV)/site: $(VENV)/installed requirements.site.lock
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements.site.lock
	touch $@

# The site is among what is tested.
$(VENV)/tested: $(VENV)/site requirements.test.lock
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements.test.lock
	touch $@

# The whole study on real text, with small models trained on the spot.
mini: $(VENV)/installed
	$(SNAKEMAKE) --configfile config.mini.yaml
	@$(SMDL) summary results/mini

# A population of trained models, and the verdicts on what was expected of it; two hours on 2 cores.
population: $(VENV)/installed
	$(SNAKEMAKE) --configfile config.population.yaml expectations.population.yaml
	@$(SMDL) summary results/population

# Bits where they matter: which score gives the matrices of the mini models the right bits, into results/allocation.
allocation: $(VENV)/installed
	$(SNAKEMAKE) --configfile config.allocation.yaml -- figure_allocation
	@cat results/allocation/tables/claims.csv

# The report of a study, finished or not, as one HTML file and as a zip; and how far the study is. STUDY names it.
STUDY ?= mini

report: $(VENV)/installed
	@$(SMDL) report results/$(STUDY)

# A finished study as a paper: a PDF and LaTeX tables.
paper: $(VENV)/installed
	@$(SMDL) paper results/$(STUDY)

# Its files and the runs that made them, as an RO-Crate.
crate: $(VENV)/installed
	@$(SMDL) crate results/$(STUDY)

status: $(VENV)/installed
	@$(SMDL) status results/$(STUDY)

# The experiment of Hinton and van Camp (1993), into results/hinton.
hinton: $(VENV)/installed
	$(SNAKEMAKE) --snakefile experiments/hinton/Snakefile
	@cat results/hinton/tables/hinton.csv

# The theory of singular models, computed, into results/theory.
theory: $(VENV)/installed
	$(SNAKEMAKE) --snakefile experiments/theory/Snakefile
	@cat results/theory/tables/theory.csv

# Mosaic-of-Motifs: are trained networks algorithmically simpler, into results/motifs; some 20 minutes on 2 cores.
motifs: $(VENV)/installed
	$(SNAKEMAKE) --snakefile experiments/motifs/Snakefile
	@cat results/motifs/tables/motifs_verdicts.csv

# The sampler against known answers, into results/known_answers.
calibration: $(VENV)/installed
	$(SNAKEMAKE) --snakefile experiments/known_answers/Snakefile
	@cat results/known_answers/tables/known_answers_summary.csv

# The mini study again, on a SLURM cluster that is made for it on this machine: the tables must be the same.
mini-slurm: mini
	SMDL_ACCOUNT=smdl SMDL_CPU_PARTITION=cpu SMDL_GPU_PARTITION=gpu \
	$(BIN)/python tests/slurm/cluster.py --accounting -- \
	$(RUN) -m snakemake --profile profiles/slurm --configfile config.mini.yaml --directory results/under-slurm \
	--jobs 8 --slurm-init-seconds-before-status-checks 5 $(VIEW)
	diff --exclude='*.parquet' --exclude=runs.csv results/mini/tables results/under-slurm/results/mini/tables
	@echo 'The tables equal those of make mini.'

# Can this cluster run the study? One page; sends one job of a minute.
slurm-doctor: $(VENV)/installed
	@$(SMDL) doctor

# Does a GPU compute what a CPU does, as fast and in as little memory as planned? Minutes, on a node with one, into
# results/gpu-check.
gpu-check: $(VENV)/installed
	@$(SMDL) gpu-check

# What the published study would run and cost: a dry run with a table, offline.
plan: $(VENV)/installed
	$(SMDL) plan

# README.md and the pages of docs/ and experiments/ as a site with a search, into results/site. It is made anew: a
# generator that goes on from an older one tells no warning twice.
site: $(VENV)/site
	rm -rf results/site
	$(RUN) -m sphinx --quiet --fail-on-warning --fresh-env --doctree-dir .cache/site --conf-dir docs . results/site
	@echo 'The site: results/site/index.html'

# Three tests at a time, since those of a real SLURM, the long round first, mostly wait. SLURM and a browser, where they
# are missing, are installed as root, or their tests are skipped with a word of why. --durations=50 lists the slowest.
test: check
	$(RUN) -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/tested
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m snakefmt --check Snakefile workflow rules experiments
	$(RUN) -m snakemake --profile profiles/local --configfile config.mini.yaml --lint

clean:
	rm -rf $(VENV)
