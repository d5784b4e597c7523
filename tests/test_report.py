"""The report of a small study in a real browser, and what is told of a study that runs, failed or ended."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import yaml

from chromium import Browser
from conftest import ROOT
from smdl.analysis.points import marked, points
from smdl.analysis.regression import NOT_TO_BE_HAD
from smdl.compression.settings import Headline
from smdl.report.columns import columns, csv_of
from smdl.report.exclusions import exclusions
from smdl.report.front import finding
from smdl.report.pages import page
from smdl.runtime.progress import DONE, FAILED, LEFT, RUNNING, last_lines, remaining, told
from smdl.study.tables import declared
from smdl.tables import empty, read_table, write_csv
from smdl.tables.report import EXCLUSIONS, RUNS
from smdl.tables.study import LLC, POINTS
from workflow import SNAKEMAKE, small_config, snakemake


def tool(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "smdl.cli", script, "results/small", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def study(small_study, tmp_path_factory) -> Path:
    """A finished study with its report; the report and the figure to look closer at are kept beside."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("report"), dirs_exist_ok=True)
    made = tool("report", folder)
    assert made.returncode == 0, made.stderr
    for name in ("report.html", "report.zip", "report/explorer.html"):
        shutil.copy(folder / "results/small" / name, folder)
    return folder


@pytest.fixture(scope="module")
def broken(study) -> Path:
    """The same study, its sampler set so that the chains fail, and the report of that."""
    changed = small_config()
    changed["llc"] |= {"lr": 1e30, "gamma": 0.0, "control": False}
    assert snakemake(study, changed, warm=True).returncode == 1
    made = tool("report", study)
    assert made.returncode == 0, made.stderr
    return study


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


def opened(browser: Browser, path: Path) -> str:
    """Open a report; the text of its front page."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open(path)
    return browser.wait("document.querySelector('.prose')?.innerText")


def click_in_row(browser: Browser, labels: list[str]) -> None:
    """Click the eye in the row of the menu that has these labels."""
    wanted = json.dumps(json.dumps(labels, separators=(",", ":")))
    browser.wait(f"""(() => {{
        const told = row => JSON.stringify([...row.cells].slice(0, -1).map(cell => cell.innerText.trim()));
        const row = [...document.querySelectorAll("nav tr")].find(row => told(row) === {wanted});
        if (row) row.querySelector("a").click();
        return !!row;
    }})()""")


def shown_in(browser: Browser, folder: Path, name: str) -> None:
    """The picture or page that the report shows now is whole: pictures have a size, pages have what they are for."""
    if name.endswith(".svg"):
        browser.wait("document.querySelector('.p-3 > img')?.naturalWidth > 300")
    else:
        browser.wait("document.querySelector('iframe')?.src.startsWith('blob:')")
        with browser.within():
            browser.wait("!!(document.querySelector('#count')?.textContent || document.querySelector('#figure svg'))")


def test_the_front_page_tells_what_was_studied_left_out_and_done(study, browser):
    text = opened(browser, study / "report.html")
    tables = {name: pd.read_csv(study / f"results/small/tables/{name}.csv") for name in ("llc", "exclusions", "runs")}
    out = ~tables["exclusions"]["used"]
    assert out.sum() > 3
    assert f"{out.sum()} estimate(s) are kept out of every regression; {(~out).sum()} more are used" in text
    assert f"R-hat is {tables['llc']['r_hat'].min():.3g} to {tables['llc']['r_hat'].max():.3g}" in text
    assert f"{len(tables['runs'])} files took" in text
    told = set(tables["exclusions"]["status"])
    assert told & {"all above", "all below"} and len(told) > 1
    for words in ("3 training checkpoints of 1 model(s)", "No job failed.", "0.02 nats", *told):
        assert words in text, words


def test_every_figure_and_table_is_reached_by_clicks_without_errors_or_network(study, browser):
    opened(browser, study / "report.html")
    results = browser.run("Object.entries(results).map(([path, r]) => [path, r.labels, r.caption.length])")
    folder = study / "results/small"
    marked = {path for path, _, _ in results}
    assert marked >= {f"results/small/{path.relative_to(folder)}" for path in folder.glob("figures/**/*.svg")}
    assert marked >= {f"results/small/tables/{path.name}" for path in folder.glob("tables/*.csv")}
    assert marked >= {f"results/small/report/{path.stem}.html" for path in folder.glob("tables/*.csv")}
    assert all(length > 100 for _, _, length in results), "every caption explains"
    for category, kinds in {"Figures": (".svg", ".html"), "Tables": (".html",)}.items():
        browser.click(category)
        for path, labels, _ in results:
            if path.endswith(kinds) and ("figure" in labels) == (category == "Figures"):
                click_in_row(browser, [labels[name] for name in sorted(labels, reverse=True)])
                shown_in(browser, study, path)
        browser.click("Results")
    assert not browser.errors
    assert {request.split(":")[0] for request in browser.requests} <= {"file", "data", "blob"}


def test_the_zip_holds_the_report_and_every_result(study, tmp_path, browser):
    with zipfile.ZipFile(study / "report.zip") as archive:
        archive.extractall(tmp_path)
    assert "Study small" in opened(browser, tmp_path / "report/report.html")
    uris = browser.run("Object.values(results).map(result => result.data_uri)")
    assert all((tmp_path / "report" / uri).is_file() for uri in uris)
    assert not browser.errors


def test_a_table_page_sorts_and_filters(study, browser):
    browser.errors.clear()
    browser.open(study / "results/small/report/critical.html")
    whole = browser.wait("document.querySelectorAll('tbody tr').length")
    assert whole == len(pd.read_csv(study / "results/small/tables/critical.csv"))
    steps = "[...document.querySelectorAll('tbody tr')].map(row => +row.cells[1].textContent)"
    browser.click("step")
    browser.click("step")
    assert browser.run(steps) == sorted(browser.run(steps), reverse=True)
    browser.run(
        "(f => { f.value = '> 15'; f.dispatchEvent(new Event('input')) })(document.querySelectorAll('thead input')[1])"
    )
    assert set(browser.run(steps)) == {20, 30}
    assert not browser.errors


def test_the_interactive_figure_switches_and_tells_its_points(study, browser):
    browser.errors.clear()
    browser.open(study / "explorer.html")
    marks = "document.querySelectorAll('.mark-symbol.role-mark path').length"
    critical = pd.read_csv(study / "results/small/tables/critical.csv").query("variant == 'minimised'")
    levels = critical.groupby("epsilon")["coordinate"].count()
    browser.wait(f"{marks} === {levels[0.02]}")
    places = (
        "[...document.querySelectorAll('.mark-symbol.role-mark path')].map(p => p.getAttribute('transform')).join()"
    )
    before = browser.run(places)
    browser.run("""(select => {
        select.value = [...select.options].find(option => +option.text === 0.1).value;
        for (const name of ["input", "change"]) select.dispatchEvent(new Event(name));
    })(document.querySelectorAll(".vega-bindings select")[1])""")
    browser.wait(f"{places} !== {json.dumps(before)}")
    assert browser.run(marks) == levels[0.1]
    assert not browser.errors


def test_a_click_on_a_point_shows_its_chains_its_curve_and_what_the_audit_found(study, browser):
    browser.errors.clear()
    browser.open(study / "explorer.html")
    browser.wait("document.querySelectorAll('.mark-symbol.role-mark path').length > 0")
    browser.run(
        "document.querySelector('.mark-symbol.role-mark path').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    shown = browser.wait("document.querySelector('#curve svg') && document.querySelector('#of').textContent")
    step = int(re.fullmatch(r"tiny, step (\d+)", shown)[1])
    draws = pd.read_parquet(study / "results/small/draws").query(f"step == {step} and kind == 'posterior'")
    lines = "document.querySelectorAll('#traces .mark-line path').length"
    assert browser.run(lines) == draws["chain"].nunique()
    curve = pd.read_csv(study / "results/small/tables/curves.csv").query(f"step == {step} and variant == 'minimised'")
    assert browser.run("document.querySelectorAll('#curve .mark-symbol path').length") == curve["coordinate"].nunique()
    audit = pd.read_csv(study / "results/small/tables/audit.csv").query(f"step == {step}").iloc[0]
    rows = "[...document.querySelectorAll('#audit tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    told = dict(browser.run(rows))
    assert set(told) == set(audit.index) - {"model", "step"}
    assert float(told["loss"]) == pytest.approx(audit["loss"], abs=1e-5)
    assert not browser.errors
    assert not [request for request in browser.requests if request.startswith("http")]


def test_a_study_with_failed_jobs_says_which_and_shows_the_rest(broken, browser):
    text = opened(browser, broken / "results/small/report.html")
    assert "llc_chains failed; its log, results/small/logs/llc_chains/published/tiny/step10/block0.log" in text
    assert "left the finite losses at step" in text
    assert "There is no finding yet" in text
    shown = browser.run("Object.keys(results)")
    assert "results/small/report/critical.html" in shown
    assert "results/small/tables/llc.csv" not in shown, "the numbers of another configuration are not shown"
    assert not browser.errors


def test_status_of_a_failed_study_names_log_and_last_words(broken):
    text = tool("status", broken).stdout
    line = next(line.split() for line in text.splitlines() if line.startswith("llc_chains"))
    assert line[1:5] == ["0", "0", "3", "0"]
    assert next(line.split() for line in text.splitlines() if line.startswith("quantize"))[1:5] == ["3", "0", "0", "0"]
    assert "failed: llc_chains; its log is results/small/logs/llc_chains/published/tiny/step10/block0.log" in text
    assert "error: chain 0 left the finite losses" in text


def test_status_is_that_of_the_folder_named_wherever_it_is_asked_from(broken, tmp_path):
    """Another study of the same name, where the question is asked, is not taken for it."""
    shutil.copytree(broken / "results/small/tables", tmp_path / "results/small/tables")
    path = os.path.relpath(broken / "results/small", tmp_path)
    asked = [sys.executable, "-m", "smdl.cli", "status", path]
    text = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout
    assert next(line.split() for line in text.splitlines() if line.startswith("quantize"))[1:5] == ["3", "0", "0", "0"]
    assert text.endswith(f"Paths are those seen from {broken}.\n")


def test_a_moved_study_is_refused(broken, tmp_path):
    moved = tmp_path / "results/elsewhere"
    moved.mkdir(parents=True)
    shutil.copy(broken / "results/small/config.yaml", moved)
    asked = [sys.executable, "-m", "smdl.cli", "status", str(moved)]
    run = subprocess.run(asked, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert run.stderr.startswith(f"error: {moved} was made as results/small and moved")


def test_status_while_snakemake_runs_and_after_it_was_stopped(broken):
    long = small_config()
    long["llc"] |= {"draws": 100_000}
    (broken / "long.yaml").write_text(yaml.safe_dump(long))
    command = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles/local")]
    command += ["--configfile", "long.yaml", "--cores", "1"]
    with (broken / "long.log").open("wb") as log:
        run = subprocess.Popen(command, cwd=broken, stdout=log, stderr=log, start_new_session=True)
    try:
        started = time.monotonic()
        logs = broken / "results/small/logs/llc_chains"
        # The logs of the failed chains are there until the new ones begin: theirs counts to another end.
        while not any(re.search(r"/\d{6} ", path.read_text()) for path in logs.glob("**/*.log")):
            assert run.poll() is None and time.monotonic() < started + 300, (broken / "long.log").read_text()
            time.sleep(0.2)
        during = tool("status", broken).stdout
    finally:
        os.killpg(run.pid, signal.SIGTERM)
        run.wait(300)
    line = next(line.split() for line in during.splitlines() if line.startswith("llc_chains"))
    assert line[1:5] == ["0", "1", "2", "0"], during
    assert "running for" in during
    after = next(line.split() for line in tool("status", broken).stdout.splitlines() if line.startswith("llc_chains"))
    assert after[2] == "0"


def test_a_folder_without_a_study_is_told_in_one_line(tmp_path):
    for script in ("status", "report"):
        run = tool(script, tmp_path)
        assert run.returncode == 1
        assert run.stderr.strip() == (
            "error: results/small is no folder: give the folder of a study's results, results/<study>"
        )


def jobs_of(*rows: tuple) -> pd.DataFrame:
    columns = ["rule", "model", "state", "log", "seconds", "elapsed"]
    return pd.DataFrame(rows, columns=columns)


def test_time_left_follows_jobs_of_the_same_model_then_of_the_same_rule():
    jobs = jobs_of(
        ("llc", "a", DONE, "", 10.0, 0.0),
        ("llc", "a", DONE, "", 30.0, 0.0),
        ("llc", "b", DONE, "", 100.0, 0.0),
        ("llc", "a", RUNNING, "", None, 5.0),
        ("llc", "b", FAILED, "", None, 0.0),
        ("llc", "c", LEFT, "", None, 0.0),
        ("fit", "a", LEFT, "", None, 0.0),
    )
    assert remaining(jobs).tolist()[:3] == [15.0, 100.0, 30.0]
    assert np.isnan(remaining(jobs).iloc[3])
    text = told(jobs, at_once=2)
    assert f"{145 / 3600:.2f} hours of work are left: {145 / 7200:.2f} hours with 2 at a time." in text
    assert "Not counted, for want of a measured job: fit." in text


def test_last_lines_take_the_latest_state_of_a_progress_bar(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"begin\n\n 10%|#   | 1/10\r 50%|##  | 5/10\nlast\n")
    assert last_lines(str(log), 2) == [" 50%|##  | 5/10", "last"]
    assert last_lines(str(tmp_path / "none"), 2) == []


def test_a_study_in_order_has_no_exclusions_and_an_odd_one_has_all():
    assert EXCLUSIONS.conform(exclusions(empty(LLC), empty(POINTS))).empty
    llc = pd.DataFrame({"model": "a", "step": [1, 2, 3], "status": ["ok", "not mixed", "excluded"], "reason": "why"})
    llc = marked(
        llc.assign(llc=1.0, llc_se=0.1, control=0.5, loss=2.0, setting="published"), {"a": [2, 3]}, ["ok", "not mixed"]
    )
    critical = pd.DataFrame(
        {
            "model": "a",
            "step": 1,
            "scheme": "q",
            "variant": "v",
            "epsilon": [0.1, 0.2, 0.3],
            "coordinate": [1, 2, np.nan],
        }
    ).assign(status=["ok", "not monotone", "all below"], coordinate_se=0.1, unit="bits", bits_per_parameter=4.0)
    headline = Headline(scheme="q", variant="v", epsilon=0.1)
    rows = EXCLUSIONS.conform(
        exclusions(llc, points(critical, llc, llc.assign(norm=1.0)[["model", "step", "norm"]], headline, "published"))
    )
    assert rows["status"].tolist() == ["not mixed", "excluded", "not monotone", "all below"]
    assert rows["used"].tolist() == [True, False, True, False]
    assert rows["in_window"].tolist() == [True, True, False, False]


ODD_TEXTS = ("cpu", 'a "b", c', "two\nlines", "=1+1", "-0.36", "", None, "'@x", "-\u0663", "a\rb")
ODD_NUMBERS = (0.1 + 0.2, 1e-7, -1e300, 3.0, np.nan, np.inf, -np.inf)


def odd_rows(count: int) -> pd.DataFrame:
    """Rows of ``runs`` with every kind of cell that a CSV file can have."""
    rows = empty(RUNS).reindex(range(count)).assign(file=[f"file {n}" for n in range(count)], seed=None)
    rows["device"] = [ODD_TEXTS[n % len(ODD_TEXTS)] for n in range(count)]
    rows["wall_seconds"] = [ODD_NUMBERS[n % len(ODD_NUMBERS)] for n in range(count)]
    return rows.astype({"seed": "Int64", "stage_version": "Int64"})


def test_the_columns_of_a_table_give_its_csv_file(study, tmp_path):
    for rows in (odd_rows(40), odd_rows(0)):
        write_csv(tmp_path / "runs.csv", RUNS, rows)
        assert csv_of(columns(RUNS, rows)) == (tmp_path / "runs.csv").read_text()
    for path in (study / "results/small/tables").glob("*.parquet"):
        file = path.with_suffix(".csv")
        written = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert csv_of(columns(declared(path.stem), read_table(path), written)) == file.read_text(), path


def test_a_long_table_is_turned_page_by_page_and_gives_its_csv_file(tmp_path, browser):
    rows = odd_rows(450)
    write_csv(tmp_path / "runs.csv", RUNS, rows)
    (tmp_path / "runs.html").write_text(page(RUNS, rows))
    browser.errors.clear()
    browser.open(tmp_path / "runs.html")
    files = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)"
    count = "document.getElementById('count').textContent"
    browser.wait(f"{files}.length")
    seen = browser.run(files)
    for first, last in ((201, 400), (401, 450)):
        browser.click("On")
        assert browser.run(count) == f"Rows {first} to {last} of 450"
        seen += browser.run(files)
    assert seen == rows["file"].tolist()
    assert browser.run("document.getElementById('on').disabled")
    browser.click("Back")
    assert browser.run(files)[0] == "file 200"
    assert browser.run("csv(table)") == (tmp_path / "runs.csv").read_text()
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(files) == rows["file"].tolist(), "all rows are printed"
    assert not browser.errors


def test_the_report_gives_every_csv_file_and_holds_nothing_twice(study, browser):
    opened(browser, study / "report.html")
    browser.click("Tables")
    browser.run("void (URL.createObjectURL = blob => { window.saved = blob; return 'data:,'; })")
    tables = list((study / "results/small/tables").glob("*.csv"))
    for path in tables:
        browser.run("window.saved = null")
        address = json.dumps(f"a[href='#{quote(str(path.relative_to(study)), safe='')}']")
        browser.wait(f"!!document.querySelector({address})")
        browser.run(f"document.querySelector({address}).click()")
        assert browser.wait("window.saved?.text()") == path.read_text(), path
    text = (study / "report.html").read_text()
    parts = re.findall(r'^(?:const parts = \[)?"([A-Za-z0-9+/=]+)"', text, re.MULTILINE)
    assert len(set(parts)) == len(parts) > len(tables)
    frame = len(text) - sum(map(len, parts))
    assert len(text) < 2**21 and frame < 2**19
    assert not browser.errors


def test_the_finding_is_what_the_regressions_say():
    common = {"scheme": "quantize", "variant": "minimised", "epsilon": 0.5, "first": 10, "last": 90, "excluded": 1}
    common |= {"n": 7, "intercept": 0.0, "r2": 0.9, "spearman": 0.95, "control_r2": 0.97, "loss_r2": 0.5}
    common |= {"partial_r2_given_control": 0.1, "partial_r2_given_loss": 0.8, **NOT_TO_BE_HAD}
    common |= dict.fromkeys(("slope_se", "slope_deming", "curvature", "curvature_se", "norm_r2", "log_step_r2"), 0.3)
    slopes = {"up": 0.2, "down": -0.01, "none": np.nan}
    rows = [
        {
            **{**common, "setting": setting, "model": model, "window": window, "slope": slope},
            "headline": window == "config" and setting == "published",
        }
        for setting in ("fair", "published")
        for model, slope in slopes.items()
        for window in ("config", "all")
    ]
    headline = Headline(scheme="quantize", variant="minimised", epsilon=0.5)
    text = "\n".join(finding(headline, {"regressions": pd.DataFrame(rows)}))
    assert "at the setting published, the critical level **rises with the LLC in 1 of 2 model(s)** and falls" in text
    assert 0 < text.index("at the setting published") < text.index("at the setting fair"), "the headline's stands first"
    assert "alone, in 0 of 2, and more than the loss on the sampling blocks in 2 of 2" in text
    assert "interval" not in text
