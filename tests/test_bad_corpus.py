"""Texts, tokenizers and corpora that cannot be used: one line each, that names the file and what is wrong with it."""

import gzip
import io
import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from smdl.corpus.blocks import cut, encoder, load_split, package_text, read_splits, read_tokens, save_blocks, split_rows
from smdl.corpus.settings import LocalText
from smdl.corpus.text_files import PACKAGE_BYTES
from smdl.foundation.errors import StudyError
from smdl.models.loading import check_corpus
from smdl.settings.config import validated
from smdl.sources.train import Architecture, Training
from smdl.sources.training import Run, new_model
from smdl.study.study import Study
from smdl.tables import write_table
from smdl.tables.study import CORPUS
from workflow import jobs, small_config, snakemake

LINES = "".join(json.dumps({"text": f"In the beginning {i}."}) + "\n" for i in range(5000)).encode()
ZST = zstandard.compress(LINES)


def parquet(values: list, kind: pa.DataType | None = None, column: str = "text") -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({column: pa.array(values, kind)}), buffer)
    return buffer.getvalue()


PARQUET = parquet([f"In the beginning {i}." for i in range(5000)])


def overwritten(content: bytes, where: int) -> bytes:
    return content[:where] + b"\xff" * 64 + content[where + 64 :]


# A file of the corpus: its name, its content, and the line.
FILES = {
    "zst cut in a frame": ("a.jsonl.zst", ZST[:-20], "a.jsonl.zst is damaged or cut off (it ends"),
    "zst cut in its second frame": ("a.txt.zst", zstandard.compress(b"one") + ZST[:-9], "is damaged or cut off"),
    "zst cut in its header": ("a.txt.zst", ZST[:5], "is damaged or cut off"),
    "zst of a lying kind": ("a.txt.zst", gzip.compress(b"x"), "is damaged or cut off"),
    "zst with a hole": ("a.txt.zst", overwritten(ZST, len(ZST) // 2), "is damaged or cut off"),
    "gz cut": ("a.jsonl.gz", gzip.compress(LINES)[:-20], "a.jsonl.gz is damaged or cut off"),
    "gz cut in its header": ("a.txt.gz", gzip.compress(LINES)[:5], "is damaged or cut off"),
    "gz with a hole": ("a.txt.gz", overwritten(gzip.compress(LINES), 900), "is damaged or cut off"),
    "gz that is none": ("a.txt.gz", b"plain text", "is damaged or cut off (Not a gzipped file"),
    "gz of other bytes": ("a.txt.gz", gzip.compress(b"\xff\xfe"), "is not UTF-8 text"),
    "Parquet cut": ("a.parquet", PARQUET[:-30], "a.parquet is damaged or cut off"),
    "Parquet of no bytes": ("a.parquet", b"", "is damaged or cut off"),
    "Parquet with a hole": ("a.parquet", overwritten(PARQUET, 4), "is damaged or cut off"),
    "Parquet that is HTML": ("a.parquet", b"<html>please log in</html>", "is damaged or cut off"),
    "Parquet that is a pointer": ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "is damaged or cut"),
    "Parquet of numbers": ("a.parquet", parquet([1, 2]), "the column 'text' holds int64, not text: set corpus.column"),
    "Parquet of lists": ("a.parquet", parquet([["a"], ["b"]]), "the column 'text' holds list<"),
    "Parquet of records": ("a.parquet", parquet([{"a": "b"}]), "the column 'text' holds struct<a: string>, not text"),
    "Parquet of bytes": ("a.parquet", parquet([b"a"]), "the column 'text' holds binary, not text"),
    "Parquet of dates": ("a.parquet", parquet([0], pa.date32()), "the column 'text' holds date32[day], not text"),
    "Parquet of nulls without a type": ("a.parquet", parquet([None]), "the column 'text' holds null, not text"),
    "Parquet of nulls": ("a.parquet", parquet([None, None], pa.string()), "holds no text, only blanks or nothing"),
    "Parquet of no rows": ("a.parquet", parquet([], pa.string()), "holds no text, only blanks or nothing"),
    "Parquet without the column": ("a.parquet", parquet(["a"], column="body"), "has no column 'text'; it has body"),
    "Parquet with a column of two lines": ("a.parquet", parquet(["a"], column="a\nb"), "it has a b: set corpus.column"),
    "JSONL of blank lines": ("a.jsonl", b"\n  \n\n", "holds no text, only blanks or nothing"),
    "JSONL of no bytes": ("a.jsonl", b"", "holds no text, only blanks or nothing"),
    "JSONL of empty texts": ("a.jsonl", b'{"text": ""}\n{"text": " "}', "holds no text, only blanks or nothing"),
    "JSONL cut in a line": ("a.jsonl", LINES[:-5], "line 5000: not a JSON object with a key 'text'"),
    "JSONL of words": ("a.jsonl", b'"word"\n', "line 1: not a JSON object with a key 'text'"),
    "JSONL of lists": ("a.jsonl", b'["text"]\n', "line 1: not a JSON object with a key 'text'"),
    "JSONL of null": ("a.jsonl", b"null\n", "line 1: not a JSON object with a key 'text'"),
    "JSONL that is one long list": ("a.json", b'[{"text": "a"}]', "line 1: not a JSON object with a key 'text'"),
    "JSONL without the key": ("a.jsonl", b'{"text": "a"}\n\n{"b": "c"}', "line 3: not a JSON object with a key 'text'"),
    "JSONL with a number": ("a.jsonl", b'{"text": 3}', "line 1: 'text' is not text but 3"),
    "JSONL with null": ("a.jsonl", b'{"text": null}', "line 1: 'text' is not text but None"),
    "JSONL with a list": ("a.jsonl", b'{"text": ["a"]}', "line 1: 'text' is not text but ['a']"),
    "JSONL nested too deeply": ("a.jsonl", b"[" * 100_000, "line 1: not a JSON object"),
    "JSONL with a number of 5000 digits": ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}", "line 1: not a JSON object"),
    "JSONL with half a character": ("a.jsonl", b'{"text": "\\ud800b"}', "line 1: half of a surrogate pair, '\\ud800'"),
    "JSONL in latin-1": ("a.jsonl", '{"text": "à"}'.encode("latin-1"), "line 1: not UTF-8 text"),
    "JSONL in UTF-16": ("a.jsonl", '{"text": "à"}'.encode("utf-16"), "line 1: not UTF-8 text"),
    "JSONL that is binary": ("a.jsonl", bytes(range(256)), "a.jsonl, line 1: not a JSON object"),
    "text of no bytes": ("a.txt", b"", "holds no text, only blanks or nothing"),
    "text of blanks": ("a.txt", b" \n\t\r\n" * 900, "holds no text, only blanks or nothing"),
    "text in latin-1": ("a.txt", "voilà tout".encode("latin-1"), "UTF-8 text (invalid continuation byte at byte 4)"),
    "text in UTF-16 with its mark": ("a.txt", "à la".encode("utf-16"), "UTF-8 text (invalid start byte at byte 0)"),
    "text in UTF-16 without it": ("a.txt", "a la".encode("utf-16-le"), "(a byte 0 at character 1: a binary file, or"),
    "text that is a program": ("a.txt", b"\x7fELF\x02\x01\x01\x00", "a binary file, or UTF-16"),
    "text that is a picture": ("a.txt", b"\x89PNG\r\n\x1a\n", "is not UTF-8 text"),
    "a name of two lines": ("a\nerror: b.txt", b"\xff", "a error: b.txt is not UTF-8 text"),
    "no file that holds text": ("a.md", b"# text", "holds no .txt/.jsonl/.json/.parquet (or .gz, .zst) file"),
}  # fmt: skip


def refused(call) -> str:
    with pytest.raises(StudyError) as caught:
        call()
    text = str(caught.value)
    assert text.isprintable(), text
    return text


def corpus(folder, **changes: object) -> LocalText:
    settings = {"source": "local", "path": str(folder), "context": 4, "blocks": {"sampling": 2, "evaluation": 2}}
    return LocalText(**settings | changes)


@pytest.mark.parametrize("damage", FILES)
def test_a_file_that_is_no_text_is_one_line(tmp_path, damage):
    name, content, said = FILES[damage]
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / name).write_bytes(content)
    assert said in refused(lambda: read_tokens(corpus(tmp_path)))


@pytest.mark.parametrize("cut_at", range(1, 200, 7))
def test_no_cut_of_a_zst_is_read_as_if_whole(tmp_path, cut_at):
    whole = zstandard.compress(LINES[:3000]) + zstandard.compress(LINES[3000:6000])
    (tmp_path / "a.jsonl.zst").write_bytes(whole[:-cut_at])
    assert "is damaged or cut off" in refused(lambda: read_tokens(corpus(tmp_path)))


def test_what_is_odd_but_whole_is_read(tmp_path):
    """A folder with the name of a text, a linked folder, a byte order mark, nulls between texts, a long one."""
    (tmp_path / "in/a.txt").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in/a.txt/b.txt").write_bytes(b"\xef\xbb\xbfone")
    (tmp_path / "elsewhere/c.parquet").write_bytes(parquet([None, "two"]))
    (tmp_path / "elsewhere/d.parquet").write_bytes(parquet(["three"], pa.dictionary(pa.int8(), pa.string())))
    (tmp_path / "elsewhere/e.txt.zst").write_bytes(zstandard.compress(b"four" + b" " * 10**6))
    (tmp_path / "in/b").symlink_to(tmp_path / "elsewhere")
    tokens, vocabulary, _ = read_tokens(corpus(tmp_path / "in"))
    assert bytes(tokens.astype(np.uint8)) == b"one\ntwo\nthree\nfour" + b" " * 10**6 + b"\n"
    assert vocabulary == 256


def link_loop(folder):
    (folder / "a.txt").symlink_to(folder / "b.txt")
    (folder / "b.txt").symlink_to(folder / "a.txt")


def folder_loop(folder):
    (folder / "part").mkdir()
    (folder / "part/up").symlink_to(folder)


def crossed_loop(folder):
    for one, other in (("x", "y"), ("y", "x")):
        (folder / one).mkdir()
        (folder / one / other).symlink_to(folder / other)


def dangling(folder):
    (folder / "a.txt").symlink_to(folder / "gone.txt")


def pipe(folder):
    os.mkfifo(folder / "a.txt")


FOLDERS = {
    "a link to itself": (link_loop, "a.txt is a link that leads nowhere: remove it, or put the file there"),
    "a link to the folder above": (folder_loop, "part/up is a link to a folder around it: remove it"),
    "two folders with links to each other": (crossed_loop, "is a link to a folder around it: remove it"),
    "a link to nothing": (dangling, "a.txt is a link that leads nowhere"),
    "a pipe": (pipe, "a.txt is no ordinary file"),
    "an empty folder": (lambda folder: None, "holds no .txt/.jsonl"),
    "empty folders named like texts": (lambda folder: (folder / "a.txt").mkdir(), "holds no .txt/.jsonl"),
}


@pytest.mark.parametrize("oddity", FOLDERS)
def test_a_folder_that_is_no_corpus_is_one_line(tmp_path, oddity):
    make, said = FOLDERS[oddity]
    make(tmp_path)
    assert said in refused(lambda: read_tokens(corpus(tmp_path)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("locked", ["part/a.txt", "part"])
def test_what_may_not_be_read_is_one_line(tmp_path, locked):
    (tmp_path / "part").mkdir()
    (tmp_path / "part/a.txt").write_text("text")
    (tmp_path / locked).chmod(0)
    try:
        assert f"{locked} cannot be read (Permission denied)" in refused(lambda: read_tokens(corpus(tmp_path)))
    finally:
        (tmp_path / locked).chmod(0o700)


WORDS = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "?"}}


def words(**model: object) -> bytes:
    return json.dumps({**WORDS, "model": {**WORDS["model"], **model}}).encode()


TOKENIZERS = {
    "of no bytes": (b"", "is not a tokenizer.json (Cannot instantiate"),
    "an empty object": (b"{}", "is not a tokenizer.json"),
    "a list": (b"[]", "is not a tokenizer.json"),
    "cut": (words()[:-20], "is not a tokenizer.json"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is not a tokenizer.json"),
    "HTML": (b"<html>please log in</html>", "is not a tokenizer.json"),
    "binary": (b"\x80\x02}q\x00", "is not a tokenizer.json"),
    "of an unknown kind": (words(type="Quantum"), "is not a tokenizer.json"),
    "without a vocabulary": (words(vocab={}), "has no vocabulary, so every text would be empty"),
    "with a negative token": (words(vocab={"a": -1}), "is not a tokenizer.json"),
    "that knows no such word": (words(), "cannot encode a document (WordLevel error: Missing"),
    "without merges' parts": (words(type="BPE", vocab={"a": 0}, merges=["a b"]), "is not a tokenizer.json"),
}


@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_tokenizer_that_cannot_be_used_is_one_line(tmp_path, damage):
    content, said = TOKENIZERS[damage]
    (tmp_path / "tokenizer.json").write_bytes(content)
    (tmp_path / "a.txt").write_text("in the beginning")
    text = refused(lambda: read_tokens(corpus(tmp_path, tokenizer=str(tmp_path / "tokenizer.json"))))
    assert said in text
    assert text.startswith("corpus.tokenizer: ")


def test_a_tokenizer_s_own_limits_are_not_the_corpus_s(tmp_path):
    """Some tokenizer.json cut or pad what they encode, as their models were used; a text is a text."""
    limits = {
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 1, "pad_token": "b", "pad_type_id": 0,
            "pad_to_multiple_of": None,
        },
        "pre_tokenizer": {"type": "WhitespaceSplit"},
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps({**WORDS, **limits}))
    encode, _ = encoder(str(tmp_path / "tokenizer.json"))
    assert encode("a b a b a").tolist() == [0, 1, 0, 1, 0]


def test_a_vocabulary_with_gaps_counts_to_its_largest_token(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(words(vocab={"a": 0, "b": 99}))
    assert encoder(str(tmp_path / "tokenizer.json"))[1] == 100


def test_tokens_that_the_model_does_not_know():
    model = tiny()
    check_corpus(model, np.array([[0, 31]]))
    assert "the corpus has token 32, but the model's vocabulary ends at 31: corpus.tokenizer is not" in refused(
        lambda: check_corpus(model, np.array([[0, 32]]))
    )


def test_a_text_too_short_for_the_blocks(tmp_path):
    (tmp_path / "a.txt").write_text("in the beginning")
    tokens, vocabulary, _ = read_tokens(corpus(tmp_path))
    said = refused(lambda: cut(tokens, vocabulary, 4, {"sampling": 4, "evaluation": 1}, 0))
    assert said.startswith("corpus: 4 blocks of 4 tokens, but 5 are asked for (sampling 4, evaluation 1)")


def tiny():
    return new_model(Architecture(layers=1, hidden=8, heads=1), 32, 8, 0)


def training(size: int) -> Training:
    return Training(steps=3, batch_size=size, lr=0.01, warmup=0, weight_decay=0.0)


@pytest.mark.parametrize("blocks", [0, 1, 7])
@pytest.mark.timeout(60)
def test_a_training_without_a_batch_ends_at_once(blocks):
    """It looked for a batch for ever."""
    begun = refused(lambda: Run(tiny(), np.zeros((blocks, 8), np.uint16), training(8), 0))
    assert f"training: {blocks} blocks are left for training, fewer than a batch of 8" in begun


@pytest.mark.parametrize("name", PACKAGE_BYTES)
def test_the_lengths_of_the_packages_texts(name):
    assert len(package_text(name).encode()) == PACKAGE_BYTES[name]


# What is wrong with the config's corpus before any job: changes of the section, files of the folder, and the line.
TEXT = {"a.txt": b"x" * 2047}
PLANNED = {
    "package: too many blocks": (
        {"source": "package", "name": "kjv", "blocks": {"sampling": 300_000, "evaluation": 16, "calibration": 16}},
        {},
        "corpus.blocks: 300032 blocks of 16 tokens are asked for, and kjv gives at most 258590",
    ),
    "package: nothing left for a batch": (
        {"source": "package", "name": "kjv", "blocks": {"sampling": 258_554, "evaluation": 16, "calibration": 16}},
        {},
        "models.tiny.training.batch_size: 8 blocks per step, and the corpus leaves at most 4 for training",
    ),
    "local: too many blocks": ({}, {"a.txt": b"x" * 900}, "corpus.blocks: 96 blocks of 16 tokens are asked for, and"),
    "local: nothing left for a batch": (
        {"blocks": {"sampling": 104, "evaluation": 10, "calibration": 10}},
        TEXT,
        "models.tiny.training.batch_size: 8 blocks per step, and the corpus leaves at most 4 for training",
    ),
    "local: no text": ({}, {"a.md": b"text"}, "holds no .txt/.jsonl/.json/.parquet (or .gz, .zst) file"),
    "local: an empty folder": ({}, {}, "holds no .txt/.jsonl/.json/.parquet (or .gz, .zst) file"),
    "local: empty files": ({}, {"a.txt": b"", "b.jsonl": b""}, "gives at most 0: more text, shorter or fewer blocks"),
    "local: no folder": ({"path": "no/such"}, {}, "corpus.path: 'no/such' is not a folder"),
    "hub: nothing is left for training": (
        {"source": "hub", "repo": "a/b"},
        {},
        "models.tiny.source: nothing is left for training, since of a hub's dataset no more is read",
    ),
    "hub: a pattern of no file": (
        {"source": "hub", "repo": "a/b", "files": ""},
        {},
        "corpus.files: '' is empty",
    ),
    "tokenizer: missing": ({"tokenizer": "no.json"}, TEXT, "corpus.tokenizer: 'no.json' is neither bytes nor a"),
    "tokenizer: empty": ({"tokenizer": "FOLDER/t"}, {**TEXT, "t": b""}, "is not a JSON object; a tokenizer.json is"),
    "tokenizer: HTML": ({"tokenizer": "FOLDER/t"}, {**TEXT, "t": b"<html>"}, "is not a JSON object; a tokenizer.json"),
    "tokenizer: a pointer": (
        {"tokenizer": "FOLDER/t"},
        {**TEXT, "t": b"version https://git-lfs.github.com/spec/v1\noid sha256:0"},
        "is a pointer of Git LFS, not the file itself; a tokenizer.json is wanted",
    ),
    "tokenizer: a folder": ({"tokenizer": "FOLDER"}, TEXT, "is neither bytes nor a tokenizer.json file"),
}


@pytest.mark.parametrize("mistake", PLANNED)
def test_a_corpus_that_cannot_do_is_told_before_any_job(tmp_path, mistake):
    changes, files, said = PLANNED[mistake]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    config = small_config()
    own = {"source": "local", "path": str(tmp_path), **changes}
    if own["source"] != "local":
        del own["path"]
    config["corpus"] = {**config["corpus"], **own}
    if own["source"] != "package":
        del config["corpus"]["name"]
    if "tokenizer" in own:
        config["corpus"]["tokenizer"] = own["tokenizer"].replace("FOLDER", str(tmp_path))
    with pytest.raises(StudyError) as caught:
        validated(config, Study)
    heading, *problems = str(caught.value).splitlines()
    assert heading == "the configuration is not right:"
    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize("oddity", ["a link to the folder above", "two folders with links to each other"])
def test_a_loop_of_links_is_told_before_any_job(tmp_path, oddity):
    make, said = FOLDERS[oddity]
    make(tmp_path)
    config = small_config()
    config["corpus"] = {**config["corpus"], "source": "local", "path": str(tmp_path)}
    del config["corpus"]["name"]
    with pytest.raises(StudyError, match=re.escape(said)):
        validated(config, Study)


@pytest.mark.parametrize("name", ["a.parquet", "a.txt.gz", "a.jsonl.zst"])
def test_what_is_packed_may_be_long_enough(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    config = small_config()
    config["corpus"] = {**config["corpus"], "source": "local", "path": str(tmp_path)}
    del config["corpus"]["name"]
    assert validated(config, Study)["corpus"]["path"] == str(tmp_path)


def test_a_corpus_that_cannot_do_stops_a_dry_run_with_its_line(tmp_path):
    config = small_config()
    config["models"]["tiny"]["training"]["batch_size"] = 10**6
    run = snakemake(tmp_path, config, "-n")
    assert run.returncode == 1
    assert (
        "models.tiny.training.batch_size: 1000000 blocks per step, and the corpus leaves at most 258494" in run.stderr
    )
    assert "Traceback" not in run.stderr
    assert not jobs(run.stdout)


@pytest.fixture
def blocks(tmp_path):
    """The files of a corpus: its blocks and its table."""
    tokens = (np.arange(400) % 251).astype(np.uint16)
    found, splits = cut(tokens, 256, 4, {"sampling": 10, "evaluation": 5, "calibration": 0}, 0)
    save_blocks(tmp_path / "blocks.npy", found)
    write_table(tmp_path / "splits.parquet", CORPUS, split_rows(splits, "here"), {})
    return tmp_path


def test_blocks_that_are_whole_are_read(blocks):
    names = ("sampling", "evaluation", "calibration", "training")
    read = {name: load_split(blocks / "blocks.npy", read_splits(blocks / "splits.parquet"), name) for name in names}
    assert {name: tuple(split.shape) for name, split in read.items()} == {
        "sampling": (10, 4),
        "evaluation": (5, 4),
        "calibration": (0, 4),
        "training": (85, 4),
    }


BLOCKS = {
    "of no bytes": (lambda content: b"", "not a whole .npy file"),
    "cut": (lambda content: content[:-100], "not a whole .npy file (mmap length is greater than file size)"),
    "cut in its header": (lambda content: content[:20], "not a whole .npy file"),
    "text": (lambda content: b"1 2 3", "not a whole .npy file"),
    "a pickle": (lambda content: b"\x80\x04N.", "not a whole .npy file"),
    "of a bent header": (lambda content: content.replace(b"(100, 4)", b"(-10, 4)"), "not a whole .npy file"),
    "of other rows": (lambda content: content[:130] + b"\0\0" + content[132:], "the sampling blocks are not those of"),
    "of another shape": (lambda content: content.replace(b"(100, 4)", b"(50, 8) "), "the sampling blocks are not"),
    "of zeros at its end": (lambda content: content[:128] + bytes(len(content) - 128), "are not those of the table"),
}  # fmt: skip


@pytest.mark.parametrize("damage", BLOCKS)
def test_blocks_that_are_damaged_or_others_are_one_line(blocks, damage):
    change, said = BLOCKS[damage]
    path = blocks / "blocks.npy"
    path.write_bytes(change(path.read_bytes()))
    splits = read_splits(blocks / "splits.parquet")
    text = refused(lambda: load_split(path, splits, "sampling"))
    assert text.startswith(f"{path}: ")
    assert said in text
    assert text.endswith("delete it and run again: it is made again")
