"""On one page: can this cluster run the study?   make slurm-doctor, or python -m smdl.cluster.doctor PROFILE

Reads the profile as Snakemake does, asks SLURM, and sends one job of a minute to a GPU node.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from getpass import getuser
from importlib.metadata import version
from pathlib import Path
from typing import Any

from snakemake.profiles import ProfileConfigFileParser

OK, NOTE, BAD = "ok", "note", "BAD"
PACKAGES = ("snakemake", "snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep")
LOCK = Path(__file__).parents[3] / "requirements.lock"
QUEUE_SECONDS = 600


@dataclass(frozen=True)
class Finding:
    """One line of the page: a verdict, what was looked at, what was found, and what to do about it."""

    verdict: str
    what: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"\n{'':22}-> {self.advice}" if self.advice else ""
        return f"{self.verdict:>5}  {self.what:14} {self.found}{advice}"


@dataclass(frozen=True)
class Site:
    """What the profile says of the cluster."""

    account: str | None
    cpu_partition: str
    gpu_partition: str
    gpu_request: str
    first_look: int
    requeue: bool


def read_profile(path: Path) -> Site:
    """The site of a profile; the profile itself says what is missing, and ends the program."""
    with path.open() as file:
        profile = ProfileConfigFileParser().parse(file)
    default = dict(entry.split("=", 1) for entry in profile["default-resources"])
    chain = dict(
        entry.removeprefix("llc_chains:").split("=", 1)
        for entry in profile["set-resources"]
        if entry.startswith("llc_chains:")
    )
    model = chain.get("gpu_model")
    gpus = f"--gpus={model}:1" if model else "--gpus=1"
    return Site(
        account=default.get("slurm_account"),
        cpu_partition=default["slurm_partition"],
        gpu_partition=chain.get("slurm_partition", default["slurm_partition"]),
        gpu_request=f"--gres={chain['gres']}" if "gres" in chain else gpus,
        first_look=int(profile.get("slurm-init-seconds-before-status-checks", 40)),
        requeue=profile.get("slurm-requeue") == "True",
    )


def examine(site: Site) -> Iterator[Finding]:
    """All findings, the cheap ones first."""
    yield from _versions()
    if not shutil.which("sbatch"):
        yield Finding(BAD, "SLURM", "sbatch is not on the PATH", "log in to a submit host, or load its module")
        return
    settings = _settings()
    if settings is None:
        yield Finding(BAD, "SLURM", "the controller does not answer", "scontrol ping; ask the administrators")
        return
    yield Finding(OK, "SLURM", _ask("sinfo", "--version").removeprefix("slurm ").strip())
    yield from _policy(site, settings)
    yield _account(site, settings)
    for partition in dict.fromkeys((site.cpu_partition, site.gpu_partition)):
        yield _partition(partition)
    yield from _node(site)


def _versions() -> Iterator[Finding]:
    tested_versions = dict(re.findall(r"^([\w-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    for package in PACKAGES:
        found, tested = version(package), tested_versions[package]
        if found == tested:
            yield Finding(OK, package.removeprefix("snakemake-executor-plugin-"), found)
        else:
            yield Finding(NOTE, package, f"{found}, tested with {tested}", "install what requirements.lock says")


def _settings() -> dict[str, str] | None:
    try:
        lines = _ask("scontrol", "show", "config").splitlines()
    except subprocess.SubprocessError:
        return None
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _policy(site: Site, settings: dict[str, str]) -> Iterator[Finding]:
    age, needed = _number(settings, "MinJobAge"), 3 * site.first_look
    if age < needed:
        advice = f"set slurm-init-seconds-before-status-checks to {age // 3} or less"
        yield Finding(BAD, "finished jobs", f"are forgotten after {age} s, the profile needs {needed} s", advice)
    else:
        yield Finding(OK, "finished jobs", f"stay in the queue for {age} s, the profile needs {needed} s")
    yield Finding(OK, "warning", f"TERM before the time limit, then {_number(settings, 'KillWait')} s to the kill")
    mode, requeue = settings.get("PreemptMode", "OFF"), settings.get("JobRequeue") == "1" or site.requeue
    back = "by SLURM" if requeue and "REQUEUE" in mode else "by Snakemake, as a retry"
    yield Finding(OK, "preemption", "none" if mode == "OFF" else f"{mode}: preempted jobs are put back {back}")


def _account(site: Site, settings: dict[str, str]) -> Finding:
    if "slurmdbd" not in settings.get("AccountingStorageType", ""):
        return Finding(NOTE, "account", f"{site.account or 'none'}; this cluster keeps no accounts")
    known = _ask("sacctmgr", "-n", "-P", "list", "association", f"user={getuser()}", "format=account").split()
    if site.account is None:
        return Finding(NOTE, "account", "none", f"if jobs are refused, take one of: {', '.join(sorted(set(known)))}")
    if site.account.lower() in known:
        return Finding(OK, "account", site.account)
    return Finding(BAD, "account", f"{site.account} is not yours", f"yours: {', '.join(sorted(set(known))) or 'none'}")


def _partition(name: str) -> Finding:
    rows = _ask("sinfo", "-h", f"--partition={name}", "-o", "%a|%l|%D|%G|%m").splitlines()
    if not rows:
        known = sorted({row.strip("* ") for row in _ask("sinfo", "-h", "-o", "%P").splitlines()})
        return Finding(BAD, "partition", f"{name} does not exist", f"there are: {', '.join(known)}")
    state, limit, _, gres, memory = rows[0].split("|")
    nodes = sum(int(row.split("|")[2]) for row in rows)
    found = f"{name}: {nodes} nodes, {state}, up to {limit}, {gres}, {memory} MB a node"
    return Finding(OK if state == "up" else BAD, "partition", found)


def _node(site: Site) -> Iterator[Finding]:
    """Send the probe to a GPU node, and judge what comes back."""
    with tempfile.TemporaryDirectory(dir=".", prefix=".slurm-doctor-") as folder:
        here = Path(folder).resolve()
        (here / "letter").write_text(word := str(time.time_ns()))
        account = [f"--account={site.account}"] if site.account else []
        limits = ["--time=1", "--mem=3000", "--ntasks=1", f"--immediate={QUEUE_SECONDS}"]
        job = ["srun", *account, f"--partition={site.gpu_partition}", site.gpu_request, *limits]
        probe = [sys.executable, str(Path(__file__).with_name("probe.py")), str(here / "letter"), str(here / "answer")]
        done = subprocess.run([*job, *probe], capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            yield Finding(BAD, "GPU job", f"{' '.join(job)}: {reason}", "SMDL_GPU says how GPUs are asked for")
            return
        report = json.loads(done.stdout.strip().splitlines()[-1])
        yield Finding(OK, "GPU job", f"{site.gpu_request} on {report['host']}, {report['memory_gb']} GB memory")
        yield _shared(report, here / "answer", word)
    yield from judge(report)


def _shared(report: dict[str, Any], answer: Path, word: str) -> Finding:
    waited = time.monotonic()
    while not answer.exists() and time.monotonic() - waited < 60:
        time.sleep(0.5)
    late = time.monotonic() - waited
    if report["letter"] != word or not answer.exists():
        return Finding(BAD, "shared files", "this folder is not seen alike by both", "work in a shared file system")
    return Finding(
        OK, "shared files", f"this folder is seen by both, {late:.1f} s late; latency-wait must be above that"
    )


def judge(report: dict[str, Any]) -> Iterator[Finding]:
    """What the probe's report means for the study."""
    gpu = report["gpu"]
    torch = f"torch {gpu['torch']} built for CUDA {gpu['cuda']}"
    if gpu["works"]:
        yield Finding(OK, "GPU", f"{gpu['smi']}; {torch} computes on it")
    else:
        advice = "install the torch build for this driver's CUDA" if gpu.get("smi") else "no driver on this node"
        yield Finding(
            BAD, "GPU", f"{gpu.get('smi', 'no device')}; {torch}: {gpu.get('error', 'wrong product')}", advice
        )
    if report["network"]:
        yield Finding(OK, "network", "compute nodes reach the hub")
    else:
        yield Finding(NOTE, "network", "compute nodes do not reach the hub", "download on the login node (localrules)")
    small = report["scratch_gb"] < 20
    yield Finding(NOTE if small else OK, "scratch", f"{report['scratch_gb']} GB free in {report['scratch']}")


def _number(settings: dict[str, str], name: str) -> int:
    found = re.match(r"\d+", settings.get(name, ""))
    return int(found[0]) if found else 0


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def main(profile: str = "profiles/slurm/config.yaml") -> int:
    """Print the page; 1 when something would keep the study from running."""
    bad = 0
    for finding in examine(read_profile(Path(profile))):
        print(finding, flush=True)
        bad += finding.verdict == BAD
    print("This cluster can run the study." if not bad else f"{bad} to put right first.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
