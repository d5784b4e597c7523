"""The losses of a checkpoint itself are computed as what is held against them: chains, and compressed models."""

import numpy as np
import pytest
import torch

import small_models
from smdl.compression.curve import curve
from smdl.compression.loss import CompressionLoss
from smdl.compression.schemes.noise import Noise
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.weights import Weights
from smdl.llc.sampler import minibatch
from smdl.models.loading import BlockLoss, block_losses, load
from smdl.models.reference import reference_losses

BLOCKS = {"sampling": small_models.blocks_of("training")[:32], "evaluation": small_models.blocks_of("evaluation")[:32]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    small_models.trained().save_pretrained(path)
    return path


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_chain_at_the_checkpoint_has_no_excess_loss(folder, dtype, autocast):
    """Whatever the precision of the chains; against a baseline in float32 it would be off by that of bfloat16."""
    baseline = reference_losses(folder, BLOCKS, 8, dtype, autocast)["sampling"]
    loss = BlockLoss(load(folder, dtype), BLOCKS["sampling"], autocast=autocast)
    batches = [minibatch(0, 0, step, loss.size, 8) for step in range(4)]
    seen = np.stack([loss(batch).detach().double().numpy() for batch in batches])
    fine = reference_losses(folder, BLOCKS, 8, "float32", autocast=False)["sampling"]
    off = np.abs(seen - fine[batches]).mean()
    assert (off > 1e-4) == (autocast or dtype == "bfloat16")
    assert np.abs(seen - baseline[batches]).mean() < max(1e-6, 0.1 * off)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_evaluation_blocks_are_taken_in_float32(folder, dtype):
    evaluation = reference_losses(folder, BLOCKS, 32, dtype, autocast=True)["evaluation"]
    np.testing.assert_array_equal(evaluation, block_losses(load(folder), BLOCKS["evaluation"], 32))


@pytest.mark.parametrize(
    ("scheme", "levels"),
    [
        (Quantize(range="maximum", scope="tensor", parameters="all"), [65536, 4096, 512]),
        (Noise(scale="relative", parameters="all"), [1e-4, 1e-3, 1e-2]),
    ],
)
def test_grids_and_noise_too_fine_for_bfloat16_are_told_apart(folder, scheme, levels):
    """Of a model whose chains are in bfloat16: every level changes the weights, and a finer one less."""
    reference = reference_losses(folder, BLOCKS, 32, "bfloat16", autocast=False)["evaluation"]
    weights = Weights(load(folder))
    points = curve(CompressionLoss(weights, BLOCKS["evaluation"], reference, 32), scheme, levels, [0])
    changes = [np.abs(point.delta.differences).max() for point in points]
    assert 0 < changes[0] < changes[1] < changes[2]
    assert changes[0] < 1e-4
    for level in levels:
        for item in scheme.compress(weights, level, 0, None):
            assert item.tensor.dtype == torch.float32
            assert not torch.equal(item.tensor, weights[item.view])
