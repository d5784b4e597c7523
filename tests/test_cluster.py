"""The guard before the executor plugin, and the doctor's judgement, without a cluster."""

import asyncio
import logging
import os
import sys
import types
from types import SimpleNamespace

import pytest

from smdl.foundation.errors import StudyError
from smdl.runtime.cluster import doctor, guard, step


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def states(clock):
    return guard.States(patience=60, clock=clock)


def test_preempted_job_that_stays_so_has_failed(states, clock):
    assert states.settle({"1": "PREEMPTED"}, True) == {"1": "PREEMPTED"}
    clock.now = 61
    assert states.settle({"1": "PREEMPTED"}, True) == {"1": "FAILED"}


def test_preempted_job_that_is_requeued_goes_on_and_has_its_patience_anew(states, clock):
    states.settle({"1": "PREEMPTED"}, True)
    clock.now = 61
    assert states.settle({"1": "PENDING"}, True) == {"1": "PENDING"}
    clock.now = 100
    assert states.settle({"1": "NODE_FAIL"}, True) == {"1": "NODE_FAIL"}


def test_cancelled_by_someone_is_cancelled(states):
    assert states.settle({"1": "CANCELLED by 1000"}, False) == {"1": "CANCELLED"}


def test_job_that_slurm_forgot_is_judged_by_its_outputs(states, clock):
    states.settle({"1": "RUNNING", "2": "RUNNING"}, True)
    assert "1" not in states.settle({"2": "RUNNING"}, True)
    clock.now = 61
    assert states.settle({"2": "RUNNING"}, True)["1"] == "UNKNOWN"


def test_job_missing_from_an_incomplete_answer_is_not_taken_for_gone(states, clock):
    states.settle({"1": "RUNNING"}, True)
    for clock.now in (1, 100, 1000):
        assert states.settle({}, False) == {}


class Executor:
    """As much of the plugin's executor as tells what a job runs."""

    def __init__(self, **settings: object):
        its = {"array_jobs": None, "pass_command_as_script": False} | settings
        self.workflow = SimpleNamespace(executor_settings=SimpleNamespace(**its))

    def additional_general_args(self) -> str:
        return "--executor slurm-jobstep --jobs 1"

    def get_python_executable(self) -> str:
        return "python"

    def format_job_exec(self, job: object) -> str:
        return "python -m snakemake --cores all --executor slurm-jobstep --jobs 1 --mode remote"


def plugin(answers):
    async def query(command, logger):
        return answers.pop(0)

    return SimpleNamespace(
        query_job_status=query,
        get_submit_command=lambda job, params: "sbatch x",
        cancel_slurm_jobs=lambda jobs, clusters, logger: None,
        Executor=Executor,
    )


def test_silence_forgets_no_job(caplog):
    watching = guard.Guard(plugin([(None, None), (None, None), ({"1": "RUNNING"}, 0.1)]), 60)
    asked = [asyncio.run(watching.query_job_status("squeue", logging.getLogger("t"))) for _ in range(3)]
    assert asked == [({}, 0.0), ({}, 0.0), ({"1": "RUNNING"}, 0.1)]
    assert [record.message[:22] for record in caplog.records] == ["SLURM does not answer;", "SLURM answers again."]


RUN, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"


def test_orphans_of_this_folder_and_work_are_ended_first(tmp_path, monkeypatch):
    queue = f"7\t{OTHER}\trule_a\t/here\n8\t{OTHER}\trule_a\t/there\n9\t{RUN}\trule_a\t/here\n10\tother\trule_a\t/here"
    for name, text in {"squeue": f"printf '{queue}\\n'", "scancel": f'echo "$@" >> {tmp_path}/ended'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    watching = guard.Guard(plugin([]), 60)
    params = {"workdir": "/here", "run_uuid": RUN, "comment_str": "rule_a"}
    assert watching.get_submit_command(None, params) == "sbatch x --dependency=afterany:7"
    assert watching.get_submit_command(None, params) == "sbatch x"
    assert (tmp_path / "ended").read_text() == "7\n"
    watching.cancel_slurm_jobs([], set(), None)
    assert (tmp_path / "ended").read_text() == f"7\n--name={RUN}\n"


def test_guard_stands_before_the_plugin_of_the_lock_file_once(monkeypatch):
    import snakemake_executor_plugin_slurm as real

    for name in guard.GUARDED:
        monkeypatch.setattr(real, name, getattr(real, name))
    monkeypatch.setattr(real.Executor, "format_job_exec", real.Executor.format_job_exec)
    first = guard.install()
    assert guard.install() is first
    assert real.query_job_status == first.query_job_status


def executed(executor: Executor, **resources: object) -> str:
    return guard.Guard(plugin([]), 60).executed_by(executor, SimpleNamespace(threads=2, resources=resources))


def test_a_job_starts_snakemake_once():
    start, command = executed(Executor(), gpu=1).split(" -m snakemake ")
    assert start == f"python -P {step.__file__} --cpus-per-task=2 --gpus=1 --nodes=1 python"
    assert command == "--cores all --mode remote"


def test_jobs_that_need_a_snakemake_between_keep_it():
    plain = Executor().format_job_exec(None)
    assert executed(Executor(array_jobs="all")) == executed(Executor(pass_command_as_script=True)) == plain
    assert executed(Executor(), mpi="mpirun") == plain


def test_another_way_of_starting_jobs_is_told(monkeypatch):
    monkeypatch.setattr(Executor, "additional_general_args", lambda self: "--executor other")
    with pytest.raises(StudyError, match="starts its jobs in another way"):
        executed(Executor())


def test_a_step_inherits_nothing_that_contradicts_it():
    inherited = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "100", "SRUN_CPUS": "2", "SBATCH_QOS": "x", "PATH": "/bin"}
    assert step.environment(inherited) == {"SLURM_JOB_ID": "7", "PATH": "/bin"}


def test_changed_plugin_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, guard.PLUGIN, types.ModuleType(guard.PLUGIN))
    with pytest.raises(StudyError, match=r"requirements\.lock"):
        guard.install()


REPORT = {
    "host": "n1",
    "letter": "x",
    "network": True,
    "scratch": "/scratch",
    "scratch_gb": 500.0,
    "memory_gb": 64.0,
    "gpu": {"torch": "2.13.0", "cuda": "12.8", "smi": "A100, 550.54, 81920 MiB", "works": True},
}


def verdicts(**changes):
    return {finding.what: finding.verdict for finding in doctor.judge(REPORT | changes)}


def test_doctor_passes_a_good_node():
    assert set(verdicts().values()) == {doctor.OK}


def test_doctor_names_a_torch_that_does_not_match_the_driver():
    gpu = REPORT["gpu"] | {"works": False, "error": "the driver is too old"}
    found = next(finding for finding in doctor.judge(REPORT | {"gpu": gpu}) if finding.what == "GPU")
    assert found.verdict == doctor.BAD
    assert "too old" in str(found) and "torch build" in str(found)


def test_doctor_notes_what_only_slows(monkeypatch):
    assert verdicts(network=False, scratch_gb=3.0) == {"GPU": "ok", "network": "note", "scratch": "note"}
