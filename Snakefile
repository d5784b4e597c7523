"""smdl: how far a language model compresses, and whether its local learning coefficient foretells it.

snakemake --profile profiles/slurm                                   the study of config.yaml, on a cluster
snakemake --profile profiles/local --configfile config.mini.yaml     the mini study, on this machine
"""

from snakemake.utils import min_version

from smdl.runtime.snakefile import read_from_git

min_version("9.20")
read_from_git()


if not workflow.config_settings.configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",


localrules:
    all,


rule all:
    default_target: True
    input:
        "<results>/config.yaml",
        collect("<results>/tables/{table}.{format}", table=TABLES, format=["parquet", "csv"]),
        of_figures("<results>/figures/{figure}.svg"),
        of_figures("<results>/figures/{figure}.png"),
        collect("<results>/report/{page}.html", page=PAGES),


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
