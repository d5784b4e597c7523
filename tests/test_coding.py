"""Coding lengths: priors, entropy codes, structure, two-part totals."""

from math import comb, log, log2
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import small_models
from smdl.compression.grid import from_codes
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.weights import Parameters, Weights
from smdl.foundation.errors import StudyError
from smdl.rulers.codes.entropy import (
    LONGEST,
    arithmetic_decode,
    arithmetic_encode,
    canonical_codes,
    entropy_bits,
    huffman_decode,
    huffman_encode,
    huffman_lengths,
)
from smdl.rulers.codes.lengths import ENCODERS, Coder, coding_lengths
from smdl.rulers.codes.priors import PARAMETER_BITS, fit_mixture, gaussian, laplacian, mixture
from smdl.rulers.codes.quantized import quantize
from smdl.rulers.codes.structured import (
    BlockCounts,
    dictionary_and_assignments,
    dictionary_and_counts,
    distinct_blocks,
    mask_and_survivors,
    mask_bits,
)
from smdl.rulers.codes.two_part import critical_precision, least_total
from smdl.rulers.codes.weights import curve_lengths, quantized, stated_lengths, two_part_totals

symbols = st.integers(1, 40).flatmap(
    lambda alphabet: st.tuples(st.lists(st.integers(0, alphabet - 1), max_size=300), st.just(alphabet))
)


@settings(deadline=None)
@given(symbols, st.sampled_from(list(ENCODERS)))
def test_what_is_encoded_decodes(drawn, code):
    given_symbols, alphabet = drawn
    encode, decode = ENCODERS[code]
    assert decode(encode(np.array(given_symbols, dtype=np.int32), alphabet)).tolist() == given_symbols


@pytest.mark.parametrize("levels", [2, 3, 64, 4096])
@pytest.mark.parametrize("code", ENCODERS)
def test_a_hundred_thousand_weights_decode_and_lie_close_to_the_entropy(code, levels):
    weights = np.random.default_rng(levels).laplace(size=100_000)
    grid = quantize(weights, levels, bound=6.0)
    encode, decode = ENCODERS[code]
    data = encode(grid.codes, levels)
    assert np.array_equal(decode(data), grid.codes)
    entropy = entropy_bits(grid.counts)
    # a header, the table of counts (at most 2 log2 + 1 bits a symbol), and a word a lane
    overhead = levels * (2 * log2(100_001) + 1) + 32 * 100 + 500
    # Huffman's whole bits a symbol are the best of their kind, however far from the entropy
    best = {"arithmetic": 1.01 * entropy, "huffman": huffman_lengths(grid.counts) @ grid.counts}[code]
    assert entropy <= 8 * len(data) <= best + overhead
    if levels == 64:
        assert best <= 1.02 * entropy


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60).filter(lambda counts: sum(c > 0 for c in counts) > 1))
def test_huffman_lengths_are_complete_and_within_a_bit_of_the_entropy(counts):
    counts = np.array(counts)
    lengths = huffman_lengths(counts)
    used = counts > 0
    assert (lengths[~used] == 0).all()
    assert (2.0 ** -lengths[used]).sum() == 1
    bits = (lengths * counts).sum()
    assert entropy_bits(counts) - 1e-6 <= bits <= entropy_bits(counts) + counts.sum()


def test_huffman_lengths_of_a_textbook_case():
    assert huffman_lengths(np.array([5, 9, 12, 13, 16, 45])).tolist() == [4, 4, 3, 3, 3, 1]


def test_no_code_word_begins_with_another():
    lengths = huffman_lengths(np.array([1, 1, 2, 4, 8, 0, 30]))
    words = [format(c, f"0{n}b") for c, n in zip(canonical_codes(lengths), lengths, strict=True) if n]
    assert not any(a != b and b.startswith(a) for a in words for b in words)


def test_very_uneven_counts_are_held_to_the_longest_code_word():
    fibonacci = [1, 1]
    while len(fibonacci) < LONGEST + 8:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = huffman_lengths(np.array(fibonacci))
    assert lengths.max() <= LONGEST
    assert (2.0**-lengths).sum() <= 1


def test_codes_of_one_symbol_need_hardly_more_than_the_header():
    constant = np.full(10_000, 3)
    assert len(arithmetic_encode(constant, 8)) < 30
    assert arithmetic_decode(arithmetic_encode(constant, 8)).tolist() == constant.tolist()
    assert huffman_decode(huffman_encode(constant, 8)).tolist() == constant.tolist()


def test_quantized_weights_are_the_nearest_of_the_levels():
    weights = np.random.default_rng(0).normal(size=(20, 30))
    for levels, bound in ((2, None), (5, None), (64, 1.0)):
        grid = quantize(weights, levels, bound)
        every = np.linspace(-grid.bound, grid.bound, levels)
        nearest = every[np.abs(weights.ravel()[:, None] - every).argmin(1)]
        assert np.allclose(grid.values, nearest)
        assert grid.counts.sum() == weights.size


def test_zeros_are_zeros_at_any_precision():
    for levels in (2, 5, 16):
        grid = quantize(np.zeros(300), levels)
        assert not np.any(grid.values)
        rows = coding_lengths([(np.zeros(300), grid)], Coder(2, block=4))
        # at most a bit a weight, Huffman's least, beside header and tables
        assert all(row["bits"] < 700 for row in rows)


def test_what_cannot_be_quantized_is_said():
    with pytest.raises(StudyError, match="2 is the least"):
        quantize(np.ones(3), 1)
    with pytest.raises(StudyError, match="not finite"):
        quantize(np.array([1.0, np.nan]), 4)


@pytest.mark.parametrize("fit", [gaussian, laplacian, lambda w, floor: mixture(w, floor, 3)])
def test_cell_probabilities_make_a_code(fit):
    weights = np.random.default_rng(1).normal(size=500)
    grid = quantize(weights, 16)
    probabilities = fit(weights, 1e-3).cell_probabilities(grid.edges)
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities.min() > 0


def test_the_gaussian_length_is_the_differential_entropy_at_the_precision():
    weights = np.random.default_rng(2).normal(0, 0.3, 200_000)
    grid = quantize(weights, 4096)
    bits = gaussian(weights, 0.0).bits(grid) - 2 * PARAMETER_BITS
    assert bits / len(weights) == pytest.approx(norm(0, 0.3).entropy() / log(2) - log2(grid.step), abs=0.01)


def test_each_prior_is_shortest_on_its_own_kind_of_weights():
    rng = np.random.default_rng(3)
    kinds = {
        "gaussian": rng.normal(size=50_000),
        "laplace": rng.laplace(size=50_000),
        "mixture": np.concatenate([rng.normal(-3, 0.1, 25_000), rng.normal(3, 0.1, 25_000)]),
    }
    for kind, weights in kinds.items():
        grid = quantize(weights, 256)
        priors = [gaussian(weights, 1e-6), laplacian(weights, 1e-6)]
        if kind == "mixture":
            priors.append(mixture(weights, 1e-6, 2))
        assert min(priors, key=lambda prior: prior.bits(grid)).family == kind


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([50, 6000]))
def test_em_never_lowers_the_likelihood(seed, components, size):
    rng = np.random.default_rng(seed)
    weights = rng.normal(rng.normal(0, 2, size), rng.exponential(1, size))
    fitted, bounds = fit_mixture(weights, components, floor=1e-3, steps=40)
    assert (np.diff(bounds) > -1e-9).all()
    # the bound of the summed-up weights lies just below their likelihood
    assert bounds[-1] <= fitted.log_density(weights).mean() + 1e-9
    assert fitted.proportions.sum() == pytest.approx(1)


def test_em_recovers_a_known_mixture():
    rng = np.random.default_rng(4)
    weights = np.concatenate([rng.normal(-1, 0.1, 6000), rng.normal(0, 0.3, 10_000), rng.normal(2, 0.2, 4000)])
    fitted, _ = fit_mixture(rng.permutation(weights), 3, floor=1e-4)
    order = np.argsort(fitted.means)
    assert np.allclose(fitted.means[order], [-1, 0, 2], atol=0.02)
    assert np.allclose(fitted.stds[order], [0.1, 0.3, 0.2], atol=0.02)
    assert np.allclose(fitted.proportions[order], [0.3, 0.5, 0.2], atol=0.02)


@given(st.integers(1, 60).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_mask_bits_are_those_of_one_mask_among_all_of_its_size(drawn):
    kept, total = drawn
    assert mask_bits(kept, total) == pytest.approx(log2(total + 1) + log2(comb(total, kept)), abs=1e-9)


def test_a_pruned_tensor_costs_its_mask_and_its_survivors():
    mask = np.zeros((10, 10), dtype=bool)
    mask[0] = True
    parts = mask_and_survivors(mask, bits_each=8)
    assert parts.content == 80
    assert parts.total == pytest.approx(80 + mask_bits(10, 100))


def test_a_dictionary_costs_its_entries_and_an_index_a_block():
    even = np.arange(1024) % 16
    parts = dictionary_and_assignments(even, entries=16, block=4)
    assert (parts.structure, parts.content) == (16 * 4 * 32, 1024 * 4)
    rare = np.zeros(100_000, dtype=int)
    rare[0] = 1
    assert dictionary_and_assignments(rare, 2, 4).content < 1000
    assert dictionary_and_assignments(np.zeros(9, dtype=int), 1, 4).content == 0


def test_distinct_blocks_pool_the_tensors_and_pad_each_with_zeros():
    first, second = np.array([1.0, 2.0, 1.0, 2.0, 3.0]), np.array([[1.0, 2.0], [3.0, -0.0]])
    assignments, motifs = distinct_blocks([first, second], block=2)
    assert sorted(motifs.tolist()) == [[1, 2], [3, 0]]
    assert np.array_equal(motifs[assignments].ravel(), [1, 2, 1, 2, 3, 0, 1, 2, 3, 0])
    assert assignments[0] == assignments[1] == assignments[3]
    assert assignments[2] == assignments[4]


@pytest.mark.parametrize("block", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [5, 300])
def test_blocks_counted_tensor_by_tensor_are_those_of_all_at_once(block, levels):
    """As one number each, or as bytes where a block is as long as no number."""
    rng = np.random.default_rng(block)
    tensors = [rng.integers(0, levels, size).astype(np.min_scalar_type(levels - 1)) for size in (1001, 40, 7)]
    assignments, motifs = distinct_blocks(tensors, block)
    counted = BlockCounts(block)
    for tensor in tensors:
        counted.add(tensor)
    counts = counted.counts()
    assert sorted(counts) == sorted(np.bincount(assignments, minlength=len(motifs)))
    parts = dictionary_and_counts(counts, block)
    assert parts.total == pytest.approx(dictionary_and_assignments(assignments, len(motifs), block).total, rel=1e-12)


def test_repeated_blocks_are_far_shorter_than_random_ones_where_a_code_sees_blocks():
    rng = np.random.default_rng(5)
    random = rng.normal(size=4096)
    repeated = np.tile(random[:16], 256)
    lengths = [
        {row["code"]: row["bits"] for row in coding_lengths([(w, quantize(w, 64))], Coder(3, block=16))}
        for w in (random, repeated)
    ]
    # 16 of the 64 values at the most: entropy codes gain as well; the parametric priors see no blocks
    assert lengths[1]["motifs"] < 0.1 * lengths[0]["motifs"]
    for code in ("huffman", "arithmetic", "mask_and_survivors"):
        assert lengths[1][code] < 0.8 * lengths[0][code]


def test_coding_lengths_pay_for_grids_and_count_against_float32():
    rng = np.random.default_rng(6)
    weights = {"a": rng.normal(size=(60, 50)), "b": rng.laplace(size=500), "zero": np.zeros(10)}
    grids = {name: quantize(w, 32) for name, w in weights.items()}
    tensors = zip(weights.values(), grids.values(), strict=True)
    rows = {row["code"]: row for row in coding_lengths(tensors, Coder(components=2, block=4))}
    entropy = sum(entropy_bits(grid.counts) for grid in grids.values())
    for row in rows.values():
        assert row["entropy_bits"] == pytest.approx(entropy)
        assert row["efficiency"] == pytest.approx(entropy / row["bits"])
        assert row["ratio"] == pytest.approx(32 * 3510 / row["bits"])
        assert row["bits"] > 3 * 32
    assert entropy < rows["arithmetic"]["bits"] <= rows["huffman"]["bits"]


def test_the_least_total_trades_bits_of_weights_for_bits_of_data():
    levels, bits, losses = np.array([2, 4, 8, 16]), np.array([1e3, 2e3, 3e3, 4e3]), np.array([2.0, 1.2, 1.0, 0.99])
    few, many = least_total(levels, bits, losses, tokens=1), least_total(levels, bits, losses, tokens=1e4)
    middle = least_total(levels, bits, losses, tokens=3000)
    assert (few.levels, few.inside) == (2, False)
    assert many.levels == 8 and many.inside
    assert many.total_bits == pytest.approx(3e3 + 1e4 / log(2))
    assert middle.levels == 4
    assert least_total(levels, bits, np.array([np.nan, np.inf, 1.0, 0.99]), 1e4).levels == 8


def test_the_critical_precision_is_the_coarsest_that_stays_within_the_tolerance():
    levels, rises = np.array([16, 8, 4, 2]), np.array([0.0, 0.6, 0.4, 3.0])
    assert critical_precision(levels, rises, 0.5) == 16
    assert critical_precision(levels, rises, 0.7) == 4
    assert critical_precision(levels, rises, 5.0) == 2
    assert critical_precision(levels, np.full(4, np.inf), 5.0) is None


MODELS = {
    "neox": small_models.neox,
    "llama, tied": lambda: small_models.llama(tied=True),
    "gpt2": small_models.gpt2,
}
VARIANTS = [
    Quantize(range=range_, scope=scope, parameters=parameters)
    for range_ in get_args(get_type_hints(Quantize)["range"])
    for scope in get_args(get_type_hints(Quantize)["scope"])
    for parameters in get_args(Parameters)
]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(small_models.neox())


@pytest.mark.parametrize("scheme", VARIANTS, ids=lambda its: f"{its.range} {its.scope} {its.parameters}")
@pytest.mark.parametrize("model", MODELS)
def test_what_is_coded_decodes_to_the_weights_whose_loss_was_taken(model, scheme):
    """For every selection of parameters and every scope, and a tensor of zeros among them."""
    network = MODELS[model]()
    biases = [parameter for name, parameter in network.named_parameters() if name.endswith(".bias")]
    if biases:
        biases[0].detach().zero_()
    own = Weights(network)
    for levels, tuned in ((6, 0.4), (64, None), (65536, 0.9)):
        put = {item.view: item.tensor for item in scheme.compress(own, levels, 0, tuned)}
        grids = {view.name: grid for view, grid in quantized(own, scheme, levels, tuned)}
        assert list(grids) == [view.name for view in put]
        for tensor, grid in zip(put.values(), grids.values(), strict=True):
            for encode, decode in ENCODERS.values() if levels < 65536 else ():
                assert np.array_equal(decode(encode(grid.codes, levels)), grid.codes)
            decoded = from_codes(torch.from_numpy(grid.codes), levels, grid.bound, tensor.dtype)
            assert torch.equal(decoded, tensor.flatten())
            assert np.allclose(grid.values, tensor.flatten().numpy(), rtol=1e-5, atol=1e-6)
    parameters = {name.partition("[")[0] for name in grids}
    assert {name: name in parameters for name, _ in network.named_parameters()} == {
        view.parameter: view in own.select(scheme.parameters) for view in own.views
    }


def test_along_a_curve_the_weights_are_coded_as_they_were_quantized(weights):
    coder = Coder(components=2, block=4, dense_bits=16)
    curve = pd.DataFrame({"level": [16.0, 4.0], "delta_loss": [0.1, 0.8], "tuned": [0.9, 0.5]})
    bits, entropies = {}, {}
    for parameters in ("linear", "matrices", "all"):
        for scope in ("global", "tensor"):
            scheme = Quantize(range="minimised", scope=scope, parameters=parameters)
            rows = curve_lengths(weights, curve, scheme, coder).set_index(["levels", "code"])
            assert set(rows["delta_loss"]) == {0.1, 0.8}
            grids = [grid for _, grid in quantized(weights, scheme, 4, 0.5)]
            entropies[parameters, scope] = sum(entropy_bits(grid.counts) for grid in grids)
            assert rows.loc[(4, "huffman"), "entropy_bits"] == pytest.approx(entropies[parameters, scope])
            dense = weights.elements - sum(grid.codes.size for grid in grids)
            bits[parameters, scope] = rows.loc[(4, "huffman"), "bits"]
            assert bits[parameters, scope] > entropies[parameters, scope] + 16 * dense
    # each selection has lengths of its own, and with a grid of its own a small tensor keeps more of its detail
    assert len(set(bits.values())) == len(bits)
    assert bits["linear", "global"] > bits["matrices", "global"]
    assert all(entropies[name, "tensor"] > entropies[name, "global"] for name in ("linear", "matrices", "all"))


def test_query_key_and_value_of_a_fused_matrix_have_grids_of_their_own(weights):
    linear = Quantize(range="maximum", scope="tensor", parameters="linear")
    grids = {view.name: grid for view, grid in quantized(weights, linear, 16, None)}
    fused = [grid.bound for name, grid in grids.items() if "layers.0.attention.query_key_value" in name]
    assert len(set(fused)) == 3


def test_two_part_totals_name_the_least_and_the_critical_precisions(weights):
    curve = pd.DataFrame({"level": [64, 16, 4], "delta_loss": [0.0, 0.1, 0.8], "tuned": [np.nan] * 3})
    lengths = curve_lengths(weights, curve, Quantize(range="maximum", scope="tensor", parameters="all"), Coder(2, 4))
    totals = two_part_totals(lengths, loss=2.0, tokens=1e9, epsilons=[0.05, 0.5, 1.0])
    own = totals[totals["code"] == "arithmetic"].set_index("choice")
    assert own.loc["least total", "levels"] == 64
    assert not own.loc["least total", "inside"]
    assert own["levels"].tolist() == [64, 64, 16, 4]
    assert (own["total_bits"] == own["weight_bits"] + own["data_bits"]).all()
    assert own.loc["critical at 1", "data_bits"] == pytest.approx(1e9 * 2.8 / log(2))


def test_stated_lengths_have_a_row_a_precision_and_code(weights):
    rows = stated_lengths(weights, [4, 16], Coder(2, 4))
    assert len(rows) == 2 * len(rows["code"].unique())
    wide = rows.pivot(index="code", columns="levels", values="bits")
    assert (wide[4] < wide[16]).all()
