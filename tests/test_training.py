"""Training on the spot, free and under a constraint."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from smdl.compression.constraint import Constraint
from smdl.compression.schemes.motifs import Motifs, to_blocks
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.weights import Weights
from smdl.models.loading import block_losses, load, tensor_manifest
from smdl.sources.train import Architecture, Training
from smdl.sources.training import learning_rate, new_model, train

SHAPE = Architecture(layers=1, hidden=16, heads=2)
SETTINGS = Training(steps=40, batch_size=8, lr=0.01, warmup=5, weight_decay=0.01)
BLOCKS = np.tile(np.arange(8, dtype=np.uint16), (64, 1)) + np.arange(64, dtype=np.uint16)[:, None] % 24


def trained(folder, constraint=None, save_at=(0, 40)) -> list[float]:
    model = new_model(SHAPE, 32, 8, 0)
    return [loss for _, loss in train(model, BLOCKS, SETTINGS, list(save_at), 1, folder, constraint)]


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
