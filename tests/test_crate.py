"""The crate of a study: it passes the profile that it names, and says of every file and run what is on disk."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import requests
import rocrate
from requests_cache import CachedResponse, CachedSession
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings

from smdl.tables import read_provenance, read_table

CRATE = "ro-crate-metadata.json"
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
# What the context of RO-Crate 1.1 has otherwise than that of 1.3, which the library rocrate ships.
BIOSCHEMAS = "https://bioschemas.org/"
OTHERWISE = {
    **{name: BIOSCHEMAS + name for name in ("ComputationalWorkflow", "FormalParameter")},
    **{name: f"{BIOSCHEMAS}ComputationalWorkflow#{name}" for name in ("input", "output")},
}


def tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "smdl.cli", "crate", "results/small", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def study(small_study, tmp_path_factory) -> Path:
    """A finished study with its crate."""
    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("crate"), dirs_exist_ok=True)
    made = tool(folder, "--agent", "Ada Lovelace", "--license", "https://creativecommons.org/licenses/by/4.0/")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def entities(study) -> dict[str, dict]:
    graph = json.loads((study / "results/small" / CRATE).read_text())["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def links(value) -> set[str]:
    """The identifiers that a property refers to, one or several."""
    return {one["@id"] for one in (value if isinstance(value, list) else [value])}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """The validator's cache, with the one document in it that it would fetch."""
    path = tmp_path_factory.mktemp("cache") / "http"
    words = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())["@context"] | OTHERWISE
    content, kind = json.dumps({"@context": words}).encode(), {"Content-Type": "application/ld+json"}
    with CachedSession(str(path), backend="sqlite") as session:
        asked = session.cache.create_key(requests.Request("GET", CONTEXT).prepare())
        answer = CachedResponse(url=CONTEXT, status_code=200, headers=kind, content=content)
        session.cache.save_response(answer, cache_key=asked)
    return path


def complaints(crate: Path, cache: Path) -> list[str]:
    settings = ValidationSettings(
        rocrate_uri=str(crate),
        profile_identifier="provenance-run-crate",
        requirement_severity="REQUIRED",
        offline=True,
        cache_path=cache,
    )
    result = services.validate(settings)
    assert result.passed() == (not result.get_issues())
    return [issue.message for issue in result.get_issues()]


def test_it_passes_the_provenance_run_crate_profile(study, cache):
    assert complaints(study / "results/small", cache) == []


def test_the_validator_finds_a_run_without_its_step(study, cache, tmp_path):
    broken = shutil.copytree(study / "results/small", tmp_path / "broken")
    crate = json.loads((broken / CRATE).read_text())
    control = next(entity for entity in crate["@graph"] if entity["@type"] == "ControlAction")
    control["instrument"] = {"@id": "#agent"}
    (broken / CRATE).write_text(json.dumps(crate))
    assert any("must reference a HowToStep" in message for message in complaints(broken, cache))


def test_every_result_file_is_in_it_with_size_and_digest(study, entities):
    folder = study / "results/small"
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "." and path.name != CRATE]
    results = [path for path in paths if "logs" not in path.relative_to(folder).parts]
    told = {name: entity for name, entity in entities.items() if "sha256" in entity}
    assert (
        set(told)
        == {path.relative_to(folder).as_posix() for path in results}
        == links(entities["./"]["hasPart"]) & set(told)
    )
    for path in results:
        own = told[path.relative_to(folder).as_posix()]
        assert own["contentSize"] == str(path.stat().st_size)
        assert own["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_run_says_what_the_table_of_runs_says(study, entities):
    made = {
        path: entity
        for entity in entities.values()
        if entity["@type"] == "CreateAction" and entity["@id"] != "#workflow-run"
        for path in links(entity["result"])
    }
    table = read_table(study / "results/small/tables/runs.parquet")
    assert len(table) > 20
    for row in table.itertuples():
        run = made[row.file]
        software = entities[run["instrument"]["@id"]]
        assert software["softwareVersion"] == row.commit
        packages = [entities[name] for name in links(software["softwareRequirements"])]
        assert {f"{one['name']} {one['softwareVersion']}" for one in packages} == set(row.packages.split(", "))
        used = {entities[name]["name"]: float(entities[name]["value"]) for name in links(run["resourceUsage"])}
        assert used["peak_memory_mb"] > 0
        given = {entities[name]["name"]: entities[name].get("value") for name in links(run["object"])}
        assert given["stage_version"] == str(row.stage_version)
        assert json.loads(given.get("settings", "null")) == json.loads(row.settings)
        began, ended = pd.Timestamp(run["startTime"]), pd.Timestamp(run["endTime"])
        wall = read_provenance(study / "results/small" / row.file)["wall_seconds"]
        assert (ended - began).total_seconds() > wall - 1
        assert entities[run["agent"]["@id"]]["name"] == "Ada Lovelace"


def test_a_run_names_the_files_and_folders_that_it_read(entities):
    runs = [entity for entity in entities.values() if entity["@type"] == "CreateAction"]
    read = links(next(run for run in runs if run["name"].startswith("llc_chains "))["object"])
    assert {"corpus/blocks.npy", "corpus/splits.parquet", "trained/tiny/"} <= read
    assert "trained/tiny/step20/model.safetensors" in links(entities["trained/tiny/"]["hasPart"])


def test_the_same_results_have_the_same_crate(study):
    before = (study / "results/small" / CRATE).read_bytes()
    made = tool(study, "--agent", "Ada Lovelace", "--license", "https://creativecommons.org/licenses/by/4.0/")
    assert made.returncode == 0, made.stderr
    assert (study / "results/small" / CRATE).read_bytes() == before


def test_results_whose_making_is_not_recorded_are_refused_in_one_line(small_study, tmp_path):
    shutil.copytree(small_study / "results/small/tables", tmp_path / "results/small/tables")
    shutil.copy(small_study / "results/small/config.yaml", tmp_path / "results/small")
    refused = tool(tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: results/small: no file of it is in the records of Snakemake, so nothing is known of its runs\n"
    )
    assert not (tmp_path / "results/small" / CRATE).exists()
