"""A folder in which a small study runs under SLURM, and what a test wants to know of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml
from cluster import ACCOUNT, Cluster
from snakemake.profiles import ProfileConfigFileParser

from workflow import forked

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SITE = {"SMDL_ACCOUNT": ACCOUNT, "SMDL_CPU_PARTITION": "cpu", "SMDL_GPU_PARTITION": "gpu"}
LIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING")


class Run(NamedTuple):
    """One run of a SLURM job: its id, the state it ended in, and when it was."""

    job: str
    state: str
    start: str
    end: str


class Study:
    """One working folder; Snakemake is started in it through the shipped profile."""

    def __init__(self, folder: Path, config: Path, cluster: Cluster | None = None, like: "Study | None" = None):
        self.folder = folder
        self.config = config
        self.cluster = cluster
        self.results = folder / "results" / yaml.safe_load(config.read_text())["study"]
        folder.mkdir(parents=True)
        if like is not None:
            for name in ("corpus", "trained", "reference"):
                shutil.copytree(like.results / name, self.results / name, copy_function=shutil.copy2)

    def draws(self, chain: str) -> Path:
        return self.results / f"draws/{chain}.parquet"

    def table(self, chain: str) -> pd.DataFrame:
        return pd.read_parquet(self.draws(chain))

    def saved(self, chain: str) -> bool:
        """Whether this chain is under way and has saved its state."""
        return any(Path(f"{self.draws(chain)}.state").glob("[01].state"))

    def resumed_at(self, chain: str) -> int:
        """The step that the last job of this chain began with; 0 before it has told its progress."""
        log = self.results / f"logs/llc_chains/{chain}.log"
        begun = re.search(r"chains:[^|]*\|[^|]*\| *(\d+)/", log.read_text() if log.exists() else "")
        return int(begun[1]) if begun else 0

    def targets(self, chains: Iterable[str]) -> list[str]:
        return [str(self.draws(chain).relative_to(self.folder)) for chain in chains]

    def locally(self, targets: list[str]) -> None:
        """Run on this machine, undisturbed."""
        arguments = [*self._arguments(targets), "--profile", str(ROOT / "profiles/local")]
        done = forked(arguments, self.folder, warm=True)
        assert done.returncode == 0, done.stderr

    def start(self, targets: list[str], **chains: Any) -> subprocess.Popen:
        """Start Snakemake through profiles/slurm; ``chains`` are resources of the chain jobs."""
        profile = self._profile(chains)
        command = [sys.executable, HERE / "launch.py", *self._arguments(targets), "--profile", profile]
        environment = self.cluster.environment
        with (self.folder / "snakemake.log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, preexec_fn=_heed_interrupts
            )

    def log(self) -> str:
        return (self.folder / "snakemake.log").read_text()

    def runs(self, chain: str) -> list[Run]:
        """Every run that SLURM's accounting knows of this chain's jobs; a requeued job has two."""
        columns = ["sacct", "--duplicates", "-n", "-X", "-P", "--format=JobIDRaw,State,Start,End,WorkDir,Comment"]
        columns += ["--starttime=now-2hours"]
        rows = [row.split("|") for row in self.cluster.run(*columns).splitlines()]
        mine = [str(self.folder), _comment(chain)]
        return [Run(job, state.split()[0], start, end) for job, state, start, end, *whose in rows if whose == mine]

    def history(self, chain: str) -> str:
        """The chain's runs in one line, and the step at which the last one began."""
        runs = [f"{run.state} {run.start[11:]} to {run.end[11:]}" for run in self.runs(chain)]
        return f"{', '.join(runs)}, from step {self.resumed_at(chain)}"

    def job(self, chain: str) -> str:
        """Id of the job that was last sent for this chain."""
        name = _comment(chain).replace("_wildcards_", "/")
        return re.findall(rf"slurm-logs/{name}/(\d+)\.log\)", self.log())[-1]

    def running(self, chain: str) -> list[str]:
        """Ids of the unfinished jobs of this chain, as the controller sees them."""
        listing = self.cluster.run("squeue", "-h", "--format=%i\t%T\t%Z\t%k").splitlines()
        rows = [row.split("\t") for row in listing]
        return [row[0] for row in rows if row[1] in LIVE and row[2:] == [str(self.folder), _comment(chain)]]

    def node(self, chain: str) -> str:
        return self.cluster.run("squeue", "-h", "--format=%N", f"--jobs={self.job(chain)}").strip()

    def _arguments(self, targets: list[str]) -> list[str]:
        return [*targets, "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(self.config)]

    def _profile(self, chains: dict[str, Any]) -> Path:
        """The shipped profile, with this cluster's names, and sizes and times that fit a test."""
        os.environ.update(SITE)
        with (ROOT / "profiles/slurm/config.yaml").open() as shipped:
            profile = dict(ProfileConfigFileParser().parse(shipped))
        profile["default-resources"] += ["mem_mb=1500", "runtime=5"]
        # As make mini-slurm: so short jobs would wait for the looks, not the looks for the jobs.
        profile["slurm-init-seconds-before-status-checks"] = 5
        own = tuple(f"llc_chains:{name}=" for name in chains)
        resources = [entry for entry in profile["set-resources"] if not entry.startswith(own)]
        profile["set-resources"] = resources + [f"llc_chains:{name}={value}" for name, value in chains.items()]
        target = self.folder / "profile"
        target.mkdir(exist_ok=True)
        (target / "config.yaml").write_text(yaml.safe_dump(profile))
        return target


def _heed_interrupts() -> None:
    """Where the tests run in the background of a script, SIGINT is ignored, and that would be inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _comment(chain: str) -> str:
    """What the executor plugin writes into a job's comment: the rule and its wildcards."""
    return "rule_llc_chains_wildcards_" + re.sub("/(step|block)?", "_", chain)
