"""The rules of the sources that make weights: train a model, or fetch one checkpoint."""

from smdl.runtime.job import job

with job(snakemake, network=snakemake.params.network) as this:
    from pathlib import Path

    from smdl.sources.registry import SOURCES
    from smdl.sources.source import Task

    source = SOURCES[snakemake.params.source]
    settings = (source.making.settings or source)(**this.settings)
    step = snakemake.wildcards.get("step")
    task = Task(
        snakemake.wildcards.model,
        None if step is None else int(step),
        dict(snakemake.input.items()),
        Path(snakemake.output.weights),
        this.seed,
    )
    rows = source.make(settings, task)
    for table in source.making.tables:
        this.write(snakemake.output[table.name], table, rows[table.name])
