"""Rule rulers: all measures of complexity, and each against every notion of compressibility."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.analysis.rulers import Bootstrap, rulers
    from smdl.rulers.registry import GATHERED, RULERS, measures
    from smdl.tables import read_table, read_tables
    from smdl.tables.rulers import MEASURES
    from smdl.tables.rulers import RULERS as COMPARED

    files, out = snakemake.input, snakemake.output
    names = [name for name in RULERS if name in this.settings["rulers"]]
    tables = {name: read_table(files[name]) for name in GATHERED}
    tables |= {table.name: read_tables(files[table.name]) for name in names for table in RULERS[name].tables}
    found = measures(names, tables, this.settings["admit"])
    compared = rulers(found, read_table(files.critical), Bootstrap(**this.settings["bootstrap"]))
    this.write_with_csv(out.measures, out.measures_csv, MEASURES, found)
    this.write_with_csv(out.rulers, out.rulers_csv, COMPARED, compared)
