"""The block decomposition method: against pybdm, the literature, its definition, and random bits."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from smdl.foundation.errors import StudyError
from smdl.rulers.bdm import bit_planes, block_decompositions
from smdl.rulers.codes.block_decomposition import SIDES, ctm, decompose, random_blocks

# 500 strings and 500 matrices; benchmarks/bdm.py makes it with pybdm itself.
VALUES = Path(__file__).parent / "bdm_values.csv"


def string(digits: str) -> np.ndarray:
    return np.array(list(digits)) == "1"


def matrix(*rows: str) -> np.ndarray:
    return np.stack([string(row) for row in rows])


def random_bits(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, size=shape, dtype=np.uint8)


@pytest.mark.parametrize("boundary", ["ignore", "recursive"])
def test_values_are_those_of_pybdm(boundary):
    with VALUES.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert len(rows) == 1000
    for row in rows:
        shape = tuple(map(int, row["shape"].split("x")))
        packed = np.frombuffer(bytes.fromhex(row["bits"]), np.uint8)
        bits = np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape)
        assert decompose(bits, boundary).bdm == pytest.approx(float(row[boundary]), abs=1e-9), row


@pytest.mark.parametrize(
    ("bits", "value"),
    [
        (string(24 * "0"), 26.610413747641715),
        (string(12 * "0" + 12 * "1"), 51.22082749528343),
        (string(6 * "0" + 12 * "1" + 18 * "0" + 12 * "1"), 114.06151272200972),
        (np.ones((12, 12), dtype=int), 25.176631293734488),
        (matrix("00000001", "00010001", "11110001", "10000001"), 56.359570016884945),
        (matrix("00001111", "00011111", "11111111", "10011111"), 54.62895862824821),
    ],
)
def test_values_are_those_that_pybdm_prints(bits, value):
    """In its documentation (https://github.com/sztal/pybdm, bdm.py) and its tests (test_bdm.py, test-input.tsv)."""
    assert decompose(bits).bdm == pytest.approx(value, abs=1e-9)


def test_probabilities_of_short_strings_are_those_of_the_literature():
    """Soler-Toscano et al. (2014), the most frequent strings of all Turing machines of 5 states, D(5)."""
    printed = {"0": 0.175036, "10": 0.0996187, "000": 0.0237456, "001": 0.0229434, "010": 0.0220148}
    for digits, probability in printed.items():
        assert 2 ** -ctm(1, len(digits))[int(digits, 2)] == pytest.approx(probability, rel=3e-6)


@pytest.mark.parametrize(
    ("dimensions", "side"), [(d, side) for d, most in SIDES.items() for side in range(1, most + 1)]
)
def test_every_kind_of_block_has_a_value_which_its_complement_and_its_mirror_images_share(dimensions, side):
    values = ctm(dimensions, side).reshape(side**dimensions * (2,))
    assert np.isfinite(values).all() and (values > 0).all()
    places = np.arange(side**dimensions).reshape(dimensions * (side,))
    for image in (np.flip(places), places.T):
        assert np.allclose(values, values.transpose(image.ravel()), atol=1e-9)
    assert np.array_equal(values, np.flip(values))


def test_equal_blocks_cost_their_number_only():
    block = random_bits(12)
    once = decompose(block).bdm
    assert once == ctm(1, 12)[int("".join(map(str, block)), 2)]
    assert decompose(np.tile(block, 64)).bdm == pytest.approx(once + 6)
    assert decompose(np.zeros((400, 40), dtype=bool)).bdm == pytest.approx(ctm(2, 4)[0] + np.log2(1000))


def test_a_string_at_the_borders_is_left_out_or_one_shorter_block():
    bits = random_bits(12 + 5)
    ignored, recursive = decompose(bits), decompose(bits, "recursive")
    assert ignored.bits == 12
    assert ignored.bdm == decompose(bits[:12]).bdm
    assert recursive.bits == 17
    assert recursive.bdm == pytest.approx(ignored.bdm + ctm(1, 5)[int("".join(map(str, bits[12:])), 2)])


def test_a_matrix_at_the_borders_is_left_out_or_cut_into_smaller_squares():
    bits = random_bits(7, 10)
    assert decompose(bits).bits == 4 * 8
    recursive = decompose(bits, "recursive")
    assert {side: counts.sum() for side, counts in recursive.counts.items()} == {4: 2, 3: 2, 2: 2 + 1}
    two, three = (sum(counts[1:]) for counts in (recursive.counts[2], recursive.counts[3]))
    assert two == sum(bits[i : i + 2, j : j + 2].any() for i, j in ((0, 8), (2, 8), (4, 8)))
    assert three == sum(bits[4:7, j : j + 3].any() for j in (0, 4))


@pytest.mark.parametrize("shape", [(0,), (1,), (11,), (3, 3), (3, 100), (100, 1), (0, 4)])
def test_what_is_smaller_than_a_block_has_none_unless_blocks_may_be_smaller(shape):
    bits = random_bits(*shape)
    assert (decompose(bits).bits, decompose(bits).bdm, decompose(bits).random, decompose(bits).kinds) == (
        0,
        0,
        (0, 0),
        0,
    )
    recursive = decompose(bits, "recursive")
    assert (recursive.bits > 0) == (min(shape) > 1) == (recursive.bdm > 0) == (recursive.random[0] > 0)


@pytest.mark.parametrize("shape", [(), (4, 4, 4)])
def test_neither_string_nor_matrix_is_refused(shape):
    with pytest.raises(StudyError, match=f"an array of {len(shape)} dimensions cannot be decomposed"):
        decompose(np.zeros(shape, dtype=bool))


def test_random_bits_saturate_and_matrices_later_than_strings():
    """4096 kinds of string and 65536 of matrix: once all have been seen, only their numbers grow."""
    sides = (12, 120, 480, 1200)
    strings = [decompose(random_bits(side**2)) for side in sides]
    matrices = [decompose(random_bits(side, side)) for side in sides]
    for found in (strings, matrices):
        per_bit = [one.bdm / one.bits for one in found]
        assert per_bit == sorted(per_bit, reverse=True)
        assert [one.kinds for one in found] == sorted(one.kinds for one in found)
    assert strings[-1].kinds == 1 > matrices[-1].kinds
    lost = [found[-1].bdm / found[-1].bits / (found[0].bdm / found[0].bits) for found in (strings, matrices)]
    assert lost[0] < 0.1 < 0.3 < lost[1]


def test_the_mean_of_random_blocks_is_that_of_all_sequences_of_blocks():
    values = ctm(2, 2)
    pairs = [values[a] + 1 if a == b else values[a] + values[b] for a, b in product(range(16), repeat=2)]
    assert random_blocks(2, 2, 2)[0] == pytest.approx(np.mean(pairs))
    assert random_blocks(1, 12, 1)[0] == pytest.approx(ctm(1, 12).mean())


@pytest.mark.parametrize(("dimensions", "side", "blocks"), [(1, 12, 100), (1, 12, 5000), (1, 12, 50_000), (2, 3, 300)])
def test_mean_and_spread_of_random_blocks_are_those_of_draws(dimensions, side, blocks):
    values = ctm(dimensions, side)
    counts = np.random.default_rng(1).multinomial(blocks, np.full(len(values), 1 / len(values)), size=400)
    drawn = (counts > 0) @ values + np.log2(np.maximum(counts, 1)).sum(axis=1)
    mean, variance = random_blocks(dimensions, side, blocks)
    assert mean == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(len(drawn)))
    assert np.sqrt(variance) == pytest.approx(drawn.std(), rel=0.15)


def test_planes_spell_the_signs_and_the_codes():
    tensor = np.array([[-1.0, 0.5], [1.0, -0.5]])
    signs, *planes = bit_planes(tensor, levels=5)
    assert signs[0] == "signs" and signs[1].tolist() == [[True, False], [False, True]]
    assert {view for view, _ in planes} == {"codes"}
    assert sum(plane * 2**place for place, (_, plane) in enumerate(reversed(planes))).tolist() == [[0, 3], [4, 1]]
    assert len(list(bit_planes(tensor, levels=256))) == 1 + 8


def rows(weights: dict[str, np.ndarray], levels: int = 16) -> dict[tuple[str, str], dict[str, float]]:
    return {(row["view"], row["form"]): row for row in block_decompositions(weights, levels, "ignore")}


def test_random_weights_are_as_complex_as_random_bits_and_repeated_ones_are_not():
    weights = np.random.default_rng(2).normal(size=(256, 96)).astype(np.float32)
    plain, again = rows({"w": weights}), rows({"w": np.tile(weights[:8], (32, 1))})
    for form in ("strings", "matrices"):
        signs = plain["signs", form]
        assert signs["bits"] == weights.size
        assert abs(signs["normalised"] - 1) < 4 * signs["random_std"]
        assert again["signs", form]["normalised"] < 0.2
        assert again["codes", form]["normalised"] < 0.2
        assert plain["codes", form]["bits"] == 4 * weights.size


def test_tensors_are_summed_and_vectors_are_no_matrices():
    rng = np.random.default_rng(3)
    matrices = {name: rng.normal(size=(40, 30)) for name in "ab"}
    both, vector = rows({**matrices, "bias": rng.normal(size=24)}), rows({"bias": rng.normal(size=24)})
    parts = [rows({name: matrices[name]}) for name in "ab"]
    for key in both:
        assert both[key]["bdm"] > sum(part[key]["bdm"] for part in parts) or key[1] == "matrices"
        assert both[key]["bits"] == sum(one[key]["bits"] for one in (*parts, vector))
    assert vector["signs", "matrices"]["bits"] == 0
    assert np.isnan(vector["signs", "matrices"]["normalised"])


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(StudyError, match="not finite"):
        rows({"w": np.array([1.0, np.nan])})
