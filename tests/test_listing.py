"""What the listing of a hub finds out before any download: branches, final weights, and models that are not handled."""

import json

import pytest
from huggingface_hub import constants

from hub.checkpoints import files_of, small_model
from hub.server import Hub
from smdl.foundation.errors import StudyError
from smdl.hub import client
from smdl.sources.listing import Listed, listing


@pytest.fixture(scope="module")
def files():
    return [files_of(small_model(seed)) for seed in range(3)]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with Hub() as server:
        for name, value in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(client, "ATTEMPTS", 1)
        yield server


def model(name: str, *steps: int, revision: str = "step{step}", schemes: tuple[str, ...] = ()) -> dict:
    return {name: Listed(repo=f"lab/{name}", revision=revision, steps=steps, schemes=schemes)}


def with_config(files: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    return {**files, "config.json": json.dumps({**json.loads(files["config.json"]), **changes}).encode()}


def test_a_repository_without_branches_of_steps_is_one_checkpoint(hub, files):
    hub.model("lab/plain").commit("main", files[0])
    found = listing(model("plain", 0, revision="main"))
    assert set(found["step"]) == {0}
    assert set(found["revision"]) == {"main"}
    assert found["wanted"].all()


def test_a_label_is_the_branch_of_a_checkpoint_without_a_step(hub, files):
    repository = hub.model("lab/averaged")
    repository.commit("main", files[2])
    repository.commit("step1", files[0])
    repository.commit("average-1-2", files[1])
    averaged = Listed(repo="lab/averaged", revision="step{step}", steps=[1, 3], labels={"average-1-2": 3})
    found = listing({"averaged": averaged}).groupby("step")[["revision", "wanted"]].first()
    assert found["revision"].to_dict() == {1: "step1", 3: "average-1-2", 4: "main"}


def test_of_another_branch_the_main_one_is_listed_for_comparison(hub, files):
    repository = hub.model("lab/plain")
    repository.commit("main", files[0])
    repository.commit("v2", files[1])
    found = listing(model("plain", 0, revision="v2")).groupby("step")[["revision", "wanted"]].first()
    assert found["revision"].to_dict() == {0: "v2", 1: "main"}
    assert found["wanted"].to_dict() == {0: True, 1: False}


def test_a_model_that_is_not_handled_is_told_before_a_weight_is_fetched(hub, files):
    mixed, sound = hub.model("lab/mixed"), hub.model("lab/sound")
    experts = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 8}
    for step in (1, 2):
        mixed.commit(f"step{step}", with_config(files[step], **experts))
        sound.commit(f"step{step}", files[step])
    for repository in (mixed, sound):
        repository.commit("main", files[0])
    with pytest.raises(StudyError) as error:
        listing(model("mixed", 1, 2) | model("sound", 1, 2))
    (line,) = str(error.value).splitlines()
    assert line.startswith(
        "lab/mixed at step1: model_type 'mixtral' (a mixture of experts) is none that compression can"
    )
    asked = hub.fetched("/resolve/")
    assert {request.path.rsplit("/", 1)[1] for request in asked} == {"config.json"}
    assert len(asked) == 2, "one of each repository: its other branch has the same"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"{", "lab/odd at step1, config.json is not JSON"),
        (b"[]", "lab/odd at step1, config.json is not a JSON object"),
        (b'{"model_type": "mamba"}', "lab/odd at step1: model_type 'mamba' is none that compression can handle"),
        (
            b'{"model_type": "phi"}',
            "lab/odd at step1: prune_heads cannot tell the heads of model_type 'phi'; leave it out",
        ),
    ],
)
def test_a_config_that_is_not_right(hub, files, content, line):
    for branch in ("step1", "main"):
        hub.model("lab/odd").commit(branch, {**files[0], "config.json": content})
    with pytest.raises(StudyError) as error:
        listing(model("odd", 1, schemes=("prune_heads",)))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)
