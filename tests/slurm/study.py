"""A folder in which a small study runs under SLURM, and what a test wants to know of it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from cluster import ACCOUNT, Cluster
from snakemake.profiles import ProfileConfigFileParser

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIG = HERE / "config.faults.yaml"
CHAINS = "neox/step40/block"
SITE = {"SMDL_ACCOUNT": ACCOUNT, "SMDL_CPU_PARTITION": "cpu", "SMDL_GPU_PARTITION": "gpu"}
LIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING")


class Study:
    """One working folder; Snakemake is started in it through the shipped profile."""

    def __init__(self, folder: Path, cluster: Cluster | None = None, like: "Study | None" = None):
        self.folder = folder
        self.cluster = cluster
        folder.mkdir(parents=True)
        if like is not None:
            for name in ("corpus", "trained", "reference"):
                shutil.copytree(like.results / name, self.results / name, copy_function=shutil.copy2)

    @property
    def results(self) -> Path:
        return self.folder / "results/faults"

    def draws(self, block: int) -> Path:
        return self.results / f"draws/{CHAINS}{block}.parquet"

    def table(self, block: int) -> pd.DataFrame:
        return pd.read_parquet(self.draws(block))

    def saved(self, block: int) -> bool:
        """Whether the chains of this block are under way and have saved their state."""
        return any((self.results / f"state/{CHAINS}{block}").glob("*.state"))

    def resumed_at(self, block: int) -> int:
        """The step that the last job of this block began with."""
        log = (self.results / f"logs/llc_chains/{CHAINS}{block}.log").read_text()
        return int(re.search(r"chains:[^|]*\|[^|]*\| *(\d+)/", log)[1])

    def targets(self, blocks: list[int]) -> list[str]:
        return [str(self.draws(block).relative_to(self.folder)) for block in blocks]

    def locally(self, targets: list[str]) -> None:
        """Run on this machine, undisturbed."""
        command = [sys.executable, "-m", "snakemake", *self._arguments(targets), "--profile", ROOT / "profiles/local"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def start(self, targets: list[str], **chains: Any) -> subprocess.Popen:
        """Start Snakemake through profiles/slurm; ``chains`` are resources of the chain jobs."""
        profile = self._profile(chains)
        command = [sys.executable, HERE / "launch.py", *self._arguments(targets), "--profile", profile]
        environment = self.cluster.environment | {"PYTHONPATH": str(ROOT / "scripts")}
        with (self.folder / "snakemake.log").open("a") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def unlock(self) -> None:
        command = [sys.executable, "-m", "snakemake", "--unlock", *self._arguments([])]
        subprocess.run(command, check=True, cwd=self.folder, capture_output=True)

    def log(self) -> str:
        return (self.folder / "snakemake.log").read_text()

    def jobs(self, block: int) -> list[tuple[str, str]]:
        """Id and state of every job that SLURM ever ran for this block's chains, one entry a start."""
        columns = ["sacct", "--duplicates", "-n", "-X", "-P", "--format=JobIDRaw,State,WorkDir,Comment"]
        rows = [row.split("|") for row in self.cluster.run(*columns).splitlines()]
        comment = f"rule_llc_chains_wildcards_neox_40_{block}"
        return [(job, state) for job, state, folder, said in rows if said == comment and folder == str(self.folder)]

    def running(self, block: int) -> list[str]:
        """Ids of the unfinished jobs of this block's chains, as the controller sees them."""
        listing = self.cluster.run("squeue", "-h", "--format=%i\t%T\t%Z\t%k").splitlines()
        comment = f"rule_llc_chains_wildcards_neox_40_{block}"
        rows = [row.split("\t") for row in listing]
        return [row[0] for row in rows if row[1] in LIVE and row[2:] == [str(self.folder), comment]]

    def node(self, block: int) -> str:
        return self.cluster.run("squeue", "-h", "--format=%N", f"--jobs={self.running(block)[0]}").strip()

    def _arguments(self, targets: list[str]) -> list[str]:
        return [*targets, "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(CONFIG)]

    def _profile(self, chains: dict[str, Any]) -> Path:
        """The shipped profile, with this cluster's names, and sizes that fit a test."""
        os.environ.update(SITE)
        with (ROOT / "profiles/slurm/config.yaml").open() as shipped:
            profile = dict(ProfileConfigFileParser().parse(shipped))
        profile["default-resources"] += ["mem_mb=1500", "runtime=5"]
        own = tuple(f"llc_chains:{name}=" for name in chains)
        resources = [entry for entry in profile["set-resources"] if not entry.startswith(own)]
        profile["set-resources"] = resources + [f"llc_chains:{name}={value}" for name, value in chains.items()]
        target = self.folder / "profile"
        target.mkdir(exist_ok=True)
        (target / "config.yaml").write_text(yaml.safe_dump(profile))
        return target
