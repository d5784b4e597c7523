"""Every mistake in the config is one clear line that names the key."""

import json
import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from conftest import ROOT
from smdl.foundation.errors import StudyError
from smdl.settings.config import validated
from smdl.study.study import Study

MODEL = "models.neox-2x64"


def changed(config: dict, key: str, value: object) -> dict:
    """``config`` with one dotted key set, or removed where ``value`` is the ellipsis."""
    *path, last = key.split("/")
    place = config
    for part in path:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


MISTAKES = [
    ("studdy", "x", "config: unknown key 'studdy'; did you mean study?"),
    ("study", ..., "config: the key 'study' is missing"),
    ("study", "../elsewhere", "study: '../elsewhere' does not have the form"),
    ("study", 3, "study: 3 is not of type string"),
    ("seed", -1, "seed: -1 is too small; at least 0"),
    ("corpus/source", "web", "corpus.source: 'web' is not one of package, local"),
    ("corpus/name", "moby", "corpus.name: 'moby' is not one of kjv, factbook"),
    ("corpus/name", ..., "corpus: the key 'name' is missing; source package needs it"),
    ("corpus/context", 1, "corpus.context: 1 is too small; at least 2"),
    ("corpus/tokenizer", "no/such/file", "corpus.tokenizer: 'no/such/file' is neither bytes nor a tokenizer.json file"),
    ("corpus/blocks/sampling", 4, "corpus.blocks.sampling: 4 blocks are fewer than a minibatch"),
    ("corpus/blocks/evaluation", "many", "corpus.blocks.evaluation: 'many' is not of type integer"),
    ("models", {}, "models: has 0 entries; at least 1"),
    ("models/neox-2x64/source", "torrent", f"{MODEL}.source: 'torrent' is not one of branch, hub, local, train"),
    ("models/neox-2x64/source", "hub", f"{MODEL}: the key 'repo' is missing; source hub needs it"),
    ("models/neox-2x64/repo", "a/b", f"{MODEL}.repo: belongs to source hub, but the source is train"),
    ("models/neox-2x64/architecture/heads", 3, f"{MODEL}.architecture.heads: 3 does not divide hidden, 64"),
    ("models/neox-2x64/architecture/layers", 0, f"{MODEL}.architecture.layers: 0 is too small; at least 1"),
    ("models/neox-2x64/training/lr", "fast", f"{MODEL}.training.lr: 'fast' is not of type number"),
    ("models/neox-2x64/training/lr", ..., f"{MODEL}.training: the key 'lr' is missing (Peak learning rate.)"),
    ("models/neox-2x64/steps", [100, 200, 300, 9999], f"{MODEL}.steps: the model has no checkpoint of step 9999"),
    ("models/neox-2x64/steps", [100, 100, 300], f"{MODEL}.steps: an entry stands twice"),
    ("models/neox-2x64/window", [5, 50], f"{MODEL}.window: [5, 50] holds 0 of the model's steps"),
    ("models/neox-2x64/window", [100], f"{MODEL}.window: has 1 entries; at least 2"),
    ("models/neox-2x64/context", 32, f"corpus.context: 64 tokens are more than {MODEL}.context, 32"),
    ("models/neox-2x64/dtype", "float8", f"{MODEL}.dtype: 'float8' is not one of float32, tf32, bfloat16"),
    ("models/neox-2x64/llc", {"burnn_in": 3}, f"{MODEL}.llc: unknown key 'burnn_in'"),
    (
        "models/neox-2x64/constraint",
        {"scheme": "quantize", "variant": "minimised", "level": 8},
        f"{MODEL}.constraint.variant: 'minimised' chooses m by the loss, and training cannot; take range maximum",
    ),
    ("llc/burnin", 3, "llc: unknown key 'burnin'; did you mean burn_in?"),
    ("llc/chains", 1, "llc.chains: 1 is too small; at least 2"),
    ("llc/alpha", 1, "llc.alpha: 1 is too large; less than 1"),
    ("llc/gamma", -1, "llc.gamma: -1 is too small; at least 0"),
    ("llc/lr", 1.0, "the localisation is stable below 2 only: lower llc.lr (1) or llc.gamma (300)"),
    ("compression/epsilons", [0.3, -0.1], "compression.epsilons.1: -0.1 is too small; more than 0"),
    ("compression/schemes/quantise", {}, "compression.schemes: unknown key 'quantise'; did you mean quantize?"),
    (
        "compression/schemes/quantize/levels",
        [1, 4],
        "compression.schemes.quantize.levels: 1 to 4; levels are numbers of values, from 2 to 65536",
    ),
    (
        "compression/schemes/noise/levels",
        {"first": 0.1, "ratio": 2, "step": 3},
        "is not a span; give first, last, and either ratio or step",
    ),
    (
        "compression/schemes/prune/levels",
        {"first": 0, "last": 3, "step": 1},
        "compression.schemes.prune.levels: 0 to 3; levels are fractions, from 0 to 1",
    ),
    (
        "compression/schemes/sequence",
        {
            "levels": [4, 8],
            "variants": {
                "both": {"first": {"prune": {"scores": "wanda"}}, "first_level": 0.5, "second": {"round": {}}}
            },
        },
        "variants.both.first.prune: unknown key 'scores'; did you mean score?",
    ),
    ("corpus/blocks/calibration", 0, "is 0, but compression.schemes.gptq.variants.channel needs calibration blocks"),
    (
        "compression/schemes/quantize/variants/minimised/range",
        "best",
        "compression.schemes.quantize.variants.minimised.range: 'best' is not one of minimised, maximum",
    ),
    ("compression/headline/scheme", "distil", "compression.headline.scheme: 'distil' is not one of factorize"),
    ("compression/headline/variant", "loose", "compression.headline.variant: 'loose' is not one of minimised, maximum"),
    ("compression/headline/epsilon", 0.4, "compression.headline.epsilon: 0.4 is not one of epsilons"),
    ("rulers/coding", {"variant": "best"}, "rulers.coding.variant: 'best' is not a variant of the scheme quantize:"),
    ("rulers/codings", {}, "rulers: unknown key 'codings'; did you mean coding?"),
    ("regression", {"admit": ["fine"]}, "regression.admit.0: 'fine' is not one of ok"),
]


@pytest.mark.parametrize(("key", "value", "line"), MISTAKES, ids=[f"{key}={value}" for key, value, _ in MISTAKES])
def test_a_mistake_is_one_clear_line(mini, key, value, line):
    with pytest.raises(StudyError) as error:
        validated(changed(mini, key, value), Study)
    heading, *problems = str(error.value).splitlines()
    assert heading == "the configuration is not right:"
    assert any(line in problem for problem in problems), problems


def test_every_problem_is_listed_at_once(mini):
    changed(changed(changed(mini, "llc/chains", 1), "seed", "x"), "corpus/context", 0)
    with pytest.raises(StudyError) as error:
        validated(mini, Study)
    assert len(str(error.value).splitlines()) == 4


def test_pythia_has_no_such_step():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["models"]["pythia-14m"]["steps"] = [2000, 2500, 5000, 10000, 13000]
    with pytest.raises(StudyError, match=re.escape("14m.steps: the model has no checkpoint of step 2500; Pythia")):
        validated(config, Study)


def test_a_missing_local_checkpoint(mini, tmp_path):
    mini["models"] = {
        "mine": {"source": "local", "path": f"{tmp_path}/step{{step}}", "steps": [1, 2, 3], "window": [1, 3]}
    }
    with pytest.raises(StudyError, match=r"mine\.steps: the model has no checkpoint of step 1; there is no folder"):
        validated(mini, Study)


def test_numbers_that_yaml_reads_as_text_are_converted(mini):
    mini["llc"]["lr"] = yaml.safe_load("1e-4")
    mini["llc"]["chains"] = 4.0
    assert mini["llc"]["lr"] == "1e-4"
    config = validated(mini, Study)
    assert config["llc"]["lr"] == 1e-4
    assert isinstance(config["llc"]["chains"], int)


def test_defaults_are_filled_in(mini):
    config = validated(mini, Study)
    assert config["llc"]["alpha"] == 0.99
    assert config["models"]["neox-2x64"]["dtype"] == "float32"
    assert config["llc"]["gates"]["max_r_hat"] == 1.2


def test_the_published_config_is_right():
    config = validated(yaml.safe_load((ROOT / "config.yaml").read_text()), Study)
    assert len(config["models"]) == 9
    assert all(len(model["steps"]) == 12 for model in config["models"].values())
    assert len(config["compression"]["schemes"]["quantize"]["levels"]) == 52


@pytest.mark.parametrize("name", ["config.yaml", "config.mini.yaml"])
def test_editors_take_what_we_take(name):
    text = (ROOT / name).read_text()
    assert text.startswith("# yaml-language-server: $schema=docs/reference/config.schema.json\n")
    schema = json.loads((ROOT / "docs/reference/config.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    config = validated(yaml.safe_load(text), Study)
    assert list(Draft202012Validator(schema).iter_errors(config)) == []
    for model in config["models"].values():
        del model["schemes"]
    assert list(Draft202012Validator(schema).iter_errors(config)) == []
    config["llc"]["burnin"] = config["seed"] = -1
    assert {error.json_path for error in Draft202012Validator(schema).iter_errors(config)} == {"$.llc", "$.seed"}
