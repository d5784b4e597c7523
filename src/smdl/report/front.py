"""The report's front page: what was studied and found, how sure it is, what was left out and what failed.

It is reStructuredText, as Snakemake's reports are; every number in it comes from the study's tables. What the user or a
job named or wrote stands in it escaped (smdl.foundation.names): as markup it could bring a script into the page.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from smdl.compression.settings import Headline
from smdl.foundation.names import in_markup
from smdl.llc.settings import Llc, sampler_of
from smdl.report.numbers import (
    FITS,
    LEFT_OUT,
    RIVALS,
    certainty,
    fit_cells,
    headline_fits,
    left_out,
    number,
    rival_cells,
    verdict,
)
from smdl.report.summary import verdicts
from smdl.runtime.progress import FAILED, STATES, last_lines
from smdl.sources.source import Source
from smdl.study.study import Study

Tables = dict[str, pd.DataFrame]

ESTIMATE = "the local learning coefficient (LLC)"


def front_page(study: Study, tables: Tables, jobs: pd.DataFrame) -> str:
    """The page for ``study``, the ``tables`` of it that are there so far, and its ``jobs``."""
    parts = [
        _heading(f"Study {study.study}", "="),
        _studied(study, tables),
        _heading("Finding"),
        *_expected(tables),
        *finding(study.compression.headline, tables),
        _heading("How sure it is"),
        *_uncertainty(study, tables),
        _heading("Left out"),
        *_exclusions(tables),
        _heading("Failures"),
        *_failures(jobs),
        _heading("How it was made"),
        *_provenance(tables),
        _heading("Where to look"),
        WHERE,
    ]
    return "\n\n".join(parts) + "\n"


WHERE = """\
The menu at the left leads to everything. *Figures* holds the pictures, each with a caption behind its (i), and
*explorer*, in which points tell their checkpoint and scheme and tolerance can be switched. *Tables* holds every table
twice: as a page that sorts and filters, with the meaning of each column, and as CSV; *settings*, among them, is the
whole configuration with the meaning of each key. *Workflow* shows the graph of
rules; click one for its code and software. *Statistics* shows run times."""


def _heading(text: str, under: str = "-") -> str:
    return f"{text}\n{under * len(text)}"


def _studied(study: Study, tables: Tables) -> str:
    models = {name: its for name, its in study.models.items() if its.steps}
    headline, llc = study.compression.headline, study.llc
    count = sum(len(its.steps) for its in models.values())
    schemes = ", ".join(
        f"{name} ({', '.join(map(in_markup, its.variants))})"
        for name, its in study.compression.schemes.present().items()
    )
    return (
        f"How far can a language model's weights be compressed before its loss rises, and does {ESTIMATE}, a measure of"
        f" how degenerate the model's loss minimum is, foretell it? {count} training checkpoints of {len(models)}"
        f" model(s) were studied: {_models(study, models, tables)}. Each was compressed step by step ({schemes}), and"
        f" the *critical level* is where the mean next-token loss has risen by a tolerance, {headline.epsilon:g} nats"
        f" in the headline. Around each the LLC was sampled by {llc.chains} chains at {_settings(llc)}."
    )


def _settings(llc: Llc) -> str:
    """The named settings of the sampler, that of the headline first."""
    told = []
    for name in sorted(llc.settings, key=lambda name: name != llc.first):
        its = sampler_of(llc, None, name)
        told.append(f"{in_markup(name)} (n_beta {its.n_beta:g}, gamma {its.gamma:g}, {its.draws} draws)")
    return f"the setting{'s' if len(told) > 1 else ''} {' and '.join(told)}"


def _models(study: Study, models: Mapping[str, Source], tables: Tables) -> str:
    if study.population and study.population.template:
        runs = len({row["run"] for row in study.design()})
        return f"a population of {runs} independently trained runs and their branches (table *design*)"
    sizes = tables["checkpoints"].groupby("model")["parameters"].max() if "checkpoints" in tables else {}
    named = []
    for name, its in models.items():
        size = f"{sizes[name]:,} weights, " if name in sizes else ""
        first, last = min(its.steps), max(its.steps)
        steps = f"step {first}" if first == last else f"steps {first} to {last}"
        less = ", ".join(scheme for scheme in study.compression.schemes.present() if scheme not in its.schemes)
        named.append(f"{in_markup(name)} ({size}{steps}{', without ' + less if less else ''})")
    return ", ".join(named)


def _expected(tables: Tables) -> Iterable[str]:
    """The verdicts on what was expected of a population, where the study is one."""
    if "expectations" in tables and len(tables["expectations"]):
        yield "What was expected before the study was run (table *expectations*, figure *verdicts*):"
        rows = verdicts(tables["expectations"]).itertuples(index=False)
        yield _table(
            ["claim", "verdict", "in words"],
            [[in_markup(row.claim), f"**{in_markup(row.verdict)}**", in_markup(row.says)] for row in rows],
        )


def finding(headline: Headline, tables: Tables) -> Iterable[str]:
    """The paragraphs on the headline's regressions at every setting, from the table ``regressions``."""
    if "regressions" not in tables:
        yield "There is no finding yet: the study's regressions are not made. See *Failures* below."
        return
    window, everything = headline_fits(tables["regressions"], headline)
    fitted = window.dropna(subset=["slope"])
    name = f"{headline.scheme} ({in_markup(headline.variant)}) at {headline.epsilon:g} nats"
    if window.empty:
        yield f"For {name} no line is fitted: no model has a window, or none has a critical level in it."
        return
    if fitted.empty:
        yield f"For {name} no regression could be made: too few checkpoints are left."
    else:
        for setting, own in fitted.groupby("setting", sort=False):
            yield _verdict(name, setting, own)
    yield "Critical level against LLC, over each model's window and over all its checkpoints:"
    yield _table(
        FITS,
        [_escaped(fit_cells(row)) for rows in (window, everything) for _, row in rows.iterrows()],
    )
    yield (
        "The error of a slope is what the errors of its points make of it; the scatter about the line is not in it. The"
        " bend is the square of the LLC, added to the line, over its error: beyond 2 or so the points follow no line."
    )
    yield (
        "What the LLC adds to its rivals, over the window: R² of the critical level on the *control* (localisation"
        " noise alone: a measure of flatness), on the checkpoint's own loss on the sampling blocks, on the norm of its"
        " weights and on the logarithm of its training step; and the share of what the first two leave unexplained that"
        " the LLC explains:"
    )
    yield _table(
        ["setting", "model", *RIVALS.values()],
        [_escaped(rival_cells(row)) for _, row in window.iterrows()],
    )


def _verdict(name: str, setting: str, fitted: pd.DataFrame) -> str:
    said = verdict(fitted)
    count = said["count"]
    return (
        f"For {name}, at the setting {in_markup(setting)}, the critical level **rises with the LLC in {said['rising']}"
        f" of {count} model(s)** and falls with it in {said['falling']}. R² is {said['explained']}. The LLC explains"
        f" more than the control, localisation noise alone, in {said['beyond_control']} of {count}, and more than the"
        f" loss on the sampling blocks in {said['beyond_loss']} of {count}: where it does not, the LLC may foretell the"
        " critical level only as far as both change as training goes on. Of what the control leaves unexplained the LLC"
        f" explains {said['partial']}."
    )


def _uncertainty(study: Study, tables: Tables) -> Iterable[str]:
    if "llc" in tables:
        for setting, llc in tables["llc"].groupby("setting", sort=False):
            said = certainty(llc)
            yield (
                f"LLC at the setting {in_markup(setting)}: the median standard error is {said['relative']} of the"
                f" estimate, R-hat is {said['r_hat']} (1 when chains agree; gate"
                f" {study.llc.gates.max_r_hat:g}), the control is {said['control']} where the LLC is"
                f" {said['llc']}. Saturation, the variance of the loss over the draws in units of the LLC, is"
                f" {said['saturation']} (regimes: {said['regimes']})."
            )
        yield (
            "Near saturation 0 the LLC is a rescaled trace of the Hessian, and can say no more than its control does;"
            " near 1 it counts dimensions."
        )
    if "critical" in tables:
        found = tables["critical"].dropna(subset=["coordinate"])
        median = number(found["coordinate_se"].median())
        yield f"Critical levels: the median standard error is {median}, from paired blocks of text."
    yield (
        "Slopes and correlations: the checkpoints of one training run follow one another and are no independent sample,"
        " so that no interval and no p value can be computed from them, and none is given. Both quantities mostly go"
        " one way as training goes on: an R² near 1 is less of a proof than among independent models."
    )


def _exclusions(tables: Tables) -> Iterable[str]:
    if "exclusions" not in tables:
        yield "Not known yet: the estimates are not complete."
        return
    rows = tables["exclusions"]
    out, kept = rows[~rows["used"]], rows[rows["used"]]
    if rows.empty:
        yield "Nothing: every estimate is in order and enters its regression."
        return
    yield (
        f"{len(out)} estimate(s) are kept out of every regression; {len(kept)} more are used though they are not"
        " plainly in order, as the settings say. All are in the table *exclusions*."
    )
    for rows, title in ((out, "Kept out:"), (kept, "Used all the same:")):
        if len(rows):
            yield title
            yield _table(LEFT_OUT, map(_escaped, left_out(rows)))


def _failures(jobs: pd.DataFrame) -> Iterable[str]:
    counts = jobs["state"].value_counts().reindex(STATES, fill_value=0)
    yield "Jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items()) + "."
    failed = jobs[jobs["state"] == FAILED]
    if failed.empty:
        yield "No job failed."
    for _, job in failed.iterrows():
        lines = "\n".join(f"   {line}" for line in last_lines(job["log"], 5)) or "   (the log is empty)"
        yield f"**{job['rule']} failed**; its log, {in_markup(job['log'])}, ends with ::\n\n{lines}"


def _provenance(tables: Tables) -> Iterable[str]:
    if "runs" not in tables:
        yield "Not gathered yet."
        return
    runs = tables["runs"]
    if runs.empty:
        yield "No file says how it was made: every checkpoint was screened out."
        return
    yield (
        f"{len(runs)} files took {runs['wall_seconds'].sum() / 3600:.2f} hours of work in all, at most"
        f" {runs['peak_memory_mb'].max():.0f} MB of memory, on {_listed(runs['device'])}. Commit of the workflow:"
        f" {_listed(runs['commit'])}. Software: {_listed(runs['packages'])}. The table *runs* has it file by file, with"
        " seeds and settings."
    )


def _listed(values: pd.Series) -> str:
    return "; ".join(sorted(set(map(in_markup, values))))


def _escaped(cells: Iterable[str]) -> list[str]:
    return list(map(in_markup, cells))


def _table(head: Iterable[str], rows: Iterable[list[str]]) -> str:
    lines = [f"   * - {first}\n" + "\n".join(f"     - {cell}" for cell in rest) for first, *rest in [head, *rows]]
    return ".. list-table::\n   :header-rows: 1\n\n" + "\n".join(lines)
