"""The stored files of the public suites: what is a parameter in them, and that all is computed from parameters only."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

import suites
from small_models import blocks_of
from smdl.compression.weights import Weights
from smdl.models.files import problems
from smdl.models.loading import BlockLoss, load, stored_weights, tensor_manifest
from smdl.models.parameters import contents
from smdl.models.pickles import to_safetensors

BUFFERS = {"pythia": 6, "pythia-bin": 6, "pythia-shards": 6, "llama": 2, "gpt2": 2, "distilgpt2": 4}
COPIES = {"distilgpt2": 1}


def written(name: str, folder: Path, step: int = 1000) -> Path:
    """A suite's checkpoint as a folder of this disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in suites.files_of(name, step).items():
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Every suite's checkpoint, as downloaded: pickles turned into safetensors."""
    root = tmp_path_factory.mktemp("suites")
    for name in suites.SUITES:
        to_safetensors(written(name, root / name))
    return {name: root / name for name in suites.SUITES}


@pytest.mark.parametrize("name", suites.SUITES)
def test_nothing_is_wrong_with_a_suites_files(name, folders, tmp_path):
    assert problems(written(name, tmp_path)) == []
    assert problems(folders[name]) == []


@pytest.mark.parametrize("name", suites.SUITES)
def test_every_stored_tensor_is_known_for_what_it_is(name, folders):
    rows = tensor_manifest(folders[name])
    parameters = {row["parameter"]: row for row in rows if row["kind"] == "parameter"}
    expected = suites.parameters_of(name, 1000)
    assert set(parameters) == set(expected)
    assert {row["tensor"] for row in rows} == set(suites.tensors_of(name, 1000))
    assert [sum(row["kind"] == kind for row in rows) for kind in ("buffer", "copy")] == [
        BUFFERS.get(name, 0),
        COPIES.get(name, 0),
    ]
    for key, tensor in expected.items():
        assert parameters[key]["shape"] == json.dumps(list(tensor.shape))
        assert parameters[key]["dtype"] == str(suites.SUITES[name].dtype).removeprefix("torch.")
        assert parameters[key]["finite"]
        assert parameters[key]["norm"] == pytest.approx(tensor.double().norm().item())


@pytest.mark.parametrize("name", suites.SUITES)
def test_coding_sees_the_parameters_of_the_loaded_model_and_nothing_else(name, folders):
    weights = stored_weights(folders[name])
    model = load(folders[name])
    own = dict(model.named_parameters())
    assert list(sorted(weights)) == sorted(own)
    for key, numbers in weights.items():
        assert torch.equal(torch.from_numpy(numbers), own[key].detach().cpu())
    blocks = torch.arange(12)[None]
    with torch.no_grad():
        expected = suites.taught(name, 1000)(input_ids=blocks).logits
        torch.testing.assert_close(model(input_ids=blocks).logits, expected)


@pytest.mark.parametrize("name", suites.SUITES)
def test_transformers_agrees_that_nothing_is_missing_and_nothing_too_much(name, folders):
    """And what it calls unexpected are buffers: it would load the folder without a word otherwise."""
    _, told = AutoModelForCausalLM.from_pretrained(folders[name], output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["mismatched_keys"]
    buffers = {tensor.name for tensor in contents(folders[name]) if tensor.kind == "buffer"}
    assert all(any(buffer.endswith(key) for buffer in buffers) for key in told["unexpected_keys"])


@pytest.mark.parametrize("name", ["pythia", "olmo2", "smollm", "gpt2"])
def test_saving_memory_changes_no_loss(name, folders):
    """Recomputing layers needs the training mode, in which GPT-2 would drop numbers at random."""
    blocks = blocks_of("evaluation")[:4]
    plain = BlockLoss(load(folders[name]), blocks)
    saving = BlockLoss(load(folders[name]), blocks, checkpointing=True)
    everything = np.arange(4)
    layers = [module for module in saving.model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert len(layers) == suites.LAYERS
    assert all(layer.gradient_checkpointing and layer.training for layer in layers)
    torch.testing.assert_close(saving(everything), plain(everything))
    gradients = [torch.autograd.grad(loss(everything).mean(), loss.parameters) for loss in (plain, saving)]
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["pythia-bin", "llama", "distilgpt2"])
def test_a_local_folder_of_pickles_is_read_as_it_is(name, folders, tmp_path):
    own, downloaded = (
        {(row["tensor"], row["kind"], row["sha256"]) for row in tensor_manifest(folder)}
        for folder in (written(name, tmp_path), folders[name])
    )
    assert own == downloaded
    assert load(tmp_path).num_parameters() == load(folders[name]).num_parameters()


def test_files_beside_the_weights_are_not_read(tmp_path):
    folder = written("pythia", tmp_path)
    before = tensor_manifest(folder)
    for other in ("adapter_model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "tf_model.h5"):
        (folder / other).write_bytes(b"anything")
    assert problems(folder) == []
    assert tensor_manifest(folder) == before


@pytest.mark.parametrize("name", suites.SUITES)
def test_the_originals_of_a_large_model_are_read_from_its_files(name, folders, monkeypatch):
    """Whatever the names on disk; here every model counts as large."""
    monkeypatch.setattr("smdl.compression.weights.KEPT_BYTES", {"cpu": 0, "cuda": 0})
    kept = Weights(load(folders[name]))
    before = {view: view.current() for view in kept.views}
    for view in kept.views:
        view.put(torch.zeros(view.shape))
    assert all(torch.equal(kept[view], original) for view, original in before.items())
    kept.restore()
    assert all(torch.equal(view.current(), original) for view, original in before.items())
