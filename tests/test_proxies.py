"""Proxies of algorithmic complexity: against the command-line compressors, torch, and what must compress."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from smdl.rulers.proxies import COMPRESSORS, bf16_bits, byte_views, norms, proxies, stable_rank

COMMANDS = {
    "gzip": ["gzip", "-9nc"],
    "bz2": ["bzip2", "-9c"],
    "lzma": ["xz", "-9c"],
    "zstd": ["zstd", "-19c", "--no-check"],
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_sizes_agree_with_the_command_line(name):
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    data = np.random.default_rng(0).normal(size=20_000).astype(np.float32).round(2).tobytes()
    outside = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    assert len(COMPRESSORS[name](data)) == pytest.approx(len(outside), rel=0.01)


def test_bf16_agrees_with_torch():
    values = np.concatenate(
        [np.random.default_rng(1).normal(size=10_000), [0.0, -0.0, 1.00390625, 1.01171875, -3.0e38, 1e-40]]
    ).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(bf16_bits(values), expected)


def test_views_hold_every_weight_once_in_the_order_of_the_names():
    weights = {"b": np.array([[-1.0, 0.5]]), "a": np.array([2.0, -2.0, 1.0])}
    views = dict(byte_views(weights, levels=5))
    assert np.frombuffer(views["float32"], "<f4").tolist() == [2.0, -2.0, 1.0, -1.0, 0.5]
    assert list(views["codes"]) == [4, 0, 3, 0, 3]
    assert views["signs"] == bytes([0b01010000])
    assert len(views["bf16"]) == 10
    assert len(dict(byte_views(weights, levels=300))["codes"]) == 10


def test_repetition_sparsity_and_biased_signs_are_seen():
    rng = np.random.default_rng(2)
    random = rng.normal(size=(128, 64)).astype(np.float32)
    repeated = np.tile(random[:4], (32, 1))
    plain, again, positive = (proxies({"w": w}, levels=64) for w in (random, repeated, np.abs(random)))
    for compressor in COMPRESSORS:
        for view in ("float32", "bf16", "codes", "signs"):
            assert again[f"{compressor}_{view}"] > 1.5 * plain[f"{compressor}_{view}"]
        assert positive[f"{compressor}_signs"] > 5 * plain[f"{compressor}_signs"]


def test_norms_of_a_small_checkpoint():
    found = norms({"w": np.array([[3.0, 0.0], [0.0, 4.0]]), "b": np.array([0.0, -12.0])})
    assert found == {
        "sparsity": pytest.approx(0.5),
        "l1_norm": 19.0,
        "max_norm": 12.0,
        "stable_rank": pytest.approx(25 / 16),
    }
    assert stable_rank(np.eye(7)) == pytest.approx(7)
