"""From nothing to a report with smdl init alone, and what smdl init and smdl check say of mistakes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from conftest import ROOT
from hub.checkpoints import files_of, small_model
from hub.client import turn_to
from hub.server import Hub
from small_models import llama
from smdl.cli import main
from smdl.settings.config import settings
from smdl.settings.configfile import load_over
from smdl.start import questions
from smdl.start.config import config_text
from smdl.start.init import Wanted, init
from smdl.start.model import Model
from smdl.start.sampler import start
from smdl.start.text import text_of
from smdl.study.study import Study
from workflow import snakemake

REPO = "lab/first"
STEPS = [1000, 2000, 3000]
SMALLEST = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 16}
PYTHIA = {"14m": 1e-3, "31m": 3e-4, "70m": 3e-4, "160m": 1e-4, "410m": 1e-4, "1b": 3e-5, "1.4b": 3e-5, "2.8b": 1e-5}


def smdl(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """The command in ``folder``, without a terminal."""
    command = [sys.executable, "-P", "-m", "smdl.cli", *map(str, arguments)]
    asked = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, cwd=folder, timeout=300, check=False, **asked)


@pytest.fixture(scope="module")
def served():
    """A hub with a model of three checkpoints and without a tokenizer: its 256 tokens are bytes."""
    with Hub() as hub:
        for number, step in enumerate(STEPS):
            hub.model(REPO).commit(f"step{step}", files_of(small_model(number, **SMALLEST)))
        hub.model(REPO).commit("main", files_of(small_model(2, **SMALLEST)))
        hub.model("lab/words").commit("main", {"tokenizer.json": words(200)})
        yield hub


@pytest.fixture
def hub(served, monkeypatch, tmp_path):
    """The hub, with the library of this process turned to it, and what was asked before forgotten."""
    served.requests.clear()
    turn_to(served, monkeypatch, tmp_path)
    return served


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Folders step100, step200, step1500 and step2000 of a small Llama."""
    folder = tmp_path_factory.mktemp("llama")
    for step in (100, 200, 1500, 2000):
        llama(tied=True).save_pretrained(folder / f"step{step}")
    return folder


def words(number: int) -> bytes:
    """A tokenizer.json with so many tokens."""
    return Tokenizer(WordLevel({f"word{i}": i for i in range(number)}, unk_token="word0")).to_str().encode()


def begun(folder: Path, **wanted: object) -> Study:
    """The study that smdl init writes into ``folder``, on the King James Bible unless ``wanted`` names a text."""
    path = init(Wanted(folder, **{"text": "kjv", **wanted}), ROOT).config
    return settings(load_over([path]), Study)


def test_from_an_empty_folder_to_the_report(served, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    first = smdl(tmp_path, "init", "mine", "--repo", REPO, "--steps", "1000", "--text", "kjv")
    assert first.returncode == 0, first.stderr
    weights = small_model(0, **SMALLEST).num_parameters()
    assert f"first: {weights:,} weights, 16 tokens of context, 1 checkpoint, text kjv in bytes" in first.stdout
    assert re.search(r"^\d+ jobs, 0 of them on GPUs", first.stdout, flags=re.MULTILINE)
    assert "--configfile mine/config.yaml" in first.stdout
    assert not (tmp_path / "results").exists()
    ran = snakemake(tmp_path, tmp_path / "mine/config.yaml", warm=True)
    assert ran.returncode == 0, ran.stderr[-4000:]
    reported = smdl(tmp_path, "report", "results/mine")
    assert reported.returncode == 0, reported.stderr
    assert "<html" in (tmp_path / "results/mine/report.html").read_text()


def test_a_folder_of_llamas(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    study = begun(tmp_path / "my llamas", path="step{step}")
    assert study.study == "my-llamas"
    (model,) = study.models.values()
    assert Path(model.path) == folders / "step{step}"
    assert model.parameters == llama(tied=True).num_parameters()
    assert (model.steps, model.window, model.context) == ((100, 200, 1500, 2000), (200, 2000), 32)
    assert study.corpus.tokenizer == "bytes"
    assert study.compression.dense_bits == 32
    assert study.compression.headline.epsilon == 0.125


def test_one_checkpoint_with_a_tokenizer_and_a_short_text(folders, tmp_path):
    folder, text = tmp_path / "llama", tmp_path / "text"
    llama(tied=False).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(words(200))
    text.mkdir()
    (text / "a.txt").write_text("word1 word2 " * 5000)
    study = begun(tmp_path / "study", path=str(folder), text=str(text))
    assert (study.models["llama"].steps, study.models["llama"].window) == ((0,), None)
    assert study.corpus.path == str(text)
    assert study.corpus.tokenizer == str(folder / "tokenizer.json")
    assert study.corpus.context == 16, "the text is too short for blocks of 32 tokens"
    assert study.compression.headline.epsilon == 0.5


def test_a_repository_with_a_tokenizer_and_other_names_of_branches(hub, tmp_path):
    other = hub.model("lab/other.v2")
    for step in STEPS:
        other.commit(f"stage1-step{step}-tokens{step // 1000}B", files_of(small_model(step, **SMALLEST)))
    other.commit("main", {"README.md": b"#", "tokenizer.json": words(200)})
    study = begun(tmp_path / "study", repo="lab/other.v2", steps=(1000, 3000))
    model = study.models["other.v2"]
    assert (model.repo, model.revision, model.steps) == ("lab/other.v2", "stage1-step{step}-*", (1000, 3000))
    assert study.corpus.tokenizer == str(tmp_path / "study/tokenizer.json"), "jobs have no network"
    assert (tmp_path / "study/tokenizer.json").read_bytes() == words(200)
    assert not hub.fetched("safetensors"), "weights were fetched"


def test_a_repository_of_one_checkpoint(hub, tmp_path):
    hub.model("lab/alone").commit("main", files_of(small_model(0, **SMALLEST), form="bin"))
    (model,) = begun(tmp_path / "study", repo="lab/alone").models.values()
    assert (model.revision, model.steps) == ("main", (0,))


@pytest.mark.parametrize(("size", "lr"), [(1000, 1e-3), *((size, lr) for size, lr in PYTHIA.items()), ("70b", 3e-6)])
def test_the_learning_rate_is_that_of_the_nearest_size(size, lr):
    weights = size if isinstance(size, int) else float(size[:-1]) * {"m": 1e6, "b": 1e9}[size[-1]]
    found = start(int(weights))
    assert found.lr == lr
    assert found.burn_in == {1e-3: 2, 3e-4: 7, 1e-4: 20, 3e-5: 67, 1e-5: 200, 3e-6: 667}[lr]
    assert found.half == (size == "70b")


@pytest.mark.parametrize(("size", "dtype"), [(10**6, "float32"), (10**9, "float32"), (7 * 10**9, "bfloat16")])
def test_the_config_is_right_for_every_size(size, dtype):
    place = {"source": "hub", "repo": "lab/a.b", "revision": "step{step}-*"}
    seen = Model("a.b", place, tuple(range(0, 100_000, 500)), size, None, 50_000, 16, None)
    written = config_text("on", seen, text_of("factbook"), "bytes", "command")
    study = settings(yaml.safe_load(written), Study)
    assert (study.study, study.models["a.b"].dtype, study.models["a.b"].steps) == ("on", dtype, seen.steps)
    assert study.models["a.b"].window == (10_000, 99_500)
    assert max(map(len, written.splitlines())) <= 120


def test_what_is_there_is_left_as_it_is(folders, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("mine")
    assert main(["init", str(tmp_path), "--path", str(folders / "step100"), "--text", "kjv"]) == 1
    line = f"error: {config} is there already, and is left as it is: give another folder, or remove it\n"
    assert capsys.readouterr().err == line
    assert config.read_text() == "mine"


LLAMA = "--path LLAMAS/step100 --text kjv"
MISTAKES = {
    "no model": ("--text kjv", 2, "--repo or --path is missing, and there is no terminal to ask on"),
    "no text": ("--path LLAMAS/step100", 2, "--text is missing, and there is no terminal to ask on"),
    "no repository's name": ("--repo first --text kjv", 2, "--repo: 'first' is not owner/name"),
    "no such repository": ("--repo lab/none --text kjv", 1, "lab/none at all branches: no such repository"),
    "no such branches": (
        "--repo lab/first --revision stage{step} --text kjv",
        1,
        "--revision: lab/first has no branch such as stage{step}; it has step1000, step2000, step3000, main",
    ),
    "no such step": (
        "--repo lab/first --steps 1000,5000 --text kjv",
        1,
        "--steps: lab/first at step{step} has no checkpoint of step 5000; it has 1000, 2000, 3000",
    ),
    "steps of one": (f"{LLAMA} --steps 1,2", 2, "--steps: LLAMAS/step100 is one checkpoint"),
    "a folder's branch": (f"{LLAMA} --revision main", 2, "--revision: belongs to --repo"),
    "no such folder": ("--path LLAMAS/no --text kjv", 1, "--path: LLAMAS/no is not a folder"),
    "no such folders": ("--path LLAMAS/no{step} --text kjv", 1, "--path: there is no folder such as LLAMAS/no{step}"),
    "no checkpoint": ("--path LLAMAS --text kjv", 1, "LLAMAS has no config.json"),
    "no dense decoder": ("--path HERE/encoder --text kjv", 1, "HERE/encoder/config.json: model_type 'bert'"),
    "a damaged checkpoint": (
        "--path HERE/cut --text kjv --tokenizer lab/words",
        1,
        "models.cut: HERE/cut/model.safetensors: ",
    ),
    "no text of that name": ("--path LLAMAS/step100 --text bible", 1, "--text: 'bible' is neither kjv nor factbook"),
    "a file of text": ("--path LLAMAS/step100 --text HERE/a.txt", 1, "--text: HERE/a.txt is a file"),
    "a short text": ("--path LLAMAS/step100 --text HERE/text", 1, "--text: HERE/text has 6 bytes, too few for 608"),
    "no tokenizer": (f"{LLAMA} --tokenizer x", 1, "--tokenizer: 'x' is neither bytes, nor a tokenizer.json file, nor"),
    "another tokenizer": (
        f"{LLAMA} --tokenizer HERE/tokenizer.json",
        1,
        "--tokenizer: HERE/tokenizer.json has 300 tokens and the model 256: it is another model's",
    ),
    "bytes, of which the model has too few": (
        "--path HERE/few --text kjv --tokenizer bytes",
        1,
        "--tokenizer: bytes has 256 tokens and the model 200: it is another model's",
    ),
    "a tokenizer that is not there": (
        "--path HERE/large --text kjv",
        2,
        "--tokenizer is missing, and there is no terminal to ask on: no tokenizer.json of large was found",
    ),
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Path:
    """A folder of models and texts that have something wrong with them."""
    folder = tmp_path_factory.mktemp("wrong")
    llama(tied=True).save_pretrained(folder / "cut")
    weights = folder / "cut/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    for name, vocabulary in (("large", 1000), ("few", 200)):
        small_model(0, vocab_size=vocabulary, **SMALLEST).save_pretrained(folder / name)
    (folder / "encoder").mkdir()
    (folder / "encoder/config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer.json").write_bytes(words(300))
    (folder / "text").mkdir()
    for file in ("a.txt", "text/a.txt"):
        (folder / file).write_text("words")
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_one_line(name, hub, folders, wrong, tmp_path, capsys):
    options, code, line = (
        part.replace("LLAMAS", str(folders)).replace("HERE", str(wrong)) if isinstance(part, str) else part
        for part in MISTAKES[name]
    )
    assert main(["init", str(tmp_path / "study"), *options.split()]) == code
    told = capsys.readouterr().err
    assert told.startswith(f"error: {line}")
    assert told.count("\n") == 1
    assert not list(tmp_path.glob("study/*"))


def test_a_study_cannot_be_called_anything(folders, tmp_path, capsys):
    assert main(["init", str(tmp_path / "theory"), "--path", str(folders / "step100"), "--text", "kjv"]) == 2
    assert "cannot be called 'theory': give another" in capsys.readouterr().err


def test_on_a_terminal_it_asks_for_what_is_missing(folders, tmp_path, monkeypatch):
    asked, answers = [], iter(["", str(folders / "step{step}"), "kjv", "100,x", "200,100"])

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr(questions.sys.stdin, "isatty", lambda: True, raising=False)
    study = settings(load_over([init(Wanted(tmp_path / "study"), ROOT).config]), Study)
    assert [question.split(":")[0] for question in asked] == ["the model"] * 2 + ["the text"] + [
        "steps of the checkpoints, as 1000,2000; there are 4, 100 to 2000 (empty"
    ] * 2
    assert [model.steps for model in study.models.values()] == [(100, 200)]


def test_check_of_a_right_config(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["check", "config.mini.yaml"]) == 0
    assert capsys.readouterr().out == "config.mini.yaml: no mistakes; 3 models, 20 checkpoints\n"


def test_check_lays_files_over_each_other(mini, tmp_path, capsys):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    mini["llc"]["draws"] = 2
    first.write_text(yaml.safe_dump(mini))
    second.write_text("llc: {draws: 50}\n")
    assert main(["check", str(first), str(second)]) == 0
    assert main(["check", str(second), str(first)]) == 1
    assert capsys.readouterr().err == "error: llc.draws: 2 is too small; at least 4 (Draws a chain, after burn-in.)\n"


def test_check_of_a_wrong_config(mini, tmp_path, capsys):
    mini["llc"]["darws"] = 50
    mini["seed"] = -1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(mini))
    assert main(["check", str(tmp_path / "wrong.yaml")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(" (")[0] for line in told.err.splitlines()] == [
        "error: llc: unknown key 'darws'; did you mean draws?",
        "error: seed: -1 is too small; at least 0",
    ]


def test_check_of_files_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "twice.yaml").write_text("study: a\nstudy: b\n")
    assert main(["check", str(tmp_path / "none.yaml"), str(tmp_path / "twice.yaml")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path}/none.yaml cannot be read: No such file or directory",
        f"error: {tmp_path}/twice.yaml, line 2: the key 'study' stands twice; the first is on line 1",
    ]


@pytest.mark.parametrize("above", [{"a": {"b": 2}}, {"a": 5}, {"a": {}}, {"l": [3]}, {"l": {"x": 1}}, {"n": {"x": {}}}])
def test_files_are_laid_over_each_other_as_snakemake_does_it(above, tmp_path):
    below = {"a": {"b": 1, "c": {"d": 1}}, "l": [1, 2], "n": 3}
    for name, content in (("below", below), ("above", above)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    update_config(below, above)
    assert load_over([tmp_path / "below", tmp_path / "above"]) == below


def test_help_and_check_do_without_heavy_libraries():
    code = "import sys; from smdl.cli import main; main(['check', 'config.mini.yaml']); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert ran.stdout.splitlines()[1:] == ["False"], ran.stderr


@pytest.mark.parametrize("command", ["init", "check", "plan", "status", "report", "summary", "doctor", "docs"])
def test_every_command_says_what_it_does(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: smdl {command}")
    assert "Exit status: 0 " in told


@pytest.mark.parametrize("arguments", [[], ["chek"], ["check"], ["init", "x", "--steps", "many"]])
def test_wrong_usage_is_exit_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
