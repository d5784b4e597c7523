"""The experiment on Mosaic-of-Motifs: its files, null models and measures, its tests, and a small run to its end."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from smdl.experiments.motifs.arms import GPT_NEOX, in_training, models
from smdl.experiments.motifs.complexity import ALL, LAYERS, OWN, errors, matrices, measures, null_models
from smdl.experiments.motifs.file import LZMA, MOSAIC, TENSORS, decode, encode
from smdl.experiments.motifs.models import initialised
from smdl.experiments.motifs.runs import compressed
from smdl.experiments.motifs.settings import Mosaics
from smdl.experiments.motifs.statements import (
    COMPARABLE,
    HOLDS,
    LOWER_LLC,
    MIXED,
    REFUTED,
    SHORTER_THAN_QUANTIZED,
    SIMPLER_THAN_FREE,
    UNDECIDED,
    _of_mosaics,
    fall,
    judged,
    verdicts,
)
from smdl.foundation.errors import StudyError
from smdl.rulers.codes.entropy import entropy_bits
from smdl.sources.train import Architecture, Training
from smdl.tables import read_table
from workflow import snakemake

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def mosaic_of(block: int, motifs: int, *shape: int) -> np.ndarray:
    dictionary = normal(motifs, block)
    return dictionary[RANDOM.integers(0, motifs, math.prod(shape) // block)].reshape(shape)


def small_model(kind: str = GPT_NEOX):
    training = Training(steps=1, batch_size=1, lr=0.1)
    return initialised(kind, Architecture(layers=2, hidden=16, heads=2), 32, 8, 0, training)


# Of each: weights, the length of blocks that is tried, and the form that is shortest.
FILES = {
    "free": ({"a": normal(8, 300), "b": normal(5)}, None, LZMA),
    "short": ({"a": normal(2, 3)}, None, TENSORS),
    "quantized": ({"a": np.rint(3 * normal(50, 60)) / 7, "b": np.zeros((3, 4), np.float32)}, None, TENSORS),
    "pruned": ({"a": normal(90, 40) * (RANDOM.random((90, 40)) < 0.02)}, None, TENSORS),
    "mosaic": ({"a": mosaic_of(4, 20, 40, 100), "b": mosaic_of(4, 20, 8, 5)}, 4, MOSAIC),
    "mosaic with a rest": ({"a": np.tile(normal(7), 500)[:3499].reshape(1, 3499)}, 7, None),
    "two zeros": ({"a": np.array([[0.0, -0.0, 1.0]] * 200, np.float32)}, 3, None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_decodes_to_the_same_weights_and_takes_the_shortest_form(name):
    weights, block, form = FILES[name]
    file = encode(weights, block)
    again = decode(file.data)
    assert list(again) == list(weights)
    assert all(np.array_equal(again[key], weights[key]) and again[key].dtype == np.float32 for key in weights)
    assert form in (None, file.form)


def test_a_quantized_file_is_as_short_as_its_entropy_says():
    values = np.rint(2 * normal(300, 300)) / 2
    bits = 8 * len(encode({"a": values}).data)
    entropy = entropy_bits(np.unique(values, return_counts=True)[1])
    assert entropy < bits < 1.02 * entropy + 2000


def test_a_mosaic_is_as_short_as_dictionary_and_assignments_say():
    weights = {"a": mosaic_of(8, 64, 400, 200)}
    bits = 8 * len(encode(weights, 8).data)
    assert 64 * 8 * 32 + 10_000 * 5.9 < bits < 64 * 8 * 32 + 10_000 * 6.1 + 2500


def test_what_is_no_file_of_weights_is_told():
    with pytest.raises(StudyError, match="not a file of weights"):
        decode(b"PK\x03\x04 something else")


def test_null_models_keep_what_they_say_and_lose_the_order():
    weights = {"a": normal(60, 50) * np.arange(1, 61, dtype=np.float32)[:, None]}
    nulls = dict(null_models(weights, 3))
    assert np.array_equal(nulls[OWN]["a"], weights["a"])
    permuted, rows, redrawn = (nulls[name]["a"] for name in ("permuted", "permuted in rows", "redrawn"))
    assert np.array_equal(np.sort(permuted, None), np.sort(weights["a"], None))
    assert np.array_equal(np.sort(rows, 1), np.sort(weights["a"], 1))
    assert not np.array_equal(rows, weights["a"])
    # Permuted over the tensor, rows of different spread become alike.
    assert permuted.std(1).std() < 0.5 * weights["a"].std(1).std()
    assert len(np.intersect1d(redrawn, weights["a"])) < 10
    shares = [0.1, 0.5, 0.9]
    assert np.allclose(np.quantile(redrawn, shares), np.quantile(weights["a"], shares), rtol=0.2, atol=3)


def test_measures_see_a_mosaic_and_none_sees_one_that_is_not_there():
    random, made = measures({"a": normal(100, 120)}, 256), measures({"a": mosaic_of(4, 10, 100, 120)}, 256)
    assert {name for name in random if made[name] < 0.95 * random[name]} == set(random)
    other = measures({"a": normal(100, 120)}, 256)
    assert all(other[name] == pytest.approx(random[name], rel=0.05) for name in random if "bz2" not in name)


def test_schemes_lose_less_on_a_planted_order_and_the_model_is_left_as_it_was():
    model = small_model()
    weights = {name: np.outer(*map(normal, own.shape)) for name, own in matrices(model, LAYERS).items()}
    before = matrices(model)
    found = {name: errors(model, LAYERS, own, 0) for name, own in null_models(weights, 0)}
    assert found[OWN]["half of the singular values"] < 1e-9 < 0.02 < found["permuted"]["half of the singular values"]
    assert all(np.array_equal(before[name], after) for name, after in matrices(model).items())


def test_parts_are_those_inside_the_layers_and_the_embeddings_too():
    for kind in (GPT_NEOX, "llama"):
        model = small_model(kind)
        layers, everything = matrices(model, LAYERS), matrices(model, ALL)
        assert set(everything) - set(layers) == {name for name in everything if "embed" in name or "lm_head" in name}
        assert sum(w.size for w in everything.values()) < sum(p.numel() for p in model.parameters())


def test_an_arm_holds_the_weights_within_and_gives_them_back():
    model, arms = small_model(), {arm.name: arm for arm in in_training(Mosaics())}
    before = matrices(model)
    with compressed(model, arms["quantized-4"], 0):
        assert all(len(np.unique(w)) <= 4 for w in matrices(model).values())
    with compressed(model, arms["kmeans-s4-c0.1"], 0):
        blocks = np.concatenate([w.reshape(-1, 4) for w in matrices(model).values()])
        assert len(np.unique(blocks, axis=0)) <= round(0.1 * len(blocks))
    with compressed(model, arms["pruned-0.9"], 0):
        values = np.concatenate([w.ravel() for w in matrices(model).values()])
        assert np.mean(values == 0) == pytest.approx(0.9, abs=0.001)
    assert all(np.array_equal(before[name], after) for name, after in matrices(model).items())


def test_every_arm_has_its_seeds():
    settings = Mosaics()
    count = pd.DataFrame([(kind, arm.name, seed) for kind, arm, seed in models(settings)]).groupby([0, 1]).size()
    assert count.pop((GPT_NEOX, "free")) == count.pop(("llama", "free")) == 8
    assert len(count) == 2 * 9 + 2 + 2 and (count == 5).all()


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        ([0.2, 0.21, 0.19], 0.1, HOLDS),
        ([0.02, 0.021, 0.019], 0.1, REFUTED),
        ([0.0, 0.1, 0.2], 0.1, UNDECIDED),
        ([np.nan, 0.2], 0.1, UNDECIDED),
        ([], 0.1, UNDECIDED),
    ],
)
def test_a_verdict_is_the_intervals_place(values, margin, verdict):
    assert judged(np.array(values), margin)["verdict"] == verdict


def test_the_interval_is_students():
    values = RANDOM.standard_normal(7)
    found = judged(values, 0.0)
    low, high = student.interval(0.95, 6, values.mean(), values.std(ddof=1) / math.sqrt(7))
    assert (found["low"], found["high"], found["seeds"]) == (pytest.approx(low), pytest.approx(high), 7)


def test_a_fall_is_paired_by_seed():
    before, after = pd.Series([2.0, 4.0, 8.0], [0, 1, 2]), pd.Series([6.0, 1.0], [2, 0])
    assert sorted(fall(before, after)) == [0.25, 0.5]


def planted(loss: float, bits: float, llc: float) -> pd.DataFrame:
    """Models of free training with loss 2 and LLC 20, quantized to 300 bits, and the headline's mosaic."""
    rows = []
    for seed in range(4):
        for arm, method, own_loss, own_bits, own_llc in (
            ("free", "free", 2, 3000, 20),
            ("kmeans-s4-c0.3", "k-means motifs", loss, bits, llc),
            ("quantized-after-8", "quantized after training", 2.1, 300, np.nan),
            ("quantized-after-4", "quantized after training", 2.2, 100, np.nan),
        ):
            row = {"arm": arm, "method": method, "seed": seed, "loss": own_loss + 0.01 * seed}
            row |= {"file_bits": own_bits, "lzma_bits": own_bits, "llc": own_llc + 0.01 * seed}
            rows.append({**row, "status": "" if np.isnan(own_llc) else "ok"})
    return pd.DataFrame(rows).assign(architecture=GPT_NEOX)


@pytest.mark.parametrize(
    ("loss", "bits", "llc", "expected"),
    [
        (2.05, 200, 10, (HOLDS, HOLDS, HOLDS, HOLDS)),
        (2.2, 400, 30, (REFUTED, HOLDS, REFUTED, REFUTED)),
        (2.05, 2990, 20, (HOLDS, REFUTED, REFUTED, REFUTED)),
    ],
)
def test_a_planted_mosaic_is_judged_as_it_was_planted(loss, bits, llc, expected):
    found = pd.DataFrame(_of_mosaics(planted(loss, bits, llc), Mosaics()))
    found = found[found["decides"]].set_index("statement")["verdict"]
    names = (COMPARABLE, SIMPLER_THAN_FREE, SHORTER_THAN_QUANTIZED, LOWER_LLC)
    assert tuple(found[statement.name] for statement in names) == expected


def test_a_statement_is_mixed_where_its_tests_differ_and_undecided_where_there_is_none():
    tests = pd.DataFrame(
        [
            {"statement": COMPARABLE.name, "decides": True, "verdict": HOLDS},
            {"statement": COMPARABLE.name, "decides": False, "verdict": REFUTED},
            {"statement": LOWER_LLC.name, "decides": True, "verdict": HOLDS},
            {"statement": LOWER_LLC.name, "decides": True, "verdict": REFUTED},
        ]
    )
    found = {row["statement"]: row["verdict"] for row in verdicts(tests)}
    assert (found[COMPARABLE.name], found[LOWER_LLC.name]) == (HOLDS, MIXED)
    assert found[SHORTER_THAN_QUANTIZED.name] == UNDECIDED


def test_a_small_experiment_runs_to_its_end(tmp_path):
    config = {
        "seed": 3,
        "free_seeds": 2,
        "seeds": 2,
        "headline": {"choice": "random", "block": 3, "capacity": 0.2},
        "blocks": [3],
        "blocks_at": 0.2,
        "capacities_at": 3,
        "capacities": [0.2],
        # None of these arms is among the defaults.
        "quantized": [5],
        "pruned": [0.4],
        "quantized_after": [16, 4096],
        "every": 2,
        "text": {"context": 16, "sampling": 32, "test": 16},
        "architecture": {"layers": 2, "hidden": 16, "heads": 2},
        "training": {"steps": 5, "batch_size": 4},
        "sampler": {"burn_in": 2, "draws": 8},
    }
    run = snakemake(tmp_path, config, warm=True, snakefile="experiments/motifs/Snakefile")
    assert run.returncode == 0, run.stderr
    results = tmp_path / "results/motifs"
    table = read_table(results / "tables/motifs.parquet")
    assert table.groupby("arm")["seed"].nunique().eq(2).all()
    mosaics = table[table["s"] == 3]
    assert mosaics["capacity"].eq(0.2).all() and mosaics["dictionary_bits"].gt(0).all()
    for row in table[table["status"] != ""].itertuples():
        data = (results / f"models/{row.architecture}/{row.arm}/seed{row.seed}/weights.smdl").read_bytes()
        assert 8 * len(data) == row.file_bits
        assert sum(weights.size for weights in decode(data).values()) == row.weights
    assert len(read_table(results / "tables/motifs_verdicts.parquet")) == 8
    assert (results / "figures/structure.svg").is_file()
