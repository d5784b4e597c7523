"""Damaged and unfit models, each with its one line: before any job where files and headers show it, else when read.

The tables here are the list of what a folder of weights can have wrong with it.
"""

import copy
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import suites
from smdl.foundation.errors import StudyError
from smdl.models.files import problems
from smdl.models.loading import check_corpus, load, stored_weights, tensor_manifest
from smdl.models.pickles import to_safetensors
from smdl.settings.config import validated
from smdl.study.study import Study

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 166030000\n"
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SHARD = "model-00002-of-00003.safetensors"


def changed_config(**changes) -> Callable[[Path], None]:
    """Sets keys of config.json; the ellipsis removes one."""

    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text()) | changes
        (folder / CONFIG).write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))

    return change


def changed_tensors(change: Callable[[suites.Tensors], None]) -> Callable[[Path], None]:
    """Changes what model.safetensors holds."""

    def write(folder: Path) -> None:
        tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
        change(tensors)
        (folder / WEIGHTS).write_bytes(safetensors.torch.save(tensors))

    return write


def changed_header(change: Callable[[dict], None]) -> Callable[[Path], None]:
    """Changes the header of model.safetensors, and nothing else."""

    def write(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])

    return write


def cut(name: str, keep: float) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * keep))


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content)


def linked(name: str, target: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return link


def changed_index(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        index = json.loads((folder / name).read_text())
        change(index)
        (folder / name).write_text(json.dumps(index))

    return write


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def folder_instead(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return make


def fifo_instead(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def retyped(name: str, dtype: torch.dtype) -> Callable[[Path], None]:
    return changed_tensors(lambda tensors: tensors.update({name: tensors[name].to(dtype)}))


def lies(key: str, value: object) -> Callable[[Path], None]:
    return changed_header(lambda header: header["embed_out.weight"].update({key: value}))


def scattered(index: dict) -> None:
    index["weight_map"]["model.norm.weight"] = "model-00001-of-00003.safetensors"


NORM = "gpt_neox.final_layer_norm.weight"

# name: the suite that is damaged, how, and what the line says. Seen from files, headers and config.json alone.
DAMAGED = {
    "no config": ("pythia", without(CONFIG), "config.json: is not there"),
    "empty config": ("pythia", replaced(CONFIG, b""), "config.json: is empty"),
    "config is no JSON": ("pythia", replaced(CONFIG, b"{'model_type': 'gpt_neox'}"), "config.json: is not JSON"),
    "config is binary": ("pythia", replaced(CONFIG, b"\x80\xff\x00\x01"), "config.json: is not JSON"),
    "config is a list": ("pythia", replaced(CONFIG, b"[1, 2]"), "config.json: is JSON, but not an object"),
    "config is nested too deep": ("pythia", replaced(CONFIG, b"[" * 100_000), "config.json: is not JSON"),
    "config is a pointer": ("pythia", replaced(CONFIG, POINTER), "config.json: only git-lfs's pointer to the file"),
    "config is a folder": ("pythia", folder_instead(CONFIG), "config.json: is not a file"),
    "config without model_type": ("pythia", changed_config(model_type=...), 'config.json: has no "model_type"'),
    "config with a numeric model_type": ("pythia", changed_config(model_type=7), 'config.json: has no "model_type"'),
    "config without architectures": ("pythia", changed_config(architectures=...), 'has no "architectures"'),
    "config with empty architectures": ("pythia", changed_config(architectures=[]), 'has no "architectures"'),
    "quantized": (
        "pythia",
        changed_config(quantization_config={"quant_method": "gptq", "bits": 4}),
        "the weights are quantized (quantization_config)",
    ),
    "context too long": (
        "pythia",
        changed_config(max_position_embeddings=16),
        "the model reads 16 tokens at a time, fewer than 32",
    ),
    "context too long for GPT-2": ("gpt2", changed_config(n_positions=16), "the model reads 16 tokens at a time"),
    "no weights": ("pythia", without(WEIGHTS), "no weights there (model.safetensors or pytorch_model.bin"),
    "empty weights": ("pythia", replaced(WEIGHTS, b""), f"{WEIGHTS}: is empty"),
    "weights cut short": ("pythia", cut(WEIGHTS, 0.7), "bytes, but its header says"),
    "weights cut within the header": ("pythia", cut(WEIGHTS, 0.01), "not a safetensors file, or cut short"),
    "weights cut to a few bytes": ("pythia", cut(WEIGHTS, 0.0001), "not a safetensors file, or cut short"),
    "bytes appended": (
        "pythia",
        lambda folder: (folder / WEIGHTS).open("ab").write(b"more"),
        "bytes, but its header says",
    ),
    "weights are a pointer": ("pythia", replaced(WEIGHTS, POINTER), "fetch the file itself with git lfs pull"),
    "weights are a web page": ("pythia", replaced(WEIGHTS, b"<!doctype html><html>\n" * 99), "not a safetensors file"),
    "weights are a folder": ("pythia", folder_instead(WEIGHTS), f"{WEIGHTS}: is not a file"),
    "weights are a pipe": ("pythia", fifo_instead(WEIGHTS), f"{WEIGHTS}: is not a file"),
    "dangling link": ("pythia", linked(WEIGHTS, "../blobs/0123abcd"), "a link to ../blobs/0123abcd, where"),
    "link to itself": ("pythia", linked(WEIGHTS, WEIGHTS), f"{WEIGHTS}: cannot be read (Too many levels of symbolic"),
    "header says a huge length": (
        "pythia",
        replaced(WEIGHTS, (2**62).to_bytes(8, "little") + b"{}"),
        "not a safetensors file, or cut short",
    ),
    "header is no JSON": ("pythia", replaced(WEIGHTS, (4).to_bytes(8, "little") + b"abcd"), "its header is not"),
    "header is a list": ("pythia", replaced(WEIGHTS, (2).to_bytes(8, "little") + b"[]"), "its header is not that of"),
    "header without places": (
        "pythia",
        changed_header(lambda header: header["embed_out.weight"].pop("data_offsets")),
        "its header is not that of a safetensors file",
    ),
    "header lies about a shape": ("pythia", lies("shape", [9999, 9999]), "its header contradicts itself"),
    "header lies about a negative shape": ("pythia", lies("shape", [-272, -32]), "its header contradicts itself"),
    "header lies about a type": ("pythia", lies("dtype", "F64"), "its header contradicts itself"),
    "header of an unknown type": ("pythia", lies("dtype", "F17"), "its header is not that of a safetensors file"),
    "header with overlapping tensors": (
        "pythia",
        changed_header(lambda header: header["embed_out.weight"].update(header[NORM] | {"shape": [32]})),
        "its header contradicts itself",
    ),
    "fp8": ("pythia", retyped("embed_out.weight", torch.float8_e4m3fn), "embed_out.weight is of type F8_E4M3"),
    "integers": ("gpt2", retyped("h.0.attn.c_attn.weight", torch.int8), "h.0.attn.c_attn.weight is of type I8"),
    "complex": ("pythia", retyped(NORM, torch.complex64), f"{NORM} is of type C64; weights must be float32"),
    "a layer missing": (
        "olmo2-whole",
        changed_tensors(lambda t: [t.pop(name) for name in list(t) if "layers.1." in name]),
        "there are no weights of layer 1",
    ),
    "a layer too many": ("olmo2-whole", changed_config(num_hidden_layers=1), "config.json has 1 layers, not layer 1"),
    "missing shard": ("olmo2", without(SHARD), f"names {SHARD}, not there (1 of 3 files)"),
    "shard is a pointer": ("olmo2", replaced(SHARD, POINTER), f"{SHARD}: only git-lfs's pointer"),
    "shard cut short": ("olmo2", cut(SHARD, 0.5), f"{SHARD}: "),
    "shards without index": ("olmo2", without(INDEX), f"has 3 shards but no {INDEX}"),
    "index is no JSON": ("olmo2", replaced(INDEX, b"not found"), f"{INDEX}: is not JSON"),
    "index without a map": ("olmo2", replaced(INDEX, b'{"metadata": {}}'), f"{INDEX}: has no weight_map"),
    "index with another map": ("olmo2", replaced(INDEX, b'{"weight_map": {"a": 1}}'), f"{INDEX}: has no weight_map"),
    "index leaves the folder": (
        "olmo2",
        changed_index(INDEX, lambda index: index["weight_map"].update(x="../../secret.safetensors")),
        "names '../../secret.safetensors', which is not a file beside it",
    ),
    "index names another place": ("olmo2", changed_index(INDEX, scattered), "and it does not: download both again"),
    "index names a missing tensor": (
        "olmo2",
        changed_index(INDEX, lambda index: index["weight_map"].update({"model.ghost.weight": SHARD})),
        f"says that {SHARD} holds model.ghost.weight",
    ),
    "pickle cut short": ("distilgpt2", cut(PICKLE, 0.6), f"{PICKLE}: cut short"),
    "pickle is a pointer": ("distilgpt2", replaced(PICKLE, POINTER), f"{PICKLE}: only git-lfs's pointer"),
    "pickle is text": ("distilgpt2", replaced(PICKLE, b"Entry not found"), f"{PICKLE}: not a file that torch.save"),
    "missing pickled shard": ("llama", without("pytorch_model-00001-of-00003.bin"), "(1 of 3 files)"),
    "pickled shards without index": ("llama", without(PICKLE_INDEX), f"has 3 shards but no {PICKLE_INDEX}"),
}  # fmt: skip


class Payload:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def malicious(folder: Path) -> None:
    (folder / PICKLE).write_bytes(pickle.dumps({"weight": Payload(folder / "owned")}, protocol=2))


def remote_code(folder: Path) -> None:
    """A model type that is in no library, whose code is offered."""
    changed_config(
        model_type="evil",
        architectures=["EvilForCausalLM"],
        auto_map={"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilForCausalLM"},
    )(folder)
    (folder / "evil.py").write_text(f"open({str(folder / 'owned')!r}, 'w')")


def encoder(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertForMaskedLM(BertConfig(vocab_size=272, max_position_embeddings=64, **shape)).save_pretrained(folder)


def mixture(folder: Path) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    config = MixtralConfig(vocab_size=272, num_local_experts=2, num_key_value_heads=2, **shape)
    MixtralForCausalLM(config).save_pretrained(folder)


def renamed_keys(tensors: suites.Tensors) -> None:
    for name in list(tensors):
        tensors[f"module.{name}"] = tensors.pop(name)


def fewer_heads(tensors: suites.Tensors) -> None:
    """One head of four cut out of layer 0."""
    name = "gpt_neox.layers.0.attention.query_key_value.weight"
    tensors[name] = tensors[name][:72].contiguous()


def base_model(tensors: suites.Tensors) -> None:
    """As saved from the model without its head."""
    tensors.pop("embed_out.weight")


PLACE = "gpt_neox.layers.1.mlp.dense_4h_to_h.bias"
NOT_THE_MODELS = "not the weights of the GPTNeoXForCausalLM that config.json describes: "

# The same, of what only the model's own list of parameters shows: told by the first job that reads the folder.
UNFIT = {
    "a tensor missing": ("pythia", changed_tensors(lambda t: t.pop(PLACE)), f"{NOT_THE_MODELS}missing: {PLACE}"),
    "the head missing": ("pythia", changed_tensors(base_model), f"{NOT_THE_MODELS}missing: lm_head.weight"),
    "keys renamed": ("pythia", changed_tensors(renamed_keys), "missing: gpt_neox.embed_in.weight, "),
    "a tensor too many": (
        "pythia",
        changed_tensors(lambda t: t.update({"gpt_neox.layers.0.attention.extra": t[NORM].clone()})),
        f"{NOT_THE_MODELS}not the model's: gpt_neox.layers.0.attention.extra",
    ),
    "an adapter's weights": (
        "smollm",
        changed_tensors(lambda t: t.update({"base_model.layers.0.q_proj.lora_A": t["model.norm.weight"].clone()})),
        "not the model's: base_model.layers.0.q_proj.lora_A",
    ),
    "another width": ("pythia", changed_config(hidden_size=16), "gpt_neox.embed_in.weight has shape [272, 32], not"),
    "another vocabulary": ("pythia", changed_config(vocab_size=300), "has shape [272, 32], not [300, 32]"),
    "a head missing": ("pythia", changed_tensors(fewer_heads), "has shape [72, 32], not [96, 32]"),
    "masks in the place of weights": (
        "gpt2",
        changed_tensors(lambda t: t.update({"h.0.attn.c_proj.weight": t["h.0.attn.bias"].clone()})),
        "h.0.attn.c_proj.weight has shape [1, 1, 64, 64], not [32, 32]",
    ),
    "another architecture": (
        "pythia",
        changed_config(model_type="gpt2", architectures=["GPT2LMHeadModel"]),
        "not the weights of the GPT2LMHeadModel that config.json describes: missing: transformer.wte.weight",
    ),
    "a tied head that differs": (
        "smollm",
        changed_tensors(lambda t: t.update({"lm_head.weight": -t["model.embed_tokens.weight"]})),
        "lm_head.weight and model.embed_tokens.weight differ, but config.json ties them: set its tie_word_embeddings",
    ),
    "an encoder": ("pythia", encoder, "config.json is that of BertForMaskedLM, not of a causal language model"),
    "a classifier": (
        "pythia",
        changed_config(architectures=["GPTNeoXForSequenceClassification"]),
        "config.json is that of GPTNeoXForSequenceClassification",
    ),
    "a mixture of experts": ("pythia", mixture, "is stored in another form than the model uses it in (experts apart)"),
    "code of its own": ("pythia", remote_code, "config.json asks for code of its own (auto_map), which is never run"),
    "an unknown type": ("pythia", changed_config(model_type="gpt9"), "no causal language model that transformers can"),
    "a config with odd values": ("pythia", changed_config(hidden_size="wide"), "no causal language model that"),
    "heads that do not divide": ("pythia", changed_config(hidden_size=30), "The hidden size is not divisible by"),
    "a malicious pickle": ("distilgpt2", malicious, "not a pickle of tensors alone, so it is not read (Unsupported"),
    "an optimizer's pickle": (
        "distilgpt2",
        replaced(PICKLE, suites.pickled({"step": 3, "state": {}})),
        f"{PICKLE}: holds other things than named tensors",
    ),
    "integers in a pickle": (
        "distilgpt2",
        replaced(PICKLE, suites.pickled({"transformer.wte.weight": torch.zeros(272, 32, dtype=torch.int64)})),
        "transformer.wte.weight is of type torch.int64, not floating point",
    ),
    "a damaged pickle": ("distilgpt2", replaced(PICKLE, b"\x80\x02}q\x00(X"), f"{PICKLE}: not a pickle of tensors"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Callable[[str], Path]:
    """A sound folder of each suite, taught for no time; as its branch holds it."""
    root = tmp_path_factory.mktemp("sound")
    olmo = suites.weights(suites.tensors_of("olmo2", 0), "safetensors")
    whole = {CONFIG: suites.files_of("olmo2", 0)[CONFIG], **olmo}

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            (root / name).mkdir()
            for path, content in (whole if name == "olmo2-whole" else suites.files_of(name, 0)).items():
                (root / name / path).write_bytes(content)
        return root / name

    return folder


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_told_in_one_line_without_loading_anything(name, sound, tmp_path):
    suite, damage, line = DAMAGED[name]
    folder = Path(shutil.copytree(sound(suite), tmp_path / "weights"))
    assert problems(folder, 32) == []
    damage(folder)
    (found,) = problems(folder, 32)
    assert line in found
    assert str(folder) in found
    assert "\n" not in found


@pytest.mark.parametrize("name", [name for name in DAMAGED if "context" not in name and "pipe" not in name])
def test_a_job_that_meets_damaged_files_tells_the_same(name, sound, tmp_path):
    """What arrives from a hub is not seen by the config's checks."""
    suite, damage, _ = DAMAGED[name]
    folder = Path(shutil.copytree(sound(suite), tmp_path / "weights"))
    damage(folder)
    with pytest.raises(StudyError) as refusal:
        tensor_manifest(folder)
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_not_the_models_is_one_line_wherever_it_is_read(name, sound, tmp_path):
    suite, change, line = UNFIT[name]
    folder = Path(shutil.copytree(sound(suite), tmp_path / "weights"))
    change(folder)
    for read in (tensor_manifest, stored_weights, load):
        with pytest.raises(StudyError) as refusal:
            read(folder)
        assert line in str(refusal.value)
        assert "\n" not in str(refusal.value)
    assert not (folder / "owned").exists()


def test_a_malicious_pickle_from_a_hub_is_not_run(sound, tmp_path):
    folder = Path(shutil.copytree(sound("distilgpt2"), tmp_path / "weights"))
    malicious(folder)
    with pytest.raises(StudyError, match="not a pickle of tensors alone"):
        to_safetensors(folder)
    assert not (folder / "owned").exists()


def test_numbers_that_are_none_are_for_the_audit(sound, tmp_path):
    """Buffers may be infinite; a parameter that is, is found by the audit and stops nothing else."""
    folder = Path(shutil.copytree(sound("pythia"), tmp_path / "weights"))
    changed_tensors(lambda tensors: tensors[NORM].fill_(float("nan")))(folder)
    assert problems(folder) == []
    finite = {row["tensor"]: row["finite"] for row in tensor_manifest(folder)}
    assert not finite[NORM]
    assert not finite["gpt_neox.layers.0.attention.masked_bias"]
    assert all(finite[name] for name in finite if name != NORM and "masked" not in name)


def test_text_that_the_model_cannot_read_is_one_line(sound):
    model = load(sound("pythia"))
    check_corpus(model, np.array([[0, 271]]))
    with pytest.raises(StudyError, match="has token 272, but the model's vocabulary ends at 271"):
        check_corpus(model, np.array([[0, 272]]))
    with pytest.raises(StudyError, match=r"reads 64 tokens at a time, fewer than corpus\.context, 65"):
        check_corpus(model, np.zeros((1, 65), int))


def test_the_config_names_the_model_whose_files_are_damaged(mini, sound, tmp_path):
    """Before anything starts; sound folders pass, and every step is looked at."""
    for step in (1, 2, 3):
        shutil.copytree(sound("pythia"), tmp_path / f"step{step}")
    model = {"source": "local", "path": f"{tmp_path}/step{{step}}", "steps": [1, 2, 3], "window": [1, 3]}
    mini["models"] = {"mine": model}
    mini["corpus"]["context"] = 32
    assert validated(copy.deepcopy(mini), Study)
    cut(WEIGHTS, 0.5)(tmp_path / "step2")
    without(CONFIG)(tmp_path / "step3")
    with pytest.raises(StudyError) as refusal:
        validated(mini, Study)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 3
    assert re.match(r"  models\.mine: .*/step2/model\.safetensors: .* bytes, but its header says", lines[1])
    assert re.match(r"  models\.mine: .*/step3 has no config\.json", lines[2])


def test_a_folder_that_is_a_loop_of_links_has_no_checkpoint(mini, tmp_path):
    (tmp_path / "step1").symlink_to(tmp_path / "step1")
    mini["models"] = {"mine": {"source": "local", "path": f"{tmp_path}/step{{step}}", "steps": [1]}}
    with pytest.raises(StudyError, match=r"mine\.steps: the model has no checkpoint of step 1; there is no folder"):
        validated(mini, Study)
