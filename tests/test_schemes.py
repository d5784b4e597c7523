"""What holds for every scheme, and what each promises for itself."""

import copy
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import small_models
from smdl.compression.grid import codes, from_codes, to_grid
from smdl.compression.registry import SCHEMES, build
from smdl.compression.schemes import motifs
from smdl.compression.schemes.factorize import factors, weighted_factors
from smdl.compression.schemes.gptq import gptq, inverse_factor
from smdl.compression.schemes.kmeans import centroids, error, fit, nearest, sorted_sums
from smdl.compression.schemes.prune import least
from smdl.compression.schemes.round import ranges, spread
from smdl.compression.size import subset_bits
from smdl.compression.weights import Weights
from smdl.foundation.errors import StudyError
from smdl.models.loading import as_tokens, block_losses

PRUNED = {"prune": {"score": "magnitude", "scope": "tensor", "parameters": "linear"}}
FACTORIZED = {"factorize": {"weighting": "none", "skip_ends": 0, "stride": 1, "damping": 0.01}}
QUANTIZED = {"quantize": {"range": "minimised", "scope": "tensor", "parameters": "linear"}}
ROUNDED = {"round": {"group": 0, "parameters": "linear"}}
HEADS = {"retrain_steps": 0, "retrain_lr": 1e-3, "retrain_batch": 8}

# name: scheme, settings, a level at which it changes something, a level at which it changes nothing (or next to it)
VARIANTS = {
    "quantize global": ("quantize", {"range": "minimised", "scope": "global", "parameters": "all"}, 6, 2**20),
    "quantize tensor": ("quantize", {"range": "maximum", "scope": "tensor", "parameters": "matrices"}, 6, 2**20),
    "round channel": ("round", {"group": 0, "parameters": "matrices"}, 6, 2**20),
    "round group": ("round", {"group": 5, "parameters": "all"}, 6, 2**20),
    "kmeans": ("kmeans", {"iterations": 50, "parameters": "linear"}, 6, 2**10),
    "gptq channel": ("gptq", {"group": 0, "damping": 0.01, "block": 8, "parameters": "matrices"}, 6, 2**20),
    "gptq group": ("gptq", {"group": 8, "damping": 0.01, "block": 128, "parameters": "all"}, 6, 2**20),
    "svd": ("factorize", {"weighting": "none", "skip_ends": 1, "stride": 2, "damping": 0.01}, 0.5, 0),
    "svd activations": (
        "factorize",
        {"weighting": "activations", "skip_ends": 0, "stride": 1, "damping": 1e-3},
        0.5,
        0,
    ),
    "noise relative": ("noise", {"scale": "relative", "parameters": "all"}, 0.5, 0),
    "noise absolute": ("noise", {"scale": "absolute", "parameters": "linear"}, 0.5, 0),
    "magnitude": ("prune", {"score": "magnitude", "scope": "global", "parameters": "matrices"}, 0.5, 0),
    "wanda": ("prune", {"score": "wanda", "scope": "row", "parameters": "linear"}, 0.5, 0),
    "heads random": ("prune_heads", {"score": "random", **HEADS}, 0.5, 0),
    "heads output": ("prune_heads", {"score": "output_norm", **HEADS}, 0.5, 0),
    "heads weight": ("prune_heads", {"score": "weight_norm", **HEADS}, 0.5, 0),
    "heads retrained": ("prune_heads", {"score": "weight_norm", **HEADS, "retrain_steps": 2}, 0.5, 0),
    "motifs": ("motifs", {"block": 3, "choice": "random", "iterations": 0, "parameters": "all"}, 0.1, None),
    "motifs kmeans": ("motifs", {"block": 16, "choice": "kmeans", "iterations": 3, "parameters": "linear"}, 0.1, None),
    "prune, quantize": ("sequence", {"first": PRUNED, "first_level": 0.5, "second": QUANTIZED}, 6, None),
    "factorize, round": ("sequence", {"first": FACTORIZED, "first_level": 0.7, "second": ROUNDED}, 6, None),
}
MODELS = {
    "neox": small_models.neox,
    "bfloat16": lambda: small_models.neox(torch.bfloat16),
    "llama": lambda: small_models.llama(tied=True),
    "olmo2": small_models.olmo2,
    "gpt2": small_models.gpt2,
}


def middle(name: str) -> float:
    """A level of a scheme that changes something, from what it declares."""
    scheme = SCHEMES[name]
    if scheme.axis.whole:
        return 6
    return 0.5 if scheme.levels.high == 1 else 1.0


# Every scheme with its defaults, so that a new one gets the tests that hold for all; a sequence has none.
VARIANTS |= {f"{name} by default": (name, {}, middle(name), None) for name in SCHEMES if name != "sequence"}
TOUCHES_ALL = {"heads retrained"} | {
    name for name, own in VARIANTS.items() if getattr(build(*own[:2]), "parameters", None) == "all"
}


def compressed(name, weights, level, seed=0):
    scheme = build(VARIANTS[name][0], VARIANTS[name][1])
    with torch.no_grad():
        return {item.view: item for item in scheme.compress(weights, level, seed, 0.7 if scheme.tuned else None)}


@pytest.fixture(scope="module")
def neox():
    return small_models.weights_of(small_models.neox())


@pytest.fixture(scope="module")
def trained():
    return small_models.weights_of(small_models.trained())


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_a_scheme_is_a_pure_function_of_the_weights(name, model):
    weights = small_models.weights_of(MODELS[model]())
    before = {key: tensor.clone() for key, tensor in weights.model.state_dict().items()}
    first, second = (compressed(name, weights, VARIANTS[name][2], seed=3) for _ in range(2))
    assert first
    for view, item in first.items():
        original = weights[view]
        assert (item.tensor.dtype, item.tensor.device) == (original.dtype, original.device)
        assert item.tensor.shape == view.shape
        assert torch.equal(item.tensor, second[view].tensor)
        assert item.size == second[view].size
        assert torch.isfinite(item.tensor).all()
    assert any(not torch.equal(item.tensor, weights[view]) for view, item in first.items())
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights.model.state_dict().items())
    if name not in TOUCHES_ALL:
        assert len(first) < len(weights.views)


@pytest.mark.parametrize("name", [name for name, variant in VARIANTS.items() if variant[3] is not None])
def test_at_the_finest_level_nothing_changes(name, neox):
    exact = VARIANTS[name][3] == 0
    for view, item in compressed(name, neox, VARIANTS[name][3]).items():
        if exact:
            assert torch.equal(item.tensor, neox[view])
        elif "global" in name or "tensor" in name:
            inside = neox[view].abs() < 0.7 * neox[view].abs().max()
            torch.testing.assert_close(item.tensor[inside], neox[view][inside], rtol=0, atol=1e-5)
        else:
            torch.testing.assert_close(item.tensor, neox[view], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["noise relative", "heads random", "motifs"])
def test_another_seed_gives_another_result(name, neox):
    first, second = (compressed(name, neox, VARIANTS[name][2], seed) for seed in (0, 1))
    assert any(view not in second or not torch.equal(first[view].tensor, second[view].tensor) for view in first)
    assert build(*VARIANTS[name][:2]).random


# Grids

tensors = st.builds(
    lambda rows, columns, seed, scale: (
        scale * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    ),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.sampled_from([1e-4, 1.0, 30.0]),
)


@given(tensors, st.integers(2, 300), st.floats(0.1, 1.0))
def test_the_grid_has_n_q_values_is_idempotent_and_errs_by_half_a_spacing(tensor, n_q, clip):
    m = clip * float(tensor.abs().max())
    rounded = to_grid(tensor, n_q, m)
    assert len(rounded.unique()) <= n_q
    assert float(rounded.abs().max()) <= m * (1 + 1e-6)
    torch.testing.assert_close(to_grid(rounded, n_q, m), rounded, rtol=1e-5, atol=1e-6 * m)
    inside = tensor.abs() <= m
    assert ((rounded - tensor)[inside].abs() <= m / (n_q - 1) * (1 + 1e-4) + 1e-6 * m).all()


@given(tensors, st.integers(1, 50), st.integers(2, 40))
def test_a_group_has_its_own_range(tensor, group, n_q):
    m = spread(ranges(tensor, group), tensor.shape[1], group)
    assert m.shape == tensor.shape
    assert (tensor.abs() <= m).all()
    for start in range(0, tensor.shape[1], group):
        part = slice(start, start + group)
        assert torch.equal(m[:, part].amax(1), tensor[:, part].abs().amax(1))
    assert ((to_grid(tensor, n_q, m) - tensor).abs() <= m / (n_q - 1) * (1 + 1e-4) + 1e-6 * m).all()


def test_a_tensor_of_zeros_stays():
    zeros = torch.zeros(3, 4)
    assert torch.equal(to_grid(zeros, 4, spread(ranges(zeros, 0), 4, 0)), zeros)


@given(tensors, st.integers(2, 30))
def test_finer_grids_err_less(tensor, n_q):
    m = float(tensor.abs().max())
    coarse, fine = ((to_grid(tensor, n, m) - tensor).abs().max() for n in (n_q, 2 * n_q - 1))
    assert fine <= coarse * (1 + 1e-5) + 1e-6 * m


# Codebooks


@given(tensors, st.integers(1, 20))
def test_k_means_is_no_worse_than_the_uniform_grid_and_cannot_be_moved_further(tensor, k):
    ordered, sums = sorted_sums(tensor)
    codebook = fit(ordered, sums, k, iterations=500)
    largest = tensor.double().abs().max()
    uniform = torch.linspace(-1, 1, k, dtype=torch.float64) * largest
    assert error(ordered, codebook) <= error(ordered, uniform) * (1 + 1e-9) + 1e-12
    torch.testing.assert_close(centroids(ordered, sums, codebook), codebook, rtol=1e-6, atol=1e-9)
    distances = (tensor.double().flatten()[:, None] - codebook).abs()
    chosen = (nearest(tensor.double(), codebook).flatten() - tensor.double().flatten()).abs()
    torch.testing.assert_close(chosen, distances.min(1).values)


@given(st.integers(2, 6), st.integers(1, 30), st.integers(0, 2**32))
def test_k_means_finds_clusters_that_lie_apart(k, size, seed):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.arange(k, dtype=torch.float64) * 10 - 7
    tensor = centres[:, None] + torch.rand(k, size, generator=generator, dtype=torch.float64)
    codebook = fit(*sorted_sums(tensor), k, iterations=100)
    torch.testing.assert_close(codebook, tensor.mean(1))


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_with_a_value_for_every_weight_k_means_is_exact(size, seed):
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    assert error(tensor.double(), fit(*sorted_sums(tensor), size, iterations=100)) < 1e-20


# GPTQ


def output_error(difference, moment):
    """E |(W - W') x|^2."""
    return float(((difference.double() @ moment.double()) * difference.double()).sum())


@given(st.integers(0, 2**32), st.integers(2, 32), st.integers(1, 30))
@settings(max_examples=30)
def test_gptq_does_not_depend_on_the_block_size(seed, n_q, block):
    generator = torch.Generator().manual_seed(seed)
    matrix, x = torch.randn(6, 24, generator=generator), torch.randn(100, 24, generator=generator)
    factor = inverse_factor(x.T @ x, 0.01)
    grid = spread(ranges(matrix, 0), 24, 0)
    # An element midway between two grid values may fall on either side, so a few codes may differ.
    same = torch.isclose(gptq(matrix, factor, n_q, grid, block), gptq(matrix, factor, n_q, grid, 1))
    assert same.float().mean() > 0.9


def test_gptq_with_independent_inputs_is_round_to_nearest():
    matrix = torch.randn(6, 24, generator=torch.Generator().manual_seed(0))
    grid = spread(ranges(matrix, 0), 24, 0)
    rounded = gptq(matrix, inverse_factor(torch.eye(24), 0.01), 8, grid, 128)
    torch.testing.assert_close(rounded, to_grid(matrix, 8, grid))


@pytest.mark.parametrize("n_q", [3, 8, 32])
def test_gptq_errs_less_than_round_to_nearest_on_the_calibration_blocks(trained, n_q):
    gptq_items = build("gptq", VARIANTS["gptq channel"][1]).compress(trained, n_q, 0, None)
    round_items = {i.view: i for i in build("round", VARIANTS["round channel"][1]).compress(trained, n_q, 0, None)}
    better = []
    for item in gptq_items:
        moment = trained.inputs(item.view)
        rounded = round_items[item.view].tensor
        if moment is None:
            assert torch.equal(item.tensor, rounded)
        else:
            errors = [output_error(t - trained[item.view], moment) for t in (item.tensor, rounded)]
            better.append(errors[0] < errors[1])
    assert np.mean(better) > 0.9


# Low rank


@given(tensors, st.data())
def test_truncated_svd_has_the_error_of_eckart_and_young(tensor, data):
    full = min(tensor.shape)
    rank = data.draw(st.integers(0, full))
    left, right = factors(tensor)
    values = torch.linalg.svdvals(tensor)
    found = torch.linalg.matrix_norm(tensor - left[:, :rank] @ right[:rank])
    torch.testing.assert_close(found, values[rank:].square().sum().sqrt(), rtol=1e-3, atol=1e-4 * float(values[0]))


@given(st.integers(0, 2**32), st.integers(0, 8))
@settings(max_examples=50)
def test_the_weighted_svd_is_the_best_of_its_rank_for_the_output(seed, rank):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(8, 12, generator=generator)
    x = torch.randn(200, 12, generator=generator) @ torch.randn(12, 12, generator=generator)
    moment = x.T @ x / 200
    left, right = weighted_factors(matrix, moment, damping=0.0)
    found = output_error(matrix - left[:, :rank] @ right[:rank], moment)
    tail = torch.linalg.svdvals(matrix.double() @ torch.linalg.cholesky(moment.double()))[rank:].square().sum()
    assert found == pytest.approx(float(tail), rel=1e-3, abs=1e-4 * output_error(matrix, moment))
    plain = factors(matrix)
    assert found <= output_error(matrix - plain[0][:, :rank] @ plain[1][:rank], moment) * 1.001 + 1e-6


def test_factorization_skips_the_published_layers_and_reaches_its_rank():
    weights = small_models.weights_of(small_models.trained(layers=7, hidden=8, steps=0))
    items = compressed("svd", weights, 0.5)
    assert {item.layer for item in items} == {1, 3, 5}
    for view, item in compressed("svd activations", weights, 0.75).items():
        full = min(view.shape)
        values = torch.linalg.svdvals(item.tensor.double())
        assert int((values > 1e-5 * values[0]).sum()) == full - round(0.75 * full)
        stored = (full - round(0.75 * full)) * sum(view.shape)
        assert item.size.bits == 32 * min(stored, view.elements)


# Pruning


@given(tensors, st.floats(0, 1))
def test_exactly_the_least_are_chosen(tensor, fraction):
    gone = least(tensor.abs(), fraction)
    assert (gone.sum(1) == round(fraction * tensor.shape[1])).all()
    for scores, out in zip(tensor.abs(), gone, strict=True):
        if out.any() and not out.all():
            assert scores[out].max() <= scores[~out].min()


def test_ties_are_pruned_exactly_too():
    assert int(least(torch.ones(10), 0.3).sum()) == 3


@pytest.mark.parametrize(("name", "fraction"), [("magnitude", 0.3), ("wanda", 0.6)])
def test_sparsity_is_exact_and_the_rest_untouched(neox, name, fraction):
    items = compressed(name, neox, fraction)
    zeros = sum(int((item.tensor == 0).sum()) for item in items.values())
    if name == "magnitude":
        assert zeros == round(fraction * sum(view.elements for view in items))
    for view, item in items.items():
        assert torch.equal(item.tensor[item.mask], neox[view][item.mask])
        if name == "wanda":
            assert ((item.tensor == 0).sum(1) == round(fraction * view.shape[1])).all()


def test_wanda_weighs_by_the_norm_of_the_inputs(neox):
    item = next(iter(compressed("wanda", neox, 0.5).values()))
    score = neox[item.view].abs() * neox.inputs(item.view).diagonal().sqrt()
    for row, mask in zip(score, item.mask, strict=True):
        assert row[~mask].max() <= row[mask].min()


@pytest.mark.parametrize("name", ["noise relative", "noise absolute"])
def test_noise_is_the_same_at_every_level_and_scaled_as_said(neox, name):
    weak, strong = (compressed(name, neox, level, seed=5) for level in (0.1, 0.4))
    for view, item in weak.items():
        noise = item.tensor - neox[view]
        torch.testing.assert_close(4 * noise, strong[view].tensor - neox[view], rtol=1e-3, atol=1e-5)
        if view.elements >= 256:
            unit = float(neox[view].std()) if name == "noise relative" else 1.0
            assert float(noise.std()) == pytest.approx(0.1 * unit, rel=0.2)
        assert item.size.bits > strong[view].size.bits


@pytest.mark.parametrize(
    "name", [name for name, variant in VARIANTS.items() if variant[3] == 0 and "heads" not in name]
)
def test_a_coarser_level_errs_more(neox, name):
    def whole(level):
        items = compressed(name, neox, level)
        weighted = name == "svd activations"
        return sum(
            output_error(item.tensor - neox[view], neox.inputs(view) if weighted else torch.eye(view.shape[-1]))
            if view.is_matrix
            else float((item.tensor - neox[view]).square().sum())
            for view, item in items.items()
        )

    errors = [whole(level) for level in (0, 0.2, 0.4, 0.8, 1.0)]
    assert errors[0] == 0
    assert all(finer < coarser * (1 + 1e-6) for finer, coarser in pairwise(errors))


# Heads


@pytest.mark.parametrize("model", ["neox", "llama", "olmo2", "gpt2"])
def test_pruned_heads_add_nothing_and_the_others_are_as_before(model):
    """The pruned model computes what the original does with those heads' outputs cut by hand."""
    weights = small_models.weights_of(small_models.llama(tied=False) if model == "llama" else MODELS[model]())
    network = weights.model
    scheme = build("prune_heads", {"score": "random", **HEADS})
    items = list(scheme.compress(weights, 0.5, 2, None))
    cut = {item.view.module: item.mask.any(0) for item in items if item.view.role == "attention_output"}
    tokens = as_tokens(small_models.blocks_of("evaluation")[:2], network)
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_pre_hook(lambda _, inputs, kept=kept: (inputs[0] * kept,))
        for name, kept in cut.items()
    ]
    with torch.no_grad():
        by_hand = network(input_ids=tokens).logits
        for handle in handles:
            handle.remove()
        for item in items:
            item.view.put(item.tensor)
        pruned = network(input_ids=tokens).logits
    weights.restore()
    torch.testing.assert_close(pruned, by_hand, rtol=1e-4, atol=1e-5)
    heads = sum(int((~kept).sum()) for kept in cut.values()) // 4
    assert heads == round(0.5 * 4 * network.config.num_hidden_layers)


def test_the_head_whose_output_is_smallest_goes_first(neox):
    outputs = next(view for view in neox.views if view.role == "attention_output" and view.layer == 1)
    weights = small_models.weights_of(small_models.neox())
    own = next(view for view in weights.views if view.name == outputs.name)
    weak = own.current()
    weak[:, 8:12] *= 1e-3
    own.put(weak)
    weights = small_models.weights_of(weights.model)
    for name in ("heads output", "heads weight"):
        (first,) = [item for item in compressed(name, weights, 1 / 12).values() if item.view.role == "attention_output"]
        assert first.view.layer == 1
        assert (~first.mask).any(0).nonzero().flatten().tolist() == [8, 9, 10, 11]


def test_a_retraining_in_parts_is_that_at_once(trained):
    found = []
    for at_once in (None, 3):
        settings = {"score": "weight_norm", **HEADS, "retrain_steps": 3, "retrain_at_once": at_once}
        items = build("prune_heads", settings).compress(trained, 0.5, 0, None)
        found.append({item.view: item.tensor for item in items})
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(tensor, found[1][view], atol=1e-4) for view, tensor in found[0].items())
    assert any(not torch.equal(tensor, trained[view]) for view, tensor in found[0].items())


def test_a_brief_retraining_helps_and_keeps_the_heads_at_zero(trained):
    blocks = small_models.blocks_of("calibration")
    losses = {}
    for steps in (0, 20):
        scheme = build("prune_heads", {"score": "weight_norm", **HEADS, "retrain_steps": steps})
        items = list(scheme.compress(trained, 0.5, 0, None))
        for item in items:
            item.view.put(item.tensor)
            if item.mask is not None:
                assert (item.tensor[~item.mask] == 0).all()
        losses[steps] = block_losses(trained.model, blocks, 32).mean()
        trained.restore()
    assert losses[20] < losses[0]


def test_weights_in_bfloat16_are_retrained_as_in_float32():
    """At the learning rate of config.yaml; the weights begin alike, and end alike up to the spacing of bfloat16."""
    rough = small_models.neox(torch.bfloat16)
    scheme = build("prune_heads", {**HEADS, "score": "weight_norm", "retrain_steps": 30, "retrain_lr": 1e-5})
    moved, reach = {}, {}
    for model in (rough, copy.deepcopy(rough).float()):
        weights = small_models.weights_of(model)
        items = [item for item in scheme.compress(weights, 0.25, 0, None) if item.view.is_linear]
        masks = [torch.ones(item.view.shape, dtype=torch.bool) if item.mask is None else item.mask for item in items]
        starts = [weights[item.view].float() * mask for item, mask in zip(items, masks, strict=True)]
        kept = torch.cat([mask.flatten() for mask in masks])
        before = torch.cat([start.flatten() for start in starts])[kept]
        after = torch.cat([item.tensor.flatten() for item in items])[kept].to(torch.bfloat16).float()
        moved[model.dtype] = after - before
        reach[model.dtype] = before.abs()
    rough, fine = moved.values()
    small = reach[torch.float32] < 0.02
    assert small.sum() > 500
    # What steps of 1e-5 make of weights whose neighbours lie up to 1.2e-4 away
    assert (fine[small] != 0).float().mean() > 0.6
    assert (rough[small] != 0).float().mean() > 0.6
    assert float(rough @ fine / (fine @ fine)) == pytest.approx(1, abs=0.15)


def test_a_model_without_separate_heads_is_refused_in_one_line():
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2))
    with pytest.raises(StudyError, match=r"leave prune_heads out of the model.s key schemes"):
        list(build("prune_heads", {"score": "random", **HEADS}).compress(Weights(model), 0.5, 0, None))


# Motifs


@given(st.integers(1, 60), st.integers(1, 20), st.sampled_from([1, 4, 12]), st.integers(0, 2**32))
def test_every_block_gets_its_nearest_motif(count, k, size, seed):
    generator = torch.Generator().manual_seed(seed)
    blocks, dictionary = (torch.randn(n, size, generator=generator) for n in (count, k))
    index = motifs.assign(blocks, dictionary)
    distances = torch.cdist(blocks.double(), dictionary.double())
    torch.testing.assert_close(distances.gather(1, index[:, None])[:, 0], distances.min(1).values)


@pytest.mark.parametrize("name", ["motifs", "motifs kmeans"])
def test_a_mosaic_has_k_motifs_and_one_is_zero(neox, name):
    block = VARIANTS[name][1]["block"]
    items = compressed(name, neox, 0.05)
    pooled = torch.cat([motifs.to_blocks(neox[view], block) for view in items])
    k = round(0.05 * len(pooled))
    mosaic = torch.cat([motifs.to_blocks(item.tensor, block) for item in items.values()])
    distinct = mosaic.unique(dim=0)
    # The padding cuts the last block of a tensor short, so it may look like a motif of its own.
    padded = sum(view.elements % block > 0 for view in items)
    assert len(distinct) <= k + padded
    bits = sum(item.size.bits for item in items.values())
    assert bits == pytest.approx(len(pooled) * math.log2(k) + (k - 1) * block * 32)


def test_a_larger_dictionary_errs_less_and_k_means_less_than_random(neox):
    def whole(name, capacity):
        return sum(float((i.tensor - neox[i.view]).square().sum()) for i in compressed(name, neox, capacity).values())

    errors = [whole("motifs", capacity) for capacity in (0.01, 0.05, 0.2, 0.8)]
    assert all(fine < coarse for coarse, fine in pairwise(errors))
    variant = {**VARIANTS["motifs kmeans"][1], "choice": "random"}
    random = sum(
        float((i.tensor - neox[i.view]).square().sum()) for i in build("motifs", variant).compress(neox, 0.1, 0, None)
    )
    assert whole("motifs kmeans", 0.1) < random


def test_assignment_keeps_to_its_memory():
    """All distances of 200,000 blocks to 1,000 motifs would take 800 MB."""
    program = """
import resource, torch
from smdl.compression.schemes.motifs import assign
blocks, motifs = torch.randn(200_000, 16), torch.randn(1_000, 16)
assign(blocks[:10], motifs)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assign(blocks, motifs)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 300


# Two in sequence


def test_pruned_weights_stay_zero_and_only_survivors_are_coded(neox):
    items = compressed("prune, quantize", neox, 6)
    for view, item in items.items():
        assert int((item.tensor == 0).sum()) >= round(0.5 * view.elements)
        kept = view.elements - round(0.5 * view.elements)
        assert item.size.bits == pytest.approx(kept * math.log2(6) + 32 + subset_bits(view.elements, kept))


def test_after_a_factorization_the_factors_are_rounded(neox):
    for view, item in compressed("factorize, round", neox, 6).items():
        assert item.factors is not None
        rank = item.factors[1].shape[0]
        assert rank == min(view.shape) - round(0.7 * min(view.shape))
        assert all(len(row.unique()) <= 6 for factor in item.factors for row in factor)
        scales = view.shape[0] + rank
        assert item.size.bits == pytest.approx(rank * sum(view.shape) * math.log2(6) + 32 * scales)


def test_gptq_on_factors_sees_the_inputs_that_each_factor_has(neox):
    """Rounded by GPTQ, the factors give an output nearer to the factorized one than rounded to the nearest."""
    errors = {}
    for name, own in (("gptq", VARIANTS["gptq channel"][1]), ("round", VARIANTS["round channel"][1])):
        second = {name: {**own, "parameters": "linear"}}
        scheme = build("sequence", {"first": FACTORIZED, "first_level": 0.7, "second": second})
        whole = {i.view: i.tensor for i in scheme.first.scheme.compress(neox, 0.7, 0, None)}
        items = scheme.compress(neox, 6, 0, None)
        errors[name] = sum(output_error(i.tensor - whole[i.view], neox.inputs(i.view)) for i in items)
    assert errors["gptq"] < errors["round"]


def test_a_first_scheme_that_does_nothing_leaves_the_second(neox):
    first_level_zero = {"first": PRUNED, "first_level": 0.0, "second": ROUNDED}
    both = {i.view: i for i in build("sequence", first_level_zero).compress(neox, 6, 0, None)}
    second = {i.view: i for i in build("round", {"group": 0, "parameters": "linear"}).compress(neox, 6, 0, None)}
    assert set(both) == set(second)
    assert all(torch.equal(both[view].tensor, second[view].tensor) for view in both)
    assert all(both[view].size == second[view].size for view in both)


# Sizes: real encoders reach them


def packed(symbols, alphabet):
    """Symbols as one number in base ``alphabet``, and its length in bits."""
    number = 0
    for symbol in symbols:
        number = number * alphabet + int(symbol)
    return number, math.ceil(len(symbols) * math.log2(alphabet))


def unpacked(number, count, alphabet):
    symbols = []
    for _ in range(count):
        number, symbol = divmod(number, alphabet)
        symbols.append(symbol)
    return symbols[::-1]


@pytest.mark.parametrize("n_q", [2, 6, 256])
def test_rounded_weights_fit_into_their_size(neox, n_q):
    for item in build("round", {"group": 5, "parameters": "linear"}).compress(neox, n_q, 0, None):
        m = ranges(neox[item.view], 5)
        grid = spread(m, item.view.shape[1], 5)
        number, bits = packed(codes(neox[item.view], n_q, grid).flatten().long().tolist(), n_q)
        assert number.bit_length() <= bits
        assert bits + 8 * m.numpy().nbytes == pytest.approx(item.size.bits, abs=1)
        decoded = torch.tensor(unpacked(number, item.view.elements, n_q)).reshape(item.view.shape)
        assert torch.equal(from_codes(decoded, n_q, grid, torch.float32), item.tensor)


def test_a_codebook_and_its_codes_fit_into_their_size(neox):
    for item in build("kmeans", {"iterations": 5, "parameters": "linear"}).compress(neox, 6, 0, None):
        codebook, symbols = item.tensor.unique(return_inverse=True)
        number, bits = packed(symbols.flatten().tolist(), 6)
        assert number.bit_length() <= bits
        assert bits + 6 * 32 == pytest.approx(item.size.bits, abs=1)
        assert len(codebook) <= 6


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_mask_fits_into_its_size(mask):
    """The rank of a subset among all of its size (the combinatorial number system) is written in that many bits."""
    positions = [index for index, kept in enumerate(mask) if kept]
    rank = sum(math.comb(position, order + 1) for order, position in enumerate(positions))
    assert rank.bit_length() <= math.ceil(subset_bits(len(mask), len(positions)) + 1e-9)
    decoded = []
    for order in range(len(positions), 0, -1):
        position = max(p for p in range(order - 1, len(mask)) if math.comb(p, order) <= rank)
        rank -= math.comb(position, order)
        decoded.append(position)
    assert decoded[::-1] == positions


# From the config


@pytest.mark.parametrize(
    ("name", "settings_"),
    [
        ("round", {"groups": 3}),
        ("round", {"group": "three"}),
        ("round", {"group": True}),
        ("round", {"parameters": "most"}),
        ("sequence", {"first": {}, "first_level": 0.5, "second": ROUNDED}),
        ("sequence", {"first": {"prune": {"score": "luck"}}, "first_level": 0.5, "second": ROUNDED}),
        ("sequence", {"first": {**PRUNED, **FACTORIZED}, "first_level": 0.5, "second": ROUNDED}),
    ],
)
def test_wrong_settings_are_refused(name, settings_):
    with pytest.raises(ValidationError):
        build(name, settings_)
