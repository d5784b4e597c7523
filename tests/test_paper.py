"""The paper of a small study: its numbers are those of the tables, none is typed; the same bytes; accessible."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from pypdf import PdfReader
from scipy.stats import norm

from conftest import ROOT
from smdl.paper import make
from smdl.paper.contents import contents
from smdl.paper.markdown import part, section, tree
from smdl.paper.tables import Shown, shown
from smdl.report.numbers import MINUS, number
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.tables import read_table

TEMPLATES = ROOT / "src/smdl/paper"
# Digits that say how something looks: lengths, colours, ranks of headings, the form of the page's number.
OF_LOOK = r'\d+(\.\d+)?(pt|mm|em|%)|"#\w{6}"|level: \d|"a4"|numbering: "1"|len\(\) > 25|min\(1,'
ODD = 'a_b #panic("x") $y$ *z* & \\end{document}'


def tool(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "smdl.cli", "paper", "results/small"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def study(small_study, tmp_path_factory) -> Path:
    """The results of a finished study, with its paper."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("paper"), dirs_exist_ok=True)
    made = tool(folder)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [f"results/small/paper/{path.name}" for path in papers(folder / "results/small")]
    return folder / "results/small"


def papers(study: Path) -> list[Path]:
    return sorted((study / "paper").iterdir())


@pytest.fixture(scope="module")
def rows(study) -> dict:
    return {path.stem: read_table(path) for path in (study / "tables").glob("*.parquet")}


def told_of(study: Path, rows: dict, drawings: Sequence[Path] = (), date: str = "") -> dict:
    """The contents of the paper, from ``rows`` instead of the tables on disk."""
    config = study / "config.yaml"
    understood = settings(yaml.safe_load(config.read_text()), Study)
    return contents(understood, rows, list(shown(understood, rows)), list(drawings), config, date)


def words(pdf: Path) -> str:
    """The text of a PDF, its words one space apart and whole."""
    text = "\n".join(page.extract_text() for page in PdfReader(pdf).pages)
    return " ".join(re.sub("\N{SOFT HYPHEN}\\s*", "", text).split())


@pytest.fixture(scope="module")
def text(study) -> str:
    return words(study / "paper/paper.pdf")


def test_the_headline_is_that_of_the_tables(text, rows):
    lines = rows["regressions"]
    (fit,) = lines[lines["headline"]].to_dict("records")
    rising = int(fit["slope"] > 0)
    assert f"the critical level rises with the LLC in {rising} of 1 models and falls with it in {1 - rising}" in text
    said = re.search(r"R² is ([\d.]+)\. The LLC", text)
    assert float(said[1]) == pytest.approx(fit["r2"], rel=0.006)
    assert f"{fit['setting']} {fit['model']} {fit['first']} to {fit['last']} {fit['n']} {fit['excluded']}" in text
    points = rows["points"]
    for point in points[points["headline"]].itertuples():
        low = point.llc - norm.ppf(0.975) * point.llc_se
        assert f"{point.setting} {point.model} {point.step} {number(point.llc)} [{number(low)}, " in text


def test_another_table_makes_another_paper(study, rows, text, tmp_path):
    changed = rows["regressions"].assign(r2=0.4321, slope=-0.07654)
    (tmp_path / "paper.pdf").write_bytes(make.pdf(told_of(study, {**rows, "regressions": changed}), []))
    other = words(tmp_path / "paper.pdf")
    assert (
        "R² is 0.432. The LLC" in other
        and f"{MINUS}0.0765 ±" in other
        and "rises with the LLC in 0 of 1 models" in other
    )
    assert "0.432" not in text and "0.0765" not in text


def test_no_number_is_typed():
    assert not re.search(r"\d", (TEMPLATES / "paper.typ").read_text())
    assert not re.search(r"\d", re.sub(OF_LOOK, "", (TEMPLATES / "look.typ").read_text()))


def test_what_is_left_out_and_how_it_was_made_are_in_it(text, rows, study):
    out = (~rows["exclusions"]["used"]).sum()
    assert f"Kept out of every regression: {out} estimates." in text
    for status in rows["exclusions"]["status"].unique():
        assert status in text
    joined = text.replace(" ", "")
    assert all(commit in joined for commit in rows["runs"]["commit"])
    assert json.dumps(told_of(study, rows)["provenance"]["config"]).strip('"') in joined
    assert all(one.replace(" ", "") in joined for one in rows["runs"]["packages"].iloc[0].split(", "))


def test_method_and_captions_are_those_of_the_documentation(text, study):
    assert "There is no term for the gradient of G." in text
    assert "The LLC is local and depends on its settings." in text
    drawn = [path.stem for path in study.glob("figures/*.svg")]
    assert "critical_bits" in drawn
    for name in drawn:
        caption = " ".join((ROOT / f"docs/captions/{name}.rst").read_text().split())
        beginning = caption[:40].split("{{")[0].strip()
        assert beginning in text, name


def test_it_is_accessible(study):
    root = PdfReader(study / "paper/paper.pdf").trailer["/Root"]
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_data()
    assert root["/Lang"].startswith("en") and root["/MarkInfo"]["/Marked"]
    title = PdfReader(study / "paper/paper.pdf").metadata.title
    assert title.endswith("study small")
    figures = [node for node in marked(root["/StructTreeRoot"]) if node.get("/S") == "/Figure"]
    assert len(figures) == len(list(study.glob("figures/*.svg")))
    assert all(len(node["/Alt"]) > 60 for node in figures)


def marked(node):
    """The elements of a PDF's structure below ``node``."""
    children = node.get("/K", [])
    for child in children if isinstance(children, list) else [children]:
        child = child.get_object() if hasattr(child, "get_object") else child
        if isinstance(child, dict) and "/S" in child:
            yield child
            yield from marked(child)


def test_the_same_results_give_the_same_bytes(study, rows):
    whole = (study / "paper/paper.pdf").read_bytes()
    date = re.search(r"\d+ \w+ 20\d\d", words(study / "paper/paper.pdf"))[0]
    drawings = sorted(study.glob("figures/*.svg"))
    assert make.pdf(told_of(study, rows, drawings, date), drawings) == whole


def test_an_unfinished_study_has_no_paper_and_is_told_so_in_one_line(study, tmp_path):
    folder = shutil.copytree(study.parents[1], tmp_path, dirs_exist_ok=True)
    (folder / "results/small/tables/llc.parquet").unlink()
    before = {path: path.read_bytes() for path in papers(folder / "results/small")}
    refused = tool(folder)
    assert refused.returncode == 1
    assert re.fullmatch(r"error: results/small: no paper without the tables [a-z, ]+: run the .*\n", refused.stderr)
    assert "llc" in refused.stderr
    assert {path: path.read_bytes() for path in papers(folder / "results/small")} == before


def test_latex_tables_have_a_cell_a_column(study):
    tables = [path for path in papers(study) if path.suffix == ".tex"]
    assert {path.stem for path in tables} >= {"fits", "rivals", "models", "points"}
    for path in tables:
        latex = path.read_text()
        form = re.search(r"\\begin\{longtable\}\{([lr]+)\}", latex)[1]
        cells = [re.split(r"(?<!\\)&", line) for line in latex.splitlines() if line.endswith(r" \\")]
        assert len(cells) > 1 and {len(row) for row in cells} == {len(form)}


def test_what_users_named_is_text_and_no_command(study, rows, tmp_path):
    changed = {name: own.assign(model=ODD) if "model" in own else own for name, own in rows.items()}
    (tmp_path / "paper.pdf").write_bytes(make.pdf(told_of(study, changed), []))
    assert ODD.replace(" ", "") in words(tmp_path / "paper.pdf").replace(" ", "")
    latex = Shown("odd", ODD, 1, ("model", "interval"), [[ODD, "[1, 2]"]]).latex()
    escaped = r"a\_b \#panic(\"x\") \$y\$ *z* \& \textbackslash{}end\{document\}".replace(r"\"", '"')
    assert latex.count(escaped) == 2 and r"& {[1, 2]} \\" in latex


def test_a_page_of_the_documentation_is_a_tree():
    page = "## A\n\nOne *two* `x = 3`.\n\n    y\n\n- **B** c\n\n## D\n\nno\n"
    paragraph, formula, bullets = tree(section(page, "A"))
    assert [node["kind"] for node in paragraph["parts"][0]["parts"]] == ["text", "em", "text", "code_inline", "text"]
    assert formula == {"kind": "code_block", "text": "y\n"}
    assert bullets["kind"] == "bullet_list"
    assert part("**E**\n\n- f\n\n**G**\n", "E") == "- f"
    with pytest.raises(KeyError, match="Z"):
        section(page, "Z")
