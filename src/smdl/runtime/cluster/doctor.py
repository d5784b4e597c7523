"""On one page: can this cluster run the study?   make slurm-doctor, or smdl doctor PROFILE

Reads the profile as Snakemake does, asks SLURM, and sends one job of a minute to a GPU node. What SLURM does not
answer, or answers in a way that is not understood, is a line of the page too, and the next question is still asked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from getpass import getuser
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from snakemake.profiles import ProfileConfigFileParser

from smdl.foundation.errors import StudyError

OK, NOTE, BAD = "ok", "note", "BAD"
PACKAGES = ("snakemake", "snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep")
QUEUE_SECONDS = 600
REPORTED = {"host", "letter", "network", "scratch", "scratch_gb", "memory_gb", "gpu"}
ROW = re.compile(r"(?P<state>[^|]+)\|(?P<limit>[^|]+)\|(?P<nodes>\d+)\|(?P<gres>[^|]*)\|(?P<memory>\d+\+?)")


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
    """The site of a profile; the profile itself says what is missing, and ends the program.

    Raises StudyError where the file is no profile for SLURM.
    """
    try:
        with path.open(encoding="utf-8") as file:
            profile = ProfileConfigFileParser().parse(file)
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read ({error}): name the config.yaml of a profile") from error
    except Exception as error:
        raise StudyError(f"{path}: {' '.join(str(error).split())[:200]}") from error
    default = _resources(profile.get("default-resources", []))
    chain = _resources(
        request
        for rule, _, request in (entry.partition(":") for entry in profile.get("set-resources", []))
        if rule.endswith("llc_chains")
    )
    if "slurm_partition" not in default:
        raise StudyError(f"{path}: default-resources names no slurm_partition: this is no profile for SLURM")
    first_look = str(profile.get("slurm-init-seconds-before-status-checks", 40))
    if not first_look.isdigit():
        raise StudyError(f"{path}: slurm-init-seconds-before-status-checks must be a number of seconds: {first_look}")
    model = chain.get("gpu_model")
    gpus = f"--gpus={model}:1" if model else "--gpus=1"
    return Site(
        account=default.get("slurm_account"),
        cpu_partition=default["slurm_partition"],
        gpu_partition=chain.get("slurm_partition", default["slurm_partition"]),
        gpu_request=f"--gres={chain['gres']}" if "gres" in chain else gpus,
        first_look=int(first_look),
        requeue=profile.get("slurm-requeue") == "True",
    )


def _resources(entries: Iterable[str]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def examine(site: Site) -> Iterator[Finding]:
    """All findings, the cheap ones first."""
    yield from _versions()
    if not shutil.which("sbatch"):
        yield Finding(BAD, "SLURM", "sbatch is not on the PATH", "log in to a submit host, or load its module")
        return
    try:
        settings = _settings()
    except StudyError as error:
        yield Finding(BAD, "SLURM", f"the controller does not answer: {error}", "scontrol ping; ask the administrators")
        return
    yield from _told("SLURM", _version())
    yield from _told("finished jobs", _policy(site, settings))
    yield from _told("account", _account(site, settings))
    for partition in dict.fromkeys((site.cpu_partition, site.gpu_partition)):
        yield from _told("partition", _partition(partition))
    yield from _told("GPU job", _node(site))


def _told(what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """``findings``, and where they break off for an answer that is none, a line that says so."""
    try:
        yield from findings
    except StudyError as error:
        yield Finding(BAD, what, str(error), "ask the administrators, with this line")


def _versions() -> Iterator[Finding]:
    tested_versions = dict(package.split("==") for package in requires("smdl"))
    for package in PACKAGES:
        tested = tested_versions[package]
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Finding(BAD, package, "is not installed", f"pip install {package}=={tested}")
            continue
        if found == tested:
            yield Finding(OK, package.removeprefix("snakemake-executor-plugin-"), found)
        else:
            yield Finding(NOTE, package, f"{found}, tested with {tested}", "install what requirements.lock says")


def _settings() -> dict[str, str]:
    lines = _ask("scontrol", "show", "config").splitlines()
    settings = {key.strip(): value.strip() for key, is_, value in (line.partition("=") for line in lines) if is_}
    if "MinJobAge" not in settings:
        raise StudyError(f"scontrol show config names no MinJobAge: {_shown(lines)}")
    return settings


def _version() -> Iterator[Finding]:
    lines = _ask("sinfo", "--version").splitlines()
    told = next((line for line in lines if re.match(r"slurm\S* \d", line)), None)
    if told is None:
        raise StudyError(f"sinfo --version names no version: {_shown(lines)}")
    yield Finding(OK, "SLURM", told.removeprefix("slurm ").strip())


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


def _account(site: Site, settings: dict[str, str]) -> Iterator[Finding]:
    if "slurmdbd" not in settings.get("AccountingStorageType", ""):
        yield Finding(NOTE, "account", f"{site.account or 'none'}; this cluster keeps no accounts")
        return
    try:
        user = getuser()
    except (KeyError, OSError) as error:
        raise StudyError("this user has no name here (neither in USER nor in the list of users)") from error
    lines = _ask("sacctmgr", "-n", "-P", "list", "association", f"user={user}", "format=account").splitlines()
    # An account's name is one word of these letters; other lines are warnings.
    known = sorted({line.strip() for line in lines if re.fullmatch(r"[\w.@+-]+", line.strip())})
    if lines and not known:
        raise StudyError(f"sacctmgr names no account: {_shown(lines)}")
    if site.account is None:
        yield Finding(NOTE, "account", "none", f"if jobs are refused, take one of: {', '.join(known)}")
    elif site.account.lower() in map(str.lower, known):
        yield Finding(OK, "account", site.account)
    else:
        yield Finding(BAD, "account", f"{site.account} is not yours", f"yours: {', '.join(known) or 'none'}")


def _partition(name: str) -> Iterator[Finding]:
    lines = _ask("sinfo", "-h", f"--partition={name}", "-o", "%a|%l|%D|%G|%m").splitlines()
    rows = [row for line in lines if (row := ROW.fullmatch(line.strip()))]
    if not rows and any("|" in line for line in lines):
        raise StudyError(f"sinfo does not tell what {name} is like: {_shown(lines)}")
    if not rows:
        known = sorted({row.strip("* ") for row in _ask("sinfo", "-h", "-o", "%P").splitlines()})
        yield Finding(BAD, "partition", f"{name} does not exist", f"there are: {', '.join(known) or 'none'}")
        return
    nodes, first = sum(int(row["nodes"]) for row in rows), rows[0]
    size = f"{first['gres']}, {first['memory']} MB a node"
    found = f"{name}: {nodes} nodes, {first['state']}, up to {first['limit']}, {size}"
    yield Finding(OK if first["state"] == "up" else BAD, "partition", found)


def _node(site: Site) -> Iterator[Finding]:
    """Send the probe to a GPU node, and judge what comes back."""
    try:
        folder = tempfile.TemporaryDirectory(dir=".", prefix=".slurm-doctor-", ignore_cleanup_errors=True)
    except OSError as error:
        found = f"nothing can be written here ({error.strerror})"
        yield Finding(BAD, "shared files", found, "work in a folder of yours")
        return
    with folder as name:
        here = Path(name).resolve()
        (here / "letter").write_text(word := str(time.time_ns()))
        account = [f"--account={site.account}"] if site.account else []
        limits = ["--time=1", "--mem=3000", "--ntasks=1", f"--immediate={QUEUE_SECONDS}"]
        job = ["srun", *account, f"--partition={site.gpu_partition}", site.gpu_request, *limits]
        probe = [sys.executable, str(Path(__file__).with_name("probe.py")), str(here / "letter"), str(here / "answer")]
        try:
            answer = _ask(*job, *probe, seconds=2 * QUEUE_SECONDS)
        except StudyError as error:
            reason = str(error).removeprefix("srun: ")
            yield Finding(BAD, "GPU job", f"{' '.join(job)}: {reason}", "SMDL_GPU says how GPUs are asked for")
            return
        report = _report(answer)
        yield Finding(OK, "GPU job", f"{site.gpu_request} on {report['host']}, {report['memory_gb']} GB memory")
        yield _shared(report, here / "answer", word)
    yield from judge(report)


def _report(answer: str) -> dict[str, Any]:
    """The probe's report: the last line that is one, since nodes may add lines of their own."""
    for line in reversed(answer.splitlines()):
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and report.keys() >= REPORTED:
            return report
    raise StudyError(f"the job ran, but its report did not come back: {_shown(answer.splitlines())}")


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
        yield Finding(OK, "GPU", f"{gpu.get('smi') or gpu.get('device', 'a device')}; {torch} computes on it")
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


def _ask(*command: str, seconds: float = 60) -> str:
    """What a program says; StudyError, in one line, where it fails or says nothing within ``seconds``.

    It is asked in English, and what is not UTF-8 is replaced.
    """
    plain = {**os.environ, "LC_ALL": "C"}
    how = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "timeout": seconds}
    try:
        done = subprocess.run(command, env=plain, **how)
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"{command[0]}: no answer within {seconds:g} s") from error
    except OSError as error:
        raise StudyError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise StudyError(f"{command[0]}: {_shown(done.stderr.splitlines()) or f'exit code {done.returncode}'}")
    return done.stdout


def _shown(lines: list[str]) -> str:
    """The last line that holds anything, cut, without what no terminal shows."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(c if c.isprintable() else " " for c in last.strip())[:200]


def main(profile: str = "profiles/slurm/config.yaml") -> int:
    """Print the page; 1 when something would keep the study from running."""
    try:
        site = read_profile(Path(profile))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    bad = 0
    for finding in examine(site):
        print(finding, flush=True)
        bad += finding.verdict == BAD
    print("This cluster can run the study." if not bad else f"{bad} to put right first.")
    return 1 if bad else 0
