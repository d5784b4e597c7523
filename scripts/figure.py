"""Every figure's rule: draw the figure that its parameter names from its input tables."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from importlib import import_module

    from smdl.figures.style import save
    from smdl.tables import read_tables

    tables = {name: read_tables(snakemake.input.get(name)) for name in snakemake.input.keys()}  # noqa: SIM118
    package = snakemake.params.get("package", "smdl.figures")
    figure = import_module(f"{package}.{snakemake.params.figure}").draw(**tables, **this.settings)
    save(figure, *snakemake.output)
