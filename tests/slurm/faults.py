"""One round of faults: chains are started under SLURM, and as soon as each is under way, harm is done to it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cluster import Cluster
from study import Study

CANCELLED, MEMORY, SLURMD, NODE, REQUEUED, PREEMPTED, LATE = (f"quick/step40/block{block}" for block in range(7))
TIME = "slow/step40/block0"
CHAINS = (TIME, CANCELLED, MEMORY, SLURMD, NODE, REQUEUED, PREEMPTED, LATE)
PARTITIONS = {NODE: "frail", REQUEUED: "requeued", PREEMPTED: "cancelled"}
# A chain as the profile's expressions see it.
THIS = "f'{wildcards.model}/step{wildcards.step}/block{wildcards.block}'"
SECONDS = 560


class Round:
    """Three studies at once: ``main`` meets the faults of jobs and daemons, the others those of Snakemake itself."""

    def __init__(self, folder: Path, cluster: Cluster):
        self.cluster = cluster
        self.reference = Study(folder / "reference")
        self.reference.locally(self.reference.targets(CHAINS))
        self.main, self.interrupted, self.killed = (
            Study(folder / name, cluster, like=self.reference) for name in ("main", "interrupted", "killed")
        )
        self.orphans: list[str] = []
        self.started = time.monotonic()
        self.events: list[str] = []

    def run(self) -> None:
        """Start all, do the harm when a chain is there to suffer it, and wait for the end."""
        main = self.main.start(
            self.main.targets(CHAINS),
            slurm_partition=f"{PARTITIONS}.get({THIS}, 'cpu')",
            slurm_extra="--signal=TERM@5",
            runtime=f"1 if {THIS} == '{TIME}' and attempt == 1 else 10",
            mem_mb=f"300 if {THIS} == '{MEMORY}' and attempt == 1 else 1500",
        )
        target = self.interrupted.targets([CANCELLED])
        interrupted = self.interrupted.start(target)
        killed = self.killed.start(target)
        harm: dict[Callable[[], bool], Callable[[], None]] = {
            lambda: self.main.saved(CANCELLED): self._cancel,
            lambda: self.main.saved(SLURMD): self._kill_slurmd,
            lambda: self.main.saved(NODE): self._kill_node,
            lambda: self.main.saved(REQUEUED) and self.main.saved(PREEMPTED): self._preempt,
            lambda: self.main.draws(LATE).exists(): self._hide,
            lambda: self.interrupted.saved(CANCELLED): lambda: interrupted.send_signal(signal.SIGINT),
            lambda: self.killed.saved(CANCELLED): lambda: self._kill_snakemake(killed),
            lambda: interrupted.poll() is not None: lambda: self._again("interrupted", target),
            lambda: killed.poll() is not None: lambda: self._again("killed", target),
            lambda: "REQUEUED" in self._states(NODE) or "NODE_FAIL" in self._states(NODE): self._restore_node,
        }
        self.runs = {"main": main}
        self.first = {"interrupted": interrupted, "killed": killed}
        while harm or any(run.poll() is None for run in self.runs.values()):
            for due in [condition for condition in harm if condition()]:
                harm.pop(due)()
            assert time.monotonic() - self.started < SECONDS, self._report()
            time.sleep(0.2)
        self._note("all ended")

    def _cancel(self) -> None:
        self._note("scancel")
        self.cluster.run("scancel", *self.main.running(CANCELLED))

    def _kill_slurmd(self) -> None:
        """The daemon of a node dies and comes back; the jobs of that node live on."""
        node = self.main.node(SLURMD)
        self._note(f"slurmd of {node} killed, and the controller")
        self.cluster.stop(node, signal.SIGKILL)
        self.cluster.stop("slurmctld", signal.SIGKILL)
        time.sleep(4)
        self.cluster.start("slurmctld")
        self.cluster.start(node)
        self._note("both are back")

    def _kill_node(self) -> None:
        """A node dies with all that runs on it."""
        self._note("node3 dies")
        job = self.main.running(NODE)[0]
        self.cluster.stop("node3", signal.SIGKILL)
        self.cluster.kill_job(job)

    def _restore_node(self) -> None:
        self._note("node3 is back")
        self.cluster.start("node3")

    def _preempt(self) -> None:
        """A job of a higher partition wants the whole node of two chains."""
        self._note("a more urgent job")
        urgent = ["--partition=urgent", "--account=smdl", "--mem=16000", "--time=1", "--output=/dev/null"]
        self.cluster.run("sbatch", *urgent, "--wrap=sleep 1")

    def _hide(self) -> None:
        """A network file system shows a finished file only after a while."""
        self._note("a file is late")
        path = self.main.draws(LATE)
        hidden = path.with_suffix(".hidden")
        path.rename(hidden)
        subprocess.Popen(["sh", "-c", f"sleep 6; mv {hidden} {path}"])

    def _kill_snakemake(self, run: subprocess.Popen) -> None:
        self._note("Snakemake killed")
        run.kill()
        run.wait()
        self.orphans = self.killed.running(CANCELLED)
        self.killed.unlock()

    def _again(self, name: str, target: list[str]) -> None:
        self._note(f"{name}: Snakemake again")
        self.runs[name] = getattr(self, name).start(target)

    def _states(self, chain: str) -> str:
        return " ".join(state for _, state in self.main.jobs(chain))

    def _note(self, what: str) -> None:
        self.events.append(f"{time.monotonic() - self.started:6.1f} s  {what}")

    def _report(self) -> str:
        queue = self.cluster.run("squeue", "--states=all", "--format=%i %P %T %r %k %Z")
        logs = "\n".join(each.log()[-4000:] for each in (self.main, self.interrupted, self.killed))
        return "\n".join([f"not done after {SECONDS} s", *self.events, queue, logs, f"pid {os.getpid()}"])
