"""Every figure's rule: draw the figure that bears the rule's name from its input tables."""

from smdl.job import job

with job(snakemake) as this:
    from importlib import import_module

    from smdl.figures.style import save
    from smdl.tables import read_tables

    tables = {name: read_tables(snakemake.input.get(name)) for name in snakemake.input.keys()}  # noqa: SIM118
    figure = import_module(f"smdl.figures.{snakemake.rule.removesuffix('_figure')}").draw(**tables, **this.settings)
    save(figure, *snakemake.output)
