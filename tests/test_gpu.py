"""The path over a GPU on a machine without one: a simulated device, and the page of what is measured on a real one."""

import json

import pytest
import torch

from conftest import ROOT
from simulated_gpu import GPU, SimulatedGpu
from smdl import cli
from smdl.compression.registry import SCHEMES
from smdl.gpu import agreement, small
from smdl.gpu.agreement import Agreement, agreements
from smdl.gpu.check import holds, write
from smdl.gpu.memory import Peak
from smdl.gpu.peer import Beside, beside_peer
from smdl.gpu.speed import Speed
from smdl.models.loading import BlockLoss, on, tf32
from smdl.rulers.registry import RULERS
from smdl.settings.config import settings
from smdl.settings.configfile import load as load_config
from smdl.sources.train import Architecture
from smdl.study.study import Study

pytestmark = pytest.mark.long
ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")


@pytest.fixture(scope="module")
def compared() -> list[Agreement]:
    """What the check of a GPU finds of a simulated one, whose sums are those of the CPU."""
    from smdl.llc.update import fused

    with pytest.MonkeyPatch.context() as patch, SimulatedGpu():
        # The kernel has its own tests, and its interpreter takes its time.
        patch.setattr(fused, "triton", None)
        # Within an operation the simulated device is main memory, and so not what torch noted of it outside.
        patch.setitem(torch.utils.checkpoint._allowed_determinism_checks_to_fns, "default", lambda _: None)
        patch.setattr(small, "SHAPE", Architecture(layers=3, hidden=16, heads=2))
        fused.fused.cache_clear()
        found = list(agreements(GPU))
    fused.fused.cache_clear()
    return found


def test_no_tensor_of_a_simulated_gpu_meets_one_of_the_cpu_and_all_numbers_are_the_cpus(compared):
    # Up to the rounding of normals, made by the plain form there and the compiled one here, and what a fit makes of it.
    allowed = {"rulers": 1e-3}
    assert [row for row in compared if row.difference > allowed.get(row.part, 1e-6)] == []


def test_the_check_goes_through_every_scheme_and_every_ruler(compared):
    assert set(agreement.SCHEMES) == set(SCHEMES)
    named = {(row.part, row.what) for row in compared}
    assert {("schemes", name) for name in SCHEMES} <= named
    assert {("rulers", name) for name, ruler in RULERS.items() if ruler.tables} <= named
    assert {part for part, _ in named} == {"training", "losses", "chains", "resume", "schemes", "rulers"}


@pytest.mark.gpu
@ON_A_GPU
def test_a_gpu_and_the_cpu_agree():
    assert [row for row in agreements(torch.device("cuda", 0)) if not row.holds] == []


@pytest.mark.parametrize(
    ("mixed", "error"),
    [
        (lambda here, there: here + there, "add: expected all tensors on cuda:0"),
        (lambda here, there: torch.cat([here, there]), "cat: expected all tensors on cuda:0"),
        (lambda here, there: there[here > 0], "__getitem__: expected all tensors on cuda:0"),
        (lambda here, there: here.numpy(), "numpy: can't convert"),
        (lambda here, there: here.data_ptr(), "data_ptr: can't convert"),
    ],
)
def test_the_simulated_gpu_refuses_what_a_gpu_refuses(mixed, error):
    with SimulatedGpu():
        here, there = torch.ones(3, device="cuda"), torch.ones(3)
        with pytest.raises((RuntimeError, TypeError), match=error):
            mixed(here, there)


def test_the_simulated_gpu_takes_what_a_gpu_takes_and_counts_its_waits():
    with SimulatedGpu() as gpu:
        here = torch.arange(3.0).to("cuda").requires_grad_()
        assert here[torch.tensor([0, 2])].device == here.new_zeros(2).device == GPU
        (here * torch.tensor(2.0)).sum().backward()
        assert here.grad.device == GPU
        assert torch.empty(3).copy_(here.detach()).device.type == "cpu"
        assert gpu.waits == []
        assert here.sum().item() == 3
        assert len(gpu.waits) == 1


def test_a_step_of_a_chain_waits_for_the_gpu_once_its_work_is_under_way(monkeypatch):
    """Not in the update, and not parameter by parameter: the larger model waits as often."""
    from small_models import blocks_of, trained
    from smdl.llc.sampler import Walker
    from smdl.llc.settings import Sampler
    from smdl.llc.update import fused

    monkeypatch.setattr(fused, "triton", None)
    settings = Sampler(lr=1e-4, n_beta=30, gamma=300, batch_size=4, burn_in=9, draws=4)
    waits = []
    for layers in (1, 3):
        model = trained(layers=layers, steps=0)
        with SimulatedGpu() as gpu:
            fused.fused.cache_clear()
            steps = Walker(BlockLoss(model.to("cuda"), blocks_of("evaluation")), settings).walk(1, 0, 30)
            next(steps)
            gpu.waits.clear()
            next(steps)
            waits.append(len(gpu.waits))
    fused.fused.cache_clear()
    # The losses, the distance, and a look of transformers at the attention's mask.
    assert waits[0] == waits[1] <= 3


def test_tf32_is_on_in_both_passes_of_a_loss_and_off_elsewhere(monkeypatch):
    from small_models import blocks_of, trained

    matmul, seen = torch.backends.cuda.matmul, []
    model = trained(layers=1, steps=0)
    model.tf32 = True
    layer = model.gpt_neox.layers[0]
    layer.register_forward_hook(lambda *_: seen.append(matmul.allow_tf32))
    layer.register_full_backward_hook(lambda *_: seen.append(matmul.allow_tf32))
    loss = BlockLoss(model, blocks_of("evaluation"))([0, 1]).sum()
    assert (seen, matmul.allow_tf32) == ([True], False)
    loss.backward()
    assert (seen, matmul.allow_tf32) == ([True, True], False)
    model.tf32 = False
    BlockLoss(model, blocks_of("evaluation"))([0, 1]).sum().backward()
    assert seen[2:] == [False, False]
    with tf32():
        assert matmul.allow_tf32


def test_models_are_made_on_the_device_that_was_chosen_and_their_weights_do_not_depend_on_it():
    text = small.bible()
    with SimulatedGpu(), on(GPU):
        there = small.training(text).model
        assert next(there.parameters()).device == GPU
    here = small.training(text).model
    for ours, theirs in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(ours, theirs)


FOUND = {
    "device": "H200",
    "memory_gb": 141.0,
    "driver": "570",
    "torch": "2.13.0",
    "cuda": "12.8",
    "seconds": 300,
    "agreements": [Agreement("schemes", "gptq", 0.001, 0.02), Agreement("rulers", "bdm", 2e-4, 1e-2)],
    "speeds": [Speed("pythia-410m", 0.210, 0.200, 0.6, 4.0, 1e-3)],
    "peaks": [Peak("pythia-410m", "llc_chains", 11e9, 10e9)],
    "peer": [Beside("pythia-410m", 1.8, 0.5)],
    "left_out": [],
}


@pytest.mark.parametrize(
    "changed",
    [
        {"agreements": [Agreement("schemes", "gptq", float("inf"), 0.02, "RuntimeError: on two devices")]},
        {"speeds": [Speed("pythia-410m", 0.3, 0.2, 0.6, 4.0, 1e-3)]},
        {"peaks": [Peak("pythia-410m", "llc_chains", 20e9, 10e9)]},
        {"peer": [Beside("pythia-410m", 1.8, 0.9)]},
        {"peer": [Beside("pythia-410m", float("nan"), float("nan"), "no network")]},
        {"left_out": ["pythia-1.4b"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_page_says_what_holds(changed, tmp_path):
    write(FOUND, tmp_path)
    page = (tmp_path / "gpu.md").read_text()
    assert holds(FOUND)
    assert "All holds." in page and "**no**" not in page
    assert "| pythia-410m | 210 | 1.05 | 0.60 | 4.00 | 0.001 |" in page
    assert json.loads((tmp_path / "gpu.json").read_text())["peaks"][0]["ratio"] == 1.1
    write({**FOUND, **changed}, tmp_path)
    page = (tmp_path / "gpu.md").read_text()
    assert not holds({**FOUND, **changed})
    assert "Not all holds." in page
    assert ("**no**" in page) == bool({"agreements", "peaks", "peer"} & set(changed))


def test_of_a_peer_that_cannot_be_compared_the_reason_is_kept(tmp_path):
    assert beside_peer("pythia-2.8b", tmp_path, 600).note.startswith("llc_peer.py: error: argument --models: invalid")
    assert beside_peer("pythia-70m", tmp_path, 0.01).note == "not done within 0 s"


def test_memory_and_speed_are_measured_of_every_job_of_the_study(monkeypatch):
    """On a simulated GPU, which has no memory of its own, at small shapes."""
    from smdl.gpu import pythia
    from smdl.gpu.memory import peaks
    from smdl.gpu.speed import speed
    from smdl.llc.update import fused

    raw = load_config(ROOT / "config.yaml")
    raw["corpus"] |= {"context": 16, "blocks": {"sampling": 64, "evaluation": 8, "calibration": 8}}
    raw["compression"] |= {"batch_size": 2}
    study = settings(raw, Study)
    monkeypatch.setattr(fused, "triton", None)
    monkeypatch.setitem(pythia.SHAPES, "pythia-70m", (3, 32, 4, 256))
    monkeypatch.setattr(pythia, "VOCABULARY", 256)
    monkeypatch.setattr("smdl.gpu.speed.SIDE", 64)
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 10**9)
    fused.fused.cache_clear()
    with SimulatedGpu():
        found = list(peaks(study, "pythia-70m", GPU))
        taken = speed(study, "pythia-70m", GPU)
    fused.fused.cache_clear()
    assert {row.rule for row in found} == {"llc_chains", "bits_back", *study.models["pythia-70m"].schemes}
    assert all(row.note == "" and row.computed > 0 and row.measured == 1e9 for row in found)
    assert taken.step > 0 and taken.forward_backward > 0 and taken.tf32_change == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_the_check_says_what_is_needed(tmp_path, capsys):
    assert cli.main(["gpu-check", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: torch {torch.__version__} finds no GPU here: run this on a node that has one")
    assert list(tmp_path.iterdir()) == []
