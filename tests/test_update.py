"""The three forms of the sampler's move, which must agree, and the GPU's form as its compiler sees it."""

import os
import subprocess
import sys

import pytest
import torch

from smdl.llc.noise import GROUP, normals
from smdl.llc.sampler import Walker
from smdl.llc.update import Move, Update, Vectors, update_for
from smdl.llc.update.compiled import compiled
from smdl.llc.update.fused import COUNTERS, Fused
from smdl.llc.update.plain import Plain
from test_sampler_modes import SETTINGS, Regression, walk

CPU = torch.device("cpu")
MOVE = Move(seed=2**40 + 3, chains=(5, 0, 2**31), step=77, lr=1e-3, n_beta=30.0, gamma=100.0, alpha=0.99, eps_rms=1e-3)
# Several programs of the kernel, the last of them not full.
LENGTH = 4 * COUNTERS * 3 + 5


def forms() -> list[Update]:
    return [form for form in (compiled(), Fused(CPU)) if form is not None]


def vectors(dtype: torch.dtype, control: bool) -> Vectors:
    random = torch.Generator().manual_seed(0)
    made = Vectors(*(torch.randn(3, LENGTH, generator=random).to(dtype) for _ in range(5)))
    made.second_moment.abs_()
    return made if control else made._replace(control=None)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2**-6)])
def test_all_forms_make_the_same_move(dtype, tolerance, control):
    before, expected = (vectors(dtype, control) for _ in range(2))
    squared = Plain(CPU)(expected, MOVE, 5 * GROUP)
    assert not torch.allclose(expected.weights, before.weights)
    for form in forms():
        own = vectors(dtype, control)
        found = form(own, MOVE, 5 * GROUP)
        torch.testing.assert_close(found, squared, rtol=1e-5, atol=0)
        for mine, theirs in zip(filter(torch.is_tensor, own), filter(torch.is_tensor, expected), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


def test_all_forms_make_the_same_noise_wherever_it_is_cut():
    whole = normals(7, 2, 2**31 + 5, 0, LENGTH, CPU)
    for form in forms():
        torch.testing.assert_close(form.normals(7, 2, 2**31 + 5, 0, LENGTH), whole, rtol=1e-5, atol=1e-6)
        part = form.normals(7, 2, 2**31 + 5, 3 * GROUP, 1000)
        torch.testing.assert_close(part, whole[3 * GROUP :][:1000], rtol=1e-5, atol=1e-6)


def test_a_place_beyond_the_reach_of_a_word_has_noise_of_its_own():
    far = 2**36
    for form in forms():
        torch.testing.assert_close(form.normals(1, 0, 0, far, 64), normals(1, 0, 0, far, 64, CPU), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(form.normals(1, 0, 0, far, 64), form.normals(1, 0, 0, 0, 64))


@pytest.mark.parametrize("chains", [None, 3])
def test_a_chain_moved_by_the_kernel_of_a_gpu_walks_the_path_of_the_plain_form(chains, monkeypatch):
    stack = chains or 1
    plain = Walker(Regression(chains), SETTINGS, stack, compile=False, control=True)
    monkeypatch.setattr("smdl.llc.sampler.update_for", lambda device, compile: Fused(device))
    fused = Walker(Regression(chains), SETTINGS, stack, control=True)
    if chains is None:
        torch.testing.assert_close(walk(fused, 6), walk(plain, 6), rtol=1e-4, atol=1e-5)
    else:
        steps = zip(fused.walk_stack(7, range(3), 50.0), plain.walk_stack(7, range(3), 50.0), range(6), strict=False)
        for ours, theirs, _ in steps:
            torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-3, atol=1e-4)
            assert ours.distances == pytest.approx(theirs.distances, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(fused.weights, plain.weights, rtol=1e-4, atol=1e-5)


def test_without_triton_the_plain_form_moves_a_gpu_and_the_log_says_so(monkeypatch, capsys):
    from smdl.llc.update import fused

    monkeypatch.setattr(fused, "triton", None)
    fused.fused.cache_clear()
    assert isinstance(update_for(torch.device("cuda")), Plain)
    assert "not fused (no module triton)" in capsys.readouterr().err
    fused.fused.cache_clear()


KERNEL = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from smdl.llc.update.fused import COUNTERS, LANES, _move

VECTORS = ("weights", "gradient", "anchor", "second_moment", "control")
fixed = {"with_control": True, "lanes": LANES, "counters": COUNTERS}
types = {name: "i64" for name in ("length", "stride", "gradient_stride", "first", "step", "seed")}
types |= {name: "*bf16" for name in VECTORS} | {"squared": "*fp32", "chains": "*i64"}
types |= {name: "fp32" for name in ("lr", "n_beta", "gamma", "alpha", "eps_rms")}
types |= {name: "constexpr" for name in fixed}
for capability in (80, 90):
    source = ASTSource(_move, {name: types[name] for name in _move.arg_names}, fixed)
    made = compile(source, target=GPUTarget("cuda", capability, 32))
    print(capability, len(made.asm["cubin"]), made.asm["ptx"].count("bar.sync"))
"""


def test_the_kernel_compiles_for_the_cards_of_clusters(tmp_path):
    """For A100 and H100, in bfloat16: Triton brings the assembler of the GPU, so that this needs none."""
    usual = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment = {**usual, "TRITON_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", KERNEL], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["80", "90"]
    assert all(int(line.split()[1]) > 0 for line in ran.stdout.splitlines())
