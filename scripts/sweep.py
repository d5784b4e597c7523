"""Rule sweep_tables: all settings, their heat maps, and the block that the sweep recommends."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from pathlib import Path

    from smdl.figures.style import save
    from smdl.foundation.files import replacing
    from smdl.sweep.choice import block, summarise
    from smdl.sweep.figure import draw
    from smdl.tables import read_tables
    from smdl.tables.sweep import SWEEP, SWEEP_SETTINGS

    rows = read_tables(snakemake.input.sweeps)
    settings = summarise(rows, this.settings["tolerances"])
    this.write_with_csv(snakemake.output.table, snakemake.output.csv, SWEEP, rows)
    this.write_with_csv(snakemake.output.settings, snakemake.output.settings_csv, SWEEP_SETTINGS, settings)
    for path in snakemake.output.figures:
        save(draw(settings, Path(path).stem), path)
    with replacing(snakemake.output.block) as temporary:
        temporary.write_text(block(settings))
