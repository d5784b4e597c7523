"""Downloads against a real hub on 127.0.0.1: what arrives, what is asked for, and what is said when it fails."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from hub.checkpoints import files_of, small_model, stored
from hub.client import turn_to
from hub.server import Hub
from smdl.foundation.errors import StudyError
from smdl.hub import client
from smdl.models.loading import load
from smdl.models.parameters import contents, tensors
from smdl.models.pickles import to_safetensors
from smdl.sources.listing import Listed, listing

REPO = "lab/small"
CHUNK = 16384  # huggingface_hub writes 10 MB at a time, which is more than these checkpoints have


@pytest.fixture(scope="module")
def weights():
    """Files of three checkpoints: seed 1 and 2 as safetensors, seed 2 in shards."""
    return {
        "one": files_of(small_model(1)),
        "two": files_of(small_model(2)),
        "shards": files_of(small_model(2), shard="60KB"),
        "pickle": files_of(small_model(3), form="bin"),
    }


@pytest.fixture
def hub(monkeypatch, tmp_path, weights):
    """A hub with the branches step1, step2 and main, and huggingface_hub turned to it, with an empty cache."""
    with Hub() as server:
        repository = server.model(REPO)
        repository.commit("step1", weights["one"])
        repository.commit("step2", weights["shards"])
        repository.commit("main", weights["two"])
        turn_to(server, monkeypatch, tmp_path, DOWNLOAD_CHUNK_SIZE=CHUNK)
        yield server


def get(name: str, folder: Path) -> client.Revision:
    """Download the weights of one revision, as the rule does."""
    at = client.revision(REPO, name)
    client.download(at, client.weight_files(at), folder / "weights", folder / "partial")
    return at


def same_weights(folder: Path, seed: int) -> bool:
    expected = stored(files_of(small_model(seed)))
    found = {tensor.name: numbers for tensor, numbers in tensors(contents(folder))}
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_download_is_exact_and_pinned_to_the_commit(hub, tmp_path):
    at = get("step1", tmp_path)
    assert at.commit == hub.model(REPO).branches["step1"]
    assert same_weights(tmp_path / "weights", 1)
    assert load(tmp_path / "weights").num_parameters() == small_model(1).num_parameters()
    assert all(f"/resolve/{at.commit}/" in r.path for r in hub.fetched("/resolve/")), "files asked for by branch name"
    assert not (tmp_path / "partial").exists()


def test_a_branch_that_moves_during_the_download_does_not_mix_commits(hub, tmp_path, weights):
    at = client.revision(REPO, "step1")
    hub.model(REPO).commit("step1", weights["two"])
    client.download(at, client.weight_files(at), tmp_path / "weights", tmp_path / "partial")
    assert same_weights(tmp_path / "weights", 1)


def test_only_needed_files_come_and_safetensors_win(hub, tmp_path, weights):
    extra = {"pytorch_model.bin": b"x" * 999, "tf_model.h5": b"y", "modeling_evil.py": b"raise SystemExit", "a/b": b""}
    hub.model(REPO).commit("many", {**weights["one"], **extra})
    get("many", tmp_path)
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {"config.json", "model.safetensors"}


def test_shards_come_with_their_index(hub, tmp_path):
    get("step2", tmp_path)
    assert len(list((tmp_path / "weights").glob("model-*-of-*.safetensors"))) > 2
    assert same_weights(tmp_path / "weights", 2)
    expected = small_model(2).state_dict()
    loaded = load(tmp_path / "weights").state_dict()
    assert all(torch.equal(loaded[name].cpu(), expected[name]) for name in expected)


def test_a_cut_transfer_goes_on_where_it_stopped(hub, tmp_path, weights):
    size = len(weights["one"]["model.safetensors"])
    hub.fail(r"model\.safetensors$", "cut")
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)
    ranges = [r.range for r in hub.fetched("stored.* model.safetensors")]
    assert ranges == [None, f"bytes={size // 2 // CHUNK * CHUNK}-"]


def test_a_killed_download_goes_on_in_the_next_process(hub, tmp_path, weights):
    size = len(weights["one"]["model.safetensors"])
    hub.fail(r"model\.safetensors$", "stall")
    code = f"""
        from huggingface_hub import constants
        from smdl.hub import client as hub
        constants.DOWNLOAD_CHUNK_SIZE = {CHUNK}
        at = hub.revision({REPO!r}, "step1")
        hub.download(at, hub.weight_files(at), {str(tmp_path / "weights")!r}, {str(tmp_path / "partial")!r})
    """
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DOWNLOAD_TIMEOUT": "30"}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment)
    while not any(path.stat().st_size == size // 2 // CHUNK * CHUNK for path in tmp_path.glob("partial/*")):
        assert process.poll() is None, "the download ended before it could be killed"
        hub.stalled.wait(0.05)
    process.kill()
    process.wait()
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)
    assert hub.fetched("stored.* model.safetensors")[-1].range == f"bytes={size // 2 // CHUNK * CHUNK}-"


def test_a_stalled_transfer_is_given_up_and_resumed(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "stall")
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)


@pytest.mark.parametrize("where", ["/api/models/", "/resolve/.*model", "stored/.*model"])
def test_503_twice_then_200(hub, tmp_path, where):
    hub.fail(where, 503, times=2)
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)


def test_a_wrong_byte_is_fetched_anew(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "wrong byte")
    hub.fail("config.json", "wrong byte", times=1)
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)


def test_lasting_damage_is_told_and_leaves_nothing_behind(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "wrong byte", times=99)
    with pytest.raises(StudyError, match=r"lab/small at step1, model\.safetensors: 4 times what arrived was not"):
        get("step1", tmp_path)
    assert not (tmp_path / "weights" / "model.safetensors").exists()
    assert not any(p.stat().st_size > 10_000 for p in (tmp_path / "partial").iterdir())


def test_the_token_goes_to_the_hub_and_not_to_the_storage_host(hub, tmp_path, monkeypatch):
    hub.model(REPO).gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    get("step1", tmp_path)
    sent = {(r.host, r.authorization) for r in hub.requests}
    assert sent == {("hub", "Bearer hf_member"), ("storage", None)}


def test_a_file_in_the_cache_is_not_downloaded_again(hub, tmp_path):
    commit = hub.model(REPO).branches["step1"]
    file_download.hf_hub_download(
        REPO, "model.safetensors", revision=commit, cache_dir=constants.HF_HUB_CACHE, endpoint=hub.endpoint
    )
    before = len(hub.fetched("stored"))
    assert before == 1
    get("step1", tmp_path)
    assert same_weights(tmp_path / "weights", 1)
    assert len(hub.fetched("stored")) == before


def test_pickles_become_safetensors_without_running_code(hub, tmp_path, weights):
    hub.model(REPO).commit("old", weights["pickle"])
    get("old", tmp_path)
    to_safetensors(tmp_path / "weights")
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {"config.json", "model.safetensors"}
    assert same_weights(tmp_path / "weights", 3)


def test_sharded_pickles_become_a_loadable_checkpoint(tmp_path, weights):
    state = stored(files_of(small_model(3)))
    names = sorted(state)
    for part, chosen in enumerate((names[:9], names[9:]), start=1):
        torch.save({name: state[name] for name in chosen}, tmp_path / f"pytorch_model-0000{part}-of-00002.bin")
    (tmp_path / "config.json").write_bytes(weights["one"]["config.json"])
    to_safetensors(tmp_path)
    assert same_weights(tmp_path, 3)
    expected, loaded = small_model(3).state_dict(), load(tmp_path).state_dict()
    assert all(torch.equal(loaded[name].cpu(), expected[name]) for name in expected)


class _Payload:
    def __reduce__(self):
        return (os.system, ("touch ran",))


@pytest.mark.parametrize("content", [_Payload(), {"weight": _Payload()}, {"weight": 3}])
def test_a_pickle_with_more_than_tensors_is_refused(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(StudyError, match="so it is not read"):
        to_safetensors(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(StudyError, match="so it is not read"):
        to_safetensors(tmp_path)
    assert not (tmp_path / "ran").exists()


def message(call) -> str:
    with pytest.raises(StudyError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_branch_names_its_nearest(hub, tmp_path):
    text = message(lambda: get("step11", tmp_path))
    assert text.startswith("lab/small at step11: no such branch, tag or commit on http://127.0.0.1:")
    assert "it has 3 branches, nearest step1" in text


def test_a_missing_repository(hub):
    assert "no such repository" in message(lambda: client.revision("lab/none", "main"))


def test_a_missing_file_in_the_listing(hub, tmp_path, weights):
    shards = dict(weights["shards"])
    hub.model(REPO).commit("torn", {k: v for k, v in shards.items() if "00002-of" not in k})
    hub.model(REPO).commit("bare", {"config.json": b"{}"})
    hub.model(REPO).commit("blank", {"model.safetensors": b""})
    assert "shards [2] of" in message(lambda: get("torn", tmp_path))
    assert "no weights there" in message(lambda: get("bare", tmp_path))
    assert "config.json is missing" in message(lambda: get("blank", tmp_path))


def test_a_file_that_is_listed_but_gone(hub, tmp_path):
    hub.fail(r"stored/.*model\.safetensors", 404, times=99)
    assert "model.safetensors: http://127.0.0.1" in message(lambda: get("step1", tmp_path))


@pytest.mark.parametrize(
    ("token", "text"),
    [(None, "gated: ask for access"), ("hf_stranger", "gated: ask for access"), ("hf_wrong", "refuses access (401)")],
)
def test_a_gated_repository(hub, tmp_path, monkeypatch, token, text):
    hub.model(REPO).gated = True
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert text in message(lambda: get("step1", tmp_path))


def test_a_private_repository(hub):
    hub.model(REPO).private = True
    assert "HF_TOKEN" in message(lambda: client.revision(REPO, "main"))


def test_a_hub_that_stays_down(hub):
    hub.fail("/api/models/", 503, times=99)
    assert "answered 503 in 4 attempts" in message(lambda: client.revision(REPO, "main"))


def test_no_network(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert "no connection to http://127.0.0.1:1 in 4 attempts" in message(lambda: client.revision(REPO, "main"))


def test_offline_mode_is_told_as_such(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _http.close_session()
    assert "HF_HUB_OFFLINE is set" in message(lambda: client.revision(REPO, "main"))


def test_no_space_is_told_before_the_download_and_during_it(hub, tmp_path):
    """In a file system of 100 kB of our own, where the user may make one."""
    code = f"""
        import os, subprocess, sys
        from smdl.foundation import errors
        from smdl.hub import client as hub
        place = {str(tmp_path / "full")!r}
        at = hub.revision({REPO!r}, "step1")
        for check in (True, False):
            if not check:
                hub._check_space = lambda *_: None
            try:
                hub.download(at, hub.weight_files(at), place + "/weights", place + "/partial")
            except errors.StudyError as error:
                print(error)
    """
    (tmp_path / "full").mkdir()
    mount = f'mount -t tmpfs -o size=100k small {tmp_path}/full && exec "$@"'
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces for users here, so no small file system can be made")
    told = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", textwrap.dedent(code)],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(told) == 2
    assert "no space in" in told[0]
    assert "GB to download" in told[0]
    assert "no space left while writing" in told[1]


def test_a_repository_of_one_checkpoint_is_listed(hub):
    """A revision without {step} is one checkpoint; the final weights stand beside it where they are others."""
    rows = listing({"small": Listed(repo=REPO, revision="main", steps=[0])})
    assert set(rows["step"]) == {0}
    assert rows["wanted"].all()
    rows = listing({"small": Listed(repo=REPO, revision="step1", steps=[0])})
    assert rows.groupby("step")["wanted"].all().to_dict() == {0: True, 1: False}
