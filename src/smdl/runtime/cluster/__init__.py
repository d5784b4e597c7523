"""What the study needs of a SLURM cluster beyond Snakemake's executor plugin."""
