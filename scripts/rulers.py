"""Rule rulers: all measures of complexity, and each against every notion of compressibility."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.rulers import Bootstrap, rulers
    from smdl.rulers.measures import measures
    from smdl.tables import read_table, read_tables
    from smdl.tables.rulers import MEASURES, RULERS

    files, out = snakemake.input, snakemake.output
    extra = {name: read_tables(files.get(name)) for name in this.settings["measures"]}
    checkpoints, llc = read_table(files.checkpoints), read_table(files.llc)
    found = measures(checkpoints, llc, this.settings["admit"], **extra)
    compared = rulers(found, read_table(files.critical), Bootstrap(**this.settings["bootstrap"]))
    this.write_with_csv(out.measures, out.measures_csv, MEASURES, found)
    this.write_with_csv(out.rulers, out.rulers_csv, RULERS, compared)
