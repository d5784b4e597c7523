"""Every figure, table and page has its empty form: no rows, NaN alone, one row, one model, nothing of the headline."""

import importlib
import inspect
import io
import pkgutil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from docutils.core import publish_string

import smdl.experiments
import smdl.figures
from smdl.analysis.gather import checkpoints, llc
from smdl.analysis.points import marked, points
from smdl.analysis.regression import regressions
from smdl.analysis.rulers import Bootstrap, rulers
from smdl.compression.settings import Headline
from smdl.experiments.registry import NAMES as EXPERIMENTS
from smdl.experiments.registry import tables_of
from smdl.llc.settings import Gates, Sampler
from smdl.models.audit import audit
from smdl.models.settings import Limits
from smdl.paper.contents import contents
from smdl.paper.make import pdf
from smdl.paper.tables import shown
from smdl.report.details import details
from smdl.report.exclusions import exclusions
from smdl.report.explorer import draw as explorer
from smdl.report.explorer import page as explorer_page
from smdl.report.front import front_page
from smdl.report.pages import page
from smdl.report.runs import runs
from smdl.report.summary import summary
from smdl.rulers.registry import RULERS, measures
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.study.tables import by_theme, declared
from smdl.tables import FLAG, INTEGER, NUMBER, TEXT, Table, empty, read_table, write_csv, write_table
from smdl.tables.report import RUNS
from workflow import small_config

MODULES = [
    importlib.import_module(f"smdl.figures.{found.name}") for found in pkgutil.iter_modules(smdl.figures.__path__)
]
MODULES += [
    importlib.import_module(f"smdl.experiments.{name}.figures.{found.name}")
    for name in EXPERIMENTS
    for found in pkgutil.iter_modules(importlib.import_module(f"smdl.experiments.{name}.figures").__path__)
]
FIGURES = {
    module.__name__.removeprefix("smdl.").replace("figures.", ""): module.draw
    for module in MODULES
    if hasattr(module, "draw")
}
TABLES = {table.name: table for tables in by_theme().values() for table in tables}
TABLES |= {table.name: table for name in EXPERIMENTS for table in tables_of(name)}

# Tables that figures know by a shorter name.
SHORT = {"settings": "sweep_settings", "runs": "hinton_runs", "weights": "hinton_weights", "prior": "hinton_prior"}
HEADLINE = {"scheme": "quantize", "variant": "minimised", "epsilon": 0.02}
SETTINGS = {
    "scheme": "quantize",
    "model": "a",
    "columns": 3,
    "n_beta": 30.0,
    "gamma": 300.0,
    "margin": 0.1,
}
WORDS = {
    "scheme": ["quantize"],
    "compressibility": ["quantize/minimised", "prune/wanda"],
    "epsilon": [0.02, 0.1],
    "variant": ["minimised", "maximum"],
    "status": ["ok"],
    "reason": ["loss out of order"],
    "holds": ["yes"],
    "window": ["config", "all"],
    "cell": ["box", "cube"],
    "code": ["redundancy", "redundancy_grid"],
    "scope": ["a", "all models"],
    ("theory", "method"): ["sampler", "redundancy", "redundancy_grid", "volume_exact", "volume_splitting"],
    ("volumes", "method"): ["volume_exact", "volume_splitting"],
    "choice": ["least total", "headline"],
    "levels": [3, 9],
    ("hinton_runs", "method"): ["description_length"],
    ("regret", "budget"): ["all", "3", "4.5"],
    ("motifs", "architecture"): ["gpt_neox"],
    ("motifs", "arm"): ["free", "other"],
    ("motifs", "method"): ["free"],
    ("motifs_tests", "statement"): ["a: simpler", "a: structure", "b: harnessed"],
    ("motifs_tests", "architecture"): ["gpt_neox", "llama"],
    ("motifs_tests", "what"): ["layers, lzma_float32", "layers, lzma_float32, trained, permuted"],
    ("hinton_weights", "kind"): ["incoming", "outgoing", "hidden_bias"],
    "kind": ["posterior", "control"],
    "dataset": [1],
}
FORMS = ["no rows", "not a number", "one row", "one model"]
# Forms in which a column of flags is False throughout.
OTHERWISE = {"nothing of the headline": "headline", "no window": "in_window", "no status admitted": "admitted"}
CASES = [(name, form) for name in FIGURES for form in FORMS] + [
    (name, form)
    for form in OTHERWISE
    for name in FIGURES
    if not {"points", "llc", "regressions"}.isdisjoint(inspect.signature(FIGURES[name]).parameters)
]


def rows_of(table: Table, models: list[str], steps: list[int], value: float | None) -> pd.DataFrame:
    """Rows of a table for every combination of its words; numbers are ``value``, or rise from row to row where None."""
    words = WORDS | {name[1]: own for name, own in WORDS.items() if name[0] == table.name}
    words |= {"model": models, "step": steps}
    axes = {name: words[name] for name in table.key if name in words}
    axes = axes or {table.key[0]: ["a", "b"] if table.schema.field(table.key[0]).type == TEXT else [1, 2]}
    rows = pd.MultiIndex.from_product(axes.values(), names=list(axes)).to_frame(index=False)
    rising = 1 + 0.01 * np.arange(len(rows))
    for column in table.columns:
        if column.name not in axes:
            number = rising if value is None else np.full(len(rows), value)
            word = words.get(column.name, ["x"])[0]
            rows[column.name] = {TEXT: word, INTEGER: 1, NUMBER: number, FLAG: True}[column.type]
    if "headline" in rows:
        headline = pd.Series({**HEADLINE, "window": "config"}).reindex(rows.columns).dropna()
        rows["headline"] = (rows[headline.index] == headline).all(axis=1)
    return rows[[column.name for column in table.columns]]


def table_of(table: Table, form: str) -> pd.DataFrame:
    """A table in one of ``FORMS``."""
    match form:
        case "no rows":
            return empty(table)
        case "not a number":
            return rows_of(table, ["a"], [1, 2], np.nan)
        case "one row":
            return rows_of(table, ["a"], [1], 1.0).head(1)
        case "one model":
            return rows_of(table, ["a"], [1, 10, 20], None)
        case "no window" if table.name == "regressions":
            return empty(table)
        case _:
            rows = rows_of(table, ["a", "b"], [1, 10, 20], None)
            return rows.assign(**{OTHERWISE[form]: False}) if OTHERWISE[form] in rows else rows


def drawn(name: str, form: str) -> plt.Figure:
    """A figure drawn in one of ``FORMS``, and saved."""
    tables, settings = {}, {}
    for parameter in inspect.signature(FIGURES[name]).parameters.values():
        if parameter.name in SETTINGS:
            settings[parameter.name] = SETTINGS[parameter.name]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            tables[parameter.name] = table_of(TABLES[SHORT.get(parameter.name, parameter.name)], form)
            if name == "experiments.theory.level_sets":
                tables[parameter.name]["model"] = "tanh"
    figure = FIGURES[name](**tables, **settings)
    figure.savefig(io.BytesIO(), format="svg")
    plt.close(figure)
    return figure


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_figure_draws(name, form):
    figure = drawn(name, form)
    if form == "no rows":
        (said,) = figure.texts
        assert said.get_text().endswith("."), "a sentence says what is missing"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_page_and_its_csv(name, form, tmp_path):
    rows = table_of(TABLES[name], form)
    assert "<table>" in page(TABLES[name], rows)
    write_csv(tmp_path / "table.csv", TABLES[name], rows)
    assert list(pd.read_csv(tmp_path / "table.csv").columns) == [column.name for column in TABLES[name].columns]


@pytest.mark.parametrize("form", [*FORMS, *OTHERWISE])
def test_the_interactive_figure_draws(form):
    points, regressions, *of_points = (
        table_of(declared(name), form) for name in ("points", "regressions", "draws", "curves", "audit")
    )
    assert "<script>" in explorer_page(explorer(points, regressions), details(*of_points))


@pytest.mark.parametrize("form", [*FORMS, "no window"])
def test_the_front_page_and_the_summary_are_written(form):
    tables = {name: table_of(table, form) for name, table in TABLES.items()}
    jobs = pd.DataFrame({"rule": [], "state": [], "log": []})
    front = publish_string(
        front_page(settings(small_config(), Study), tables, jobs), writer="html5", settings_overrides={"halt_level": 2}
    )
    assert b"How it was made" in front
    told = [tables[name] for name in ("checkpoints", "llc", "regressions")]
    assert summary(*told) and "What was expected" in summary(*told, tables["expectations"])
    if form in ("no rows", "no window"):
        assert b"no model has a window" in front
        assert "no line is fitted" in summary(*told)


@pytest.mark.parametrize("form", [*FORMS, "no window"])
def test_the_paper_is_built(form, tmp_path):
    (tmp_path / "config.yaml").touch()
    tables = {name: table_of(table, form) for name, table in TABLES.items()}
    study = settings(small_config(), Study)
    printed = list(shown(study, tables))
    told = contents(study, tables, printed, [], tmp_path / "config.yaml", "")
    assert pdf(told, []).startswith(b"%PDF")
    lines = [line for table in printed for line in table.latex().splitlines() if line.endswith(r" \\")]
    assert len(lines) == sum(len(table.rows) + 1 for table in printed)
    if form == "one model":
        names = ["models", "verdicts", "fits", "rivals", "across", "points", "exclusions"]
        assert [table.name for table in printed] == names


def test_a_study_whose_checkpoints_are_all_screened_out_has_empty_tables(tmp_path):
    """Every job has left its table without rows: so are those that are gathered from them."""
    none = {name: empty(table) for name, table in TABLES.items()}
    made = {
        "audit": audit(none["manifest"], none["losses"], none["screening"], Limits()),
        "checkpoints": checkpoints(none["manifest"], none["losses"]),
        "llc": marked(
            llc(
                none["draws"],
                none["checkpoints"],
                none["audit"],
                {("published", "tiny"): Sampler()},
                Gates(),
            ),
            {},
            ["ok"],
        ),
        "points": points(none["critical"], none["llc"], none["checkpoints"], Headline(**HEADLINE), "published"),
        "regressions": regressions(none["points"], {}),
        "exclusions": exclusions(none["llc"], none["points"]),
        "measures": measures(RULERS, none, ["ok"]),
        "rulers": rulers(none["measures"], none["critical"], Bootstrap(10, 1)),
    }
    for name, rows in made.items():
        write_table(tmp_path / "table.parquet", declared(name), rows, {"screened_out": True})
        assert read_table(tmp_path / "table.parquet").empty
    assert RUNS.conform(runs([str(tmp_path / "table.parquet")], str(tmp_path))).empty
