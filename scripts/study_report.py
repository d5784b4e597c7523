"""Rule report: the finished study as one HTML file and as a zip."""

from smdl.runtime.job import job

with job(snakemake):
    from pathlib import Path

    from smdl.report.make import make

    make(Path(snakemake.output.html).parent)
