"""Training on the spot, free and under a constraint."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from smdl.compression.constraint import Constraint
from smdl.compression.schemes.motifs import Motifs, to_blocks
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.weights import Weights
from smdl.corpus.blocks import cut, split_rows
from smdl.foundation.errors import StudyError
from smdl.models.loading import block_losses, load, tensor_manifest
from smdl.sources.schedule import learning_rate
from smdl.sources.source import Task
from smdl.sources.train import Architecture, Recipe, Train, Training
from smdl.sources.training import Run, new_model, noisy_labels, train
from smdl.tables import write_table
from smdl.tables.study import CORPUS

SHAPE = Architecture(layers=1, hidden=16, heads=2)
SETTINGS = Training(steps=40, batch_size=8, lr=0.01, warmup=5, weight_decay=0.01)
BLOCKS = np.tile(np.arange(8, dtype=np.uint16), (64, 1)) + np.arange(64, dtype=np.uint16)[:, None] % 24


def trained(folder, constraint=None, save_at=(0, 40)) -> list[float]:
    model = new_model(SHAPE, 32, 8, 0)
    return [loss for _, loss in train(Run(model, BLOCKS, SETTINGS, 1, constraint), list(save_at), folder)]


def test_training_lowers_the_loss_and_repeats_itself(tmp_path):
    first = trained(tmp_path / "a")
    assert first[-1] < 0.5 * first[0]
    assert trained(tmp_path / "b") == first
    manifests = [[row["sha256"] for row in tensor_manifest(tmp_path / run / "step40")] for run in ("a", "b")]
    assert manifests[0] == manifests[1]
    assert load(tmp_path / "a/step40").config.model_type == "gpt_neox"


def test_the_schedule_warms_up_and_decays_to_a_tenth():
    assert learning_rate(0, SETTINGS) == pytest.approx(0.002)
    assert learning_rate(5, SETTINGS) == pytest.approx(0.01)
    assert learning_rate(40, SETTINGS) == pytest.approx(0.001)


def test_a_constant_schedule_stays_at_the_peak():
    constant = SETTINGS.model_copy(update={"schedule": "constant"})
    assert learning_rate(0, constant) == pytest.approx(0.002)
    assert learning_rate(5, constant) == learning_rate(40, constant) == 0.01


def test_labels_are_replaced_at_their_rate_and_inputs_are_not():
    blocks = np.zeros((400, 64), np.uint16)
    noisy = noisy_labels(blocks, 50, 0.3, 0)
    # A label that is drawn anew is the old one with probability 1/50.
    assert (noisy != 0).mean() == pytest.approx(0.3 * 49 / 50, abs=0.01)
    assert set(np.unique(noisy)) == set(range(50))
    assert (blocks == 0).all()
    assert noisy_labels(blocks, 50, 0.0, 0) is blocks
    np.testing.assert_array_equal(noisy, noisy_labels(blocks, 50, 0.3, 0))
    assert (noisy != noisy_labels(blocks, 50, 0.3, 1)).any()


def test_noisy_labels_are_what_the_model_learns(tmp_path):
    noisy = SETTINGS.model_copy(update={"label_noise": 1.0, "steps": 200})
    clean = SETTINGS.model_copy(update={"steps": 200})
    last = {}
    for name, settings in (("noisy", noisy), ("clean", clean)):
        model = new_model(SHAPE, 32, 8, 0, settings)
        list(train(Run(model, BLOCKS, settings, 1), [200], tmp_path / name))
        last[name] = block_losses(load(tmp_path / name / "step200"), BLOCKS, 64).mean()
    assert last["clean"] < 1 < last["noisy"]


def test_only_the_unique_share_of_the_blocks_is_seen(tmp_path):
    quarter = SETTINGS.model_copy(update={"unique_share": 0.25, "steps": 6})
    spoilt = BLOCKS.copy()
    spoilt[16:] = 0
    runs = []
    for name, blocks in (("whole", BLOCKS), ("spoilt", spoilt)):
        model = new_model(SHAPE, 32, 8, 0, quarter)
        runs.append([loss for _, loss in train(Run(model, blocks, quarter, 1), [6], tmp_path / name)])
    assert runs[0] == runs[1]


def test_a_share_smaller_than_a_batch_is_refused(tmp_path):
    little = SETTINGS.model_copy(update={"unique_share": 0.1})
    with pytest.raises(StudyError, match="7 blocks are left for training, fewer than a batch of 8"):
        Run(new_model(SHAPE, 32, 8, 0, little), BLOCKS, little, 1)


def test_the_first_weights_have_their_scale_and_the_model_its_dropout():
    wide = SETTINGS.model_copy(update={"init_scale": 2.0, "dropout": 0.25})
    plain, scaled = new_model(SHAPE, 32, 8, 0), new_model(SHAPE, 32, 8, 0, wide)
    for own, other in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(other, own * (2 if own.ndim > 1 else 1))
    tokens = torch.zeros(1, 8, dtype=torch.long)
    passes = [[model.train()(input_ids=tokens).logits.sum().item() for _ in range(2)] for model in (plain, scaled)]
    assert passes[0][0] == passes[0][1]
    assert passes[1][0] != passes[1][1]


def test_a_seed_decides_the_first_weights():
    first, same, other = (new_model(SHAPE, 32, 8, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_model_of_its_seed_is_the_one_that_the_study_makes_with_that_seed(tmp_path):
    cut_blocks, splits = cut(
        np.random.default_rng(0).integers(0, 32, 4096),
        32,
        8,
        dict.fromkeys(("sampling", "evaluation", "calibration"), 8),
        0,
    )
    np.save(tmp_path / "blocks.npy", cut_blocks)
    write_table(tmp_path / "splits.parquet", CORPUS, pd.DataFrame(split_rows(splits, "here")), {})
    inputs = {name: str(tmp_path / file) for name, file in (("blocks", "blocks.npy"), ("splits", "splits.parquet"))}

    def made(seed: int | None, of_study: int) -> dict[str, torch.Tensor]:
        training = Training(steps=4, batch_size=4, lr=0.01, seed=seed)
        folder = tmp_path / f"{seed}-{of_study}"
        Train.make(
            Recipe(architecture=SHAPE, training=training, steps=(4,)), Task("model", None, inputs, folder, of_study)
        )
        return load_file(folder / "step4/model.safetensors")

    with_its_own, with_the_studys, another = made(5, 0), made(None, 5), made(None, 0)
    assert all(torch.equal(with_its_own[name], with_the_studys[name]) for name in another)
    assert not all(torch.equal(with_its_own[name], another[name]) for name in another)


def test_projection_onto_motifs_leaves_at_most_k_distinct_blocks(tmp_path):
    scheme = Motifs(block=4, choice="random", iterations=0, parameters="matrices")
    losses = trained(tmp_path, Constraint(scheme, 0.1, "projection", 10), save_at=(20, 40))
    weights = Weights(load(tmp_path / "step40"))
    blocks = torch.cat([to_blocks(weights[view], 4) for view in weights.select("matrices")])
    assert len(torch.unique(blocks, dim=0)) <= max(1, round(0.1 * len(blocks)))
    assert losses[-1] < losses[0]


def test_straight_through_trains_for_the_quantized_loss_and_keeps_full_weights(tmp_path):
    scheme = Quantize(range="maximum", scope="tensor", parameters="matrices")
    constraint = Constraint(scheme, 3, "straight-through", 1)
    trained(tmp_path / "aware", constraint, save_at=(150,))
    trained(tmp_path / "free", save_at=(150,))

    def quantized_loss(run: str) -> float:
        model = load(tmp_path / run / "step150")
        constraint.project(model, 0)
        return block_losses(model, BLOCKS, 64).mean()

    assert quantized_loss("aware") < 0.8 * quantized_loss("free")
    matrix = load_file(tmp_path / "aware/step150/model.safetensors")["gpt_neox.embed_in.weight"]
    assert len(torch.unique(matrix)) > 3
