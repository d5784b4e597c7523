"""Rule explorer: the interactive figure, as one page with everything in it."""

from smdl.runtime.job import job

with job(snakemake) as this:
    from smdl.foundation.files import replacing
    from smdl.report.details import details
    from smdl.report.explorer import draw, page
    from smdl.tables import read_table, read_tables

    given = snakemake.input
    figure = draw(read_table(given.points), read_table(given.regressions))
    of_points = details(read_tables(given.draws), read_table(given.curves), read_table(given.audit))
    with replacing(snakemake.output[0]) as temporary:
        temporary.write_text(page(figure, of_points))
