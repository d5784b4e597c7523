"""What a paper says of a study, as plain values: numbers from its tables, and the project's own words on the method."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pandas as pd

from smdl.figures import registry
from smdl.llc.settings import sampler_of
from smdl.paper.markdown import part, section, tree
from smdl.paper.tables import Shown
from smdl.report.numbers import certainty, counted, headline_fits, number, span, verdict
from smdl.report.summary import verdicts
from smdl.runtime.installed import workflow_folder
from smdl.study.study import Study

METHOD, LIMITS, CAPTIONS = "docs/concepts/method.md", "docs/concepts/limits.md", "docs/captions"
SECTIONS = ("The question", "Local learning coefficient", "Compression and critical levels", "Regressions")
OF_ALLOCATION = "Bits from restricted LLCs"
PARTS = ("Of the measurement", "Of the compression", "Of the regressions")
# The study's own figure, and that of its verdicts, come before the others.
FIRST = ("verdicts", "critical_bits")


def contents(
    study: Study, tables: dict[str, pd.DataFrame], shown: list[Shown], drawings: list[Path], config: Path, date: str
) -> dict[str, Any]:
    """The contents of the paper on ``study``: ``tables`` by name, those to be ``shown``, and the figures' ``drawings``.

    ``config`` is the file of the study's settings, ``date`` that of the results, empty where it is not known.
    """
    headline = study.compression.headline
    checkpoints, exclusions, llc = tables["checkpoints"], tables["exclusions"], tables["llc"]
    window, _ = headline_fits(tables["regressions"], headline)
    fitted = window.dropna(subset=["slope"])
    settings = sorted(study.llc.settings, key=lambda name: name != study.llc.first)
    levels = tables["critical"].dropna(subset=["coordinate"])
    return {
        "study": study.study,
        "date": date,
        "checkpoints": counted(len(checkpoints), "training checkpoint"),
        "models": counted(checkpoints["model"].nunique(), "model"),
        "weights": span(checkpoints["parameters"], "{:,}"),
        "schemes": [f"{name} ({', '.join(its.variants)})" for name, its in study.compression.schemes.present().items()],
        "headline": f"{headline.scheme} ({headline.variant})",
        "epsilon": f"{headline.epsilon:g}",
        "chains": counted(study.llc.chains, "chain"),
        "settings": [_setting(study, name) for name in settings],
        "found": [{"setting": name, **verdict(own)} for name, own in fitted.groupby("setting", sort=False)],
        "expected": verdicts(tables["expectations"]).to_dict("records") if "expectations" in tables else [],
        "certain": [{"setting": name, **certainty(llc[llc["setting"] == name])} for name in settings],
        "gate": f"{study.llc.gates.max_r_hat:g}",
        "level_error": number(levels["coordinate_se"].median()),
        "kept_out": counted(int((~exclusions["used"]).sum()), "estimate"),
        "used_nevertheless": str(int(exclusions["used"].sum())),
        "provenance": _provenance(study, tables["runs"], config),
        "tables": {table.name: asdict(table) for table in shown},
        "figures": list(_figures(drawings, study)),
        **_words(study),
    }


def _setting(study: Study, name: str) -> dict[str, str]:
    its = sampler_of(study.llc, None, name)
    return {"name": name, "n_beta": f"{its.n_beta:g}", "gamma": f"{its.gamma:g}", "draws": str(its.draws)}


def _provenance(study: Study, runs: pd.DataFrame, config: Path) -> dict[str, Any]:
    return {
        "commits": sorted(runs["commit"].unique()),
        "digest": "SHA-256",
        "config": hashlib.sha256(config.read_bytes()).hexdigest(),
        "seed": str(study.seed),
        "software": sorted(runs["packages"].unique()),
        "devices": sorted(runs["device"].unique()),
        "files": counted(len(runs), "file"),
        "hours": f"{runs['wall_seconds'].sum() / 3600:.2f}",
        "memory": f"{runs['peak_memory_mb'].max():.0f}",
    }


def _figures(drawings: list[Path], study: Study) -> Iterator[dict[str, Any]]:
    """The figures that are drawn once for a study, the headline's first; the caption of each is the report's."""
    once = {figure.name: figure for figure in registry.declared() if not figure.per}
    found = [path for path in drawings if path.stem in once]
    for path in sorted(found, key=lambda path: (path.stem not in FIRST, path.stem)):
        caption = " ".join(_caption(path.stem, study).split())
        first = re.split(r"(?<=\.) (?=[A-Z])", caption)[0].replace("*", "")
        tables = ", ".join(once[path.stem].tables)
        alternative = f"Figure {path.stem}. {first} Its numbers are in the study's tables: {tables}."
        yield {"name": path.stem, "file": path.name, "caption": tree(caption), "alternative": alternative}


def _caption(name: str, study: Study) -> str:
    """A figure's caption, filled in as Snakemake does for its report."""
    template = jinja2.Template(
        (workflow_folder() / CAPTIONS / f"{name}.rst").read_text(), undefined=jinja2.StrictUndefined
    )
    return template.render(snakemake=SimpleNamespace(config=study.model_dump()))


def _words(study: Study) -> dict[str, Any]:
    """Method, limits and sources, from the pages of the documentation."""
    method, limits = ((workflow_folder() / name).read_text() for name in (METHOD, LIMITS))
    headings = [*SECTIONS, *([OF_ALLOCATION] if study.allocation else [])]
    return {
        "method": [{"heading": name, "text": tree(section(method, name))} for name in headings],
        "limits": [{"heading": name, "text": tree(part(limits, name))} for name in PARTS],
        "sources": tree(section(method, "Sources")),
    }
