"""The settings sweep: every setting has its row, and the one to use is found by rules stated beforehand."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from smdl.analysis.correlation import partial_r2
from smdl.corpus.blocks import load_split, read_splits
from smdl.llc.settings import Gates, Grid, Memory, Sampler
from smdl.models.loading import BlockLoss, load
from smdl.runtime.cluster.resources import GPU_RATE
from smdl.runtime.dry_run import planned
from smdl.runtime.plan import gpu_hours
from smdl.sweep.choice import block, summarise
from smdl.sweep.estimates import Setting, Sweep, settings_of
from smdl.sweep.figure import draw
from smdl.tables import read_provenance, read_table
from smdl.tables.study import losses_of_split
from smdl.tables.sweep import RULES, SWEEP_SETTINGS
from workflow import small_config, snakemake

GATES = Gates(max_excess=50, max_r_hat=1.5, max_drift=6, max_relative_se=0.3)


class Bowl:
    """1/2 |w|^2 over 50 weights, the same for all of 16 sequences."""

    size = 16

    def __init__(self):
        self.parameters = [torch.zeros(50, requires_grad=True)]

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        return (0.5 * self.parameters[0].square().sum()).expand(len(sequences))


def test_every_setting_has_a_row_and_faults_name_themselves():
    settings = Sampler(lr=1, n_beta=1, gamma=1, eps_rms=1, batch_size=4, burn_in=100, draws=100, steps_between_draws=2)
    sweep = Sweep(Bowl(), np.zeros(16), settings, chains=3, seed=0, stiffest=1.0)
    rows = [sweep.row(its, GATES) for its in settings_of(Grid(lr=[1e-3, 1e3], n_beta=[100.0, 1e5], gamma=[1.0]))]
    by = {(row["lr"], row["n_beta"]): row for row in rows}
    assert by[1e-3, 100.0]["llc"] == pytest.approx(25, rel=0.2)
    assert by[1e-3, 100.0]["control"] > by[1e-3, 100.0]["llc"]
    assert by[1e3, 100.0]["status"] == by[1e3, 1e5]["status"] == "unstable"
    assert "must be below 2" in by[1e3, 100.0]["reason"]
    assert by[1e-3, 100.0]["step_at_stiffest"] == pytest.approx(1e-3 * 100 / 2)
    assert 0 < by[1e-3, 100.0]["noise_temperature"] < 0.1
    assert by[1e-3, 100.0]["excess"] == by[1e-3, 100.0]["llc"] / 100
    assert by[1e-3, 1e5]["status"] == "diverged"
    again = sweep.row(Setting(lr=1e-3, n_beta=100.0, gamma=1.0), GATES)
    assert again["llc"] == by[1e-3, 100.0]["llc"]


def test_the_walker_keeps_its_vectors_as_the_memory_settings_say():
    settings = Sampler(lr=1, n_beta=1, gamma=1, eps_rms=1, batch_size=4, burn_in=100, draws=100, steps_between_draws=2)
    sweep = Sweep(
        Bowl(),
        np.zeros(16),
        settings,
        chains=3,
        seed=0,
        stiffest=1.0,
        memory=Memory(**dict.fromkeys(("anchor", "second_moment"), "bfloat16")),
    )
    assert sweep.walker.anchor.dtype == sweep.walker.second_moment.dtype == torch.bfloat16


def test_a_sweep_on_a_cluster_asks_for_a_gpu_and_for_time_by_its_grid(tmp_path):
    config = small_config()
    hub = {"source": "hub", "repo": "owner/name", "revision": "step{step}", "steps": [10, 20], "context": 2048}
    config["models"] = {
        "small": {**hub, "parameters": 160_000_000, "llc": {"lr": 1e-4}},
        "large": {**hub, "parameters": 1_400_000_000, "llc": {"lr": 1e-4}},
    }
    config["llc"].update(draws=100, batch_size=32)
    config["corpus"].update(context=1024)
    config["corpus"]["blocks"]["sampling"] = 128
    asked = {}
    for grid_ in ({"lr": [1e-4], "n_beta": [30], "gamma": [300]}, {"lr": [1e-5, 1e-4], "n_beta": [30], "gamma": [300]}):
        config["sweep"] = {"grid": grid_}
        dry = snakemake(tmp_path, config, "--dry-run", "sweep")
        asked[len(grid_["lr"])] = [job for job in planned(dry.stdout) if job.rule == "sweep_chains"]
        assert len(asked[len(grid_["lr"])]) == 4, dry.stderr
    assert all(job.gpu == 1 for own in asked.values() for job in own)
    hours = {(job.model, count): gpu_hours(job) for count, own in asked.items() for job in own}
    # Four chains of 102 steps of 32 blocks of 1024 tokens, six operations per weight and token; and two operations for
    # each of their 100 controls and 100 pairs of draws on 8 blocks.
    blocks = 102 * 32 + 100 * (32 + 2 * 8) / 3
    expected = 4 * blocks * 1024 * 6 * 1.4e9 / GPU_RATE / 3600
    assert hours["large", 1] == pytest.approx(expected, abs=1 / 60)
    assert hours["large", 2] == pytest.approx(2 * expected, abs=1 / 60)
    assert hours["small", 1] < hours["large", 1]


def test_a_sweep_computes_as_the_chains_do(small_study, tmp_path):
    """Its rows are those of the library with the autocast and the memory settings of the config."""
    shutil.copytree(small_study, tmp_path, dirs_exist_ok=True, symlinks=True)
    config = small_config()
    config["llc"]["memory"] = {"autocast": True, "second_moment": "bfloat16"}
    config["sweep"] = {"chains": 2, "grid": {"lr": [1e-4], "n_beta": [30], "gamma": [300]}}
    run = snakemake(tmp_path, config, "--", "results/small/sweep/tiny/step20.parquet", warm=True)
    assert run.returncode == 0, run.stderr
    results = tmp_path / "results/small"
    made = read_provenance(results / "sweep/tiny/step20.parquet")["settings"]
    assert made["memory"] == {**made["memory"], **config["llc"]["memory"]}
    blocks = load_split(results / "corpus/blocks.npy", read_splits(results / "corpus/splits.parquet"), "sampling")
    (row,) = read_table(results / "sweep/tiny/step20.parquet").to_dict("records")
    losses = read_table(results / "reference/tiny/step20/losses.parquet")
    direct = Sweep(
        BlockLoss(load(results / "trained/tiny/step20"), blocks, autocast=True),
        losses_of_split(losses, "sampling"),
        Sampler(**made["sampler"]),
        2,
        config["seed"],
        1.0,
        Memory(second_moment="bfloat16"),
    ).row(Setting(lr=1e-4, n_beta=30, gamma=300), Gates(**made["gates"]))
    assert row["llc"] == pytest.approx(direct["llc"], rel=1e-6)
    assert row["control"] == pytest.approx(direct["control"], rel=1e-6)


TOLERANCES = (0.1, 0.2)


def table() -> pd.DataFrame:
    """Of model a every setting at n_beta 300 is fair; the others, and every one of model b, break a rule each."""
    rows = []
    for model in ("a", "b"):
        for step in range(1, 4):
            for setting in settings_of(Grid(lr=[2.5e-6, 5e-6, 1e-5, 1e-3], n_beta=[30.0, 300.0], gamma=[3000.0])):
                control = 10.0 * step * setting.n_beta / 30
                llc = (0.9 if setting.n_beta == 30 else 0.6) * control
                rows.append(
                    {
                        "model": model,
                        "step": step,
                        **setting._asdict(),
                        "llc": llc,
                        "llc_se": 0.01 * llc,
                        "r_hat": 1.0 if model == "a" else 1.08,
                        "control": control,
                        "llc_minus_control": llc - control,
                        "llc_minus_control_se": 0.01 * control * 5e-6 / setting.lr,
                        "excess": llc / setting.n_beta,
                        "step_at_stiffest": 1e5 * setting.lr,
                        "noise_temperature": 1e-3,
                        "status": "ok",
                        "reason": "",
                    }
                )
    return pd.DataFrame(rows)


def test_the_recommended_setting_holds_every_rule_and_is_the_sharpest_of_those():
    settings = SWEEP_SETTINGS.conform(summarise(table(), TOLERANCES))
    fair = settings[settings["rules"] == len(RULES)]
    # The lowest lr has none below it, the highest none within a quarter, and its steps are too long.
    assert fair[["model", "n_beta", "lr"]].to_numpy().tolist() == [["a", 300, 5e-6], ["a", 300, 1e-5]]
    chosen = settings[settings["recommended"]]
    assert chosen[["model", "n_beta", "lr"]].to_numpy().tolist() == [["a", 300, 1e-5]]
    text = block(settings)
    written = yaml.safe_load(text)
    # 1e-05 is text to YAML; the config converts it.
    written["a"]["fair"]["lr"] = float(written["a"]["fair"]["lr"])
    assert written == {"a": {"fair": {"lr": 1e-5, "n_beta": 300, "gamma": 3000}}, "b": {}}
    assert "of 8 settings 2 hold all rules at all 3 checkpoints; at this one the LLC is 0.60 of its control" in text
    assert "without: at" not in text
    assert "the chains are mixed" in text, "what the nearest of the other model lacks"
    assert len(draw(settings, "a").axes) == 4 + 4


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"status": "drifting"}, "ok"),
        ({"llc_minus_control_se": 1e3}, "below_control"),
        ({"excess": 5.0}, "of_order"),
        ({"excess": 1e-3}, "of_order"),
        ({"r_hat": np.nan}, "mixed"),
        ({"step_at_stiffest": 1.2}, "short_steps"),
        ({"noise_temperature": 0.2}, "cold"),
    ],
)
def test_every_rule_can_fail_at_a_single_checkpoint(changed, rule):
    rows = table()
    there = (rows["model"] == "a") & (rows["step"] == 2) & (rows["lr"] == 1e-5) & (rows["n_beta"] == 300)
    rows.loc[there, list(changed)] = list(changed.values())
    settings = summarise(rows, TOLERANCES).set_index(["model", "lr", "n_beta"])
    held = settings.loc[("a", 1e-5, 300.0), list(RULES)]
    assert held[~held.astype(bool)].index.tolist() == [rule]
    assert settings[settings["recommended"]].index.tolist() == [("a", 5e-6, 300.0)]


def test_a_change_at_a_lower_learning_rate_speaks_against_the_higher_one():
    rows = table()
    rows.loc[(rows["lr"] == 5e-6) & (rows["step"] == 1), "llc"] *= 0.8
    settings = summarise(rows, TOLERANCES).set_index(["model", "lr", "n_beta"])["alike_at_lower_lr"]
    assert settings["a"].groupby("lr").all().to_dict() == {2.5e-6: False, 5e-6: False, 1e-5: False, 1e-3: False}
    rows["llc_se"] = 0.2 * rows["llc"]
    settings = summarise(rows, TOLERANCES).set_index(["model", "lr", "n_beta"])["alike_at_lower_lr"]
    assert settings["a"].groupby("lr").all().to_dict() == {2.5e-6: False, 5e-6: True, 1e-5: True, 1e-3: False}


def test_added_r2_is_what_is_left_beyond_both_rivals():
    random = np.random.default_rng(1)
    given = random.normal(size=(40, 2))
    noise = random.normal(size=(2, 40))
    y = given @ [2.0, -1.0] + noise[0]
    assert partial_r2(given @ [1.0, 1.0] + 1e-3 * noise[1], y, given) < 0.15
    assert partial_r2(noise[0] + given[:, 0], y, given) == pytest.approx(1)
    assert np.isnan(partial_r2(y[:4], y[:4], given[:4]))
