"""The ready configs of public suites (configs/), against what hubs list of these suites: branches, files, sizes.

The listings are put together from what the suites' makers publish: the README of EleutherAI/pythia, the CSV files of
allenai/OLMo (configs/official-0425), the card of HuggingFaceTB/SmolLM3-3B-checkpoints; and from the trackers' reports
of what is missing. Digests are made up, one for each branch.
"""

import hashlib
import json
import math
import re
import subprocess
import sys

import pytest
import yaml

import suites
from conftest import ROOT
from hub.client import turn_to
from hub.server import Hub, Recorded
from smdl.foundation.errors import StudyError
from smdl.models.audit import screen
from smdl.models.settings import Limits
from smdl.runtime.plan import GB
from smdl.settings.config import settings
from smdl.settings.configfile import load
from smdl.sources.hub import PYTHIA_STEPS
from smdl.sources.listing import Listed, listing
from smdl.study.study import Study
from smdl.tables import write_table
from smdl.tables.audit import LISTING

SUITES = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
SMOLLM3 = {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "no_rope_layer_interval": 4}
NOTHING = {"README.md": b"", ".gitattributes": b""}

# EleutherAI/pythia issue 202.
WITHOUT_WEIGHTS = {
    ("EleutherAI/pythia-410m-seed9", 40_000),
    ("EleutherAI/pythia-410m-seed6", 88_000),
    ("EleutherAI/pythia-410m-seed2", 111_000),
}
# The CSV files of allenai/OLMo; a batch is 512 sequences of 4096 tokens, and names hold the tokens rounded up.
OLMO_STAGE_1 = (0, 300, *range(10_000, 1_900_001, 10_000), 23_100, 66_200, 1_907_359)
OLMO_STAGE_2 = (*range(1000, 23_001, 1000), 23_852)
OLMO_BATCH = 512 * 4096
SMOLLM3_STAGES = {
    1: range(40_000, 3_440_001, 40_000),
    2: range(3_480_000, 4_200_001, 40_000),
    3: range(4_240_000, 4_720_001, 40_000),
}


def study_of(suite: str, **models: dict) -> Study:
    """The study of a suite's config, with changes of the settings of some models."""
    config = load(ROOT / f"configs/{suite}.yaml")
    for name, changed in models.items():
        config["models"][name] |= changed
    return settings(config, Study)


def checkpoint(config: dict, weights: int, width: int, of: str, shards: int = 1) -> dict[str, bytes | Recorded]:
    """A branch's files: ``weights`` numbers of ``width`` bytes, with digests that follow from the name ``of``."""
    names = (
        [f"model-{k + 1:05}-of-{shards:05}.safetensors" for k in range(shards)] if shards > 1 else ["model.safetensors"]
    )
    files = {
        name: Recorded(weights * width // shards, hashlib.sha256(f"{of} {name}".encode()).hexdigest()) for name in names
    }
    index = {"model.safetensors.index.json": b"{}"} if shards > 1 else {}
    return {**NOTHING, "config.json": json.dumps(config).encode(), **index, **files}


def polypythias(hub: Hub) -> None:
    for name, model in study_of("polypythias").models.items():
        repository = hub.model(model.repo)
        for step in sorted(PYTHIA_STEPS):
            files = checkpoint(suites.POLYPYTHIAS, model.parameters, 2, f"{name} {step}")
            repository.commit(f"step{step}", NOTHING if (model.repo, step) in WITHOUT_WEIGHTS else files)
        repository.commit("main", checkpoint(suites.POLYPYTHIAS, model.parameters, 2, f"{name} 143000"))


def olmo(hub: Hub) -> None:
    """By the README the last step of ingredient 3 is on the branch main, too."""
    repository, model = hub.model("allenai/OLMo-2-0425-1B"), study_of("olmo2-1b").models["olmo2-1b"]
    stages = {"stage1": OLMO_STAGE_1, **{f"stage2-ingredient{k}": OLMO_STAGE_2 for k in (1, 2, 3)}}
    for stage, steps in stages.items():
        for step in steps:
            branch = f"{stage}-step{step}-tokens{math.ceil(step * OLMO_BATCH / 1e9)}B"
            repository.commit(branch, files := checkpoint(suites.OLMO2, model.parameters, 4, branch, shards=2))
    repository.commit("main", files)


def smollm3(hub: Hub) -> None:
    """The branch main has no weights."""
    repository = hub.model("HuggingFaceTB/SmolLM3-3B-checkpoints")
    (weights,) = {model.parameters for model in study_of("smollm3").models.values()}
    for stage, steps in SMOLLM3_STAGES.items():
        for step in steps:
            branch = f"stage{stage}-step-{step}"
            repository.commit(branch, checkpoint(SMOLLM3, weights, 2, branch, shards=2))
    repository.commit("main", NOTHING)


PUBLISHED = {"polypythias": polypythias, "olmo2-1b": olmo, "smollm3": smollm3}


def asked(study: Study) -> dict[str, Listed]:
    """What the rule listing asks of a study's models."""
    return {
        name: Listed(repo=model.repo, revision=model.revision, steps=model.steps)
        for name, model in study.models.items()
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub() as server, pytest.MonkeyPatch.context() as patch:
        for publish in PUBLISHED.values():
            publish(server)
        turn_to(server, patch, tmp_path_factory.mktemp("hub"))
        yield server


@pytest.fixture(scope="module")
def listed(hub):
    """The table ``listing`` of every suite, asked once."""
    return {suite: listing(asked(study_of(suite))) for suite in SUITES}


def test_every_config_has_a_listing_and_a_line_in_the_docs():
    assert set(SUITES) == set(PUBLISHED)
    page = (ROOT / "docs/how-to/suites.md").read_text()
    assert all(f"configs/{suite}.yaml" in page for suite in SUITES)


@pytest.mark.parametrize("suite", SUITES)
def test_the_hub_has_every_checkpoint_of_a_config_and_nothing_speaks_against_one(suite, listed):
    table, models = listed[suite], study_of(suite).models
    wanted = table[table["wanted"]]
    assert set(zip(wanted["model"], wanted["step"], strict=True)) == {
        (name, step) for name, model in models.items() for step in model.steps
    }
    screened = screen(table, Limits())
    assert len(screened) == sum(len(model.steps) for model in models.values())
    assert not screened["excluded"].any(), screened[screened["excluded"]]


def test_nothing_but_config_json_is_fetched_from_a_hub(hub, listed):
    assert {request.path.rsplit("/", 1)[1] for request in hub.fetched("/resolve/")} == {"config.json"}


def part_of_the_plan(suite: str, name: str) -> bool:
    """Of PolyPythias two models, to save time: all are alike."""
    return suite != "polypythias" or name in ("pythia-410m", "pythia-410m-seed9")


@pytest.mark.parametrize("suite", SUITES)
def test_a_plan_counts_a_download_for_every_checkpoint_in_the_sizes_that_the_hub_lists(suite, listed, tmp_path):
    config = load(ROOT / f"configs/{suite}.yaml")
    config["models"] = {name: model for name, model in config["models"].items() if part_of_the_plan(suite, name)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    study = settings(config, Study)
    place = tmp_path / f"results/{study.study}/audit/listing.parquet"
    place.parent.mkdir(parents=True)
    write_table(place, LISTING, listed[suite], {})
    plan = [sys.executable, "-P", "-m", "smdl.cli", "plan"]
    done = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rules, models = done.stdout.split("\n\n")[:2]
    assert re.search(r"^ *download +(\d+) ", rules, re.M)[1] == str(sum(len(m.steps) for m in study.models.values()))
    assert set(study.models) <= set(models.split())
    table = listed[suite]
    stored = table[table["wanted"] & table["needed"] & table["model"].isin(study.models)]["size"].sum()
    assert float(re.search(r"([\d.]+) GB to download", done.stdout)[1]) == pytest.approx(stored / GB, abs=1)


def test_ten_runs_of_each_size_and_a_branch_without_weights_left_out(hub):
    models = study_of("polypythias").models
    sizes = {}
    for model in models.values():
        sizes.setdefault(model.covariates["size"], set()).add(model.covariates["seed"])
    assert {size: len(seeds) for size, seeds in sizes.items()} == dict.fromkeys(sizes, 10)
    assert not {(model.repo, step) for model in models.values() for step in model.steps} & WITHOUT_WEIGHTS
    name = "pythia-410m-seed9"
    study = study_of("polypythias", **{name: {"steps": [20_000, 40_000, 64_000]}})
    with pytest.raises(
        StudyError, match=r"seed9 at step40000: config.json is missing on the hub: leave this step out$"
    ):
        listing({name: asked(study)[name]})


def test_the_tokens_in_a_branchs_name_and_the_final_weights_of_olmo(listed):
    table = listed["olmo2-1b"]
    (last,) = table.loc[(table["model"] == "olmo2-1b-ingredient3") & (table["step"] == 23_852), "revision"].unique()
    assert last == "stage2-ingredient3-step23852-tokens51B"
    assert "main" not in set(table["revision"]), "it is the last step of ingredient 3, there already"


def test_main_that_holds_other_weights_is_listed_beside_the_models_of_its_repository(hub):
    models = asked(study_of("olmo2-1b"))
    main = hub.model("allenai/OLMo-2-0425-1B")
    before = main.branches["main"]
    main.commit("main", checkpoint(suites.OLMO2, 1000, 4, "another run", shards=2))
    try:
        table = listing(models)
    finally:
        main.branches["main"] = before
    finals = table[table["revision"] == "main"].groupby("model")["step"].first()
    assert finals.to_dict() == {name: (1_907_360 if name == "olmo2-1b" else 23_853) for name in models}
    assert not screen(table, Limits())["excluded"].any()


def test_steps_of_a_collection_whose_main_has_no_weights_are_compared_with_one_another(hub, listed):
    assert set(listed["smollm3"]["revision"].str.split("-").str[0]) == {"stage1", "stage2", "stage3"}
    repository = hub.model("HuggingFaceTB/SmolLM3-3B-checkpoints")
    before = repository.branches["stage1-step-80000"]
    repository.branches["stage1-step-80000"] = repository.branches["stage1-step-3440000"]
    try:
        screened = screen(listing(asked(study_of("smollm3"))), Limits())
    finally:
        repository.branches["stage1-step-80000"] = before
    excluded = screened[screened["excluded"]]
    assert excluded[["model", "step", "shared_with"]].values.tolist() == [
        ["smollm3-stage1", 80_000, "smollm3-stage1 step 3440000"]
    ]


def test_a_covariate_has_a_value_for_all_steps_or_one_for_each():
    study = study_of("olmo2-1b")
    first, last = (study.made_with("olmo2-1b-ingredient2", step) for step in (1000, 23_852))
    assert (first["seed"], first["stage"]) == (last["seed"], last["stage"]) == (666, 2)
    assert first["learning_rate"] == pytest.approx(7.136e-5)
    assert last["learning_rate"] == 0
    assert last["tokens"] - first["tokens"] == pytest.approx(22_852 * OLMO_BATCH, rel=0.05)
    with pytest.raises(StudyError, match=r"smollm3-stage2.labels.main: 7 is not one of models.smollm3-stage2.steps"):
        study_of("smollm3", **{"smollm3-stage2": {"labels": {"main": 7}}})
    step = study_of("smollm3").models["smollm3-stage2"].steps[-1]
    with pytest.raises(StudyError, match=rf"labels.end: {step} is the step of 'main'"):
        study_of("smollm3", **{"smollm3-stage2": {"labels": {"main": step, "end": step}}})
    with pytest.raises(StudyError, match=r"smollm3-stage2.covariates.tokens: 1 values for 4 steps; one for each"):
        study_of("smollm3", **{"smollm3-stage2": {"covariates": {"tokens": [1e12]}}})
