"""Rule allocation_tables: all allocations of the study, and the regret of every score over checkpoints."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.allocation.claims import judged_claims
    from smdl.allocation.regret import regrets
    from smdl.tables import empty, read_tables
    from smdl.tables.allocation import ALLOCATIONS, CLAIMS, FRONTIER, LADDER, REGRET, SCORES, TENSOR_ERRORS

    found = {
        table: read_tables(paths) if (paths := snakemake.input.get(table.name)) else empty(table)
        for table in (TENSOR_ERRORS, LADDER, FRONTIER, SCORES, ALLOCATIONS)
    }
    found[REGRET] = regrets(found[FRONTIER])
    found[CLAIMS] = list(judged_claims(found[FRONTIER]))
    for table, rows in found.items():
        this.write_with_csv(snakemake.output[table.name], snakemake.output[f"{table.name}_csv"], table, rows)
