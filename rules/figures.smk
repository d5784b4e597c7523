"""The figures of the study, each from finished tables.

One rule per module of smdl/figures with a function `draw`, named after it; its parameters say what it is drawn from.
"""

for declared in FIGURES:

    rule:
        name:
            f"figure_{declared.name}" if rules.has(declared.name) else declared.name
        input:
            **figure_tables(declared),
        output:
            **drawn(declared),
        log:
            f"<logs>/figures/{declared.path}.log",
        conda:
            "../envs/analysis.yaml"
        params:
            version=stage_version("figures"),
            figure=declared.name,
            settings=figure_varies(declared),
        script:
            "../scripts/figure.py"
