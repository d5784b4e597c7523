"""The shipped cluster profiles: they are whole, they name rules that exist, and they say what is missing."""

import os
import re
import subprocess
import sys

import pytest
from snakemake.profiles import ProfileConfigFileParser

from conftest import ROOT
from smdl.compression.registry import SCHEMES
from smdl.models.shape import Need
from smdl.runtime.cluster import resources
from smdl.runtime.cluster.doctor import read_profile
from smdl.runtime.cluster.warning import warning_seconds
from smdl.runtime.dry_run import planned
from smdl.sources.registry import SOURCES

SITE = {"SMDL_ACCOUNT": "physics", "SMDL_CPU_PARTITION": "short", "SMDL_GPU_PARTITION": "a100"}
PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("slurm*/config.yaml"))


@pytest.fixture
def profile(monkeypatch):
    def parse(name="slurm", **site):
        for variable in ("SMDL_GPU", "SMDL_PREFIX", *SITE):
            monkeypatch.delenv(variable, raising=False)
        for variable, value in (SITE | site).items():
            monkeypatch.setenv(variable, value)
        with (ROOT / "profiles" / name / "config.yaml").open() as file:
            return ProfileConfigFileParser().parse(file)

    return parse


@pytest.mark.parametrize("variable", SITE)
def test_missing_name_of_the_site_is_asked_for_in_one_line(variable):
    site = {name: value for name, value in SITE.items() if name != variable}
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SMDL_")}
    command = [sys.executable, "-m", "smdl.cli", "doctor", str(ROOT / "profiles/slurm/config.yaml")]
    environment = bare | site
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(rf"profiles/slurm/config.yaml: .* export {variable}=.*\n", done.stderr)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_rerun_for_the_same_reasons_as_the_local_one(profile, name):
    assert profile(name)["rerun-triggers"] == profile("local")["rerun-triggers"]


@pytest.fixture(scope="module")
def asking(published_plan) -> set[str]:
    """The rules whose jobs ask for a GPU in the published study."""
    return {job.rule for job in planned(published_plan) if job.gpu}


@pytest.mark.parametrize("name", PROFILES)
def test_rules_that_ask_for_gpus_are_the_rules_that_are_sent_to_them(profile, name, asking):
    sent = {entry.split(":")[0] for entry in profile(name)["set-resources"]}
    assert {"reference", "llc_chains", "quantize", "bits_back"} <= asking <= sent
    # Not in that study: models trained on the spot, parts of the weights, the target sweep, the allocation of bits.
    others = {"train", "branch", "restricted_chains", "sweep_chains", "tensor_errors", "ladder", "allocation"}
    assert sent - asking == others | (set(SCHEMES) - asking)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("", set()),
        ("a100", {"llc_chains:gpu_model=a100"}),
        ("gres:gpu:a100:1", {"llc_chains:gres=gpu:a100:1", "llc_chains:gpu=0"}),
    ],
)
def test_kinds_of_gpu_request(profile, kind, expected):
    chain = {entry for entry in profile(SMDL_GPU=kind)["set-resources"] if re.match(r"llc_chains:g", entry)}
    assert chain == expected


@pytest.mark.parametrize("name", PROFILES)
def test_rules_of_a_module_are_sent_to_gpus_under_their_names_there(profile, name):
    requests = profile(name)["set-resources"]
    assert profile(name, SMDL_PREFIX="smdl_")["set-resources"] == [f"smdl_{request}" for request in requests]


def test_cluster_without_accounts(profile):
    assert not any("account" in entry for entry in profile(SMDL_ACCOUNT="none")["default-resources"])


@pytest.mark.parametrize("name", PROFILES)
def test_the_warning_of_a_chain_is_read_from_its_profile(profile, name):
    (options,) = {entry.split("=", 1)[1] for entry in profile(name)["set-resources"] if ":slurm_extra=" in entry}
    assert warning_seconds(options.strip("'\"")) == 180
    assert warning_seconds("--constraint=big") is None


def test_doctor_reads_the_profile(monkeypatch):
    for variable, value in (SITE | {"SMDL_GPU": "a100"}).items():
        monkeypatch.setenv(variable, value)
    site = read_profile(ROOT / "profiles/slurm/config.yaml")
    assert (site.account, site.cpu_partition, site.gpu_partition) == ("physics", "short", "a100")
    assert (site.gpu_request, site.requeue) == ("--gpus=a100:1", True)
    monkeypatch.setenv("SMDL_PREFIX", "smdl_")
    assert read_profile(ROOT / "profiles/slurm/config.yaml") == site


def test_requests_grow_with_size_and_attempt():
    small, large = 14_067_712, 6_857_302_016
    need = Need(device=40e9, host=10e9)
    assert resources.memory_mb(need, 0, 1, 1) == resources.BASE_MB + 10_000
    assert resources.memory_mb(need, 28e9, 1, 1) == resources.BASE_MB + 28_000, "its model passes through main memory"
    assert resources.memory_mb(need, 28e9, 0, 1) == resources.BASE_MB + 50_000, "without a GPU all is there"
    assert resources.memory_mb(need, 0, 1, 2) == 2 * resources.memory_mb(need, 0, 1, 1)
    assert resources.minutes(large, 10**8, 1) > resources.minutes(small, 10**8, 1)
    assert resources.minutes(small, 10**8, 3) == 3 * resources.minutes(small, 10**8, 1)


def test_measured_times_take_the_place_of_counted_ones():
    assert resources.minutes(10**9, 10**12, 1, [600.0, 1200.0]) == 10 + 40


def test_the_docs_count_with_the_rates_of_the_code():
    gpu, cpu = (f"{rate:.0e}".replace("e+", "e") for rate in (resources.GPU_RATE, resources.CPU_RATE))
    gpu, cpu = (re.sub(r"e0?", "e", rate) for rate in (gpu, cpu))
    slurm, pythia = ((ROOT / "docs/how-to" / name).read_text() for name in ("slurm.md", "pythia.md"))
    assert f"{gpu} per second on a GPU and {cpu} on a core" in slurm
    assert f"six operations per weight and token at {gpu} per second" in pythia
    stated = {rate for text in (slurm, pythia) for rate in re.findall(r"\b\d(?:\.\d+)?e\d+ per second", text)}
    assert stated == {f"{gpu} per second"}


def test_gpus_are_for_models_that_need_them():
    assert (resources.gpus(100_000), resources.gpus(14_067_712)) == (0, 1)


def test_parameters_of_a_trained_model_are_counted_from_its_shape():
    shape, schedule = {"layers": 2, "hidden": 64, "heads": 2}, {"steps": 1, "batch_size": 1, "lr": 1}
    model = SOURCES["train"](source="train", steps=[1], architecture=shape, training=schedule)
    assert model.size(256) == 12 * 2 * 64**2 + 2 * 256 * 64
