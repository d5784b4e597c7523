"""The audit finds the defects that public suites have had, and accepts sound training runs."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smdl.figures.findings import draw
from smdl.figures.style import save
from smdl.foundation.errors import StudyError
from smdl.models.audit import audit, out_of_order, own_findings, screen, stop, wrong_tensors
from smdl.models.settings import Limits
from smdl.tables import empty
from smdl.tables.audit import AUDIT, SCREENING

LIMITS = Limits()
NO_FILES = empty(SCREENING)
STEPS = (2000, 5000, 10000, 20000, 50000)


def manifest(weights: dict[tuple[str, int], list[str]], **changes) -> pd.DataFrame:
    """Manifest rows from the digests of each checkpoint's tensors, of 100 elements each."""
    rows = [
        {
            "model": model, "step": step, "tensor": f"t{i}", "kind": "parameter", "parameter": f"t{i}",
            "shape": json.dumps([10, 10]), "dtype": "float16", "elements": 100, "sha256": digest, "finite": True,
            "constant": False,
        }
        for (model, step), digests in weights.items()
        for i, digest in enumerate(digests)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def sound(model: str = "a", steps=STEPS, tensors: int = 4) -> dict[tuple[str, int], list[str]]:
    return {(model, step): [f"{model}-{step}-{i}" for i in range(tensors)] for step in steps}


def losses(checkpoints, blocks: int = 8, **changed: float) -> pd.DataFrame:
    """Falling losses over steps on blocks of different difficulty; ``s5000=2.0`` sets the mean of one step."""
    difficulty = np.random.default_rng(0).normal(0, 0.3, blocks)
    difficulty -= difficulty.mean()
    return pd.DataFrame(
        {"model": model, "step": step, "split": "evaluation", "block": block, "loss": mean + difficulty[block]}
        for model, step in checkpoints
        for mean in [changed.get(f"s{step}", 5.0 - 0.25 * np.log(step))]
        for block in range(blocks)
    )


def reasons(frame: pd.DataFrame) -> dict[tuple[str, int], str]:
    AUDIT.conform(frame)
    assert (frame["excluded"] == (frame["reason"] != "")).all()
    return {(row.model, row.step): row.reason for row in frame.itertuples() if row.excluded}


def test_a_sound_run_passes():
    weights = sound() | sound("b")
    assert reasons(audit(manifest(weights), losses(weights), NO_FILES, LIMITS)) == {}


def test_an_early_step_with_late_weights_is_excluded_and_the_late_one_kept():
    weights = sound()
    weights["a", 5000] = weights["a", 50000]
    found = audit(manifest(weights), losses(weights, s5000=5.0 - 0.25 * np.log(50000)), NO_FILES, LIMITS)
    assert reasons(found) == {("a", 5000): "same weights"}
    row = found[found["step"] == 5000].iloc[0]
    assert (row["shared"], row["shared_with"]) == (1.0, "a step 50000")


def test_one_stale_shard_is_found():
    weights = sound(tensors=10)
    weights["a", 10000][:3] = weights["a", 50000][:3]
    found = audit(manifest(weights), losses(weights), NO_FILES, LIMITS)
    assert reasons(found) == {("a", 10000): "same weights"}
    assert found[found["step"] == 10000]["shared"].item() == pytest.approx(0.3)


def test_two_models_with_the_same_weights_are_both_excluded():
    weights = sound() | sound("b")
    weights["b", 5000] = weights["a", 5000]
    expected = {("a", 5000): "same weights", ("b", 5000): "same weights"}
    assert reasons(audit(manifest(weights), losses(weights), NO_FILES, LIMITS)) == expected


def test_early_steps_that_serve_the_final_weights_are_screened_out_by_the_listing_alone():
    """pythia-2.8b: the branches up to step 53000 serve the final weights, which no study step would show."""
    listed = pd.DataFrame(
        {
            "model": "a", "step": step, "wanted": step != 143000, "weights": part < 2, "size": 9,
            "sha256": "config" if part == 2 else f"final-{part}" if step in (2000, 5000, 143000) else f"{step}-{part}",
        }
        for step in (*STEPS, 143000)
        for part in range(3)
    )  # fmt: skip
    screened = screen(listed, LIMITS)
    SCREENING.conform(screened)
    assert screened["step"].tolist() == list(STEPS)
    assert screened.loc[screened["excluded"], "step"].tolist() == [2000, 5000]
    assert screened.loc[0, "shared_with"] == "a step 143000"
    with pytest.raises(StudyError, match=r"a step 2000 \(same weights as a step 143000\), a step 5000"):
        stop(screened)
    left = sound(steps=STEPS[2:])
    found = audit(manifest(left), losses(left), screened, LIMITS)
    assert reasons(found) == {("a", 2000): "same weights", ("a", 5000): "same weights"}
    assert len(found) == len(STEPS)


def test_constant_tensors_prove_nothing():
    rows = manifest(sound())
    rows.loc[rows["tensor"] == "t0", ["sha256", "constant"]] = ["zeros", True]
    assert reasons(audit(rows, losses(sound()), NO_FILES, LIMITS)) == {}


def test_a_tensor_that_is_not_finite():
    rows = manifest(sound())
    rows.loc[3, "finite"] = False
    assert reasons(audit(rows, losses(sound()), NO_FILES, LIMITS)) == {("a", 2000): "not finite"}


def test_a_checkpoint_of_constants_stays_in_the_table():
    rows = manifest(sound())
    rows.loc[rows["step"] == 5000, ["sha256", "constant"]] = ["zeros", True]
    found = audit(rows, losses(sound()), NO_FILES, LIMITS)
    assert found["step"].tolist() == list(STEPS)
    assert reasons(found) == {("a", 5000): "constant"}
    assert found.set_index("step").loc[5000, ["shared", "shared_with"]].tolist() == [0, ""]


def test_two_checkpoints_of_zeros_and_no_other():
    rows = manifest(sound(steps=(1, 2)))
    rows[["sha256", "constant"]] = ["zeros", True]
    found = audit(rows, losses(sound(steps=(1, 2))), NO_FILES, LIMITS)
    assert reasons(found) == {("a", 1): "constant", ("a", 2): "constant"}


@pytest.mark.parametrize("blocks", [1, 8])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_losses_that_are_not_finite_though_the_weights_are(blocks, value):
    table = losses(sound())
    table.loc[(table["step"] == 10000) & (table["block"] < blocks), "loss"] = value
    assert reasons(audit(manifest(sound()), table, NO_FILES, LIMITS)) == {("a", 10000): "loss not finite"}


def test_a_model_of_which_no_loss_is_finite():
    table = losses(sound()).assign(loss=np.nan)
    found = audit(manifest(sound()), table, NO_FILES, LIMITS)
    assert set(reasons(found).values()) == {"loss not finite"}
    assert len(found) == len(STEPS)


def test_findings_of_a_checkpoint_by_itself():
    rows, table = manifest(sound(steps=(1,))), losses(sound(steps=(1,)))
    assert own_findings(rows, table)["reason"].tolist() == [""]
    rows.loc[0, "constant"] = True
    assert own_findings(rows, table)["reason"].tolist() == [""], "one constant tensor of several"
    rows["constant"] = True
    table["loss"] = np.inf
    rows.loc[0, "finite"] = False
    assert own_findings(rows, table)["reason"].tolist() == ["not finite; constant; loss not finite"]


@pytest.mark.parametrize(("column", "value"), [("shape", "[20, 5]"), ("dtype", "float32"), ("parameter", "t9")])
def test_a_tensor_of_another_shape_or_type_or_name(column, value):
    rows = manifest(sound())
    rows.loc[5, column] = value
    counted = wrong_tensors(rows).set_index("step")["wrong_tensors"]
    assert counted.to_dict() == {step: (2 if column == "parameter" else 1) * (step == 5000) for step in STEPS}
    assert reasons(audit(rows, losses(sound()), NO_FILES, LIMITS)) == {("a", 5000): "wrong tensors"}


@pytest.mark.parametrize("step", STEPS)
def test_a_loss_below_its_place_is_the_one_that_goes(step):
    weights = sound()
    found = reasons(audit(manifest(weights), losses(weights, **{f"s{step}": 1.0}), NO_FILES, LIMITS))
    assert found == ({} if step == STEPS[-1] else {("a", step): "loss out of order"})


@pytest.mark.parametrize("step", STEPS)
def test_a_loss_above_its_place_is_the_one_that_goes(step):
    weights = sound()
    found = reasons(audit(manifest(weights), losses(weights, **{f"s{step}": 9.0}), NO_FILES, LIMITS))
    assert found == ({} if step == STEPS[0] else {("a", step): "loss out of order"})


@given(st.lists(st.floats(0, 10), min_size=1, max_size=9), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=200)
def test_what_is_kept_falls_and_nothing_can_be_added(means, seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(means), 6))
    table = np.array(means)[:, None] + noise
    limits = Limits(rise=0.05, z=0.0)
    kept = np.flatnonzero(~out_of_order(table, limits))
    assert (np.diff(table.mean(axis=1)[kept]) <= limits.rise).all()
    if len(means) > 1:
        longest = max(
            len(chosen)
            for mask in range(1, 2 ** len(means))
            if (
                np.diff(table.mean(axis=1)[chosen := [i for i in range(len(means)) if mask >> i & 1]]) <= limits.rise
            ).all()
        )
        assert len(kept) == longest


def test_losses_that_are_nan_are_out_of_order():
    table = np.array([[3.0, 3.1], [np.nan, 2.0], [2.0, 2.1]])
    assert out_of_order(table, LIMITS).tolist() == [False, True, False]


def test_stop_names_every_finding_in_one_line():
    weights = sound()
    weights["a", 5000] = weights["a", 50000]
    found = audit(manifest(weights), losses(weights), NO_FILES, LIMITS)
    with pytest.raises(StudyError, match=r"^audit: a step 5000 \(same weights\): leave them out") as caught:
        stop(found)
    assert "\n" not in str(caught.value)
    stop(found[found["step"] != 5000])


def example() -> pd.DataFrame:
    """Nine models of twelve steps with the defects known of the public suite."""
    steps = (2000, 5000, 10000, 13000, 16000, 20000, 25000, 31000, 40000, 50000, 65000, 90000)
    names = ("14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b")
    weights = {key: value for name in names for key, value in sound(f"pythia-{name}", steps).items()}
    for step in steps[:10]:
        weights["pythia-2.8b", step] = ["final"] * 4
    parts = []
    for i, name in enumerate(names):
        frame = losses([key for key in weights if key[0] == f"pythia-{name}"])
        frame["loss"] -= 0.12 * i
        parts.append(frame)
    table = pd.concat(parts)
    table.loc[(table["model"] == "pythia-2.8b") & (table["step"] <= 50000), "loss"] = 1.2
    table.loc[(table["model"] == "pythia-70m") & (table["step"] == 25000), "loss"] -= 1
    return audit(manifest(weights), table, NO_FILES, LIMITS)


def test_the_figure_shows_every_checkpoint(tmp_path):
    found = example()
    figure = draw(found)
    save(figure, str(tmp_path / "audit.svg"), str(tmp_path / "audit.png"))
    drawn = sum(len(line.get_xdata()) for line in figure.axes[1].get_lines() if line.get_linestyle() == "None")
    assert drawn == len(found)
    assert (tmp_path / "audit.svg").stat().st_size > 1000


def test_tensor_manifests_tell_constant_tensors_and_those_that_are_not_finite(tmp_path):
    from hub.checkpoints import small_model
    from smdl.models.loading import tensor_manifest

    model = small_model(0)
    with torch.no_grad():
        model.lm_head.weight[3, 4] = float("nan")
    model.save_pretrained(tmp_path)
    rows = {row["parameter"]: (row["constant"], row["finite"]) for row in tensor_manifest(tmp_path)}
    assert rows["gpt_neox.final_layer_norm.bias"] == (True, True)
    assert rows["gpt_neox.embed_in.weight"] == (False, True)
    assert rows["lm_head.weight"] == (False, False)
