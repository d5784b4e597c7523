"""The report: what was left out, how it was made, tables and a figure to look closer at, and all of it in one file."""

# A workflow that takes this one as a module has a front page of its own.
if alone(workflow):

    report: "../docs/captions/front.rst"


rule settings:
    """Write the config as it was understood, defaults included."""
    output:
        "<results>/config.yaml",
    log:
        "<logs>/settings.log",
    # What looks at the study while it runs reads this.
    priority: 1
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings=lambda wc: as_given(config),
    script:
        "../scripts/settings.py"


rule exclusions:
    """Every estimate that is not plainly in order, and whether the regressions use it nevertheless."""
    input:
        llc="<results>/tables/llc.parquet",
        points="<results>/tables/points.parquet",
    output:
        table="<results>/tables/exclusions.parquet",
        csv=csv("exclusions"),
    log:
        "<logs>/tables/exclusions.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("report"),
    script:
        "../scripts/exclusions.py"


rule runs:
    """How every file of the study came about, from the provenance that each carries."""
    input:
        "<results>/corpus/splits.parquet",
        of_making(),
        of_checkpoints("<results>/reference/{model}/step{step}/losses.parquet"),
        [
            path.format(model=model, step=step)
            for model, step in CHECKPOINTS
            for path in measured(model)
        ],
        collect("<results>/tables/{table}.parquet", table=[t for t in TABLES if t != "runs"]),
    output:
        table="<results>/tables/runs.parquet",
        csv=csv("runs"),
    log:
        "<logs>/tables/runs.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("report"),
        folder=lambda wc, output: str(Path(output.table).parents[1]),
    script:
        "../scripts/runs.py"


rule table_page:
    """A table as a page that sorts and filters, and that gives its CSV file again."""
    input:
        table="<results>/tables/{table}.parquet",
        csv="<results>/tables/{table}.csv",
    output:
        report(
            "<results>/report/{table}.html",
            caption="../docs/captions/table.rst",
            category="Tables",
            labels={"table": "{table}", "as": "page"},
        ),
    log:
        "<logs>/report/{table}.log",
    wildcard_constraints:
        table="(?!explorer|settings)\\w+",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("report"),
    script:
        "../scripts/table_page.py"


rule settings_page:
    """The configuration as a page that sorts and filters."""
    input:
        "<results>/config.yaml",
    output:
        report(
            "<results>/report/settings.html",
            caption="../docs/captions/table.rst",
            category="Tables",
            labels={"table": "settings", "as": "page"},
        ),
    log:
        "<logs>/report/settings.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("report"),
    script:
        "../scripts/settings_page.py"


rule explorer:
    """Critical level against LLC, with switches for scheme and tolerance, and from each point to what it is made of."""
    input:
        points="<results>/tables/points.parquet",
        regressions="<results>/tables/regressions.parquet",
        draws=chains(),
        curves="<results>/tables/curves.parquet",
        audit="<results>/tables/audit.parquet",
    output:
        report(
            "<results>/report/explorer.html",
            caption="../docs/captions/explorer.rst",
            category="Figures",
            labels={"figure": "explorer (interactive)"},
        ),
    log:
        "<logs>/report/explorer.log",
    conda:
        "../envs/analysis.yaml"
    params:
        version=stage_version("report"),
    script:
        "../scripts/explorer.py"


rule report:
    """The study as one HTML file and as a zip; make report makes them of an unfinished study as well."""
    input:
        rules.all.input,
    output:
        html="<results>/report.html",
        zip="<results>/report.zip",
    log:
        "<logs>/report.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/study_report.py"
