"""A hub that lies, over HTTP as in life: each answer is refused in one line, and no file outside is touched."""

import gzip
import io
import json
import math
import re

import pandas as pd
import pytest
import torch
from huggingface_hub import constants

from hub.client import turn_to
from hub.server import Hub
from smdl.corpus.blocks import encoder
from smdl.corpus.texts import hub_documents
from smdl.foundation.errors import StudyError
from smdl.hub import checks as hub_checks
from smdl.hub import client
from smdl.models.pickles import to_safetensors
from smdl.sources.listing import Listed, listing
from smdl.tables.audit import LISTING

REPO = "lab/small"
WEIGHTS = b"weights, as far as a hub is concerned"
INDEX = {
    "metadata": {},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}
SHARDS = {
    "config.json": b'{"model_type": "gpt_neox"}',
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS,
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
}
SHOWN_API = "/api/models/lab/small/revision/main"


@pytest.fixture(scope="module")
def served():
    with Hub() as server:
        yield server


@pytest.fixture
def hub(served, monkeypatch, tmp_path):
    """A hub with a checkpoint of two equal shards, a tokenizer and a dataset, and the client turned to it."""
    served.repositories.clear()
    served.faults.clear()
    served.lies.clear()
    served.requests.clear()
    served.model(REPO).commit("main", {**SHARDS, "tokenizer.json": b"{}"})
    served.dataset("lab/text").commit("main", {"a.txt": b"in the beginning", "b.parquet": b"PAR1"})
    turn_to(served, monkeypatch, tmp_path)
    return served


def get(folder) -> client.Revision:
    """Download the checkpoint as the rule does."""
    at = client.revision(REPO, "main")
    client.download(at, client.weight_files(at), folder / "weights", folder / "partial")
    client.check_downloaded(folder / "weights")
    return at


def refused(call) -> str:
    with pytest.raises(StudyError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable(), text
    return text


def sibling(name: str, **changes: object):
    """A lie about one listed file; ``sha256`` changes what stands under lfs."""

    def edit(answer: dict) -> dict:
        for entry in answer["siblings"]:
            if entry["rfilename"] == name:
                if "sha256" in changes:
                    entry["lfs"] = {"size": 1, "pointerSize": 1, "sha256": changes["sha256"]}
                entry.update({key: value for key, value in changes.items() if key != "sha256"})
        return answer

    return edit


def added(**entry: object):
    """One more file in the listing."""
    whole = {"rfilename": "more.txt", "size": 1, "blobId": "0" * 40, **entry}
    return lambda answer: {**answer, "siblings": [*answer["siblings"], whole]}


def without(key: str):
    return lambda answer: {name: value for name, value in answer.items() if name != key}


SHARD = "model-00001-of-00002.safetensors"
NOT_BELOW = "is not a path below its folder"
NO_NAME = "holds characters that no name has"
NO_ANSWER = "is not a hub's answer (a login page?): check HF_ENDPOINT"

# What the hub says of the revision, and the part of the line that tells it.
LISTINGS = {
    "digest: an absolute path": (sibling(SHARD, sha256="/etc/cron.d/x"), f"the digest '/etc/cron.d/x' for '{SHARD}'"),
    "digest: a path upwards": (sibling(SHARD, sha256="../../../x"), "the digest '../../../x'"),
    "digest: a SHA-1 for a SHA-256": (sibling(SHARD, sha256="0" * 40), "the digest '0000"),
    "digest: capitals": (sibling(SHARD, sha256="A" * 64), "the digest 'AAAA"),
    "digest: with a newline": (sibling(SHARD, sha256="0" * 64 + "\n"), "the digest '0000"),
    "digest: letters that look like digits": (sibling(SHARD, sha256="\u0660" * 64), "the digest '\\u0660"),
    "digest: empty": (sibling(SHARD, sha256=""), "the digest ''"),
    "digest: a number": (sibling(SHARD, sha256=7), "the digest 7"),
    "blob: a path": (sibling("config.json", blobId="/home/x/.bashrc"), "the digest '/home/x/.bashrc'"),
    "blob: none": (sibling("config.json", blobId=None), "the digest None"),
    "commit: a path": (lambda a: {**a, "sha": "../../x"}, "the listing has the digest '../../x'"),
    "commit: a branch": (lambda a: {**a, "sha": "main"}, "the listing has the digest 'main'"),
    "commit: none": (without("sha"), "the listing has the digest None"),
    "path: absolute": (added(rfilename="/etc/passwd"), f"the file '/etc/passwd', which {NOT_BELOW}"),
    "path: upwards": (added(rfilename="a/../../x"), NOT_BELOW),
    "path: the folder itself": (added(rfilename="."), NOT_BELOW),
    "path: an empty part": (added(rfilename="a//b"), NOT_BELOW),
    "path: a backslash": (added(rfilename="..\\x"), NOT_BELOW),
    "path: a NUL": (added(rfilename="config.json\0.txt"), NO_NAME),
    "path: a newline": (added(rfilename="a\nerror: all is well"), NO_NAME),
    "path: a terminal's escape": (added(rfilename="\x1b[2J"), NO_NAME),
    "path: text that turns round": (added(rfilename="a\u202etxt.exe"), NO_NAME),
    "path: a line separator": (added(rfilename="a\u2028b"), NO_NAME),
    "path: half a surrogate pair": (added(rfilename="a\ud800"), NO_NAME),
    "path: too long": (added(rfilename="a" * 256), "is longer than any name"),
    "path: empty": (added(rfilename=""), "which is no name"),
    "path: a number": (added(rfilename=3), "which is no name"),
    "path: twice": (added(rfilename="config.json"), "the listing has 'config.json' 2 times"),
    "size: negative": (sibling(SHARD, size=-1), "a size of -1 bytes"),
    "size: absurd": (sibling(SHARD, size=10**18), "a size of 1000000000000000000 bytes"),
    "size: a fraction": (sibling(SHARD, size=1.5), "a size of 1.5 bytes"),
    "size: text": (sibling(SHARD, size="12"), "a size of '12' bytes"),
    "size: true": (sibling(SHARD, size=True), "a size of True bytes"),
    "size: not a number": (sibling(SHARD, size=math.nan), "a size of nan bytes"),
    "size: none": (sibling("config.json", size=None), "a size of None bytes"),
    "config of 10 GB": (sibling("config.json", size=10**10), "config.json is listed with 10 GB, and such a"),
    "a shard of 900 GB": (sibling(SHARD, size=9 * 10**11), "is listed with 900 GB"),
    "99999 shards": (
        added(rfilename="model-00003-of-99999.safetensors"),
        "shards [4, 5, 6, 7, 8, ...] of 99999 (safetensors) are missing on the hub",
    ),
    "HTML": (lambda _: b"<html>please log in</html>", NO_ANSWER),
    "nothing": (lambda _: b"", NO_ANSWER),
    "cut JSON": (lambda answer: json.dumps(answer).encode()[:-9], NO_ANSWER),
    "a list": (lambda answer: [answer], NO_ANSWER),
    "a word": (lambda _: "no", NO_ANSWER),
    "no files": (without("siblings"), NO_ANSWER),
    "no name": (without("id"), NO_ANSWER),
    "files that are words": (lambda a: {**a, "siblings": ["config.json"]}, NO_ANSWER),
    "files without names": (lambda a: {**a, "siblings": [{"size": 1}]}, NO_ANSWER),
    "lfs that is a word": (sibling(SHARD, lfs="yes"), NO_ANSWER),
    "deeply nested": (lambda _: b"[" * 200_000, NO_ANSWER),
    "numbers of 5000 digits": (lambda _: b'{"id": ' + b"9" * 5000 + b"}", NO_ANSWER),
}  # fmt: skip


@pytest.mark.parametrize("lie", LISTINGS)
def test_a_listing_that_lies_is_refused_before_anything_is_fetched(hub, tmp_path, lie):
    edit, said = LISTINGS[lie]
    hub.lie(SHOWN_API, edit)
    text = refused(lambda: get(tmp_path))
    assert said in text
    assert text.startswith("lab/small at main: ")
    assert not hub.fetched("/resolve/"), "a file was asked for"
    assert not list(tmp_path.iterdir())


def test_a_digest_that_is_a_path_writes_no_file_of_the_user(hub, tmp_path):
    """The listed digest names the unfinished download; this one made it append to a file outside the study."""
    own = tmp_path / "home/.bashrc"
    own.parent.mkdir()
    own.write_text("mine\n")
    hub.lie(SHOWN_API, sibling(SHARD, sha256=str(own), size=len(WEIGHTS) + len("mine\n")))
    assert "the digest" in refused(lambda: get(tmp_path / "study"))
    assert own.read_text() == "mine\n"


def test_the_header_of_a_tokenizer_names_no_file(hub, tmp_path):
    """huggingface_hub's cache names files by the header ETag, unchecked: an absolute path made it write there."""
    own = tmp_path / "home/new"
    own.parent.mkdir()
    hub.lie("tokenizer.json", ETag=f'"{own}"', X_Linked_ETag=f'"{own}"')
    assert "is not a tokenizer.json" in refused(lambda: encoder(REPO))
    assert not own.exists()
    assert hub.fetched("tokenizer.json"), "the test asked for nothing"


def test_equal_shards_are_both_downloaded(hub, tmp_path):
    get(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "weights").iterdir()} == SHARDS


def test_a_commit_other_than_the_one_asked_for(hub):
    hub.model(REPO).commits["1" * 40] = SHARDS
    hub.lie("/api/models/", lambda answer: {**answer, "sha": "2" * 40})
    said = refused(lambda: client.revision(REPO, "1" * 40))
    assert "the commit '2222222222222222222222222222222222222222', another than was asked for" in said


INDEXES = {
    "an absolute path": (json.dumps({"weight_map": {"a": "/etc/passwd"}}), "sends to '/etc/passwd', which is no shard"),
    "a path upwards": (json.dumps({"weight_map": {"a": "../other/model.safetensors"}}), "sends to '../other/model"),
    "a file that is no shard": (
        json.dumps({"weight_map": {"a": "config.json"}}),
        "sends to 'config.json', which is no",
    ),
    "a number": (json.dumps({"weight_map": {"a": 3}}), "sends to 3, which is no shard"),
    "a list of a list": (json.dumps({"weight_map": {"a": ["x"]}}), "not an index of shards"),
    "no weight_map": ("{}", "not an index of shards (a JSON object with weight_map)"),
    "a list": ('{"weight_map": ["a"]}', "not an index of shards"),
    "HTML": ("<html></html>", "not an index of shards"),
    "nested": ("[" * 100_000, "not an index of shards"),
}


@pytest.mark.parametrize("lie", INDEXES)
def test_an_index_that_leads_out_of_its_folder_is_refused(hub, tmp_path, lie):
    content, said = INDEXES[lie]
    hub.model(REPO).commit("main", {**SHARDS, "model.safetensors.index.json": content.encode()})
    assert said in refused(lambda: get(tmp_path))


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b"\xff\xfe", b"version https://git-lfs.github.com/spec/v1"])
def test_a_config_that_is_no_json_object(hub, tmp_path, content):
    hub.model(REPO).commit("main", {**SHARDS, "config.json": content})
    assert "config.json: not a JSON object: leave this step out" in refused(lambda: get(tmp_path))


@pytest.mark.parametrize("name", ["a\nb", "../x", "/x", "a\x1b[2J", "", "a" * 300, 7, None, "a\\b"])
def test_a_branch_with_a_name_that_no_branch_has(hub, name):
    hub.lie("/refs$", lambda a: {**a, "branches": [*a["branches"], {"name": name, "ref": "x", "targetCommit": "y"}]})
    assert "lists the branch" in refused(lambda: client.branches(REPO))
    said = refused(lambda: client.revision(REPO, "mian"))
    assert said.endswith("no such branch, tag or commit on " + hub.endpoint)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"branches": [1], "tags": [], "converts": []}'])
def test_branches_that_are_no_answer(hub, answer):
    hub.lie("/refs$", lambda _: answer)
    assert NO_ANSWER in refused(lambda: client.branches(REPO))


def test_a_step_of_5000_digits_is_no_step(hub):
    for name in ("step1", "step" + "9" * 240, "step٣"):
        hub.model(REPO).commit(name, SHARDS)
    rows = listing({"small": Listed(repo=REPO, revision="step{step}", steps=[1])})
    assert set(rows["step"]) == {1}


# What goes wrong with an answer, where, and the line.
ANSWERS = {
    "the API sends to itself": ("loop", "/api/models", "sends from one address to the next without an end"),
    "the API has no end": ("endless", "/api/models", "sends more than was asked for, or without an end"),
    "the API drips": ("drip", "/api/models", "in 4 attempts (fewer than 1000 bytes per second)"),
    "the API is silent": ("stall", "/api/models", "no connection to http://127.0.0.1"),
    "a file sends to itself": ("loop", "/resolve/", "sends from one address to the next without an end"),
    "a file has no end": ("endless", "/stored/", "4 times what arrived was not what"),
    "a small file has no end": ("endless", "/api/resolve-cache/", "4 times what arrived was not what"),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_an_answer_without_an_end(hub, tmp_path, monkeypatch, fault):
    kind, where, said = ANSWERS[fault]
    monkeypatch.setattr(hub_checks, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(hub_checks, "LARGEST_ANSWER", 10**6)
    monkeypatch.setattr(hub_checks, "_longest", hub_checks.ContextVar("longest", default=10**6))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16384)
    if kind == "stall":
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
    hub.fail(where, kind, times=99)
    assert said in refused(lambda: get(tmp_path))
    written = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(written) <= sum(map(len, SHARDS.values()))


REDIRECTS = {
    "to a file": ("file:///etc/passwd", "sends to an address that is not of the web"),
    "to nowhere": ("http://127.0.0.1:1/x", "no connection to"),
    "to no address": ("http://[", "no connection to"),
}


@pytest.mark.parametrize("target", REDIRECTS)
def test_a_redirect_elsewhere(hub, target):
    address, said = REDIRECTS[target]
    hub.fail("/api/models", "loop", times=99)
    hub.lie("/api/models", Location=address)
    assert said in refused(lambda: client.revision(REPO, "main"))


@pytest.mark.parametrize(("where", "length"), [("/stored/", "9"), ("/api/models/", "9"), ("/api/models/", "99999")])
def test_a_length_that_is_not_the_content_s(hub, tmp_path, monkeypatch, where, length):
    if length == "99999":
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    hub.lie(where, Content_Length=length)
    assert "lab/small at main" in refused(lambda: get(tmp_path))


def test_a_small_file_that_unpacks_to_a_large_one_is_cut_at_its_size(hub, tmp_path):
    bomb = gzip.compress(bytes(10**7))
    hub.model(REPO).commit("main", {**SHARDS, SHARD: bomb})
    hub.lie("/stored/", Content_Encoding="gzip")
    assert "4 times what arrived was not what" in refused(lambda: get(tmp_path))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 10**6


def test_a_pause_of_years_is_not_kept(hub, tmp_path):
    hub.lie("/stored/", Retry_After="99999999", RateLimit='"api";r=0;t=99999999')
    hub.fail("/stored/", 429, times=1)
    get(tmp_path)
    assert [path for path in tmp_path.rglob("*.safetensors") if path.is_file()]


@pytest.mark.parametrize("where", ["model", "dataset", "tokenizer"])
def test_a_token_stays_with_the_hub(hub, tmp_path, monkeypatch, where):
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    hub.dataset("lab/text").commit("main", {"a.jsonl.gz": b"x"})
    if where == "model":
        get(tmp_path)
    elif where == "dataset":
        refused(lambda: list(hub_documents("lab/text", "main", "*.gz", "text")[1]))
    else:
        hub._stored["0" * 64] = ("tokenizer.json", b"{}")
        hub.fail("tokenizer", "loop", times=1)
        hub.lie("/resolve/.*tokenizer", Location=f"{hub.storage}/stored/{'0' * 64}")
        refused(lambda: encoder(REPO))
    sent = {(request.host, request.authorization) for request in hub.requests}
    assert sent == {("hub", "Bearer hf_member"), ("storage", None)}


DATASETS = {
    "a path upwards": (added(rfilename="../../x.txt"), NOT_BELOW),
    "a larger size": (sibling("a.txt", size=99), "times what arrived was not what"),
    "an absurd size": (sibling("a.txt", size=10**15), "a size of 1000000000000000 bytes"),
    "HTML": (lambda _: b"<html>", NO_ANSWER),
}


@pytest.mark.parametrize("lie", DATASETS)
def test_a_dataset_that_lies(hub, lie):
    edit, said = DATASETS[lie]
    hub.lie("/api/datasets/lab/text/revision/main", edit)
    assert said in refused(lambda: list(hub_documents("lab/text", "main", "*.txt", "text")[1]))


UNREAD = {
    404: "a.txt: the file is missing|a.txt: http.* answered 404",
    503: "answered 503 in 4 attempts",
    "loop": "without an end",
    "endless": "sends more than was asked for",
    "cut": "no connection|cut off",
    "stall": "no connection",
}


@pytest.mark.parametrize("fault", UNREAD)
def test_a_dataset_whose_file_cannot_be_read(hub, monkeypatch, fault):
    if fault == "stall":
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    hub.fail("/resolve|stored", fault, times=99)
    assert re.search(UNREAD[fault], refused(lambda: list(hub_documents("lab/text", "main", "*.txt", "text")[1])))


def test_a_dataset_is_read_in_pieces_and_anywhere(hub):
    content = bytes(range(256)) * 40
    hub.dataset("lab/text").commit("main", {"x.parquet": content})
    at = client.revision("lab/text", "main", kind="dataset")
    file = io.BufferedReader(client.RemoteContent(at, at.files[0]), 1000)
    assert file.seek(-10, io.SEEK_END) == len(content) - 10
    assert file.read() == content[-10:]
    file.seek(77)
    assert file.read(2000) == content[77:2077]
    assert file.read() == content[2077:]


ROWS = {
    "digest": ("sha256", "/etc/cron.d/x", "the digest '/etc/cron.d/x'"),
    "digest that is none": ("sha256", None, "the digest None"),
    "path": ("path", "../../x", NOT_BELOW),
    "absolute path": ("path", "/etc/passwd", NOT_BELOW),
    "size": ("size", -5, "a size of -5 bytes"),
    "commit": ("commit", "../x", "the digest '../x'"),
    "commit that is none": ("commit", None, "the digest None"),
    "repo": ("repo", "../..", "'../..' is no name of a repository"),
    "repo with a line": ("repo", "a/b\nc", "'a/b\\nc' is no name of a repository"),
    "same path twice": ("path", "config.json", "'config.json' 4 times"),
    "model": ("model", "other", "the table listing has no files of small at step 1"),
}


@pytest.mark.parametrize("edited", ROWS)
def test_the_table_listing_is_checked_when_it_is_read_back(hub, edited):
    hub.model(REPO).commit("step1", SHARDS)
    rows = LISTING.conform(listing({"small": Listed(repo=REPO, revision="step{step}", steps=[1])}))
    whole = client.pinned(rows, "small", 1)
    assert whole.commit == hub.model(REPO).branches["step1"]
    assert len(client.weight_files(whole)) == len(SHARDS)
    column, value, said = ROWS[edited]
    rows[column] = pd.Series([value] * len(rows), index=rows.index)
    assert said in refused(lambda: client.pinned(rows, "small", 1))


@pytest.mark.parametrize("repo", ["../..", "a/../b", "a b/c", "a/b/c", "/etc", "a\n/b", "http://x/y"])
def test_a_repository_with_a_name_that_none_has(hub, repo):
    assert "is no name of a repository" in refused(lambda: client.revision(repo, "main"))
    assert not hub.requests


def pickled(content: object, **how: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


WHOLE, OLD = pickled({"a": torch.ones(100)}), pickled({"a": torch.ones(100)}, _use_new_zipfile_serialization=False)
PICKLES = {
    "of no bytes": b"",
    "cut": WHOLE[:-200],
    "cut at its start": WHOLE[:300],
    "with a hole": WHOLE[:200] + b"\xff" * 40 + WHOLE[240:],
    "of the old form, cut": OLD[:-50],
    "of the old form, cut at its start": OLD[:30],
    "text": b"hello there",
    "HTML": b"<html>please log in</html>",
    "a pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "an empty pickle": b"\x80\x04N.",
    "marks alone": b"\x80\x02" + b"(" * 10000,
    "nothing": pickled({}),
    "a list": pickled([torch.ones(2)]),
    "a number for a name": pickled({3: torch.ones(2)}),
    "a tensor without numbers": pickled({"a": torch.ones(2, device="meta")}),
    "folded": pickled({"a": {"b": torch.ones(2)}}),
}


@pytest.mark.parametrize("damage", PICKLES)
def test_a_pickle_that_cannot_be_read_is_one_line(tmp_path, damage):
    (tmp_path / "pytorch_model.bin").write_bytes(PICKLES[damage])
    text = refused(lambda: to_safetensors(tmp_path))
    assert text.startswith(f"{tmp_path}/pytorch_model.bin: ")
    assert "so it is not read" in text
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_sparse_tensor_is_no_plain_one(tmp_path):
    with torch.sparse.check_sparse_tensor_invariants():
        torch.save({"a": torch.sparse_coo_tensor([[0]], [1.0], (3,))}, tmp_path / "pytorch_model.bin")
        assert "so it is not read" in refused(lambda: to_safetensors(tmp_path))
