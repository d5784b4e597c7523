"""Configs that are wrong in the ways of people, editors and YAML itself: each is one line, before anything runs."""

import copy
import datetime
import json
import math
import os
import random
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from hub.checkpoints import small_model
from smdl.foundation.errors import StudyError
from smdl.settings.config import settings, validated
from smdl.settings.configfile import load
from smdl.study.study import Study
from test_config import changed
from workflow import jobs, small_config, snakemake

MODEL = "models.neox-2x64"
LEVELS = "compression.schemes.noise.levels"
LONG = "x" * 300


def renamed(name: object) -> dict:
    """All models of the mini study, the first of them under another name."""
    models = yaml.safe_load((ROOT / "config.mini.yaml").read_text())["models"]
    return {name: models.pop("neox-2x64"), **models}


def variants(name: object) -> dict:
    return {name: {}, "minimised": {}, "maximum": {"range": "maximum"}}


HUB = {"source": "hub", "repo": "EleutherAI/pythia-14m", "steps": [1000, 2000, 3000]}
LOCAL = {"source": "local", "path": "/no/such/step{step}", "steps": [1, 2, 3]}

# Key, its value, and the line (or the part of it that tells it from others).
BAD = [
    # Numbers that are none.
    ("compression/epsilons", [math.nan], "compression.epsilons.0: nan is not a finite number"),
    ("compression/epsilons", [0.075, math.inf], "compression.epsilons.1: inf is not a finite number"),
    ("llc/lr", math.nan, "llc.lr: nan is not a finite number (Learning rate.)"),
    ("llc/lr", ".nan", "llc.lr: '.nan' is not of type number"),
    ("llc/lr", "nan", "llc.lr: nan is not a finite number"),
    ("llc/gamma", math.inf, "llc.gamma: inf is not a finite number"),
    ("llc/gamma", "1e400", "llc.gamma: inf is not a finite number"),
    ("llc/n_beta", -math.inf, "llc.n_beta: -inf is not a finite number"),
    ("llc/gates", {"max_excess": math.nan}, "llc.gates.max_excess: nan is not a finite number"),
    ("llc/gates", {"max_r_hat": math.inf}, "llc.gates.max_r_hat: inf is not a finite number"),
    ("llc/chains", math.inf, "llc.chains: inf is not a finite number"),
    ("llc/chains", math.nan, "llc.chains: nan is not a finite number"),
    ("llc/lr", 1e300, "llc.lr: 1e+300 is too large; at most 1e+30"),
    ("rulers/coding", {"tokens": 10**400}, "rulers.coding.tokens: 1000000000"),
    ("llc/save_every", 0, "llc.save_every: 0 is too small; more than 0"),
    ("compression/schemes/quantize/levels", [2, math.nan], "quantize.levels.1: nan is not a finite number"),
    ("compression/schemes/noise/levels/last", math.inf, f"{LEVELS}.last: inf is not a finite number"),
    ("compression/schemes/noise/levels/ratio", math.nan, f"{LEVELS}.ratio: nan is not a finite number"),
    (
        "compression/headline",
        {"scheme": "quantize", "variant": "minimised", "epsilon": math.nan},
        "compression.headline.epsilon: nan is not a finite number",
    ),
    ("models/neox-2x64-motifs/constraint/level", math.nan, "constraint.level: nan is not a finite number"),
    # Booleans, text and halves for numbers; numbers for booleans and text.
    ("seed", True, "seed: True is not of type integer"),
    ("seed", 2.5, "seed: 2.5 is not of type integer"),
    ("seed", 10**20, "seed: 100000000000000000000 is too large; at most 9007199254740992"),
    ("llc/draws", True, "llc.draws: True is not of type integer"),
    ("llc/lr", False, "llc.lr: False is not of type number"),
    ("llc/control", 1, "llc.control: 1 is not of type boolean"),
    ("llc/control", "yes", "llc.control: 'yes' is not of type boolean"),
    ("llc/memory", {"autocast": 0}, "llc.memory.autocast: 0 is not of type boolean"),
    ("models/neox-2x64/steps", [100, True, 300], f"{MODEL}.steps.1: True is not of type integer"),
    ("compression/epsilons", [True], "compression.epsilons.0: True is not of type number"),
    ("study", False, "study: False is not of type string; quote it if it is a name"),
    ("study", 1.4, "study: 1.4 is not of type string; quote it if it is a name"),
    ("study", datetime.date(2024, 1, 1), "study: 2024-01-01 is read as a date; quote it"),
    ("corpus/column", 7, "corpus.column: 7 is not of type string; quote it if it is a name"),
    # Lists, mappings and nothing where something else is wanted.
    ("llc", [], "llc: [] is not of type object"),
    ("llc", None, "llc: nothing stands there; give it a value or leave it out"),
    ("llc", "fast", "llc: 'fast' is not of type object"),
    ("corpus", ["kjv"], "corpus: ['kjv'] is not of type object"),
    ("corpus", None, "corpus: nothing stands there; give it a value or leave it out"),
    ("models", [HUB], "models: [{"),
    ("models/neox-2x64", [], f"{MODEL}: [] is not of type object"),
    ("models/neox-2x64", None, f"{MODEL}: nothing stands there; give it a value or leave it out"),
    ("models/neox-2x64/window", None, f"{MODEL}.window: nothing stands there; give it a value or leave it out"),
    ("models/neox-2x64/steps", 100, f"{MODEL}.steps: 100 is not of type array"),
    ("models/neox-2x64/steps", [None], f"{MODEL}.steps.0: nothing stands there; give it a value or leave it out"),
    (
        "models/neox-2x64/steps",
        {"first": 1, "last": 3},
        f"{MODEL}.steps: {{'first': 1, 'last': 3}} is not of type array",
    ),
    ("compression/schemes", ["quantize"], "compression.schemes: ['quantize'] is not of type object"),
    ("compression/schemes", {}, "compression.schemes: has 0 entries; at least 1"),
    ("compression/schemes/quantize/levels", 8, "quantize.levels: 8 is not of type array or object"),
    ("compression/schemes/quantize/variants", {}, "quantize.variants: has 0 entries; at least 1"),
    ("compression/schemes/quantize/variants", [], "quantize.variants: [] is not of type object"),
    ("compression/schemes/quantize/variants/minimised", None, "quantize.variants.minimised: nothing stands there"),
    ("corpus/files", {"a"}, "corpus.files: {'a'} is read as set; give text, a number, a list or keys and values"),
    # Keys that are missing, or that belong elsewhere.
    ("compression", ..., "config: the key 'compression' is missing (What is done to the weights"),
    (
        "compression/headline",
        ...,
        "compression: the key 'headline' is missing (The regression that the study is about.)",
    ),
    ("compression/schemes/quantize/variants", ..., "compression.schemes.quantize: the key 'variants' is missing"),
    (
        "models/neox-2x64/source",
        ...,
        f"{MODEL}: the key 'source' is missing (branch - a branch of a trained run;",
    ),
    ("models/neox-2x64/source", "Hub", f"{MODEL}.source: 'Hub' is not one of branch, hub, local, train"),
    ("models/neox-2x64/source", ["hub"], f"{MODEL}.source: ['hub'] is not one of branch, hub, local, train"),
    ("models/neox-2x64/steps", ..., f"{MODEL}: the key 'steps' is missing (Training steps of the checkpoints to study"),
    ("models/neox-2x64/path", "/x", f"{MODEL}.path: belongs to source local, but the source is train"),
    ("models/new", {**HUB, "training": {}}, "models.new.training: belongs to source train, but the source is hub"),
    ("models/new", {**HUB, "archtecture": {}}, "models.new: unknown key 'archtecture'; did you mean architecture?"),
    ("corpus/repo", "a/b", "corpus.repo: belongs to source hub, but the source is package"),
    ("corpus/source", "local", "corpus: the key 'path' is missing; source local needs it"),
    ("models/neox-2x64/steps ", [1], f"{MODEL}: unknown key 'steps '; did you mean steps?"),
    ("steps\nx", [1], r"config: unknown key 'steps\nx'; known here: allocation"),
    # Names.
    ("study", "theory", "study: 'theory' belongs to make theory; take another name"),
    ("study", "hinton", "study: 'hinton' belongs to make hinton; take another name"),
    ("study", "calibration", "study: 'calibration' belongs to make calibration; take another name"),
    ("study", "known_answers", "study: 'known_answers' belongs to make calibration; take another name"),
    ("study", LONG, "study: 'xxx"),
    ("study", "a/b", "study: 'a/b' does not have the form ^[A-Za-z0-9]"),
    ("study", "..", "study: '..' does not have the form"),
    ("study", "mini\n", r"study: 'mini\n' does not have the form"),
    ("study", "$(touch x)", "study: '$(touch x)' does not have the form"),
    ("study", "étude", "study: 'étude' does not have the form"),
    ("study", "", "study: '' does not have the form"),
    ("models", renamed(False), "models: a name is what YAML reads of no, off and false; quote it"),
    ("models", renamed(True), "models: a name is what YAML reads of yes, on and true; quote it"),
    ("models", renamed(3), "models: the name 3 is read as a number; quote it, '3'"),
    ("models", renamed(1.4), "models: the name 1.4 is read as a number; quote it, '1.4'"),
    ("models", renamed(None), "models: the name None is read as nothing; quote it, 'None'"),
    ("models", renamed(datetime.date(2024, 1, 2)), "is read as a date; quote it, '2024-01-02'"),
    ("models", renamed("a/b"), "models: the name 'a/b' does not have the form ^[A-Za-z0-9]"),
    ("models", renamed("../up"), "models: the name '../up' does not have the form"),
    ("models", renamed("a b"), "models: the name 'a b' does not have the form"),
    ("models", renamed("a\n"), r"models: the name 'a\n' does not have the form"),
    ("models", renamed("a{step}"), "models: the name 'a{step}' does not have the form"),
    ("models", renamed("<script>"), "models: the name '<script>' does not have the form"),
    ("models", renamed(LONG), "has 300 characters; at most 100"),
    ("compression/schemes/quantize/variants", variants("a\nb"), r"variants: the name 'a\nb' holds '\n', which is no"),
    ("compression/schemes/quantize/variants", variants("a\u2028b"), r"holds '\u2028', which is no printable character"),
    ("compression/schemes/quantize/variants", variants("a\u202eb"), r"holds '\u202e', which is no printable character"),
    (
        "compression/schemes/quantize/variants",
        variants("a/b"),
        "variants: the name 'a/b' is no name: 1 to 100 characters",
    ),
    ("compression/schemes/quantize/variants", variants("a{b}"), "variants: the name 'a{b}' is no name: 1 to 100"),
    ("compression/schemes/quantize/variants", variants(""), "variants: the name '' is no name: 1 to 100 characters"),
    (
        "compression/schemes/quantize/variants",
        variants(" a"),
        "variants: the name ' a' is no name: 1 to 100 characters",
    ),
    ("compression/schemes/quantize/variants", variants(LONG), "is no name: 1 to 100 characters"),
    ("compression/schemes/quantize/variants", variants(4), "quantize.variants: the name 4 is read as a number"),
    # Repositories, revisions and paths.
    ("models/new", {**HUB, "repo": "../.."}, "models.new.repo: '../..' does not have the form"),
    ("models/new", {**HUB, "repo": "a/b/c"}, "models.new.repo: 'a/b/c' does not have the form"),
    ("models/new", {**HUB, "repo": "https://x/y"}, "models.new.repo: 'https://x/y' does not have the form"),
    ("models/new", {**HUB, "repo": "a/.."}, "models.new.repo: 'a/..' does not have the form"),
    ("models/new", {**HUB, "repo": "a/b\n"}, r"models.new.repo: 'a/b\n' does not have the form"),
    ("models/new", {**HUB, "revision": "step{stp}"}, "models.new.revision: 'step{stp}' holds braces other than {step}"),
    ("models/new", {**HUB, "revision": "../{step}"}, "models.new.revision: '../{step}' is no name of a branch"),
    ("models/new", {**HUB, "revision": "a {step}"}, "models.new.revision: 'a {step}' is no name of a branch"),
    ("models/new", {**HUB, "revision": "main"}, "without {step} in its revision, 'main', the model is one checkpoint"),
    ("models/new", {**LOCAL, "path": "/x/{step}/{model}"}, "'/x/{step}/{model}' holds braces other than {step}"),
    ("models/new", {**LOCAL, "path": "/x/{step:04d}"}, "'/x/{step:04d}' holds braces other than {step}, which stands"),
    ("models/new", {**LOCAL, "path": "/x/{0}"}, "models.new.path: '/x/{0}' holds braces other than {step}"),
    ("models/new", {**LOCAL, "path": "/x{"}, "models.new.path: '/x{' holds braces other than {step}"),
    (
        "models/new",
        {**LOCAL, "path": "/a\tb{step}"},
        r"models.new.path: '/a\tb{step}' holds '\t', which is no printable",
    ),
    ("models/new", {**LOCAL, "path": ""}, "models.new.path: '' is empty"),
    (
        "models/new",
        {**LOCAL, "path": "/tmp"},
        "[1, 2, 3] are 3 steps, but without {step} in its path, '/tmp', the model",
    ),
    ("models/new", {"source": "local", "path": "/no/such"}, "models.new.path: '/no/such' is not a folder"),
    (
        "models/new",
        LOCAL,
        "models.new.steps: the model has no checkpoint of step 2; there is no folder /no/such/step{step}",
    ),
    ("corpus/revision", "a b", "corpus.revision: 'a b' is no name of a branch, tag or commit"),
    ("corpus/tokenizer", "{x}", "corpus.tokenizer: '{x}' holds braces, which mean something else to Snakemake"),
    ("corpus/files", " ", "corpus.files: ' ' is blank"),
    # Steps, windows and choices.
    ("models/neox-2x64/steps", [], f"{MODEL}.steps: no step, and nothing under {MODEL}.keep; give the steps"),
    ("models/neox-2x64/steps", [-100, 100, 200], f"{MODEL}.steps.0: -100 is too small; at least 0"),
    ("models/neox-2x64/steps", [100, 200, 100.0], f"{MODEL}.steps: an entry stands twice in"),
    ("models/neox-2x64/window", [1200, 200], f"{MODEL}.window: [1200, 200] is reversed; first the earlier step"),
    ("models/neox-2x64/window", [1, 2, 3], f"{MODEL}.window: has 3 entries; at most 2"),
    ("models/neox-2x64/window", [-1, 1200], f"{MODEL}.window.0: -1 is too small; at least 0"),
    ("models/neox-2x64/schemes", ["quantise"], f"{MODEL}.schemes.0: 'quantise' is not one of factorize, gptq, kmeans"),
    ("models/neox-2x64/schemes", ["kmeans"], f"{MODEL}.schemes: 'kmeans' is not one of factorize, gptq, motifs"),
    ("models/neox-2x64/schemes", [], f"{MODEL}.schemes: has 0 entries; at least 1"),
    ("models/neox-2x64/schemes", ["round", "round"], f"{MODEL}.schemes: an entry stands twice in ['round', 'round']"),
    (
        "sweep",
        {"checkpoints": {"neox-9x64": [100]}},
        "sweep.checkpoints.neox-9x64: no model of this study; did you mean",
    ),
    (
        "sweep",
        {"checkpoints": {"zebra": [100]}},
        "sweep.checkpoints.zebra: no model of this study; there are neox-2x64",
    ),
    (
        "sweep",
        {"checkpoints": {"neox-2x64": [7]}},
        "sweep.checkpoints.neox-2x64: 7 is not one of models.neox-2x64.steps",
    ),
    ("sweep", {"checkpoints": {"neox-2x64": []}}, "sweep.checkpoints.neox-2x64: has 0 entries; at least 1"),
    ("sweep", {"checkpoints": {3: [100]}}, "sweep.checkpoints: the name 3 is read as a number; quote it, '3'"),
    (
        "sweep",
        {"grid": {"lr": [i / 1e6 for i in range(1, 2000)]}},
        "sweep.grid: that would be 17991 settings; at most 10000",
    ),
    (
        "compression/headline/scheme",
        "sequence",
        "compression.headline.scheme: 'sequence' is not one of factorize, gptq, motifs",
    ),
    ("compression/headline/scheme", ["quantize"], "compression.headline.scheme: ['quantize'] is not of type string"),
    (
        "models/neox-2x64-motifs/constraint/scheme",
        "shrink",
        "constraint.scheme: 'shrink' is not one of factorize, gptq, motifs",
    ),
    ("models/neox-2x64-motifs/constraint/variant", "none", "constraint.variant: 'none' is not one of random"),
    ("models/neox-2x64-motifs/constraint/level", 4, "constraint.level: 4; levels are capacities above 0, at most 1"),
    (
        "models/neox-2x64-motifs/constraint",
        {"scheme": "prune", "variant": "wanda", "level": 0.5},
        "constraint.variant: 'wanda' needs calibration blocks, and training has none",
    ),
    # Levels, and sizes that nothing could hold.
    ("compression/schemes/noise/levels/ratio", 1.0000001, f"{LEVELS}: that would be 8.29e+07 levels; at most 10000"),
    (
        "compression/schemes/factorize/levels/step",
        1e-300,
        "factorize.levels: that would be 1e+300 levels; at most 10000",
    ),
    ("compression/schemes/factorize/levels/step", 3, "factorize.levels: from 0 no further level is reached"),
    ("compression/schemes/noise/levels/first", 0, f"{LEVELS}: 0 to 4; levels are scales, from 1e-9 to 1e9"),
    ("compression/schemes/noise/levels/first", 5, f"{LEVELS}: first, 5, is not below last, 4"),
    ("compression/schemes/noise/levels/first", ..., "is not a span; give first, last, and either ratio or step"),
    ("compression/schemes/noise/levels/first", None, f"{LEVELS}.first: nothing stands there"),
    (
        "compression/schemes/noise/levels",
        {"first": 1, "last": 2, "rato": 2},
        f"{LEVELS}: unknown key 'rato'; did you mean",
    ),
    ("compression/schemes/prune/levels", {"first": 0, "last": 1, "ratio": 2}, "levels in a ratio cannot begin at 0"),
    (
        "compression/schemes/quantize/levels",
        [2.5, 4],
        "quantize.levels: 2.5 is not a whole number; levels are numbers of",
    ),
    ("compression/schemes/quantize/levels", [4], "quantize.levels: has 1 entries; at least 2"),
    ("compression/schemes/quantize/levels", [4, 4], "quantize.levels: an entry stands twice in [4, 4]"),
    ("compression/schemes/quantize/seeds", [-1], "quantize.seeds.0: -1 is too small; at least 0"),
    ("compression/dense_bits", 10**6, "compression.dense_bits: 1000000 is too large; at most 64"),
    ("corpus/context", 10**9, "corpus.context: 1000000000 is too large; at most 1048576"),
    ("corpus/blocks/sampling", 10**9, "corpus.blocks: 1000000128 blocks of 64 tokens are more than 1e+10 tokens"),
    ("models/neox-2x64/architecture/hidden", 10**9, f"{MODEL}.architecture.hidden: 1000000000 is too large"),
    (
        "models/neox-2x64/architecture",
        {"layers": 1000, "hidden": 65536, "heads": 8},
        f"{MODEL}.architecture: 5.2e+13 weights are more than can be trained here",
    ),
    ("llc/chains", 10**6, "llc.chains: 1000000 is too large; at most 1000"),
]


@pytest.mark.parametrize(("key", "value", "line"), BAD, ids=[f"{number}-{key}" for number, (key, *_) in enumerate(BAD)])
def test_a_bad_config_is_told_in_lines(mini, key, value, line):
    with pytest.raises(StudyError) as error:
        validated(changed(mini, key, value), Study)
    heading, *problems = str(error.value).split("\n")
    assert heading == "the configuration is not right:"
    assert any(line in problem for problem in problems), problems
    assert all(problem.isprintable() and len(problem) < 600 for problem in problems)


@pytest.mark.parametrize("config", [None, [], ["a"], "mini", 3, {}, {1: 2}, {"a": {"b": [[[{"c": {}}]]]}}])
def test_what_is_no_config_at_all(config):
    with pytest.raises(StudyError, match="the configuration is not right"):
        validated(config, Study)


def test_a_headline_that_no_model_has(mini):
    for model in mini["models"].values():
        model["schemes"] = ["round"]
    with pytest.raises(StudyError, match=r"compression\.headline\.scheme: no model has 'quantize' among its schemes"):
        validated(mini, Study)


def test_anchors_that_stand_for_very_much_or_for_themselves():
    ten = ["x"] * 10
    for _ in range(6):
        ten = [ten] * 10
    with pytest.raises(StudyError, match="config: more than 100000 entries, anchors written out"):
        validated({"study": ten}, Study)
    itself = {}
    itself["again"] = itself
    with pytest.raises(StudyError, match="models: nested more than 20 deep; does an anchor hold itself"):
        validated({"models": itself}, Study)


JUNK = [None, True, 0, -1, 2.5, math.nan, 10**400, "", "x", "a\nb", "{step}", "\ud800", [], [[]], {}, {None: 1}, b"x"]


def places(value: object, path: tuple = ()) -> list[tuple]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in below for place in places(item, (*path, key)))]


def test_whatever_stands_wherever_is_taken_or_told_in_lines(mini):
    whole = validated(mini, Study)
    choose = random.Random(0)
    for path in choose.sample(places(whole)[1:], 250):
        config = copy.deepcopy(whole)
        place = config
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = choose.choice(JUNK)
        try:
            validated(config, Study)
        except StudyError as error:
            assert all(line.isprintable() for line in str(error).split("\n")), path


# What is right, though it may look odd.


def test_a_local_model_of_one_checkpoint(mini, tmp_path):
    small_model(0, max_position_embeddings=mini["corpus"]["context"]).save_pretrained(tmp_path)
    mini["models"]["mine"] = {"source": "local", "path": str(tmp_path)}
    assert validated(mini, Study)["models"]["mine"]["steps"] == [0]
    mini["models"]["mine"]["steps"] = [143000]
    assert validated(mini, Study)["models"]["mine"]["steps"] == [143000]


def test_a_repository_of_one_checkpoint(mini):
    mini["models"]["its"] = {"source": "hub", "repo": "EleutherAI/pythia-14m", "revision": "main"}
    assert validated(mini, Study)["models"]["its"]["steps"] == [0]


def test_a_model_has_all_schemes_or_those_that_it_names(mini):
    mini["models"]["neox-3x64"]["schemes"] = ["quantize", "prune"]
    models = validated(mini, Study)["models"]
    assert models["neox-2x64"]["schemes"] == list(mini["compression"]["schemes"])
    assert models["neox-3x64"]["schemes"] == ["quantize", "prune"]


def test_what_was_understood_is_understood_the_same_again(mini):
    config = validated(mini, Study)
    assert repr(validated(yaml.safe_load(yaml.safe_dump(config, sort_keys=False)), Study)) == repr(config)


def test_the_kind_of_a_number_and_the_order_of_keys_stay(mini):
    mini["llc"] = {"gamma": 300.0, "n_beta": 30, "lr": "1e-4"}
    config = validated(OrderedDict(mini), Study)
    assert type(config) is dict
    assert list(config["llc"])[:3] == ["gamma", "n_beta", "lr"]
    assert json.dumps([config["llc"][key] for key in ("gamma", "n_beta", "lr")]) == "[300.0, 30, 0.0001]"


def test_settings_are_typed_and_frozen(mini):
    study = settings(mini, Study)
    assert study.models["neox-2x64"].architecture.hidden == 64
    assert study.compression.schemes.noise.levels.ratio == 1.2
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 2


# Files, as bytes: how they are wrong, and the line.
FILES = {
    "empty": (b"", "bad.yaml is empty; a config is keys and their values"),
    "comments alone": (b"# study: mini\n", "bad.yaml is empty; a config is keys and their values"),
    "a list": (b"- study\n- seed\n", "bad.yaml holds a list; a config is keys and their values"),
    "one word": (b"study", "bad.yaml holds one value; a config is keys and their values"),
    "Latin-1": (b"seed: 1\nstudy: caf\xe9\n", "bad.yaml, line 2: byte 0xe9 is not UTF-8"),
    "UTF-16": ("study: mini\n".encode("utf-16"), "bad.yaml, line 1: byte 0xff is not UTF-8"),
    "a tab": (b"llc:\n\tlr: 1\n", "bad.yaml, line 2: found character that cannot start any token; indent with spaces"),
    "a control character": (b"study: a\x01b\n", "is none that YAML can hold"),
    "a colon": (b"study: a: b\n", "bad.yaml, line 1: mapping values are not allowed"),
    "an open bracket": (b"study: [a\n", "bad.yaml, line 2: "),
    "two documents": (
        b"seed: 1\n---\nseed: 2\n",
        "bad.yaml, line 2: expected a single document in the stream, but found",
    ),
    "an unknown anchor": (b"seed: *one\n", "bad.yaml, line 1: found undefined alias"),
    "a key that is a list": (b"? [a]\n: 1\n", "bad.yaml, line 1: found unhashable key"),
    "a day that is none": (
        b"study: 2024-13-45\n",
        "bad.yaml: a value cannot be read (month must be in 1..12); quote it",
    ),
    "code": (
        b"study: !!python/object/apply:os.getcwd []\n",
        "bad.yaml, line 1: could not determine a constructor for the tag",
    ),
    "a tag": (b"seed: !sum [1, 2]\n", "'!sum'; only plain text, numbers, lists and mappings"),
    "deep": (b"a: " + b"[" * 5000 + b"]" * 5000, "bad.yaml is nested more than 50 deep, and no config is"),
    "deep JSON": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad.yaml is nested more than 50 deep"),
    "a key twice": (b"seed: 1\nstudy: a\nseed: 2\n", "line 3: the key 'seed' stands twice; the first is on line 1"),
    "a model twice": (b"models:\n  a: {}\n  b: {}\n  a: {}\n", "line 4: the key 'a' stands twice in models; the first"),
    "twice in a list": (b"x:\n- {a: 1, a: 2}\n", "line 2: the key 'a' stands twice in x; the first is on line 2"),
    "twice under two names": (
        b"x: {no: 1, off: 2}\n",
        "line 1: the key 'off' stands twice in x; the first is on line 1",
    ),
    "twice in JSON": (b'{"seed": 1, "seed": 2}', "bad.yaml: the key 'seed' stands twice in one section"),
}


@pytest.mark.parametrize(("content", "line"), FILES.values(), ids=FILES)
def test_a_bad_file_is_told_in_one_line(tmp_path, content, line):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(StudyError) as error:
        load(tmp_path / "bad.yaml")
    assert line in str(error.value)
    assert str(error.value).isprintable()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match=r"none\.yaml cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml")


def test_anchors_merge_keys_and_json_are_read(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a\n")
    assert load(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 1, "y": 2}}
    path.write_text('{\n\t"a": {"x": 1}\n}')
    assert load(path) == {"a": {"x": 1}}


@pytest.mark.parametrize("name", ["config.yaml", "config.mini.yaml"])
def test_our_own_configs_are_read_as_snakemake_reads_them(name):
    assert load(ROOT / name) == yaml.safe_load((ROOT / name).read_text())


# Through the real Snakemake.


def test_snakemake_tells_a_model_that_stands_twice(tmp_path):
    text = yaml.safe_dump(small_config(), sort_keys=False).replace("models:\n", "models:\n  tiny: {}\n")
    (tmp_path / "twice.yaml").write_text(text)
    run = snakemake(tmp_path, tmp_path / "twice.yaml", "-n")
    assert run.returncode
    assert "the key 'tiny' stands twice in models" in run.stderr
    assert "Traceback" not in run.stderr


def test_snakemake_tells_numbers_and_names_that_are_none(tmp_path):
    config = small_config()
    config["compression"]["epsilons"] = [math.nan]
    config["models"][1.4] = config["models"]["tiny"]
    run = snakemake(tmp_path, config, "-n")
    assert run.returncode
    assert "  compression.epsilons.0: nan is not a finite number" in run.stderr
    assert "  models: the name 1.4 is read as a number; quote it, '1.4'" in run.stderr
    assert "Traceback" not in run.stderr


def test_snakemake_keeps_models_of_like_names_apart(tmp_path):
    """A dot stands for itself, and a model may be called none."""
    config = small_config()
    small_model(0).save_pretrained(tmp_path / "axb")
    config["models"]["a.b"] = config["models"].pop("tiny")
    config["models"]["none"] = {"source": "local", "path": str(tmp_path / "axb")}
    run = snakemake(tmp_path, config, "-n", "--until", "reference")
    assert run.returncode == 0, run.stderr
    assert jobs(run.stdout)["train"] == 1
    assert jobs(run.stdout)["reference"] == 4


def test_a_plan_tells_it_too(tmp_path):
    (tmp_path / "bad.yaml").write_text("study: a\nstudy: b\n")
    command = [sys.executable, "-m", "smdl.cli", "plan", "--configfile", "bad.yaml"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert run.returncode == 1
    assert run.stderr == "error: bad.yaml, line 2: the key 'study' stands twice; the first is on line 1\n"
    assert not Path(tmp_path, ".snakemake").exists()
