"""One round of faults: chains are started under SLURM, and as soon as each is under way, harm is done to it."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster
from study import HERE, Study

CHAINS = tuple(f"neox/step40/block{block}" for block in range(8))
CANCELLED, TIME, MEMORY, SLURMD, NODE, REQUEUED, PREEMPTED, LATE = CHAINS
MINI = HERE.parents[1] / "config.mini.yaml"
PARTITIONS = {NODE: "frail", REQUEUED: "requeued", PREEMPTED: "cancelled"}
TABLES = [f"results/small/tables/{name}.csv" for name in ("checkpoints", "llc", "curves", "critical", "regressions")]
# A chain as the profile's expressions see it; Snakemake takes no braces in those of times and sizes.
THIS = "'/'.join([wildcards.model, 'step' + wildcards.step, 'block' + wildcards.block])"
SECONDS = 840


class Round:
    """Four studies at once: ``main`` meets the faults of jobs and daemons, two those of Snakemake itself.

    ``whole`` is the mini study, shortened, from corpus to tables; it meets the controller's restart only.
    """

    def __init__(self, folder: Path, cluster: Cluster):
        self.cluster = cluster
        faults, small = HERE / "config.faults.yaml", folder / "small.yaml"
        small.write_text(yaml.safe_dump(_shortened(yaml.safe_load(MINI.read_text()))))
        self.reference, self.reference_whole = Study(folder / "reference", faults), Study(folder / "locally", small)
        self.reference.locally(self.reference.targets(CHAINS))
        self.reference_whole.locally(TABLES)
        self.main, self.interrupted, self.killed = (
            Study(folder / name, faults, cluster, like=self.reference) for name in ("main", "interrupted", "killed")
        )
        self.whole = Study(folder / "whole", small, cluster)
        self.runs: dict[str, subprocess.Popen] = {}
        self.first: dict[str, subprocess.Popen] = {}
        self.orphans: list[str] = []
        self.harm: dict[Callable[[], bool], Callable[[], None]] = {}
        self.started = time.monotonic()
        self.events: list[str] = []

    def run(self) -> None:
        """Start all, do the harm when a chain is there to suffer it, and wait for the end."""
        target = self.main.targets([CANCELLED])
        self.runs["whole"] = self.whole.start(TABLES)
        self.runs["main"] = self.main.start(
            self.main.targets(CHAINS),
            slurm_partition=f"{PARTITIONS}.get({THIS}, 'cpu')",
            slurm_extra="--signal=TERM@5",
            runtime="10 * attempt",
            mem_mb=f"300 if {THIS} == '{MEMORY}' and attempt == 1 else 1500",
        )
        self.first = {name: getattr(self, name).start(target) for name in ("interrupted", "killed")}
        self.harm = {
            lambda: self.main.saved(CANCELLED): self._cancel,
            lambda: self.main.saved(TIME): self._slow_down,
            lambda: self.main.saved(SLURMD): self._kill_daemons,
            lambda: self.main.saved(NODE): self._kill_node,
            lambda: self.main.saved(REQUEUED): lambda: self._preempt(REQUEUED),
            lambda: self.main.saved(PREEMPTED): lambda: self._preempt(PREEMPTED),
            lambda: self.main.draws(LATE).exists(): self._hide,
            lambda: self.interrupted.saved(CANCELLED): self._interrupt,
            lambda: self.killed.saved(CANCELLED): self._kill_snakemake,
        }
        while self.harm or any(run.poll() is None for run in self.runs.values()):
            for due in [condition for condition in self.harm if condition()]:
                self.harm.pop(due)()
            assert time.monotonic() - self.started < SECONDS, self.report()
            time.sleep(0.2)
        self._note("all ended")

    def report(self) -> str:
        """What was done when, every run of a chain, the queue, and the ends of Snakemake's logs."""
        queue = self.cluster.run("squeue", "--states=all", "--format=%i %P %T %r %k %Z")
        nodes = self.cluster.run("sinfo", "-N", "--format=%N %T %E")
        logs = [study.log()[-3000:] for study in (self.main, self.interrupted, self.killed, self.whole)]
        chains = [(self.main, chain) for chain in CHAINS] + [(self.interrupted, CANCELLED), (self.killed, CANCELLED)]
        histories = [f"{study.folder.name} {chain}: {study.history(chain)}" for study, chain in chains]
        return "\n".join([*self.events, *histories, queue, nodes, *logs])

    def _cancel(self) -> None:
        """Cancel a job, and wait until it is over: a controller killed at this moment would forget the order."""
        self._note("scancel")
        job = self.main.running(CANCELLED)
        self.cluster.run("scancel", *job)
        while set(job) & set(self.main.running(CANCELLED)):
            time.sleep(0.2)

    def _slow_down(self) -> None:
        """A chain that its node hardly lets run, so that its time is not enough: an operator leaves it but a minute."""
        self._note("a chain is slow")
        job = self.main.running(TIME)[0]
        self.cluster.signal_job(job, signal.SIGSTOP)
        limit = 10 - self._seconds_left(job) // 60 + 1
        self.cluster.run("scontrol", "update", f"jobid={job}", f"timelimit={limit}")
        self.harm[lambda: self._seconds_left(job) < 4] = lambda: self.cluster.signal_job(job, signal.SIGCONT)

    def _seconds_left(self, job: str) -> int:
        """Of a job that SLURM no longer knows: none."""
        left = self.cluster.run("squeue", "-h", "--states=all", f"--jobs={job}", "--format=%L").strip()
        minutes, _, seconds = left.rpartition(":")
        return 60 * int(minutes) + int(seconds) if minutes.isdigit() else 0

    def _kill_daemons(self) -> None:
        """The controller and the daemon of a node die and come back; the jobs live on."""
        node = self.main.node(SLURMD)
        self._note(f"slurmd of {node} and the controller killed")
        self.cluster.stop(node, signal.SIGKILL)
        self.cluster.stop("slurmctld", signal.SIGKILL)
        time.sleep(4)
        self.cluster.start("slurmctld")
        self.cluster.start(node)
        self._note("both are back")

    def _kill_node(self) -> None:
        """A node dies with all that runs on it, and is back once SLURM has missed it."""
        self._note("a node dies")
        job, node = self.main.running(NODE)[0], self.main.node(NODE)
        self.cluster.stop(node, signal.SIGKILL)
        self.cluster.signal_job(job, signal.SIGKILL, watchers=True)
        until = time.monotonic() + 45
        self.harm[lambda: "down" in self._state(node) or time.monotonic() > until] = lambda: self._repair(node)

    def _repair(self, node: str) -> None:
        """The node is started again. What SLURM does not see by itself an operator tells it: it is down; it is fit."""
        if "down" not in self._state(node):
            self._note(f"{node}, {self._state(node).strip()}, is declared down")
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=died")
        self.cluster.start(node)
        self._note(f"{node} is back")
        until = time.monotonic() + 10
        self.harm[lambda: time.monotonic() > until] = lambda: self._hand_back(node)

    def _hand_back(self, node: str) -> None:
        if any(state in self._state(node) for state in ("down", "drain")):
            self._note(f"{node}, {self._state(node).strip()}, is handed back")
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    def _state(self, node: str) -> str:
        return self.cluster.run("sinfo", "-h", f"--nodes={node}", "--partition=frail", "-o", "%T")

    def _preempt(self, chain: str) -> None:
        """A job of a higher partition wants the whole node of a chain."""
        self._note("a more urgent job")
        urgent = ["--partition=urgent", f"--nodelist={self.main.node(chain)}", "--mem=16000", "--time=1"]
        self.cluster.run("sbatch", *urgent, "--account=smdl", "--output=/dev/null", "--wrap=sleep 1")

    def _hide(self) -> None:
        """A network file system shows a finished file only after a while."""
        self._note("a file is late")
        path = self.main.draws(LATE)
        hidden = path.with_suffix(".hidden")
        path.rename(hidden)
        until = time.monotonic() + 6
        self.harm[lambda: time.monotonic() > until] = lambda: hidden.rename(path)

    def _interrupt(self) -> None:
        self._note("Snakemake interrupted")
        run = self.first["interrupted"]
        run.send_signal(signal.SIGINT)
        self.harm[lambda: run.poll() is not None] = lambda: self._again("interrupted")

    def _kill_snakemake(self) -> None:
        self._note("Snakemake killed")
        self.first["killed"].kill()
        self.first["killed"].wait()
        self.orphans = self.killed.running(CANCELLED)
        # Held up, so that it is not done before the next Snakemake looks.
        for job in self.orphans:
            self.cluster.signal_job(job, signal.SIGSTOP)
        self.killed.unlock()
        self._again("killed")
        self.harm[lambda: "Ending SLURM job" in self.killed.log()] = self._let_orphans_go

    def _let_orphans_go(self) -> None:
        for job in self.orphans:
            self.cluster.signal_job(job, signal.SIGCONT)

    def _again(self, name: str) -> None:
        self._note(f"{name}: Snakemake again")
        study: Study = getattr(self, name)
        self.runs[name] = study.start(study.targets([CANCELLED]))

    def _note(self, what: str) -> None:
        self.events.append(f"{time.monotonic() - self.started:6.1f} s  {what}")


def _shortened(mini: dict[str, Any]) -> dict[str, Any]:
    """The mini study with its first model, smaller, and its first scheme: as few jobs as a whole study can have."""
    name, model = next(iter(mini["models"].items()))
    scheme, settings = next(iter(mini["compression"]["schemes"].items()))
    model |= {"architecture": {"layers": 1, "hidden": 32, "heads": 2}, "steps": [20, 30, 40], "window": [20, 40]}
    model["training"] = model["training"] | {"steps": 40, "warmup": 5}
    mini["corpus"] |= {"context": 32, "blocks": {"sampling": 64, "evaluation": 32, "calibration": 16}}
    mini["llc"] |= {"chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 8}
    mini["compression"]["schemes"] = {scheme: settings}
    mini["coding"] = {measure: {"enabled": False} for measure in ("lengths", "bits_back", "proxies")}
    return mini | {"study": "small", "models": {name: model}}
