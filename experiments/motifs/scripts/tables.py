"""Rule tables: all models of the experiment on motifs, the tests of the statements and their verdicts."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.experiments.motifs.settings import Mosaics
    from smdl.experiments.motifs.statements import tests, verdicts
    from smdl.experiments.motifs.tables import COMPLEXITY, ERRORS, MODELS, TESTS, VERDICTS
    from smdl.tables import read_tables

    files, out = snakemake.input, snakemake.output
    found = {
        MODELS: read_tables(files.models),
        COMPLEXITY: read_tables(files.complexity),
        ERRORS: read_tables(files.errors),
    }
    found[TESTS] = TESTS.conform(tests(*found.values(), Mosaics(**this.settings)))
    found[VERDICTS] = verdicts(found[TESTS])
    for table, rows in found.items():
        this.write_with_csv(out[table.name], out[f"{table.name}_csv"], table, rows)
