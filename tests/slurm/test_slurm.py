"""Faults of a real SLURM: nothing is lost, nothing hangs, and the draws equal an undisturbed run's, bit for bit."""

from collections.abc import Iterator

import pandas as pd
import pytest
from cluster import Cluster, Unavailable, provide
from faults import CANCELLED, CHAINS, LATE, MEMORY, NODE, PREEMPTED, REQUEUED, SLURMD, TIME, Round

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


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
    done = Round(tmp_path_factory.mktemp("faults"), cluster)
    done.run()
    return done


def states(faulted: Round, chain: str) -> list[str]:
    return [state.split()[0] for _, state in faulted.main.jobs(chain)]


def same(faulted: Round, study: str, chain: str) -> bool:
    pd.testing.assert_frame_equal(
        getattr(faulted, study).table(chain), faulted.reference.table(chain), check_exact=True
    )
    return True


def test_the_workflow_ends_well(faulted):
    assert {name: run.returncode for name, run in faulted.runs.items()} == {"main": 0, "interrupted": 0, "killed": 0}, (
        faulted.main.log()
    )


@pytest.mark.parametrize("chain", CHAINS)
def test_draws_equal_those_of_an_undisturbed_run(faulted, chain):
    assert same(faulted, "main", chain)


def test_cancelled_chain_is_retried_and_goes_on(faulted):
    assert states(faulted, CANCELLED) == ["CANCELLED", "COMPLETED"]
    assert faulted.main.resumed_at(CANCELLED) > 0


def test_time_limit_warns_the_chain_which_saves_and_goes_on(faulted):
    assert states(faulted, TIME)[-1] == "COMPLETED"
    assert states(faulted, TIME)[0] in ("FAILED", "TIMEOUT")
    assert faulted.main.resumed_at(TIME) > 0


def test_too_little_memory_is_raised(faulted):
    assert states(faulted, MEMORY) == ["FAILED", "COMPLETED"]


def test_slurmd_and_controller_come_back_and_the_job_never_stopped(faulted):
    assert states(faulted, SLURMD) == ["COMPLETED"]


def test_job_of_a_dead_node_is_requeued_and_goes_on(faulted):
    first, *_, last = states(faulted, NODE)
    assert (first, last) == ("NODE_FAIL", "COMPLETED")
    assert len({job for job, _ in faulted.main.jobs(NODE)}) == 1
    assert faulted.main.resumed_at(NODE) > 0


def test_preempted_and_requeued_chain_goes_on_in_the_same_job(faulted):
    assert states(faulted, REQUEUED) == ["PREEMPTED", "COMPLETED"]
    assert len({job for job, _ in faulted.main.jobs(REQUEUED)}) == 1
    assert faulted.main.resumed_at(REQUEUED) > 0


def test_preempted_and_not_requeued_chain_is_retried(faulted):
    assert states(faulted, PREEMPTED) == ["PREEMPTED", "COMPLETED"]
    assert len({job for job, _ in faulted.main.jobs(PREEMPTED)}) == 2
    assert faulted.main.resumed_at(PREEMPTED) > 0


def test_file_that_shows_late_is_waited_for(faulted):
    assert states(faulted, LATE) == ["COMPLETED"]


def test_interrupted_snakemake_cancels_its_job_and_goes_on_later(faulted):
    assert faulted.first["interrupted"].returncode != 0
    assert [state.split()[0] for _, state in faulted.interrupted.jobs(CANCELLED)] == ["CANCELLED", "COMPLETED"]
    assert faulted.interrupted.resumed_at(CANCELLED) > 0
    assert same(faulted, "interrupted", CANCELLED)


def test_killed_snakemake_leaves_a_job_that_the_next_one_ends(faulted):
    assert len(faulted.orphans) == 1
    assert [state.split()[0] for _, state in faulted.killed.jobs(CANCELLED)] == ["CANCELLED", "COMPLETED"]
    assert faulted.killed.resumed_at(CANCELLED) > 0
    assert same(faulted, "killed", CANCELLED)
