"""One round of faults: chains are started under SLURM, and as soon as each is under way, harm is done to it."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster
from study import HERE, LIVE, Study

from smdl.rulers.registry import RULERS

CHAINS = tuple(f"published/neox/step40/block{block}" for block in range(9))
CANCELLED, TIME, MEMORY, SLURMD, NODE, REQUEUED, PREEMPTED, LATE, LAUNCH = CHAINS
MINI = HERE.parents[1] / "config.mini.yaml"
PARTITIONS = {NODE: "frail", REQUEUED: "requeued", PREEMPTED: "cancelled", LAUNCH: "unfit"}
TABLES = [f"results/small/tables/{name}.csv" for name in ("checkpoints", "llc", "curves", "critical", "regressions")]
# A chain as the profile's expressions see it; Snakemake takes no braces in those of times and sizes.
THIS = "'/'.join([wildcards.setting, wildcards.model, 'step' + wildcards.step, 'block' + wildcards.block])"
MINUTES = 10
SECONDS = 1500

Due = Callable[[], bool]
# Told step by step: what is yielded has to be true before it goes on.
Fault = Generator[Due, None, None]


class Round:
    """Four studies at once: ``main`` meets the faults of jobs and daemons, two those of Snakemake itself.

    ``whole`` is the mini study, shortened, from corpus to tables; it meets the restart of the controller, if anything.
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
        self.unharmed = {CANCELLED, TIME, NODE, REQUEUED, PREEMPTED, "interrupted", "killed"}
        self.started = time.monotonic()
        self.events: list[str] = []

    def run(self) -> None:
        """Start all, do the harm when a chain is there to suffer it, and wait for the end."""
        self.runs["whole"] = self.whole.start(TABLES)
        self.runs["main"] = self.main.start(
            self.main.targets(CHAINS),
            slurm_partition=f"{PARTITIONS}.get({THIS}, 'cpu')",
            slurm_extra="--signal=TERM@5",
            runtime=f"{MINUTES} * attempt",
            mem_mb=f"300 if {THIS} == '{MEMORY}' and attempt == 1 else 1500",
        )
        target = self.main.targets([CANCELLED])
        self.first = {name: getattr(self, name).start(target) for name in ("interrupted", "killed")}
        faults = [self._cancelled(), self._out_of_time(), self._daemons_killed(), self._node_killed(), self._late()]
        faults += [self._preempted(REQUEUED), self._preempted(PREEMPTED), self._interrupted(), self._killed()]
        faults += [self._not_launched()]
        waiting = {fault: next(fault) for fault in faults}
        while waiting or any(run.poll() is None for run in self.runs.values()):
            for fault in [fault for fault, due in waiting.items() if due()]:
                if due := next(fault, None):
                    waiting[fault] = due
                else:
                    del waiting[fault]
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

    def _caught(self, study: Study, chain: str) -> Generator[Due, None, str]:
        """Wait until a chain has saved its state, and stop it there, so that it does not end before the harm; its job.

        SLURM lets a stopped job go on before it asks it to end.
        """
        yield lambda: study.saved(chain)
        job = study.job(chain)
        self.cluster.signal_job(job, signal.SIGSTOP)
        return job

    def _cancelled(self) -> Fault:
        job = yield from self._caught(self.main, CANCELLED)
        self._note("scancel")
        self.cluster.run("scancel", job)
        yield lambda: job not in self.main.running(CANCELLED)
        self.unharmed.remove(CANCELLED)

    def _out_of_time(self) -> Fault:
        """A chain that its node hardly lets run, so that its time is not enough: an operator leaves it but a minute."""
        job = yield from self._caught(self.main, TIME)
        self._note("a chain is slow")
        minutes = MINUTES - self._seconds_left(job) // 60 + 1
        self.cluster.run("scontrol", "update", f"jobid={job}", f"timelimit={minutes}")
        self.unharmed.remove(TIME)
        # Its time may be over sooner than it is warned: then SLURM lets it go on, and ends it.
        yield lambda: self.cluster.awaits(job, signal.SIGTERM)
        self.cluster.signal_job(job, signal.SIGCONT)

    def _seconds_left(self, job: str) -> int:
        """Of a job that SLURM no longer knows: none."""
        left = self.cluster.run("squeue", "-h", "--states=all", f"--jobs={job}", "--format=%L").strip()
        minutes, _, seconds = left.rpartition(":")
        return 60 * int(minutes) + int(seconds) if minutes.isdigit() else 0

    def _daemons_killed(self) -> Fault:
        """The controller and the daemon of a node die and come back; the jobs live on.

        Last of all, and in a calm moment: what a controller was told in its last seconds is lost, and so are the ends
        of jobs that it has not yet passed on to the accounting.
        """
        job = yield from self._caught(self.main, SLURMD)
        # On a busy machine the moment is long in coming, and the job's time would be over before.
        self.cluster.run("scontrol", "update", f"jobid={job}", "timelimit=60")
        late = _after(200)
        yield lambda: not self.unharmed and (self._accounted() or late()) and self._calm()
        node = self.main.node(SLURMD)
        self._note(f"slurmd of {node} and the controller killed")
        self.cluster.stop(node, signal.SIGKILL)
        self.cluster.stop("slurmctld", signal.SIGKILL)
        self.cluster.signal_job(job, signal.SIGCONT)
        time.sleep(4)
        self.cluster.start("slurmctld")
        self.cluster.start(node)
        self._note("both are back")

    def _accounted(self) -> bool:
        """Whether the accounting knows the end of every run that was harmed."""
        harmed = [(self.main, chain) for chain in (CANCELLED, NODE, REQUEUED, PREEMPTED, LAUNCH)]
        runs = [
            study.runs(chain) for study, chain in [*harmed, (self.interrupted, CANCELLED), (self.killed, CANCELLED)]
        ]
        ended = all(own and own[0].state not in LIVE for own in runs)
        return ended and "CANCELLED" in [run.state for run in self.main.runs(LAUNCH)]

    def _calm(self) -> bool:
        """Whether no job waits or has just begun."""
        jobs = self.cluster.run("squeue", "-h", "--format=%T %M").splitlines()
        return all(job.startswith("RUNNING") and not re.search(" 0:0[0-7]$", job) for job in jobs)

    def _node_killed(self) -> Fault:
        """A node dies with all that runs on it, and is back once SLURM has missed it, or an operator has told it."""
        job = yield from self._caught(self.main, NODE)
        node = self.main.node(NODE)
        self._note("a node dies")
        self.cluster.stop(node, signal.SIGKILL)
        self.cluster.signal_job(job, signal.SIGKILL, watchers=True)
        self.unharmed.remove(NODE)
        late = _after(60)
        yield lambda: "down" in self._state(node) or late()
        self._note(f"{node} is {self._state(node)}")
        if "down" not in self._state(node):
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=died")
        self.cluster.start(node)
        yield _after(10)
        self._note(f"{node}, back again, is {self._state(node)}")
        if any(state in self._state(node) for state in ("down", "drain")):
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    def _state(self, node: str) -> str:
        return self.cluster.run("sinfo", "-h", f"--nodes={node}", "--partition=frail", "-o", "%T").strip()

    def _preempted(self, chain: str) -> Fault:
        """A job of a higher partition wants the whole node of a chain."""
        yield from self._caught(self.main, chain)
        self._note("a more urgent job")
        urgent = ["--partition=urgent", f"--nodelist={self.main.node(chain)}", "--mem=16000", "--time=1"]
        self.cluster.run("sbatch", *urgent, "--account=smdl", "--output=/dev/null", "--wrap=sleep 1")
        self.unharmed.remove(chain)

    def _not_launched(self) -> Fault:
        """A node that cannot launch jobs, until somebody has seen to it."""
        self.cluster.spoil("node6")
        yield lambda: "SLURM could not launch job" in self.main.log()
        self._note("a job was not launched")
        self.cluster.mend("node6")

    def _late(self) -> Fault:
        """A network file system shows a finished file only after a while."""
        path = self.main.draws(LATE)
        yield path.exists
        self._note("a file is late")
        hidden = path.with_suffix(".hidden")
        path.rename(hidden)
        yield _after(6)
        hidden.rename(path)

    def _interrupted(self) -> Fault:
        yield from self._caught(self.interrupted, CANCELLED)
        self._note("Snakemake interrupted")
        run = self.first["interrupted"]
        # A signal that another thread takes does not wake the main one, which sleeps: as a user would, once more.
        while not self._heard():
            run.send_signal(signal.SIGINT)
            yield _after(20, unless=self._heard)
        yield lambda: run.poll() is not None
        self.unharmed.remove("interrupted")
        self._again("interrupted")

    def _heard(self) -> bool:
        return "Terminating processes on user request" in self.interrupted.log()

    def _killed(self) -> Fault:
        """Snakemake is killed while its job runs; the job, which is stopped, is not done before the next one looks."""
        yield from self._caught(self.killed, CANCELLED)
        self._note("Snakemake killed")
        self.first["killed"].kill()
        self.first["killed"].wait()
        self.orphans = self.killed.running(CANCELLED)
        self._again("killed")
        yield lambda: not set(self.orphans) & set(self.killed.running(CANCELLED))
        self.unharmed.remove("killed")

    def _again(self, name: str) -> None:
        self._note(f"{name}: Snakemake again")
        study: Study = getattr(self, name)
        self.runs[name] = study.start(study.targets([CANCELLED]))

    def _note(self, what: str) -> None:
        self.events.append(f"{time.monotonic() - self.started:6.1f} s  {what}")


def _after(seconds: float, unless: Due = lambda: False) -> Due:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until or unless()


def _shortened(mini: dict[str, Any]) -> dict[str, Any]:
    """The mini study with its first model, smaller, and its first scheme: as few jobs as a whole study can have."""
    name, model = next(iter(mini["models"].items()))
    scheme, settings = next(iter(mini["compression"]["schemes"].items()))
    model |= {"architecture": {"layers": 1, "hidden": 32, "heads": 2}, "steps": [20, 30, 40], "window": [20, 40]}
    model["training"] = model["training"] | {"steps": 40, "warmup": 5}
    mini["corpus"] |= {"context": 32, "blocks": {"sampling": 64, "evaluation": 32, "calibration": 16}}
    mini["llc"] |= {"chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 8}
    # One setting of the sampler.
    del mini["llc"]["settings"]
    mini["compression"]["schemes"] = {scheme: settings}
    mini["rulers"] = {ruler: {"enabled": False} for ruler in RULERS}
    return mini | {"study": "small", "models": {name: model}}
