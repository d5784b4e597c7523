"""A whole study through a hub: two models of three checkpoints, compute jobs without a network, one window of disk.

One branch serves the final weights as the very same file, another one a later step's weights in another form; the
first must be screened out before its download, the second found by the audit.
"""

import gzip
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hub.checkpoints import files_of, small_model
from hub.server import Hub
from smdl.tables import read_provenance
from workflow import ROOT, SNAKEMAKE, WARM, jobs

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

STEPS = [1000, 2000, 3000]
WINDOW = 1
CONFIG = {
    "study": "hub",
    "seed": 1,
    "corpus": {
        "source": "hub",
        "repo": "lab/text",
        "files": "data/*.jsonl.gz",
        "context": 16,
        "blocks": {"sampling": 32, "evaluation": 8},
    },
    "models": {
        name: {
            "source": "hub",
            "repo": f"lab/{name}",
            "revision": revision,
            "parameters": 42_000,
            "context": 64,
            "steps": STEPS,
            "window": [1000, 3000],
        }
        for name, revision in (("first", "step{step}"), ("second", "stage1-step{step}-*"))
    },
    "llc": {"batch_size": 4, "chains": 2, "chains_per_job": 2, "draws": 4},
    "disk": {"window": WINDOW},
    "audit": {"limits": {"rise": 0.5}},
    "rulers": {ruler: {"enabled": False} for ruler in ("coding", "bits_back", "curvature")},
    "compression": {
        "headline": {"scheme": "quantize", "variant": "minimised", "epsilon": 0.3},
        "schemes": {"quantize": {"levels": [2, 8, 64], "variants": {"minimised": {}}}},
    },
}

# Loaded by every Python process of the run: jobs of rules other than those that may use the network cannot connect to
# any address, nor look one up. A script that serves several rules, as weights does, is allowed by its job's rule.
NO_NETWORK = """
import re, socket, sys

ALLOWED = ("listing", "download", "corpus")

def rule_of(script):
    job = getattr(sys.modules["__main__"], "snakemake", None)
    return script if job is None else job.rule

def no_network(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        return
    if event == "socket.connect" and arguments[0].family == socket.AF_UNIX:
        return
    script = re.search(r"\\.snakemake/scripts/tmp\\w*\\.(\\w+)\\.py$", (getattr(sys, "argv", None) or [""])[0])
    if script and rule_of(script[1]) not in ALLOWED:
        raise PermissionError(f"{rule_of(script[1])} reached for the network: {event} {arguments[1:]}")

sys.addaudithook(no_network)
"""


class Watch:
    """The most checkpoints of a model, whole or unfinished, that lay in a folder at once."""

    def __init__(self, folder: Path):
        self.folder, self.most, self.seen, self.running = folder, {}, set(), True
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.running = False
        self.thread.join()

    def _watch(self) -> None:
        while self.running:
            for model in self.folder.glob("*"):
                present = {
                    path.name.removesuffix(".partial") for path in model.glob("step*") if any(path.glob("[!.]*"))
                }
                self.seen |= {(model.name, name) for name in present}
                self.most[model.name] = max(self.most.get(model.name, 0), len(present))
            time.sleep(0.01)


def publish(hub: Hub) -> None:
    """Two models and a dataset, with the two defects, and with transfers that fail at first."""
    first, second = hub.model("lab/first"), hub.model("lab/second")
    for number, step in enumerate(STEPS):
        first.commit(f"step{step}", files_of(small_model(number), shard="60KB" if number == 2 else "5GB"))
        second.commit(f"stage1-step{step}-tokens{number}B", files_of(small_model(10 + number)))
    first.commit("step1000", files_of(small_model(2), form="bin"))
    first.commit("main", files_of(small_model(4)))
    final = files_of(small_model(14))
    second.commit("stage1-step2000-tokens1B", final)
    second.commit("main", final)
    lines = "".join(json.dumps({"text": f"Verse {i}. In the beginning was the word."}) + "\n" for i in range(200))
    hub.dataset("lab/text").commit("main", {"data/00.jsonl.gz": gzip.compress(lines.encode()), "README.md": b"#"})
    hub.fail("stored.*safetensors", 503)
    hub.fail("stored.*safetensors", "cut")
    hub.fail("stored.*safetensors", "wrong byte")


def run(folder: Path, config: dict, hub: Hub, *arguments: str, warm: bool = False) -> subprocess.CompletedProcess:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "guard").mkdir(exist_ok=True)
    (folder / "guard/sitecustomize.py").write_text(NO_NETWORK)
    command = [*(WARM if warm else []), SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += [*arguments, "--profile", str(ROOT / "profiles/local"), "--configfile", str(folder / "config.yaml")]
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": str(folder / "guard"),
    }
    environment.pop("HF_TOKEN", None)
    return subprocess.run(command, capture_output=True, text=True, timeout=1700, env=environment, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with Hub() as hub:
        publish(hub)
        with Watch(folder / "results/hub/downloads") as watch:
            done = run(folder, CONFIG, hub, warm=True)
        assert done.returncode == 0, done.stderr[-6000:]
        yield folder, hub, watch


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"results/hub/{name}.parquet")


def test_the_duplicates_are_excluded_and_every_table_says_so(study):
    folder, _, _ = study
    found = table(folder, "tables/audit").set_index(["model", "step"])
    assert len(found) == 6
    excluded = found[found["excluded"]]
    assert excluded["reason"].to_dict() == {("first", 1000): "same weights", ("second", 2000): "same weights"}
    assert excluded["shared_with"].to_dict() == {
        ("first", 1000): "first step 3000",
        ("second", 2000): "second step 3001",
    }
    llc = table(folder, "tables/llc").set_index(["model", "step"])
    assert llc[llc["status"] == "excluded"].index.tolist() == excluded.index.tolist()
    assert (llc.loc[excluded.index, "reason"] == "same weights").all()
    assert len(table(folder, "rulers/proxies/second/step2000/proxies")) == 0
    assert len(table(folder, "rulers/proxies/second/step3000/proxies")) > 0
    regressions = table(folder, "tables/regressions").query("window == 'config'")
    assert (regressions["excluded"] >= 1).all()
    assert (regressions["n"] <= 2).all()
    assert (folder / "results/hub/figures/findings.png").read_bytes().startswith(b"\x89PNG")


def test_what_the_listing_gives_away_is_never_downloaded(study):
    folder, hub, watch = study
    screening = table(folder, "audit/screening").set_index(["model", "step"])
    assert screening[screening["excluded"]].index.tolist() == [("second", 2000)]
    commit = hub.model("lab/second").branches["stage1-step2000-tokens1B"]
    assert not hub.fetched(f"/lab/second/resolve/{commit}/")
    assert ("second", "step2000") not in watch.seen


def test_the_disk_window_holds(study):
    _, _, watch = study
    assert len(watch.seen) == 5
    assert set(watch.most.values()) == {WINDOW}
    assert not list((study[0] / "results/hub/downloads").glob("*/step*"))


def test_downloads_are_pinned_and_the_commit_is_in_the_manifest(study):
    folder, hub, _ = study
    listing = table(folder, "audit/listing")
    for model in ("first", "second"):
        branches = set(hub.model(f"lab/{model}").branches.values())
        assert set(listing.loc[listing["model"] == model, "commit"]) <= branches
    manifest = table(folder, "reference/first/step2000/manifest")
    assert set(manifest["source"]) == {f"lab/first@{hub.model('lab/first').branches['step2000']}"}
    resolved = {request.path.split("/resolve/")[1].split("/")[0] for request in hub.fetched("lab/.*/resolve/")}
    assert all(len(commit) == 40 for commit in resolved)


def test_the_corpus_names_the_commit_of_its_dataset(study):
    folder, hub, _ = study
    assert set(table(folder, "corpus/splits")["source"]) == {f"lab/text@{hub.dataset('lab/text').branches['main']}"}


def test_the_network_was_blocked_for_compute_jobs(study, tmp_path):
    """The guard of this test works, and the jobs' own offline switch was on."""
    folder, _, _ = study
    script = tmp_path / ".snakemake/scripts/tmpx.llc_chains.py"
    script.parent.mkdir(parents=True)
    script.write_text("import socket; socket.create_connection(('127.0.0.1', 9))")
    environment = {**os.environ, "PYTHONPATH": str(folder / "guard")}
    told = subprocess.run(["python3", str(script)], capture_output=True, text=True, env=environment, check=False).stderr
    assert "llc_chains reached for the network" in told
    assert read_provenance(folder / "results/hub/draws/published/first/step2000/block0.parquet")["stage_version"] >= 1


def test_a_second_run_has_nothing_to_do_nor_has_one_with_another_window(study):
    folder, hub, _ = study
    before = len(hub.requests)
    again = run(folder, CONFIG, hub, "--dry-run")
    assert jobs(again.stderr + again.stdout) == {}, again.stdout
    wider = run(folder, {**CONFIG, "disk": {"window": 2}}, hub, "--dry-run")
    assert set(jobs(wider.stderr + wider.stdout)) <= {"settings", "settings_page", "all", "turn"}
    assert len(hub.requests) == before, "a dry run asked the hub"


def test_a_branch_that_is_missing_ends_the_study_with_one_line(study, tmp_path):
    _, hub, _ = study
    models = {"first": {**CONFIG["models"]["first"], "steps": [2000, 3000, 5000], "window": [2000, 5000]}}
    done = run(tmp_path, {**CONFIG, "models": models}, hub, "results/hub/audit/listing.parquet", "--retries", "0")
    assert done.returncode
    log = (tmp_path / "results/hub/logs/audit/listing.log").read_text()
    assert "error: lab/first at step5000: no such branch, tag or commit" in log
    assert "nearest step" in log
