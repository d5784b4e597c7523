"""Machines and clusters that are not as one would wish: each oddity is one plain line, or makes no difference.

SLURM's programs are small scripts here: no real SLURM gives these answers when asked to.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from conftest import ROOT
from smdl.foundation.errors import StudyError
from smdl.llc.update.compiled import compiled
from smdl.runtime import claim, hand_over
from smdl.runtime.cluster import doctor, guard
from workflow import WARM


def programs(folder: Path, scripts: dict[str, str]) -> Path:
    """A folder of shell scripts by name, and of what they call: to be the PATH, whatever else this machine has."""
    folder.mkdir(exist_ok=True)
    for name in ("cat", "cp", "sleep", "touch", "wc"):
        if not (folder / name).exists():
            (folder / name).symlink_to(shutil.which(name))
    for name, text in scripts.items():
        (folder / name).write_bytes(b"#!/bin/sh\n" + text.encode("utf-8", "surrogateescape"))
        (folder / name).chmod(0o755)
    return folder


# The doctor, and SLURM's answers

CONFIG = """cat <<'END'
Configuration data as of 2026-11-22T03:15:53
AccountingStorageType   = accounting_storage/slurmdbd
JobRequeue              = 1
KillWait                = 30 sec
MinJobAge               = 300 sec
PreemptMode             = REQUEUE
END"""
SINFO = """case "$*" in
*--version*) echo slurm 22.05.8;;
*%P*) printf 'cpu*\\ngpu\\n';;
*) echo 'up|1-00:00:00|4|gpu:a100:4|512000+';;
esac"""
REPORT = {
    "host": "n1",
    "letter": "LETTER",
    "network": True,
    "scratch": "/scratch",
    "scratch_gb": 500.0,
    "memory_gb": 64.0,
    "gpu": {"torch": "2.13.0", "cuda": "12.8", "smi": "A100, 550.54, 81920 MiB", "works": True},
}


def srun(report: dict) -> str:
    """A node that reads the letter, writes the answer, and sends ``report``."""
    text = json.dumps(report).replace("LETTER", "'$(cat \"$1\")'")
    return f'while [ $# -gt 2 ]; do shift; done; cp "$1" "$2"; echo \'{text}\''


GOOD = {"sbatch": "", "scontrol": CONFIG, "sinfo": SINFO, "sacctmgr": "printf 'physics\\nbio\\n'", "srun": srun(REPORT)}
SITE = doctor.Site("physics", "cpu", "gpu", "--gpus=1", first_look=30, requeue=True)
LATIN = "\udce9"  # a byte that is no UTF-8


def sinfo(rows: str) -> str:
    return SINFO.replace("echo 'up|1-00:00:00|4|gpu:a100:4|512000+'", rows)


def no_gpu(**gpu) -> str:
    plain = {name: value for name, value in REPORT["gpu"].items() if name != "smi"}
    return srun(REPORT | {"gpu": plain | gpu})


@pytest.fixture
def examined(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "QUEUE_SECONDS", 1)

    def examine(changes: dict[str, str], site: doctor.Site = SITE) -> list[doctor.Finding]:
        folder = programs(tmp_path / "bin", {k: v for k, v in (GOOD | changes).items() if v is not None})
        monkeypatch.setenv("PATH", str(folder))
        return list(doctor.examine(site))

    return examine


def test_a_good_cluster_has_no_bad_line(examined):
    assert [str(finding) for finding in examined({}) if finding.verdict == doctor.BAD] == []


BAD_ANSWERS = {
    "no sbatch": ("sbatch", None, "SLURM", "sbatch is not on the PATH"),
    "no scontrol": ("scontrol", None, "SLURM", "scontrol: No such file"),
    "scontrol may not be run": ("scontrol", "exec /dev/null", "SLURM", "scontrol: "),
    "controller down": (
        "scontrol",
        "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "SLURM",
        "scontrol: slurm_load_ctl_conf error: Unable to contact slurm controller",
    ),
    "scontrol fails without a word": ("scontrol", "exit 3", "SLURM", "scontrol: exit code 3"),
    "scontrol fails in Latin-1": ("scontrol", f"echo 'contr{LATIN}leur' >&2; exit 1", "SLURM", "contr�leur"),
    "empty config": ("scontrol", "", "SLURM", "names no MinJobAge"),
    "config of a page": (
        "scontrol",
        "echo '<html>Bad gateway</html>'",
        "SLURM",
        "names no MinJobAge: <html>Bad gateway",
    ),
    "config without MinJobAge": ("scontrol", "echo 'KillWait = 30 sec'", "SLURM", "names no MinJobAge: KillWait = 30"),
    "jobs forgotten at once": ("scontrol", CONFIG.replace("300 sec", "2 sec"), "finished jobs", "forgotten after 2 s"),
    "MinJobAge no number": ("scontrol", CONFIG.replace("300 sec", "(null)"), "finished jobs", "forgotten after 0 s"),
    "no sinfo": ("sinfo", None, "SLURM", "sinfo: No such file"),
    "sinfo silent": ("sinfo", "", "SLURM", "sinfo --version names no version"),
    "sinfo fails": ("sinfo", "echo 'sinfo: error: no route' >&2; exit 1", "partition", "sinfo: sinfo: error: no route"),
    "no such partition": ("sinfo", sinfo(""), "partition", "cpu does not exist"),
    "partition down": ("sinfo", sinfo("echo 'down|1:00|4|(null)|1000'"), "partition", "cpu: 4 nodes, down"),
    "columns missing": (
        "sinfo",
        sinfo("echo 'up|infinite'"),
        "partition",
        "does not tell what cpu is like: up|infinite",
    ),
    "nodes no number": (
        "sinfo",
        sinfo("echo 'up|1:00|many|(null)|1000'"),
        "partition",
        "what cpu is like: up|1:00|many",
    ),
    "no sacctmgr": ("sacctmgr", None, "account", "sacctmgr: No such file"),
    "slurmdbd down": (
        "sacctmgr",
        "echo 'sacctmgr: error: Problem talking to the database: Connection refused' >&2; exit 1",
        "account",
        "Problem talking to the database: Connection refused",
    ),
    "only a warning of accounts": (
        "sacctmgr",
        "echo 'You are not running a supported version'",
        "account",
        "names no account",
    ),
    "accounts in Latin-1": (
        "sacctmgr",
        f"echo 'erreur: compte d{LATIN}sactiv{LATIN}'",
        "account",
        "names no account: erreur",
    ),
    "no account": ("sacctmgr", "", "account", "physics is not yours"),
    "another account": ("sacctmgr", "echo chemistry", "account", "physics is not yours"),
    "no srun": ("srun", None, "GPU job", "--immediate=1: No such file"),
    "job refused": (
        "srun",
        "echo 'srun: error: Unable to allocate resources: Invalid account' >&2; exit 1",
        "GPU job",
        "Unable to allocate resources: Invalid account",
    ),
    "job refused without a word": ("srun", "exit 1", "GPU job", "exit code 1"),
    "job never comes": ("srun", "exec sleep 30", "GPU job", "no answer within 2 s"),
    "no report": ("srun", "", "GPU job", "its report did not come back"),
    "a banner for a report": ("srun", "echo Welcome to node 1", "GPU job", "did not come back: Welcome to node 1"),
    "half a report": ("srun", 'echo \'{"host": "n1", "lett\'', "GPU job", "did not come back"),
    "a report of other things": ("srun", "echo '{\"host\": 1}'", "GPU job", "did not come back"),
    "a list for a report": ("srun", "echo '[1, 2]'", "GPU job", "did not come back"),
    "another folder there": ("srun", srun(REPORT | {"letter": None}), "shared files", "not seen alike"),
    "another file there": ("srun", srun(REPORT | {"letter": "old"}), "shared files", "not seen alike"),
    "no GPU on the node": ("srun", no_gpu(works=False, error="no NVIDIA driver"), "GPU", "no device; torch 2.13.0"),
    "driver too old": ("srun", no_gpu(smi="A100", works=False, error="driver too old"), "GPU", "driver too old"),
    "wrong product": ("srun", no_gpu(smi="A100", works=False), "GPU", "wrong product"),
}


@pytest.mark.parametrize(("program", "script", "what", "line"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_odd_answer_of_slurm_is_a_bad_line(examined, program, script, what, line):
    bad = [finding for finding in examined({program: script}) if finding.verdict == doctor.BAD]
    assert any(finding.what == what and line in str(finding) for finding in bad), "\n".join(map(str, bad))
    assert all(len(str(finding).splitlines()) <= 2 for finding in bad), "a line, and what to do"


HARMLESS_ANSWERS = {
    "warnings beside accounts": ("sacctmgr", "echo 'sacctmgr: warning: slurmdbd is of another version'; echo physics"),
    "accounts in capitals": ("sacctmgr", "echo Physics"),
    "a warning before the version": ("sinfo", SINFO.replace("echo slurm", "echo warning: old; echo slurm")),
    "Debian's name of the version": ("sinfo", SINFO.replace("slurm 22.05.8", "slurm-wlm 22.05.8")),
    "a warning before the rows": ("sinfo", sinfo("printf 'warning: x\\nup|1:00|4|(null)|1000\\n'")),
    "a banner before the report": ("srun", f"echo Welcome; {srun(REPORT)}"),
    "words after the report": ("srun", f"{srun(REPORT)}; echo 'srun: bye'"),
    "a banner in Latin-1": ("srun", f"echo 'n{LATIN}ud 1'; {srun(REPORT)}"),
    "a GPU without nvidia-smi": ("srun", no_gpu(device="A100", error="nvidia-smi: absent")),
    "a GPU that nobody names": ("srun", no_gpu()),
}


@pytest.mark.parametrize(("program", "script"), HARMLESS_ANSWERS.values(), ids=HARMLESS_ANSWERS)
def test_words_around_an_answer_are_passed_over(examined, program, script):
    assert [str(finding) for finding in examined({program: script}) if finding.verdict == doctor.BAD] == []


def test_a_user_without_a_name_is_told(examined, monkeypatch):
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(doctor, "getuser", nameless)
    assert any("this user has no name here" in str(finding) for finding in examined({}))


def test_a_folder_that_cannot_be_written_is_told(examined, monkeypatch, tmp_path):
    monkeypatch.chdir("/proc/self")
    assert any("nothing can be written here" in str(finding) for finding in examined({}))


def test_a_missing_plugin_is_told(examined, monkeypatch):
    def absent(package: str) -> str:
        raise doctor.PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    lines = [str(finding) for finding in examined({})]
    assert any("snakemake-executor-plugin-slurm is not installed" in line for line in lines)


BAD_PROFILES = {
    "not there": (None, "cannot be read"),
    "not UTF-8": (b"jobs: \xe9\n", "can't decode byte 0xe9"),
    "empty": (b"", "profile.yaml: "),
    "no YAML": (b"default-resources: [\n", "profile.yaml: "),
    "a list": (b"- 1\n- 2\n", "profile.yaml: "),
    "for this machine": ((ROOT / "profiles/local/config.yaml").read_bytes(), "this is no profile for SLURM"),
    "no partition": (b"default-resources:\n  mem_mb: 1\n", "names no slurm_partition"),
    "seconds that are none": (
        b"slurm-init-seconds-before-status-checks: soon\ndefault-resources:\n  slurm_partition: cpu\n",
        "must be a number of seconds: soon",
    ),
}


@pytest.mark.parametrize(("text", "line"), BAD_PROFILES.values(), ids=BAD_PROFILES)
def test_the_doctor_says_what_is_wrong_with_a_profile(tmp_path, capsys, text, line):
    path = tmp_path / "profile.yaml"
    if text is not None:
        path.write_bytes(text)
    assert doctor.main(str(path)) == 1
    said = capsys.readouterr().err
    assert line in said
    assert len(said.splitlines()) == 1


# The guard, and other jobs of the same user

RUN, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
ORPHAN = f"7\t{OTHER}\trule_a\t/here"


class Plugin:
    """As much of the executor plugin as the guard stands before."""

    query_job_status = cancel_slurm_jobs = None
    Executor = SimpleNamespace(format_job_exec=None)

    @staticmethod
    def get_submit_command(job, params):
        return "sbatch x"


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """Submit jobs of some works, one after another, where squeue is a script; the commands and what was cancelled."""

    def submit(squeue: str, *works: str) -> tuple[list[str], str]:
        folder = programs(tmp_path / "bin", {"squeue": squeue, "scancel": f'echo "$@" >> {tmp_path}/ended'})
        monkeypatch.setenv("PATH", str(folder))
        watching = guard.Guard(Plugin, patience=0.1)
        params = {"workdir": "/here", "run_uuid": RUN}
        commands = [watching.get_submit_command(None, params | {"comment_str": work}) for work in works]
        ended = tmp_path / "ended"
        return commands, ended.read_text() if ended.exists() else ""

    return submit


def listing(*lines: str) -> str:
    return "cat <<'END'\n" + "\n".join(lines) + "\nEND"


OTHER_JOBS = {
    "a tab in a name": "8\tmy\tjob\t\t/here",
    "tabs in a comment": f"8\t{OTHER}\ta\tb\tc\t/here",
    "a newline in a name": "8\tmy\njob\t\t/here",
    "a newline in a comment": f"8\t{OTHER}\trule_a\n\t/here",
    "a line feed of another alphabet": "8\tmy\u2028job\t\t/here",
    "a carriage return": "8\tmy\rjob\t\t/here",
    "a form feed": "8\tmy\fjob\t\t/here",
    "a name that is no UTF-8": f"8\t{LATIN}\t\t/here",
    "a name of nothing": "8\t\t\t/here",
    "a job array": f"8_[1-9]\t{OTHER}\trule_a\t/here",
    "an empty line": "",
    "a warning": "squeue: warning: this cluster is old",
    "another folder": f"8\t{OTHER}\trule_a\t/elsewhere",
    "a job of this run": f"8\t{RUN}\trule_a\t/here",
    "a name like a run's": f"8\t{OTHER}0\trule_a\t/here",
}


@pytest.mark.parametrize("line", OTHER_JOBS.values(), ids=OTHER_JOBS)
def test_other_jobs_of_the_user_stop_no_submission_and_hide_no_orphan(submitted, line):
    commands, ended = submitted(listing(line, ORPHAN, line), "rule_a", "rule_b")
    assert commands == ["sbatch x --dependency=afterany:7", "sbatch x"]
    assert ended == "7\n"


FAILURES = {
    "fails": "exit 1",
    "fails in Latin-1": f"echo '{LATIN}' >&2; exit 1",
    "is killed": "kill -9 $$",
    "is no program": "exec /dev/null",
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_one_failed_squeue_is_asked_again(submitted, tmp_path, failure):
    once = f"if [ ! -e {tmp_path}/asked ]; then touch {tmp_path}/asked; {failure}; exit 1; fi; {listing(ORPHAN)}"
    assert submitted(once, "rule_a") == (["sbatch x --dependency=afterany:7"], "7\n")


def test_a_long_silence_of_squeue_is_told_and_its_orphans_are_ended_later(submitted, tmp_path, capsys):
    asked = f"echo >> {tmp_path}/asked; [ $(wc -l < {tmp_path}/asked) -gt 8 ] || exit 1; {listing(ORPHAN)}"
    commands, ended = submitted(asked, "rule_a", "rule_b", "rule_c")
    assert commands == ["sbatch x"] * 3
    assert ended == "7\n", "the orphan of the first is found with the third"
    said = capsys.readouterr().err
    assert "squeue does not answer: rule_a is sent without knowing" in said
    assert "Ending SLURM job 7 of an earlier run, found late." in said


# The sampler's compiler

COMPILERS = {
    "a word for a cache first": ({"CC": "env cc"}, True),
    "arguments": ({"CC": "cc -pipe"}, True),
    "empty": ({"CC": ""}, True),
    "spaces": ({"CC": "  "}, True),
    "not there": ({"CC": "/nowhere/cc"}, "No such file or directory: '/nowhere/cc'"),
    "its cache not there": ({"CC": "nocache gcc"}, "No such file or directory: 'nocache'"),
    "a folder": ({"CC": "/tmp"}, "Permission denied: '/tmp'"),
    "no program": ({"CC": "/etc/passwd"}, "Permission denied: '/etc/passwd'"),
    "one that fails": ({"CC": "false"}, "returned non-zero exit status 1"),
    "one that makes nothing": ({"CC": "true"}, "file too short"),
    "an open quote": ({"CC": "gcc 'x"}, "No closing quotation"),
    "an unknown option": ({"CC": "cc -mnosuchthing"}, "nosuchthing"),
    "none installed": ({"CC": "", "PATH": "/nowhere"}, "no C compiler is installed"),
    "no home": ({"XDG_CACHE_HOME": "", "HOME": "/proc/nowhere"}, True),
    "a cache that is a file": ({"XDG_CACHE_HOME": "/etc/passwd"}, True),
    "a cache that cannot be written": ({"XDG_CACHE_HOME": "/proc/self"}, True),
}


@pytest.mark.parametrize(("environment", "said"), COMPILERS.values(), ids=COMPILERS)
def test_the_update_is_compiled_or_the_log_says_why_not(monkeypatch, capsys, tmp_path, environment, said):
    if said is True and compiled() is None:
        pytest.skip("no C compiler is installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    made = compiled.__wrapped__()
    log = capsys.readouterr().err
    if said is True:
        assert made is not None and log == ""
    else:
        assert made is None
        assert log.startswith("the sampler's update is not compiled (") and said in log
        assert len(log.splitlines()) == 1


def test_a_torn_library_in_the_cache_is_passed_over(monkeypatch, tmp_path):
    if compiled() is None:
        pytest.skip("no C compiler is installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.__wrapped__()
    (library,) = tmp_path.glob("smdl/psgld-*.so")
    library.unlink()
    library.write_bytes(b"\x7fELF")
    assert compiled.__wrapped__() is not None


# The warm start

FOLDERS = {
    "deep": ("deep/" * 30, ""),
    "too deep by a little": ("x" * 60, ""),
    "with spaces and letters of elsewhere": ("Mein Ordner, größer", ""),
    "not there": ("absent", ""),
}


@pytest.mark.parametrize(("name", "said"), FOLDERS.values(), ids=FOLDERS)
def test_the_warm_start_finds_room_for_its_socket(tmp_path, name, said):
    folder = tmp_path / name
    if name != "absent":
        folder.mkdir(parents=True)
    show = 'test -S "$SMDL_WARM_SOCKET" && echo served'
    run = subprocess.run(
        [*WARM, "sh", "-c", show], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "served\n", said)
    assert list(folder.glob("*")) == [], "nothing is left"


def test_without_room_for_a_socket_jobs_start_by_themselves(tmp_path):
    """Where the short folder cannot be written either."""
    code = """
import runpy, sys
from smdl.runtime import warm
warm.SHORT = "/proc/nowhere"
sys.exit(warm.main(["sh", "-c", "test -z \\"$SMDL_WARM_SOCKET\\" && echo plain"]))
"""
    deep = tmp_path / ("deep/" * 30)
    deep.mkdir(parents=True)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(deep)}
    )
    assert (run.returncode, run.stdout) == (0, "plain\n")
    assert run.stderr == "no warm start (AF_UNIX path too long): each job starts by itself, which takes longer\n"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_code_of_what_runs_below_the_warm_start(command, code):
    run = subprocess.run([*WARM, "sh", "-c", command], capture_output=True, text=True)
    assert run.returncode == code
    assert run.stderr.endswith("the same command goes on from here.\n") == (code > 128)


WISHES = {"plain": False, "own": True}
ENDS = {"sys.exit()": "0", "sys.exit('why')": "why 1", "1 / 0": "ZeroDivisionError: division by zero 1"}


def test_a_fork_ends_as_python_would_and_says_why(tmp_path):
    for number, end in enumerate(ENDS):
        (tmp_path / f"{number}.py").write_text(f"import sys\n{end}\n")
    python = f'"{sys.executable}" -P {hand_over.__file__} "$SMDL_WARM_SOCKET"'
    each = f"for script in 0 1 2; do {python} {tmp_path}/$script.py; echo $? >&2; echo end >&2; done"
    run = subprocess.run([*WARM, "sh", "-c", each], capture_output=True, text=True)
    told = [" ".join(part.strip().splitlines()[-2:]) for part in run.stderr.split("end\n")[:-1]]
    assert told == list(ENDS.values())


def test_a_script_says_what_it_says_where_its_start_would(tmp_path):
    """And one that wants a process of its own, as the hub's client does, has it."""
    (tmp_path / "plain.py").write_text("import os\nprint(os.getpid())\n")
    (tmp_path / "own.py").write_text(
        "import os\n"
        "from smdl.runtime.hand_over import want_own_process\n"
        "from smdl.runtime.warm import handed_over\n"
        "want_own_process() if handed_over() else print(os.getpid())\n"
    )
    python = f'"{sys.executable}" -P {hand_over.__file__} "$SMDL_WARM_SOCKET"'
    each = f"for name in plain own; do {python} $name.py > $name.txt & echo $! > $name.pid; wait $! || exit; done"
    run = subprocess.run([*WARM, "sh", "-c", each], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    same = {name: (tmp_path / f"{name}.txt").read_text() == (tmp_path / f"{name}.pid").read_text() for name in WISHES}
    assert same == WISHES


# A clone in an odd place, on a bare machine


@pytest.fixture(scope="module")
def clone(small_study, tmp_path_factory) -> Path:
    """The workflow, its environment and a finished study, all below a folder with spaces and letters of elsewhere."""
    folder = tmp_path_factory.mktemp("odd") / "Mein Ordner (größer) & 实验"
    shutil.copytree(small_study, folder, ignore=shutil.ignore_patterns(".snakemake/log"))
    for part in ("rules", "scripts", "src", "profiles", "envs", "docs/captions"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("Snakefile", "Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / part, folder / part)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "odd.mk").write_text(
        """include Makefile
odd:
\t$(SNAKEMAKE) --configfile config.test.yaml -- report
\trm results/small/draws/published/tiny/step10/block0.parquet
\t$(SNAKEMAKE) --configfile config.test.yaml -- results/small/draws/published/tiny/step10/block0.parquet
"""
    )
    return folder


def bare(folder: Path, **variables: str) -> dict[str, str]:
    """An environment with the system's programs only, a python that is another's, and ``variables``."""
    programs(folder / "other", {"python": "exit 97", "python3": "exit 97"})
    own = {"PATH": f"{folder / 'other'}:/usr/bin:/bin", "PYTHONPATH": str(folder / "src")}
    return {**own, "OMP_NUM_THREADS": "1", **variables}


def test_a_clone_in_an_odd_place_runs_in_locale_c_without_a_home_and_with_a_deep_tmpdir(clone):
    """The report, which runs Snakemake itself, and a chain, which compiles its update; both below the warm start."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    deep = clone / ("deep/" * 25)
    deep.mkdir(parents=True)
    environment = bare(clone, LC_ALL="C", HOME="/proc/nowhere", TMPDIR=str(deep))
    make = ["make", "-f", "odd.mk", "-o", ".venv/installed", "odd"]
    run = subprocess.run(make, cwd=clone, env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr
    assert (clone / "results/small/report.html").stat().st_size > 1e6
    assert (clone / "results/small/draws/published/tiny/step10/block0.parquet").is_file()
    assert "no warm start" not in run.stderr and "Traceback" not in run.stderr


ENVIRONMENTS = {
    "locale C": {"LC_ALL": "C", "HOME": "/proc/nowhere"},
    "no locale and no coercion": {"PYTHONCOERCECLOCALE": "0", "LANG": "nowhere.ISO-8859-1"},
    "no home": {},
}


@pytest.mark.parametrize("variables", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_status_of_a_study_in_an_odd_place(clone, variables):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    make = ["make", "-o", ".venv/installed", "status", "STUDY=small"]
    run = subprocess.run(make, cwd=clone, env=bare(clone, **variables), capture_output=True, timeout=300)
    assert run.returncode == 0, run.stderr.decode()
    assert b"quantize" in run.stdout


# Records of other runs in a folder


def run(**changes) -> claim.Run:
    process = psutil.Process()
    own = {"host": os.uname().nodename, "user": os.getuid(), "pid": process.pid, "started": process.create_time()}
    return claim.Run(**own | {"locks": [], "inputs": ["in"], "outputs": ["out"]} | changes)


def recorded(folder: Path, text: str) -> Path:
    path = folder / "1.json"
    path.write_text(text)
    return path


NO_RUNS = {
    "empty": "",
    "torn": '{"host": "n1", "pi',
    "a number": "3",
    "a list": "[1]",
    "null": "null",
    "of another version": '{"host": "n1", "pid": 3}',
    "with a key more": json.dumps(vars(run()) | {"more": 1}),
    "no text": "\udcff",
}


@pytest.mark.parametrize("text", NO_RUNS.values(), ids=NO_RUNS)
def test_a_record_that_is_none_stops_no_run(tmp_path, capsys, text):
    (tmp_path / "1.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    claim.claim(tmp_path, run())
    assert not capsys.readouterr().err
    assert not claim.runs(tmp_path)


DEAD = {
    "its number is free": {"pid": 2**22 + 1},
    "its number is another's": {"started": time.time() - 1e6},
}


@pytest.mark.parametrize("changes", DEAD.values(), ids=DEAD)
def test_the_lock_of_a_dead_run_is_removed(tmp_path, capsys, changes):
    lock = tmp_path / "0.output.lock"
    lock.touch()
    path = recorded(tmp_path, json.dumps(vars(run(**changes, locks=[str(lock)]))))
    claim.claim(tmp_path, run())
    assert not lock.exists() and not path.exists()
    assert "was killed: its lock is removed." in capsys.readouterr().err


def test_a_run_that_ended_and_that_nobody_asked_for_is_dead(tmp_path):
    ended = subprocess.Popen(["sleep", "0"], stdout=subprocess.PIPE)
    started = psutil.Process(ended.pid).create_time()
    ended.stdout.read()
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert run(pid=ended.pid, started=started).lives() is False
    ended.wait()


def test_a_lock_that_a_living_run_holds_now_is_left(tmp_path):
    lock = tmp_path / "0.output.lock"
    lock.touch()
    (tmp_path / "2.json").write_text(json.dumps(vars(run(outputs=["other"], locks=[str(lock)]))))
    recorded(tmp_path, json.dumps(vars(run(**DEAD["its number is free"], locks=[str(lock)]))))
    claim.claim(tmp_path, run())
    assert lock.exists()


CLASHES = {
    "makes the same": {},
    "makes what is read": {"outputs": ["in"], "inputs": []},
    "reads what is made": {"outputs": ["x"], "inputs": ["out"]},
}


@pytest.mark.parametrize("changes", CLASHES.values(), ids=CLASHES)
def test_a_living_run_for_the_same_files_stops_this_one(tmp_path, changes):
    recorded(tmp_path, json.dumps(vars(run(**changes))))
    with pytest.raises(SystemExit, match=rf"another run makes the same files: .* id {os.getpid()} on .* kill -TERM"):
        claim.claim(tmp_path, run())


BESIDE = {
    "reads the same": ({"outputs": ["x"]}, ""),
    "makes others": ({"outputs": ["x"], "inputs": ["y"]}, ""),
    "on another machine": ({"host": "elsewhere"}, "Perhaps still at work here: Snakemake with process id"),
}


@pytest.mark.parametrize(("changes", "said"), BESIDE.values(), ids=BESIDE)
def test_other_runs_stop_none(tmp_path, capsys, changes, said):
    path = recorded(tmp_path, json.dumps(vars(run(**changes))))
    claim.claim(tmp_path, run())
    assert path.exists()
    assert capsys.readouterr().err.startswith(said)


def test_another_plugin_than_the_guarded_one_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, guard.PLUGIN, Plugin)
    monkeypatch.setattr(guard, "GUARDED", ("no_such_function",))
    with pytest.raises(StudyError, match="is not the version this workflow guards"):
        guard.install()
