"""The plan's counts are those of the dry run, and what a GPU must hold follows the size of the model."""

import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
import yaml

from conftest import ROOT
from smdl.compression.levels import levels_of
from smdl.compression.passes import PER_LEVEL, PER_TOLERANCE, passes
from smdl.models.shape import Shape
from smdl.runtime.cluster.memory import needs, too_large
from smdl.runtime.dry_run import PlannedJob, planned
from smdl.runtime.plan import cpu_hours, gpu_hours, plan_of_rules
from smdl.settings.config import settings
from smdl.study.study import Study
from workflow import jobs

PYTHIA = {"70m": (70_426_624, 512, 6), "1.4b": (1_414_647_808, 2048, 24), "6.9b": (6_857_302_016, 4096, 32)}


@pytest.mark.parametrize("size", PYTHIA)
def test_a_shape_that_nobody_said_is_near_that_of_pythia(size):
    weights, width, layers = PYTHIA[size]
    shape = Shape.of(weights, 50304)
    assert shape.width == pytest.approx(width, rel=0.2)
    assert shape.linear == pytest.approx(12 * layers * width**2, rel=0.15)


def test_a_pass_grows_with_tokens_gradients_and_precision():
    shape = Shape.of(10**9, 50304)
    least = shape.passed(1024, 2, gradient=False)
    assert shape.passed(2048, 2, gradient=False) == 2 * least
    assert shape.passed(1024, 4, gradient=True) > shape.passed(1024, 2, gradient=True) > least


def published(**changes) -> Study:
    """The published study, with ``changes`` of its sections."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for name, change in changes.items():
        config[name] = {**config.get(name, {}), **change}
    return settings(config, Study)


def test_the_published_study_fits_its_gpus():
    study = published()
    assert study.gpu.memory == 80
    assert not list(too_large(study))
    largest = needs(study, "pythia-6.9b")
    assert {"llc_chains", "bits_back", "gptq", "coding", "prune_heads"} <= set(largest)
    assert max(need.device for rule, need in largest.items() if rule != "sweep_chains") <= 80e9
    # Moments and factors of 19 / 12 of the linear maps each, in float32.
    assert largest["gptq"].host == pytest.approx(82e9, rel=0.02)


def test_what_does_not_fit_is_a_line_that_says_what_to_change():
    tuned = published()
    retrained = {name: scheme.model_dump() for name, scheme in tuned.compression.schemes.present().items()}
    assert retrained["prune_heads"]["variants"]["retrained"]["retrain_at_once"] == 1
    lines = list(too_large(published(gpu={"memory": 40})))
    assert "models.pythia-6.9b: llc_chains needs " in "\n".join(lines)
    assert all(" GB of a GPU, of which gpu.memory is 40: " in line for line in lines)
    advice = "lower retrain_at_once of its variants, or leave it out of models.pythia-6.9b.schemes"
    assert any(line.endswith(advice) for line in lines)
    assert any("set its most_weights below the model's" in line for line in lines)
    assert not list(too_large(published(gpu={"memory": 1000})))
    unlimited = yaml.safe_load((ROOT / "config.yaml").read_text())
    del unlimited["gpu"]
    assert not list(too_large(settings(unlimited, Study)))


def test_a_study_that_does_not_fit_is_refused_before_any_job(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["gpu"] = {"memory": 60}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "smdl.cli", "plan"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "models.pythia-6.9b: llc_chains needs" in done.stderr and "Traceback" not in done.stderr


def test_jobs_are_read_from_a_dry_run():
    text = """rule llc_chains:
    input: a, b
    wildcards: model=pythia-14m, step=2000, block=0
    resources: tmpdir=/tmp, gpu=1, gpu_mb=27000, mem_mb=3282, runtime=130
[Sun Nov 22 03:15:53 2026]
localrule listing:
    jobid: 3
    resources: tmpdir=/tmp

Job stats:
"""
    chain = PlannedJob("llc_chains", "pythia-14m", gpu=1, minutes=130, memory_mb=3282, device_mb=27000)
    assert planned(text) == [chain, PlannedJob("listing")]
    assert (gpu_hours(chain), cpu_hours(chain)) == (pytest.approx(1.0), 0.0)


def test_a_row_of_a_rule_adds_up_its_jobs_and_has_the_memory_of_the_largest():
    small, large = (PlannedJob("coding", minutes=minutes, memory_mb=mb) for minutes, mb in ((70, 5000), (130, 90000)))
    (row,) = plan_of_rules([small, large]).to_dict("records")
    assert row == {
        **{"rule": "coding", "jobs": 2, "GPU jobs": 0, "GPU hours": 0.0, "CPU hours": 1.5},
        **{"memory (GB)": 90.0, "GPU memory (GB)": 0.0},
    }


def test_the_plan_of_the_published_study_has_the_counts_of_its_dry_run(published_plan, tmp_path):
    counted = jobs(published_plan)
    assert Counter(job.rule for job in planned(published_plan)) == counted
    assert counted["download"] == 9 * 12
    plan = [sys.executable, "-m", "smdl.cli", "plan", "--configfile", str(ROOT / "config.yaml")]
    done = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rules = {line.split()[0]: line.split()[1:] for line in done.stdout.split("\n\n")[0].splitlines()[1:]}
    assert {rule: int(cells[0]) for rule, cells in rules.items()} == counted
    found = pd.DataFrame(rules, index=["jobs", "on GPUs", "GPU hours", "CPU hours", "memory", "GPU memory"]).T.astype(
        float
    )
    assert (found["memory"] >= 3).all()
    assert ((found["GPU memory"] > 0) == (found["on GPUs"] > 0)).all()
    assert (found.loc[found["on GPUs"] > 0, "GPU hours"] > 0).all()
    assert found.loc["coding", "CPU hours"] > 0
    assert done.stdout.splitlines()[-1].startswith(f"{sum(counted.values())} jobs")
    assert all(name in done.stdout for name in yaml.safe_load((ROOT / "config.yaml").read_text())["models"])


def test_the_passes_of_a_scheme_follow_from_its_variants_tolerances_and_seeds():
    study = published()
    schemes, tolerances = study.compression.schemes.present(), len(study.compression.epsilons)
    counted = {name: passes(schemes[name], study.compression, blocks=256) / tolerances for name in schemes}
    assert counted["kmeans"] == PER_TOLERANCE
    assert counted["noise"] == 2 * 3 * PER_TOLERANCE, "two variants at three seeds"
    assert counted["quantize"] == (2 * PER_LEVEL + 1) * PER_TOLERANCE, "two of three variants are tuned"
    retrained = 3 * 30 * 8 / 256
    assert counted["prune_heads"] == pytest.approx((3 + 1 + 1 + 1 + retrained) * PER_TOLERANCE)
    curve, own = study.compression.model_copy(update={"mode": "curve"}), schemes["kmeans"]
    assert passes(own, curve, blocks=256) == len(levels_of(own.levels, own.variants["kmeans"].axis))
