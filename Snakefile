"""smdl: how far a language model compresses, and whether its local learning coefficient foretells it.

snakemake --profile profiles/slurm                                   the study of config.yaml, on a cluster
snakemake --profile profiles/local --configfile config.mini.yaml     the mini study, on this machine
"""

import os
import shlex
import sys

from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.20")

# Where this file is from, as pip names it: a folder, or a git repository with a branch, tag or commit.
ORIGIN = str(workflow.current_basedir).replace(f"{os.sep}@", "@")
if not (os.path.isabs(ORIGIN) or ORIGIN.startswith("git+")):
    ORIGIN = f"git+https://{ORIGIN}"

try:
    from smdl.runtime.snakefile import check_library, read_from_git
except ModuleNotFoundError as missing:
    if missing.name != "smdl":
        raise
    sys.exit(
        "smdl, the library of this workflow, is not installed where Snakemake is; to install it:"
        f" {shlex.quote(sys.executable)} -m pip install {shlex.quote(ORIGIN)}"
    )

read_from_git()
check_library(workflow, ORIGIN)


if not workflow.config_settings.configfiles:

    configfile: f"{workflow.current_basedir}/config.yaml"


include: "rules/common.smk"


# Only where the profile asks for images (containers/): Snakemake refuses a path with a space even if no image is used.
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:

    container: f"{workflow.current_basedir}/containers/smdl.sif"


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",


rule all:
    input:
        "<results>/config.yaml",
        collect("<results>/tables/{table}.{format}", table=TABLES, format=["parquet", "csv"]),
        of_figures("<results>/figures/{figure}.svg"),
        of_figures("<results>/figures/{figure}.png"),
        collect("<results>/report/{page}.html", page=PAGES),
    localrule: True


include: "rules/models.smk"
include: "rules/audit.smk"
include: "rules/disk.smk"
include: "rules/corpus.smk"
include: "rules/llc.smk"
include: "rules/compression.smk"
include: "rules/regression.smk"
include: "rules/rulers.smk"
include: "rules/population.smk"
include: "rules/allocation.smk"
include: "rules/sweep.smk"
include: "rules/report.smk"
# The last: the rule of a figure is named after it where no other rule is.
include: "rules/figures.smk"
