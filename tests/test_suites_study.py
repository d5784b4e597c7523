"""The public suites, as they are stored, through one study: hub, audit, LLC, every scheme, every ruler, report."""

import numpy as np
import pandas as pd
import pytest

import suites
from hub.server import Hub
from smdl.compression.registry import SCHEMES
from test_hub_study import run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ONE = {"parameters": "matrices"}
CONFIG = {
    "study": "suites",
    "seed": 1,
    "corpus": {
        "source": "package",
        "name": "kjv",
        "context": 32,
        "blocks": {"sampling": 32, "evaluation": 8, "calibration": 8},
    },
    "models": {
        name: {
            "source": "hub",
            "repo": f"lab/{name}",
            "revision": suite.branch,
            "parameters": 42_000,
            "context": suites.POSITIONS,
            "steps": list(suite.steps),
            "labels": suite.labels,
        }
        for name, suite in sorted(suites.SUITES.items())
    },
    "llc": {"batch_size": 4, "chains": 2, "chains_per_job": 2, "burn_in": 2, "draws": 8},
    "audit": {"limits": {"rise": 0.5}},
    "rulers": {
        "bits_back": {"steps": 2, "samples": 2, "batch_size": 4},
        "curvature": {"blocks": 2, "probes": 2, "lanczos": 2},
        "coding": {"levels": [8], "variant": "maximum"},
    },
    "compression": {
        "mode": "curve",
        "epsilons": [0.02],
        "headline": {"scheme": "quantize", "variant": "maximum", "epsilon": 0.02},
        "schemes": {
            "quantize": {"levels": [2, 8, 128], "variants": {"maximum": {"range": "maximum", **ONE}}},
            "round": {"levels": [2, 128], "variants": {"channel": ONE}},
            "kmeans": {"levels": [2, 128], "variants": {"tensor": {"iterations": 5, **ONE}}},
            "gptq": {"levels": [2, 128], "variants": {"channel": ONE}},
            "factorize": {"levels": [0, 1], "variants": {"all": {"skip_ends": 0, "stride": 1}}},
            "noise": {"levels": [0.001, 8], "variants": {"relative": {}}},
            "prune": {"levels": [0, 1], "variants": {"wanda": {"score": "wanda", "scope": "row", **ONE}}},
            "prune_heads": {"levels": [0, 1], "variants": {"output": {"score": "output_norm"}}},
            "motifs": {"levels": [0.001, 0.9], "variants": {"random": {}}},
            "sequence": {
                "levels": [2, 128],
                "variants": {"both": {"first": {"prune": ONE}, "first_level": 0.05, "second": {"round": ONE}}},
            },
        },
    },
}
# At these levels models so briefly taught may lose next to nothing.
MILD = ("factorize", "gptq", "prune_heads")
CHECKPOINTS = [(name, step) for name, suite in sorted(suites.SUITES.items()) for step in suite.steps]


def publish(hub: Hub) -> None:
    """Every suite's branches; main is the last of them."""
    for name, suite in suites.SUITES.items():
        repository = hub.model(f"lab/{name}")
        for step in suite.steps:
            repository.commit(suite.branch_of(step), suites.files_of(name, step))
        repository.commit("main", suites.files_of(name, suite.steps[-1]))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suites")
    with Hub() as hub:
        publish(hub)
        done = run(folder, CONFIG, hub, warm=True)
        assert done.returncode == 0, done.stderr[-6000:]
    return folder


def table(study, name: str) -> pd.DataFrame:
    return pd.read_parquet(study / f"results/suites/{name}.parquet")


def of(study, checkpoint: tuple[str, int], name: str) -> pd.DataFrame:
    """A table of one checkpoint; ``name`` is its folder and its file."""
    place, _, file = name.rpartition("/")
    return table(study, f"{place}/{checkpoint[0]}/step{checkpoint[1]}/{file}")


def size(checkpoint: tuple[str, int]) -> int:
    """Numbers of a checkpoint's parameters, tied ones once."""
    return sum(tensor.numel() for tensor in suites.parameters_of(*checkpoint).values())


def test_the_audit_finds_nothing_although_all_masks_are_equal(study):
    audit = table(study, "tables/audit")
    assert list(zip(audit["model"], audit["step"], strict=True)) == CHECKPOINTS
    assert (audit["reason"] == "").all()
    assert (audit["shared"] == 0).all()
    assert (audit["wrong_tensors"] == 0).all()
    assert not table(study, "audit/screening")["excluded"].any()


def test_sizes_types_and_norms_are_those_of_the_parameters(study):
    rows = table(study, "tables/checkpoints").set_index(["model", "step"])
    assert rows.index.tolist() == CHECKPOINTS
    for checkpoint in CHECKPOINTS:
        own = suites.parameters_of(*checkpoint)
        row = rows.loc[checkpoint]
        assert row["parameters"] == size(checkpoint)
        assert row["dtype"] == str(suites.SUITES[checkpoint[0]].dtype).removeprefix("torch.")
        assert row["finite"]
        squares = sum(float(tensor.double().square().sum()) for tensor in own.values())
        assert row["norm"] == pytest.approx(squares**0.5)
        assert row["loss"] < np.log(suites.VOCABULARY)


def test_a_checkpoint_without_a_step_bears_its_label(study):
    covariates = table(study, "tables/covariates")
    labels = covariates[covariates["covariate"] == "label"]
    assert labels[["model", "step", "text"]].to_numpy().tolist() == [["gpt2", 1000, "main"]]


def test_the_manifest_lists_buffers_as_such(study):
    manifest = of(study, ("pythia", 1000), "reference/manifest")
    assert (manifest["kind"] == "buffer").sum() == 3 * suites.LAYERS
    assert set(manifest.loc[manifest["kind"] == "buffer", "parameter"]) == {""}


def test_every_checkpoint_has_an_llc_and_a_row_of_every_scheme(study):
    llc = table(study, "tables/llc").set_index(["model", "step"])
    assert llc.index.tolist() == CHECKPOINTS
    assert np.isfinite(llc["llc"]).all()
    critical = table(study, "tables/critical")
    assert set(critical["scheme"]) == set(SCHEMES)
    assert critical.groupby(["model", "step"])["scheme"].nunique().to_dict() == dict.fromkeys(CHECKPOINTS, len(SCHEMES))
    odd = critical[(critical["status"] != "ok") & ~critical["scheme"].isin(MILD)]
    assert odd.empty, odd[["model", "step", "scheme", "variant", "status"]]
    assert set(critical["status"]) <= {"ok", "all below"}


def test_the_finest_level_changes_next_to_nothing(study):
    curves = table(study, "tables/curves")
    for scheme, finest in (("factorize", 0), ("prune", 0), ("prune_heads", 0)):
        own = curves[(curves["scheme"] == scheme) & (curves["level"] == finest)]
        assert len(own) == len(CHECKPOINTS)
        assert own["delta_loss"].abs().max() < 1e-5


def test_codes_are_of_the_parameters_alone(study):
    measured = table(study, "tables/measures")
    assert set(zip(measured["model"], measured["step"], strict=True)) == set(CHECKPOINTS)
    for checkpoint in CHECKPOINTS:
        coding = of(study, checkpoint, "rulers/coding/coding")
        assert np.allclose(coding["bits"] / coding["bits_per_parameter"], size(checkpoint))
        assert (coding["entropy_bits"] <= size(checkpoint) * np.log2(8)).all()
        proxies = of(study, checkpoint, "rulers/proxies/proxies").set_index("proxy")["value"]
        own = numbers(suites.parameters_of(*checkpoint))
        assert proxies["l1_norm"] == pytest.approx(np.abs(own).sum(), rel=1e-6)
        assert proxies["max_norm"] == pytest.approx(np.abs(own).max())
        assert np.isfinite(of(study, checkpoint, "rulers/bits_back/bits_back")["total_bits"]).all()


def numbers(tensors: suites.Tensors) -> np.ndarray:
    """All numbers of some tensors, in one vector."""
    return np.concatenate([tensor.double().numpy().ravel() for tensor in tensors.values()])


def test_every_page_of_the_report_is_there(study):
    for page in ("checkpoints", "audit", "llc", "curves", "critical", "measures", "rulers", "explorer", "settings"):
        assert (study / f"results/suites/report/{page}.html").stat().st_size > 1000
