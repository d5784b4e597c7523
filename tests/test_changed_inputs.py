"""Weights, texts and tokenizers of the user's that change are noticed: when a run is planned, and by each job."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub.checkpoints import small_model
from smdl.foundation.errors import StudyError
from smdl.models.loading import tensor_manifest
from smdl.models.same_weights import check_weights
from smdl.runtime import fingerprint
from smdl.runtime.fingerprint import text_fingerprint, weights_fingerprint
from smdl.tables import write_table
from smdl.tables.study import MANIFEST
from workflow import jobs, small_config, snakemake

LATER = (2_000_000_000, 2_000_000_000)
DRAWS = "results/small/draws/published/mine/step0/block0.parquet"


def checkpoint(folder: Path, seed: int) -> Path:
    small_model(seed, hidden_size=16, num_hidden_layers=1, intermediate_size=32).save_pretrained(folder)
    return folder


def refreshed(path: Path) -> None:
    """The same content under a new file and a new time, as after a copy."""
    shutil.copyfile(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    os.utime(path, LATER)


def one_bit(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    return checkpoint(tmp_path / "mine", 0)


def test_a_copy_of_the_same_weights_is_the_same(folder, tmp_path):
    before = weights_fingerprint(folder)
    for path in folder.iterdir():
        refreshed(path)
    (folder / "README.md").write_text("about")
    (folder / "generation_config.json").write_text("{}")
    assert weights_fingerprint(folder) == before
    assert weights_fingerprint(shutil.copytree(folder, tmp_path / "moved")) == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_bit_of_what_is_loaded_is_seen(folder, name):
    before = weights_fingerprint(folder)
    one_bit(folder / name, 200)
    assert weights_fingerprint(folder) != before


def test_a_file_more_or_less_is_seen(folder):
    before = weights_fingerprint(folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert weights_fingerprint(folder) != before


def test_of_a_large_file_samples_are_read_over_its_whole_length(folder, monkeypatch):
    monkeypatch.setattr(fingerprint, "CHUNK", 64)
    monkeypatch.setattr(fingerprint, "WEIGHTS_LIMIT", 64 * 40)
    weights = folder / "model.safetensors"
    size = weights.stat().st_size
    before = weights_fingerprint(folder)
    for place in (0, size - 1):
        one_bit(weights, place)
        assert weights_fingerprint(folder) != before
        one_bit(weights, place)
        assert weights_fingerprint(folder) == before
    checkpoint(folder, 1)
    assert weights.stat().st_size == size
    assert weights_fingerprint(folder) != before


def test_texts_and_tokenizer(tmp_path):
    (tmp_path / "texts/deep").mkdir(parents=True)
    (tmp_path / "texts/deep/a.txt").write_text("one")
    seen = {text_fingerprint(tmp_path / "texts", "bytes")}
    (tmp_path / "texts/notes.md").write_text("not read")
    refreshed(tmp_path / "texts/deep/a.txt")
    assert text_fingerprint(tmp_path / "texts", "bytes") in seen
    (tmp_path / "texts/deep/a.txt").write_text("two")
    seen.add(text_fingerprint(tmp_path / "texts", "bytes"))
    (tmp_path / "texts/b.jsonl").write_text("")
    seen.add(text_fingerprint(tmp_path / "texts", "bytes"))
    (tmp_path / "texts/b.jsonl").rename(tmp_path / "texts/c.jsonl")
    seen.add(text_fingerprint(tmp_path / "texts", "bytes"))
    (tmp_path / "tokenizer.json").write_text("{}")
    seen.add(text_fingerprint(tmp_path / "texts", str(tmp_path / "tokenizer.json")))
    (tmp_path / "tokenizer.json").write_text("[]")
    seen.add(text_fingerprint(tmp_path / "texts", str(tmp_path / "tokenizer.json")))
    assert len(seen) == 6
    assert text_fingerprint(None, "bytes") is None


@pytest.fixture
def manifest(folder, tmp_path):
    rows = [{"model": "mine", "step": 7, **row} for row in tensor_manifest(folder)]
    write_table(tmp_path / "manifest.parquet", MANIFEST, rows, {})
    return tmp_path / "manifest.parquet"


def test_a_job_accepts_the_weights_that_were_measured(folder, manifest):
    check_weights(folder, manifest)


def edited(folder: Path, edit) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (lambda its: its["embed_out.weight"].view(-1)[5:6].add_(1), "1 of .* differ, the first embed_out.weight: put"),
        (lambda its: its.update({name: t.half() for name, t in its.items()}), "16 of .* differ, the first embed_out"),
        (lambda its: its.pop("embed_out.weight"), "config.json describes: missing: lm_head.weight"),
        (lambda its: its.update(extra=torch.zeros(3)), "config.json describes: not the model's: extra"),
    ],
    ids=["one value", "another type", "a tensor less", "a tensor more"],
)
def test_a_job_refuses_other_weights_in_one_line(folder, manifest, edit, line):
    edited(folder, edit)
    with pytest.raises(StudyError, match=line) as error:
        check_weights(folder, manifest)
    assert "\n" not in str(error.value)


def planned(folder: Path, config: dict, *arguments: str) -> set[str]:
    """The rules of which a dry run has jobs."""
    run = snakemake(folder, config, "--dry-run", DRAWS, *arguments)
    assert run.returncode == 0, run.stderr
    return set(jobs(run.stdout)) - {"all"}


def test_a_study_of_local_weights_and_texts(tmp_path):
    """Weights that were copied over others, and then new settings, gave an LLC of new weights against old losses."""
    weights = checkpoint(tmp_path / "mine", 0) / "model.safetensors"
    other = checkpoint(tmp_path / "other", 1) / "model.safetensors"
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("In the beginning was the word. " * 100)
    config = small_config()
    config["corpus"] |= {"source": "local", "path": str(texts)}
    del config["corpus"]["name"]
    config["models"] = {"mine": {"source": "local", "path": str(tmp_path / "mine")}}
    run = snakemake(tmp_path, config, "--nolock", DRAWS, warm=True)
    assert run.returncode == 0, run.stderr
    refreshed(weights)
    refreshed(texts / "a.txt")
    (tmp_path / "mine/README.md").write_text("about")
    assert planned(tmp_path, config) == set(), "content is the same"

    text = (texts / "a.txt").read_text()
    (texts / "a.txt").write_text(text.replace("word", "work"))
    assert planned(tmp_path, config) == {"corpus", "reference", "llc_chains"}
    (texts / "a.txt").write_text(text)

    shutil.copyfile(other, weights)
    assert planned(tmp_path, config) == {"reference", "llc_chains"}
    # Swapped behind Snakemake's back, as while a job waits in a queue.
    config["llc"]["gamma"] = 200
    run = snakemake(tmp_path, config, "--rerun-triggers", "mtime", "--forcerun", "llc_chains", "--nolock", DRAWS)
    assert run.returncode
    log = (tmp_path / "results/small/logs/llc_chains/published/mine/step0/block0.log").read_text()
    assert "error: weights of mine step 0 are not those of the manifest:" in log
    assert "Traceback" not in log
