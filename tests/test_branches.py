"""Branches of a run: kept states, decays, averages, and what a study is told of them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from smdl.corpus.blocks import cut, split_rows
from smdl.foundation.errors import StudyError
from smdl.settings.config import settings
from smdl.sources.branch import At, Branch, Going
from smdl.sources.schedule import learning_rate
from smdl.sources.source import Task
from smdl.sources.train import KEPT, Architecture, Keep, Recipe, Train, Training, kept_at
from smdl.sources.training import Run, average, decay, new_model
from smdl.study.study import Study
from smdl.tables import write_table
from smdl.tables.study import CORPUS, COVARIATES, TRAINING
from workflow import small_config

SHAPE = Architecture(layers=1, hidden=16, heads=2)
TRAINED = Training(steps=40, batch_size=4, lr=0.01, warmup=5, schedule="constant", dropout=0.1, label_noise=0.1)
BLOCKS = np.tile(np.arange(8, dtype=np.uint16), (64, 1)) + np.arange(64, dtype=np.uint16)[:, None] % 24


def started(training: Training = TRAINED) -> Run:
    return Run(new_model(SHAPE, 32, 8, 0, training), BLOCKS, training, 1)


def weights(run: Run) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()]).clone()


def gone(run: Run, steps: int) -> Run:
    for _ in range(steps):
        run.advance(learning_rate(run.step, run.settings))
    return run


def test_a_run_that_is_taken_up_goes_on_bit_for_bit(tmp_path):
    """With dropout, whose random numbers are part of the state, and over the end of an epoch of 16 batches."""
    run = gone(started(), 12)
    torch.save(run.state(), tmp_path / "state.pt")
    whole = weights(gone(run, 10))
    other = started()
    torch.manual_seed(99)
    other.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.step == 12
    assert torch.equal(weights(gone(other, 10)), whole)


def test_a_decay_falls_linearly_to_zero(monkeypatch):
    run, rates = gone(started(), 10), []
    step = Run.advance
    monkeypatch.setattr(Run, "advance", lambda self, lr: (rates.append(lr), step(self, lr))[1])
    assert len(decay(run, 4)) == 4
    assert rates == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert run.step == 14


def test_an_average_is_the_mean_of_evenly_spaced_weights():
    plain, averaged = gone(started(), 10), gone(started(), 10)
    torch.set_rng_state(state := torch.get_rng_state())
    seen = [weights(gone(plain, 2)) for _ in range(3)]
    torch.set_rng_state(state)
    average(averaged, 6, 3)
    torch.testing.assert_close(weights(averaged), torch.stack(seen).mean(dim=0))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("corpus")
    sizes = dict.fromkeys(("sampling", "evaluation", "calibration"), 8)
    tokens = np.tile(np.arange(8), 512) + np.repeat(np.arange(512) % 24, 8)
    blocks, splits = cut(tokens, 32, 8, sizes, 0)
    np.save(folder / "blocks.npy", blocks)
    write_table(folder / "splits.parquet", CORPUS, pd.DataFrame(split_rows(splits, "here")), {})
    return {"blocks": str(folder / "blocks.npy"), "splits": str(folder / "splits.parquet")}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe = Recipe(
        architecture=SHAPE,
        training=TRAINED,
        steps=(10, 16),
        keep=Keep(losses=(3.0, 0.001), steps=(10,), every=2),
    )
    Train.make(recipe, Task("run", None, corpus, folder, 3))
    return folder


def branched(run_folder, corpus, tmp_path, **going):
    inputs = {**corpus, "run": str(run_folder)}
    tables = Branch.make(
        Going(**{"length": 0, "tail": "decay", "averaged": 3, **going}), Task("b", None, inputs, tmp_path / "b", 3)
    )
    told = {row["covariate"]: row["value"] for row in tables[COVARIATES.name]}
    return load_file(tmp_path / "b/step0/model.safetensors"), told, tables[TRAINING.name]


def test_a_branch_shares_its_runs_weights_bit_for_bit(run_folder, corpus, tmp_path):
    there = load_file(run_folder / "step10/model.safetensors")
    own, told, losses = branched(run_folder, corpus, tmp_path, at=At(step=10))
    assert all(torch.equal(own[name], there[name]) for name in there)
    assert (told["steps"], told["branched_at"], told["learning_rate"], losses) == (10, 10, 0.01, [])


def test_a_decayed_branch_is_told_in_its_covariates(run_folder, corpus, tmp_path):
    own, told, losses = branched(run_folder, corpus, tmp_path, at=At(step=10), length=0.5)
    assert (told["steps"], told["branched_at"], told["learning_rate"]) == (15, 10, 0)
    assert told["tokens"] == 15 * 4 * 8
    assert [row["step"] for row in losses] == [10, 11, 12, 13, 14]
    there = load_file(run_folder / "step10/model.safetensors")
    assert not all(torch.equal(own[name], there[name]) for name in there)
    again, _, _ = branched(run_folder, corpus, tmp_path / "again", at=At(step=10), length=0.5)
    assert all(torch.equal(own[name], again[name]) for name in own)


def test_a_state_is_kept_where_the_loss_first_falls_to_a_value(run_folder, corpus, tmp_path):
    """And at the end of the schedule where it never does, marked as such."""
    assert {path.name for path in (run_folder / KEPT).iterdir()} == {
        "recipe.json", kept_at(step=10), kept_at(loss=3.0), kept_at(loss=0.001),
    }  # fmt: skip
    _, reached, _ = branched(run_folder, corpus, tmp_path, at=At(loss=3.0))
    _, missed, _ = branched(run_folder, corpus, tmp_path / "other", at=At(loss=0.001))
    assert reached["reached"] == 1 and 0 < reached["branched_at"] < 40 and reached["branched_at"] % 2 == 0
    assert (missed["reached"], missed["branched_at"]) == (0, 40)
    assert json.loads((run_folder / KEPT / "recipe.json").read_text())["training"]["seed"] == 3


def study(**models) -> dict:
    config = small_config()
    config["models"]["tiny"]["keep"] = {"losses": [3], "steps": [20]}
    config["models"] |= models
    return config


def test_the_covariates_of_a_branch_are_its_runs_and_its_own():
    found = settings(study(b={"source": "branch", "of": "tiny", "at": {"loss": 3}, "covariates": {"by": "me"}}), Study)
    told = found.made_with("b", 0)
    assert told["lr"] == 0.01 and told["hidden"] == 16
    assert told["branch_of"] == "tiny" and told["by"] == "me"
    assert not {"steps", "tokens", "learning_rate"} & set(told), "the job tells these"
    assert found.made_with("tiny", 20)["tokens"] == 20 * 8 * 16
    assert found.size("b", 256) == found.size("tiny", 256) > 0
    assert found.tokens("b") == 0


@pytest.mark.parametrize(
    ("branch", "line"),
    [
        ({"of": "tinny", "at": {"loss": 3}}, "models.b.of: 'tinny' is no model of source train; there are tiny"),
        ({"of": "tiny", "at": {"loss": 2}}, "models.b.at.loss: 2 is not one of models.tiny.keep.losses, [3]"),
        ({"of": "tiny", "at": {"step": 10}}, "models.b.at.step: 10 is not one of models.tiny.keep.steps, [20]"),
        ({"of": "tiny", "at": {}}, "models.b.at: give loss or step, one of both"),
        ({"of": "tiny", "at": {"loss": 3}, "steps": [5]}, "models.b.steps: the model has no checkpoint of step 5;"),
    ],
)
def test_a_branch_of_what_is_not_there_is_one_line(branch, line):
    with pytest.raises(StudyError) as error:
        settings(study(b={"source": "branch", **branch}), Study)
    assert line in str(error.value)


def test_a_run_without_steps_keeps_states():
    config = study()
    config["models"]["stem"] = {**config["models"]["tiny"], "steps": []}
    del config["models"]["stem"]["window"]
    assert settings(config, Study).models["stem"].steps == ()
    del config["models"]["stem"]["keep"]
    with pytest.raises(StudyError, match=r"models\.stem\.steps: no step, and nothing under models\.stem\.keep"):
        settings(config, Study)
