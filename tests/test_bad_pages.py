"""Names, logs and files that would spoil a page, a picture, a spreadsheet, the status or the report."""

import errno
import io
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import yaml
from docutils.core import publish_parts

from chromium import Browser
from smdl.figures.looks import label
from smdl.foundation.errors import StudyError, refused
from smdl.foundation.files import replacing
from smdl.foundation.names import in_cell, in_markup, printable
from smdl.report.details import details
from smdl.report.explorer import draw as explorer
from smdl.report.explorer import page as explorer_page
from smdl.report.front import front_page
from smdl.report.pages import page
from smdl.runtime.progress import FAILED, enter, last_lines, progress, reason
from smdl.settings.config import settings
from smdl.study.study import Study
from smdl.tables import read_provenance, read_table, read_tables, write_csv, write_table
from smdl.tables.report import SETTINGS
from smdl.tables.study import POINTS, REGRESSIONS, TRAINING
from workflow import small_config, snakemake

# Each would set the mark `ran` if it were run, as script or as markup that brings one.
RUN = "window.top.ran=1"
HOSTILE = {
    "script": f"<script>{RUN}</script>",
    "end of script": f"</script><script>{RUN}</script>",
    "comment": f"<!--<script>{RUN}</script>",
    "image": f"<img src=x onerror={RUN}>",
    "svg": f"<svg/onload={RUN}>",
    "attribute": f'" onmouseover="{RUN}" autofocus onfocus="{RUN}',
    "string": f"';{RUN};'",
    "template": f"`${{{RUN}}}`",
    "backslash": f"\\';{RUN};//",
    "entity": f"&lt;script&gt;{RUN}&lt;/script&gt;",
    "raw": f"a\n\n.. raw:: html\n\n   <script>{RUN}</script><img src=x onerror={RUN}>\n",
    "raw after U+2028": f"a\u2028\u2028.. raw:: html\u2028\u2028   <img src=x onerror={RUN}>\u2028",
    "raw after U+2029": f"a\u2029\u2029.. raw:: html\u2029\u2029   <img src=x onerror={RUN}>\u2029",
    "raw after NEL": f"a\x85\x85.. raw:: html\x85\x85   <img src=x onerror={RUN}>\x85",
    "raw after VT": f"a\x0b\x0b.. raw:: html\x0b\x0b   <img src=x onerror={RUN}>\x0b",
    "raw after FF": f"a\x0c\x0c.. raw:: html\x0c\x0c   <img src=x onerror={RUN}>\x0c",
    "raw after FS": f"a\x1c\x1c.. raw:: html\x1c\x1c   <img src=x onerror={RUN}>\x1c",
    "raw after CR": f"a\r\r.. raw:: html\r\r   <img src=x onerror={RUN}>\r",
    "include": "a\n\n.. include:: /etc/passwd\n",
    "role": ":raw-html:`x` :math:`y` `text <javascript:window.top.ran=1>`_",
    "substitution": "|x| *y* **z** ``w`` foot [1]_ ref_ __anonymous",
    "title": "a\n====\n\nb\n----",
    "list": "- a\n- b",
    "jinja": "{{ snakemake.config }} {% raw %}",
    "vega": "' + datum.constructor.constructor('window.top.ran=1')() + '",
    "mathematics": "$\\frac{$",
    "bidi": "a\u202eb\u2066c",
    "terminal": "\x1b[2J\x1b]0;x\x07red",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_markup_is_shown_and_is_no_markup(name):
    text = HOSTILE[name]
    parts = publish_parts(f"before {in_markup(text)} after", writer="html5", settings_overrides={"halt_level": 2})
    body = parts["body"]
    assert re.findall(r"<[a-z]+", body) == ["<p"], body
    shown = re.sub(r"<[^>]+>", "", body).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    assert " ".join(printable(text).split()) in shown.replace("&#64;", "@").replace("&amp;", "&")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_log_line_is_no_markup_of_the_front_page(name, tmp_path):
    log = tmp_path / "log"
    log.write_text(f"Traceback\nerror: corpus/{HOSTILE[name]}\n", encoding="utf-8", newline="")
    jobs = pd.DataFrame({"rule": ["corpus"], "state": [FAILED], "log": [str(log)]})
    parts = publish_parts(front_page(settings(small_config(), Study), {}, jobs), writer="html5")
    block = re.search(r"<pre class=\"literal-block\">(.*?)</pre>", parts["body"], re.DOTALL)
    assert block, "the log is shown"
    assert "<" not in block[1]
    assert not re.search(r"<(script|img|svg)|system-message", parts["body"].replace(block[0], ""))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_figure_is_drawn_as_it_is(name):
    figure = plt.figure()
    figure.suptitle(label("quantize", HOSTILE[name]) + r": $R^2$ = 0.5")
    file = io.StringIO()
    figure.savefig(file, format="svg")
    plt.close(figure)
    assert not re.search("<script|<img|<svg/", file.getvalue())


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3+cmd|x", "'-2+3+cmd|x"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\n=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("-", "'-"),
        ("-inf+1", "'-inf+1"),
        ("-0.36", "-0.36"),
        ("+3", "+3"),
        ("-1.5e-07", "-1.5e-07"),
        ("-.5", "-.5"),
        ("pythia-14m", "pythia-14m"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        (None, None),
    ],
)
def test_a_text_that_a_spreadsheet_would_run_has_an_apostrophe_before_it(text, cell, tmp_path):
    assert in_cell(text) == cell
    write_csv(tmp_path / "t.csv", TRAINING, [{"model": text, "step": -3, "loss": -0.36}])
    (row,) = pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype={"model": str}).to_dict("records")
    assert row == {"model": cell or "", "step": -3, "loss": -0.36}
    assert re.sub(r"^'(?='*[=+\-@\t\r\n\uff1d])", "", row["model"]) == (text or "").replace("\r", "\n"), (
        "the documented way back"
    )


def damaged(path: Path, how: str) -> None:
    """Write a table and damage it."""
    write_table(path, TRAINING, [{"model": "a", "step": 1, "loss": 1.0}], {"wall_seconds": 1.0})
    whole = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("garbage\n" * 20)
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "no end":
            path.write_bytes(whole[:-1])
        case "zeroed":
            path.write_bytes(bytes(len(whole)))
        case "footer":
            path.write_bytes(whole[:-60] + bytes(52) + whole[-8:])
        case "pages":
            path.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
        case "another program's":
            pd.DataFrame({"model": ["a"]}).to_parquet(path)


DAMAGES = ["empty", "text", "cut", "no end", "zeroed", "footer"]


@pytest.mark.parametrize("read", [read_table, read_tables, read_provenance])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_table_is_named(how, read, tmp_path):
    damaged(tmp_path / "block0.parquet", how)
    with pytest.raises(StudyError, match=r"block0.parquet: not a whole Parquet file \(.+\): delete it"):
        read(str(tmp_path / "block0.parquet"))


def test_a_table_with_damaged_pages_or_without_provenance_is_named(tmp_path):
    damaged(tmp_path / "a.parquet", "pages")
    with pytest.raises(StudyError, match=r"a\.parquet: not a whole Parquet file"):
        read_table(tmp_path / "a.parquet")
    damaged(tmp_path / "b.parquet", "another program's")
    with pytest.raises(StudyError, match=r"b\.parquet: does not say how it was made"):
        read_provenance(tmp_path / "b.parquet")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: No space left on device; free some space"),
        (OSError(errno.EROFS, "Read-only file system", "a/b"), "a/b: Read-only file system; the folder must be one"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied; the folder must be one that you"),
        (OSError(errno.EFBIG, "File too large", "a/b"), "a/b: File too large; files may not be so large here"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), "a/b: Disk quota exceeded; the quota is used up"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, line):
    assert refused(error).startswith(line)


def test_a_full_disk_names_the_file_and_leaves_the_older_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("older")
    with pytest.raises(OSError, match=r"No space left on device: '.*/table\.csv'"), replacing(path):
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")
    assert path.read_text() == "older"
    assert [own.name for own in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("output", "errors", "line"),
    [
        (
            "InputFunctionException in rule llc in file x, line 4:\nError:\n  SystemExit: error: a is damaged\n"
            "Wildcards:\n  model=a\n",
            "Using profile x for setting default command line arguments.\n",
            "a is damaged",
        ),
        (
            "MissingInputException in rule corpus in file x, line 1:\nMissing input files for rule corpus:\n"
            "    output: a\n    affected files:\n        b\n",
            "Using profile x\n",
            "Missing input files for rule corpus: output: a affected files: b",
        ),
        ("OSError: [Errno 30] Read-only file system: '/a/.snakemake/locks'\n", "", "Read-only file system: '/a/.sna"),
        (
            "",
            "Using profile x\nthe configuration is not right:\n  seed: bad\n",
            "the configuration is not right:\n  seed",
        ),
        ("", "Using profile x\n", "it ended without a word"),
    ],
)
def test_snakemakes_reason_is_found_in_both_its_outputs(output, errors, line):
    assert reason(output, errors).startswith(line)


def tool(script: str, folder: Path, study: str = "results/small", **more) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "smdl.cli", script, study]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, **more)


def nothing_of_it(folder: Path) -> None:
    shutil.rmtree(folder / "results/small")


def a_file(folder: Path) -> None:
    nothing_of_it(folder)
    (folder / "results/small").write_text("")


def never_started(folder: Path) -> None:
    (folder / "results/small/config.yaml").unlink()


def moved(folder: Path) -> None:
    config = folder / "results/small/config.yaml"
    config.write_text(config.read_text().replace("study: small", "study: other"))


def written(text: bytes):
    def write(folder: Path) -> None:
        (folder / "results/small/config.yaml").write_bytes(text)

    return write


def edited(section: str, **changes):
    def edit(folder: Path) -> None:
        config = yaml.safe_load((folder / "results/small/config.yaml").read_text())
        own = config[section] if section else config
        own.update(changes)
        for key in [key for key, value in own.items() if value is ...]:
            del own[key]
        (folder / "results/small/config.yaml").write_text(yaml.safe_dump(config))

    return edit


def torn(table: str, how: str):
    def tear(folder: Path) -> None:
        damaged(folder / "results/small" / table, how)

    return tear


SPOILT = {
    "no folder": (nothing_of_it, "results/small is no folder: give the folder of a study's results"),
    "a file": (a_file, "results/small is no folder"),
    "never started": (never_started, "results/small holds no config.yaml: no study has begun there"),
    "moved": (moved, "results/small was made as results/other and moved: move it back"),
    "config empty": (written(b""), "config.yaml is damaged: it names no study; delete it"),
    "config torn": (written(b"study: [sm"), "config.yaml is damaged: it names no study; delete it"),
    "config a list": (written(b"- study"), "config.yaml is damaged: it names no study"),
    "config binary": (written(b"\xff\xfe\x00"), "config.yaml is damaged: it names no study"),
    "config with code": (written(b"!!python/object/apply:os.system ['true']"), "config.yaml is damaged: it names no"),
    "study a number": (written(b"study: 3"), "config.yaml is damaged: it names no study"),
    "config wrong": (edited("", seed=-3), "results/small/config.yaml: the configuration is not right:\n  seed: -3 is"),
    "from another machine": (
        edited("corpus", source="local", path="/of/another/machine", name=...),
        "config.yaml: the configuration is not right:\n  corpus.path: '/of/another/machine' is not a folder",
    ),
    "draws torn": (
        torn("draws/published/tiny/step20/block0.parquet", "cut"),
        "step20/block0.parquet: not a whole Parquet file",
    ),
    "table torn": (torn("tables/llc.parquet", "no end"), "results/small/tables/llc.parquet: not a whole Parquet file"),
}


@pytest.fixture(scope="module")
def spoilt(small_study, tmp_path_factory) -> Path:
    """A finished small study to spoil; what is changed is put back."""
    return shutil.copytree(small_study, tmp_path_factory.mktemp("spoilt"), dirs_exist_ok=True)


@pytest.mark.parametrize("case", SPOILT)
def test_status_and_report_say_in_one_line_why_they_cannot(case, spoilt, tmp_path, monkeypatch):
    spoil, line = SPOILT[case]
    shutil.copytree(spoilt, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError) as told:
        progress(enter(Path("results/small")))
    assert line in str(told.value)
    assert str(told.value).count("\n") == line.count("\n")


def test_the_report_of_torn_draws_names_them_and_so_does_planning(spoilt, tmp_path):
    shutil.copytree(spoilt, tmp_path, dirs_exist_ok=True)
    damaged(tmp_path / "results/small/draws/published/tiny/step20/block0.parquet", "text")
    line = "results/small/draws/published/tiny/step20/block0.parquet: not a whole Parquet file"
    run = tool("report", tmp_path)
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert line in run.stderr
    planned = snakemake(tmp_path, small_config(), "--dry-run", "--forceall")
    assert planned.returncode == 1
    assert line in planned.stdout + planned.stderr
    assert "Traceback" not in planned.stdout + planned.stderr


def test_a_report_that_may_not_grow_says_so_and_leaves_the_older_one(spoilt, tmp_path):
    shutil.copytree(spoilt, tmp_path, dirs_exist_ok=True)
    older = tmp_path / "results/small/report.html"
    older.write_text("older")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    run = tool("report", tmp_path, preexec_fn=small_files)
    assert run.returncode == 1
    assert "File too large" in run.stderr
    assert run.stderr.startswith("error: ") and run.stderr.count("\n") == 1, run.stderr
    assert older.read_text() == "older"
    assert not list((tmp_path / "results/small").glob(".report*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; run as an ordinary user")
def test_the_report_of_results_that_may_not_be_written_says_so(spoilt, tmp_path):
    shutil.copytree(spoilt, tmp_path, dirs_exist_ok=True)
    folders = [path for path in (tmp_path / "results/small").rglob("*") if path.is_dir()]
    for folder in [tmp_path / "results/small", *folders]:
        folder.chmod(0o555)
    try:
        assert tool("status", tmp_path).returncode == 0
        run = tool("report", tmp_path)
    finally:
        for folder in [tmp_path / "results/small", *folders]:
            folder.chmod(0o755)
    assert run.returncode == 1
    assert "Permission denied; the folder must be one that you may write to" in run.stderr


def test_status_of_a_changed_config_tells_what_would_run_again(spoilt, tmp_path):
    shutil.copytree(spoilt, tmp_path, dirs_exist_ok=True)
    edited("llc", gamma=200)(tmp_path)
    run = tool("status", tmp_path)
    assert run.returncode == 0, run.stderr
    states = {line.split()[0]: line.split()[1:5] for line in run.stdout.splitlines() if line.strip()}
    assert states["llc_chains"] == ["0", "0", "0", "3"]
    assert states["quantize"] == ["3", "0", "0", "0"]


def test_a_terminal_is_not_steered_by_a_log(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[31mred\x1b[0m\x07\xe2\x80\xa8next\x85\n 10%| \r 50%| \nlast\x00\n")
    shown = last_lines(str(log), 9)
    assert shown == ["red\ufffd", "next\ufffd", " 50%|", "last\ufffd"]


@pytest.fixture(scope="module")
def hostile(small_study, tmp_path_factory) -> Path:
    """A small study with hostile names of variants, in which no model has a window, from config to report."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("hostile"), dirs_exist_ok=True)
    config = small_config()
    names = [HOSTILE[key] for key in ("image", "attribute", "vega", "role")]
    config["compression"]["schemes"]["prune"]["variants"] = {name: {"score": "magnitude"} for name in names}
    config["compression"]["headline"] = {"scheme": "prune", "variant": HOSTILE["image"], "epsilon": 0.02}
    config["compression"]["schemes"].pop("quantize")
    del config["models"]["tiny"]["window"]
    config["rulers"]["coding"] = {"enabled": False}
    run = snakemake(folder, config, warm=True)
    assert run.returncode == 0, run.stderr[-3000:]
    made = tool("report", folder)
    assert made.returncode == 0, made.stderr
    return folder


def hostile_pages(folder: Path) -> list[Path]:
    """Pages of every kind with every hostile name in every place for a name."""
    texts = list(HOSTILE.values())
    folder.mkdir()
    rows = pd.DataFrame({"key": texts, "value": texts, "meaning": texts})
    (folder / "settings.html").write_text(page(SETTINGS, rows))
    points = pd.DataFrame({column.name: texts for column in POINTS.columns})
    numbers = ("coordinate", "coordinate_se", "llc", "llc_se", "control", "loss")
    points = points.assign(step=1, epsilon=0.02, scheme="prune", in_window=True, admitted=True, headline=False)
    points = points.assign(**dict.fromkeys(numbers, 1.0))
    regressions = pd.DataFrame(columns=[column.name for column in REGRESSIONS.columns])
    drawn = explorer(points, regressions)
    checkpoints = {"model": texts, "step": 1, "setting": texts, "variant": texts, "reason": texts}
    chain = {"kind": "posterior", "chain": 0, "draw": 0, "loss": 1.0, "baseline": 1.0}
    of_curve = {"scheme": "prune", "coordinate": 1.0, "delta_loss": 0.1}
    of_points = details(*(pd.DataFrame({**checkpoints, **own}) for own in (chain, of_curve, {})))
    (folder / "explorer.html").write_text(explorer_page(drawn, of_points))
    return [folder / "settings.html", folder / "explorer.html"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


def test_no_page_runs_a_name(browser, hostile, tmp_path):
    table, figure = hostile_pages(tmp_path / "pages")
    browser.open(table)
    shown = browser.wait("[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)")
    assert sorted(shown) == sorted(HOSTILE.values()), "a name is shown as it is"
    assert browser.run("window.ran") is None
    browser.open(figure)
    browser.wait("document.querySelectorAll('.mark-symbol.role-mark path').length")
    options = browser.run("[...document.querySelectorAll('select option')].map(one => one.textContent)")
    assert f"prune, {HOSTILE['script']}" in options
    browser.run("""(mark => {
        const box = mark.getBoundingClientRect(), at = {clientX: box.x + 1, clientY: box.y + 1, bubbles: true};
        for (const kind of ["mousemove", "mouseover", "pointermove"]) mark.dispatchEvent(new MouseEvent(kind, at));
    })(document.querySelector('.mark-symbol.role-mark path'))""")
    assert browser.run("window.ran") is None
    browser.open(hostile / "results/small/report.html")
    text = browser.wait("document.querySelector('.prose')?.innerText")
    assert HOSTILE["image"] in text
    assert "no line is fitted: no model has a window" in text
    for category in ("Figures", "Tables"):
        browser.click(category)
        browser.click("Results")
    browser.wait("Object.keys(results).length > 10")
    assert browser.run("window.ran") is None
    assert not browser.errors
    assert {request.split(":")[0] for request in browser.requests} <= {"file", "data", "blob"}
