"""Faults of a real SLURM: nothing is lost, nothing hangs, and the draws equal an undisturbed run's, bit for bit."""

from collections.abc import Iterator

import pandas as pd
import pytest
from cluster import Cluster, Unavailable, provide
from faults import CANCELLED, CHAINS, LATE, LAUNCH, MEMORY, NODE, PREEMPTED, REQUEUED, SLURMD, TABLES, TIME, Round
from study import Study

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1800)]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    try:
        provide(accounting=True)
    except Unavailable as why:
        pytest.skip(str(why))
    with Cluster(accounting=True) as running:
        yield running


@pytest.fixture(scope="session")
def faulted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Round:
    """The round of faults, run once."""
    done = Round(tmp_path_factory.mktemp("faults"), cluster)
    done.run()
    return done


@pytest.fixture(scope="session")
def report(faulted: Round) -> str:
    return faulted.report()


@pytest.fixture(autouse=True)
def told(report: str) -> None:
    """A test that fails shows what was done when, and every run of every chain."""
    print(report)


def states(study: Study, chain: str) -> list[str]:
    return [run.state for run in study.runs(chain)]


def ends_well(study: Study, chain: str, harm: str, same_job: bool) -> bool:
    """Whether the first run ended in ``harm``, the next was of the same job or of another, and the last is complete.

    More may lie between: all faults happen at once, and the controller's end may strike a job that just began again.
    """
    first, second, *_ = runs = study.runs(chain)
    return first.state == harm and (first.job == second.job) == same_job and runs[-1].state == "COMPLETED"


def test_every_run_ends_well(faulted):
    ends = {name: run.returncode for name, run in faulted.runs.items()}
    assert ends == {"whole": 0, "main": 0, "interrupted": 0, "killed": 0}


@pytest.mark.parametrize("chain", CHAINS)
def test_draws_equal_those_of_an_undisturbed_run(faulted, chain):
    pd.testing.assert_frame_equal(faulted.main.table(chain), faulted.reference.table(chain), check_exact=True)


def test_whole_study_through_the_profile_gives_the_tables_of_this_machine(faulted):
    for table in TABLES:
        here, there = (study.folder / table for study in (faulted.reference_whole, faulted.whole))
        assert there.read_bytes() == here.read_bytes(), table


def test_cancelled_chain_is_retried_and_goes_on(faulted):
    assert ends_well(faulted.main, CANCELLED, "CANCELLED", same_job=False)
    assert faulted.main.resumed_at(CANCELLED) > 0


def test_time_limit_warns_the_chain_which_saves_and_goes_on(faulted):
    first, *_, last = states(faulted.main, TIME)
    assert first in ("FAILED", "TIMEOUT")
    assert last == "COMPLETED"
    assert faulted.main.resumed_at(TIME) > 0


def test_too_little_memory_is_raised(faulted):
    first, *_, last = states(faulted.main, MEMORY)
    assert first in ("FAILED", "OUT_OF_MEMORY")
    assert last == "COMPLETED"


def test_daemons_come_back_and_the_job_never_stopped(faulted):
    assert states(faulted.main, SLURMD) == ["COMPLETED"]


def test_job_of_a_dead_node_is_requeued_and_goes_on(faulted):
    assert ends_well(faulted.main, NODE, "NODE_FAIL", same_job=True)
    assert faulted.main.resumed_at(NODE) > 0


def test_preempted_and_requeued_chain_goes_on_in_the_same_job(faulted):
    assert ends_well(faulted.main, REQUEUED, "PREEMPTED", same_job=True)
    assert faulted.main.resumed_at(REQUEUED) > 0


def test_preempted_and_not_requeued_chain_is_retried(faulted):
    assert ends_well(faulted.main, PREEMPTED, "PREEMPTED", same_job=False)
    assert faulted.main.resumed_at(PREEMPTED) > 0


def test_job_that_could_not_be_launched_is_sent_again(faulted):
    assert ends_well(faulted.main, LAUNCH, "REQUEUED", same_job=True)
    assert "CANCELLED" in states(faulted.main, LAUNCH)


def test_file_that_shows_late_is_waited_for(faulted):
    assert states(faulted.main, LATE) == ["COMPLETED"]


def test_interrupted_snakemake_cancels_its_job_and_goes_on_later(faulted):
    assert faulted.first["interrupted"].returncode != 0
    assert ends_well(faulted.interrupted, CANCELLED, "CANCELLED", same_job=False)
    assert faulted.interrupted.resumed_at(CANCELLED) > 0
    assert faulted.interrupted.table(CANCELLED).equals(faulted.reference.table(CANCELLED))


def test_killed_snakemake_leaves_a_job_that_the_next_one_ends(faulted):
    assert len(faulted.orphans) == 1
    assert ends_well(faulted.killed, CANCELLED, "CANCELLED", same_job=False)
    assert faulted.killed.resumed_at(CANCELLED) > 0
    assert faulted.killed.table(CANCELLED).equals(faulted.reference.table(CANCELLED))
