"""What cannot be studied is one line before anything starts: checkpoints on this disk, and what is asked of them."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from smdl.foundation.errors import StudyError
from smdl.models.architectures import SUPPORTED, WITHOUT_HEADS
from smdl.settings.config import validated
from smdl.sources.local import Local
from smdl.study.study import Study
from workflow import small_config

GPT_NEOX = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}
HEADS = {"levels": [0, 0.5, 1], "variants": {"random": {"score": "random"}}}


def checkpoint(folder: Path, content: object) -> Path:
    """A folder whose config.json is ``content``: text as it stands, else as JSON; the ellipsis leaves it out."""
    folder.mkdir(parents=True)
    if content is not ...:
        (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    save_file({"weight": torch.zeros(2, 2)}, folder / "model.safetensors")
    return folder


def local(path: Path, **more: object) -> dict:
    """A study of one local model."""
    config = small_config()
    config["models"] = {"mine": {"source": "local", "path": str(path), **more}}
    return config


def problems(config: dict) -> list[str]:
    with pytest.raises(StudyError) as error:
        validated(config, Study)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


def test_a_label_is_the_folder_of_a_checkpoint_without_a_step(tmp_path):
    steps, averaged = tmp_path / "step{step}", tmp_path / "averaged"
    (tmp_path / "step1").mkdir()
    asked = {"steps": [1, 2], "labels": {str(averaged): 2}}
    model = Local(path=str(steps), **asked)
    assert [model.folder(step) for step in (1, 2)] == [tmp_path / "step1", averaged]
    assert [model.made_with(step, 16, 0).get("label") for step in (1, 2)] == [None, str(averaged)]
    line = f"models.mine.steps: the model has no checkpoint of step 2; there is no folder {steps} or {averaged}"
    assert line in problems(local(steps, **asked))


def of_type(kind: object, *architectures: str, **more: object) -> dict:
    return {"model_type": kind, "architectures": list(architectures), **more}


NONE = " is none that compression can handle: apertus, "
BAD_CONFIGS = {
    "no config.json": (..., "has no config.json, so it is no checkpoint in Hugging Face format"),
    "empty": ("", "config.json is not JSON (Expecting value"),
    "cut short": ('{"model_type": "gpt', "config.json is not JSON (Unterminated string"),
    "a list": ("[]", "config.json is not a JSON object"),
    "a number": ("3", "config.json is not a JSON object"),
    "null": ("null", "config.json is not a JSON object"),
    "deep": ("[" * 100_000, "config.json is not JSON (maximum recursion depth"),
    "a page": ("<html><script>alert(1)</script></html>", "config.json is not JSON (Expecting value"),
    "no type": ({}, f"model_type None{NONE}"),
    "a number as type": (of_type(3), f"model_type 3{NONE}"),
    "a list as type": (of_type(["gpt2"]), f"model_type ['gpt2']{NONE}"),
    "mixtral": (of_type("mixtral", num_local_experts=8), f"model_type 'mixtral' (a mixture of experts){NONE}"),
    "olmoe": (of_type("olmoe", num_experts=64), f"model_type 'olmoe' (a mixture of experts){NONE}"),
    "deepseek": (of_type("deepseek_v3", n_routed_experts=256), f"'deepseek_v3' (a mixture of experts){NONE}"),
    "qwen3_moe": (of_type("qwen3_moe", num_experts=128), f"'qwen3_moe' (a mixture of experts){NONE}"),
    "gpt_oss": (of_type("gpt_oss", num_local_experts=32), f"'gpt_oss' (a mixture of experts){NONE}"),
    "mamba": (of_type("mamba", "MambaForCausalLM"), f"model_type 'mamba'{NONE}"),
    "mamba2": (of_type("mamba2", "Mamba2ForCausalLM"), f"model_type 'mamba2'{NONE}"),
    "jamba": (of_type("jamba", "JambaForCausalLM"), f"model_type 'jamba'{NONE}"),
    "rwkv": (of_type("rwkv", "RwkvForCausalLM"), f"model_type 'rwkv'{NONE}"),
    "bert": (of_type("bert", "BertForMaskedLM"), f"model_type 'bert' (an encoder){NONE}"),
    "roberta": (of_type("roberta", "RobertaForMaskedLM"), f"model_type 'roberta' (an encoder){NONE}"),
    "t5": (of_type("t5", is_encoder_decoder=True), f"model_type 't5' (an encoder-decoder){NONE}"),
    "bart": (of_type("bart", is_encoder_decoder=True), f"model_type 'bart' (an encoder-decoder){NONE}"),
    "whisper": (of_type("whisper", is_encoder_decoder=True), f"'whisper' (an encoder-decoder){NONE}"),
    "clip": (of_type("clip", "CLIPModel"), f"model_type 'clip'{NONE}"),
    "remote code": (of_type("own", auto_map={"AutoModelForCausalLM": "x.py"}), f"model_type 'own'{NONE}"),
    "a classifier": (
        of_type("llama", "LlamaForSequenceClassification"),
        "architecture 'LlamaForSequenceClassification' predicts no next token; one that ends with ForCausalLM or",
    ),
    "no head": (of_type("gpt_neox", "GPTNeoXModel"), "architecture 'GPTNeoXModel' predicts no next token"),
    "experts in a dense type": (
        of_type("llama", "LlamaForCausalLM", num_local_experts=4),
        "'llama' with experts: compression handles dense models only",
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_model_that_compression_cannot_handle(tmp_path, case):
    content, line = BAD_CONFIGS[case]
    (problem,) = problems(local(checkpoint(tmp_path / "mine", content)))
    assert problem.startswith(f"models.mine: {tmp_path / 'mine'}")
    assert line in problem


def test_all_steps_are_looked_at_and_the_same_is_told_once(tmp_path):
    for step, content in ((1, GPT_NEOX), (2, of_type("mamba")), (3, of_type("mamba")), (4, ...)):
        checkpoint(tmp_path / f"step{step}", content)
    found = problems(local(tmp_path / "step{step}", steps=[1, 2, 3, 4]))
    assert len(found) == 2
    assert "step3/config.json: model_type 'mamba'" in found[0]
    assert "step4 has no config.json" in found[1]


@pytest.mark.parametrize("kind", SUPPORTED)
def test_what_is_supported_passes(tmp_path, kind):
    config = local(checkpoint(tmp_path / "mine", of_type(kind, "ThatForCausalLM")))
    assert validated(config, Study)["models"]["mine"]["steps"] == [0]


@pytest.mark.parametrize("kind", WITHOUT_HEADS)
def test_heads_that_cannot_be_told_can_be_left_out(tmp_path, kind):
    config = local(checkpoint(tmp_path / "mine", of_type(kind, "ThatForCausalLM")))
    config["compression"]["schemes"]["prune_heads"] = HEADS
    (problem,) = problems(config)
    assert problem.endswith(
        f"prune_heads cannot tell the heads of model_type '{kind}'; leave it out of the model's key schemes"
    )
    config["models"]["mine"]["schemes"] = ["quantize", "prune"]
    assert validated(config, Study)["models"]["mine"]["schemes"] == ["quantize", "prune"]


def folders(config: dict, tmp_path: Path) -> dict:
    """``config`` with local models below ``tmp_path``, where some checkpoints are."""
    for name in ("one", "step1", "step2"):
        if not (tmp_path / name).exists():
            checkpoint(tmp_path / name, GPT_NEOX)
    return config


HUB = {"source": "hub", "repo": "a/b", "context": 64}
MODELS = {
    "no folder": ({"path": "nothing"}, r"models\.m\.path: '.*/nothing' is not a folder"),
    "a file for a folder": ({"path": "one/config.json"}, r"models\.m\.path: '.*/config\.json' is not a folder"),
    "many steps of one folder": (
        {"path": "one", "steps": [1, 2]},
        r"models\.m\.steps: \[1, 2\] are 2 steps, but without \{step\} in its path, '.*/one', the model is one",
    ),
    "no steps": ({"path": "step{step}"}, r"models\.m: the key 'steps' is missing \(Training steps"),
    "a step that is not there": (
        {"path": "step{step}", "steps": [1, 2, 3]},
        r"models\.m\.steps: the model has no checkpoint of step 3; there is no folder .*/step\{step\}",
    ),
    "a negative step": ({"path": "one", "steps": [-1]}, r"models\.m\.steps\.0: -1 is too small; at least 0"),
    "a window of one checkpoint": (
        {"path": "one", "window": [0, 5]},
        r"models\.m\.window: \[0, 5\] holds 1 of the model's steps; a regression needs 3",
    ),
    "a hub's branch and many steps": (
        {**HUB, "revision": "main", "steps": [1, 2]},
        r"models\.m\.steps: \[1, 2\] are 2 steps, but without \{step\} in its revision, 'main', the model is one",
    ),
    "a hub's branches and no steps": (HUB, r"models\.m: the key 'steps' is missing"),
    "a list for a source": (
        {"source": ["local"], "path": "one"},
        r"models\.m\.source: \['local'\] is not one of branch,",
    ),
    "a number for a path": ({"path": 3}, r"models\.m\.path: 3 is not of type string"),
    "no schemes": ({"path": "one", "schemes": []}, r"models\.m\.schemes: has 0 entries; at least 1"),
    "a scheme twice": ({"path": "one", "schemes": ["prune", "prune"]}, r"models\.m\.schemes: an entry stands twice"),
    "a scheme without a list": (
        {"path": "one", "schemes": "prune"},
        r"models\.m\.schemes: 'prune' is not of type array",
    ),
    "a number for a scheme": (
        {"path": "one", "schemes": [3]},
        r"models\.m\.schemes\.0: 3 is not one of factorize, gptq,",
    ),
    "an unknown scheme": (
        {"path": "one", "schemes": ["quantize", "pruned"]},
        r"models\.m\.schemes\.1: 'pruned' is not one of factorize, gptq, kmeans,",
    ),
    "a scheme that this config has not": (
        {"path": "one", "schemes": ["quantize", "gptq"]},
        r"models\.m\.schemes: 'gptq' is not one of prune, quantize, the schemes of this config$",
    ),
    "the headline's scheme nowhere": (
        {"path": "one", "schemes": ["prune"]},
        r"compression\.headline\.scheme: no model has 'quantize' among its schemes",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_is_not_rightly_told(tmp_path, case):
    model, line = MODELS[case]
    if isinstance(model.get("path"), str):
        model = {"source": "local", **model, "path": f"{tmp_path}/{model['path']}"}
    config = folders(small_config(), tmp_path)
    config["models"] = {"m": {"source": "local", **model}}
    found = problems(config)
    assert any(re.search(line, problem) for problem in found), found


def test_training_needs_its_steps():
    config = small_config()
    del config["models"]["tiny"]["steps"]
    (problem,) = problems(config)
    assert problem.startswith("models.tiny: the key 'steps' is missing (Training steps of the checkpoints to study")


DATA = "needs calibration blocks, and training has none; take a variant that looks at weights alone"
TUNED = "chooses m by the loss, and training cannot; take range maximum"
CONSTRAINTS = {
    "wanda": ("prune", {"score": "wanda"}, DATA),
    "output norm": ("prune_heads", {"score": "output_norm"}, DATA),
    "retrained": ("prune_heads", {"score": "random", "retrain_steps": 2}, DATA),
    "gptq": ("gptq", {"group": 0}, DATA),
    "weighted factors": ("factorize", {"weighting": "activations"}, DATA),
    "then gptq": (
        "sequence",
        {"first": {"prune": {"score": "magnitude"}}, "first_level": 0.5, "second": {"gptq": {}}},
        DATA,
    ),
    "first wanda": (
        "sequence",
        {"first": {"prune": {"score": "wanda"}}, "first_level": 0.5, "second": {"round": {}}},
        DATA,
    ),
    "then minimised": (
        "sequence",
        {"first": {"prune": {"score": "magnitude"}}, "first_level": 0.5, "second": {"quantize": {}}},
        TUNED,
    ),
}


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_a_constraint_that_training_cannot_meet(case):
    scheme, variant, line = CONSTRAINTS[case]
    config = small_config()
    levels = [0, 0.5, 1] if scheme in ("prune", "prune_heads", "factorize") else [2, 4, 8]
    config["compression"]["schemes"][scheme] = {"levels": levels, "variants": {"v": variant}}
    config["models"]["tiny"]["constraint"] = {"scheme": scheme, "variant": "v", "level": levels[1]}
    assert problems(config) == [f"models.tiny.constraint.variant: 'v' {line}"]


def test_a_scheme_may_be_there_for_a_constraint_alone():
    config = small_config()
    config["compression"]["schemes"]["round"] = {"levels": [2, 4], "variants": {"v": {}}}
    config["models"]["tiny"] |= {
        "schemes": ["quantize"],
        "constraint": {"scheme": "round", "variant": "v", "level": 4},
    }
    assert validated(config, Study)["models"]["tiny"]["schemes"] == ["quantize"]


def test_a_plain_branch_of_a_hub_is_one_checkpoint_whatever_its_step():
    config = small_config()
    config["models"] = {"m": {"source": "hub", "repo": "EleutherAI/pythia-14m", "revision": "main", "context": 64}}
    assert validated(config, Study)["models"]["m"]["steps"] == [0]
    config["models"]["m"]["steps"] = [143001]
    assert validated(config, Study)["models"]["m"]["steps"] == [143001]


@pytest.mark.parametrize("broken", [{"models": []}, {"models": {"m": 3}}, {"models": None}, {"compression": 3}, {}])
def test_what_is_no_config_at_all_is_left_to_the_schema(broken):
    assert problems({**small_config(), **broken} if broken else broken)
