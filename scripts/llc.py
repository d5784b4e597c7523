"""Rule llc: one row per checkpoint and setting, the LLC with its error, control, diagnostics and status."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from pathlib import Path

    from smdl.analysis.gather import llc
    from smdl.analysis.points import marked
    from smdl.llc.saved import remove
    from smdl.llc.settings import Gates, Sampler
    from smdl.tables import read_table, read_tables
    from smdl.tables.study import LLC

    rows = llc(
        read_tables(snakemake.input.draws),
        read_table(snakemake.input.checkpoints),
        read_table(snakemake.input.audit),
        {(setting, model): Sampler(**sampler) for setting, model, sampler in this.settings["samplers"]},
        Gates(**this.settings["gates"]),
        this.settings["burn_in_test"],
    )
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, LLC, marked(rows, **this.settings["regression"]))
    for draws in snakemake.input.draws:
        remove(Path(f"{draws}.state"))
