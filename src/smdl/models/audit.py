"""Are the weights what their names say? Found out before a GPU is asked for, and kept out of every regression if not.

Branches of public suites have served the final weights under the name of early steps, wholly or in one shard. Equal
digests show it: of files first, which the hub lists and nobody need download, then of tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from smdl.foundation.errors import StudyError
from smdl.tables.study import CHECKPOINT, parameters_of

# Every job looks at its checkpoint's findings first, and most need no settings of models.
if TYPE_CHECKING:
    from smdl.models.settings import Limits

OWN_REASONS = ("not finite", "constant", "loss not finite")
REASONS = (*OWN_REASONS, "wrong tensors", "same weights", "loss out of order")


def shared_weights(parts: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """How much of each checkpoint equals another one, which one, and whether the checkpoint is wrong for it.

    ``parts`` has a row for every file or tensor: model, step, sha256, size (bytes or elements). Result: a row a
    checkpoint with shared (fraction, 0 to 1), shared_with and wrong. Of steps of one model with the same weights only
    the latest can have trained them, so the earlier ones are wrong; of two models both are, since nothing decides.
    """
    totals = parts.groupby(CHECKPOINT)["size"].sum()
    pieces = parts.groupby([*CHECKPOINT, "sha256"], as_index=False)["size"].sum()
    pairs = pieces.merge(pieces[[*CHECKPOINT, "sha256"]], on="sha256", suffixes=("", "_other"))
    pairs = pairs[(pairs["model"] != pairs["model_other"]) | (pairs["step"] != pairs["step_other"])]
    common = pairs.groupby([*CHECKPOINT, "model_other", "step_other"])["size"].sum()
    common = common.rename("common").reset_index().merge(totals.rename("total").reset_index(), on=CHECKPOINT)
    common["shared"] = common["common"] / common["total"]
    common["shared_with"] = common["model_other"] + " step " + common["step_other"].astype(str)
    blamed = (common["model"] != common["model_other"]) | (common["step"] < common["step_other"])
    common["wrong"] = blamed & (common["shared"] > limits.shared)
    most = common.sort_values(["shared", "step_other"]).groupby(CHECKPOINT)[["shared", "shared_with"]].last()
    result = totals.to_frame().join(most).join(common.groupby(CHECKPOINT)["wrong"].any())
    result = result.fillna({"shared": 0.0, "shared_with": ""})
    result["wrong"] = result["wrong"].eq(True)
    return result.drop(columns="size").reset_index()


def own_findings(manifest: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    """What the tables ``manifest`` and ``losses`` say against each checkpoint by itself, whatever the others are.

    Weights that are not finite, weights that are all constants (a file of zeros, say), losses that are not finite.
    Result: a row per checkpoint with finite (of the weights), a flag for each of OWN_REASONS, and reason, empty where
    nothing speaks against it.
    """
    manifest = parameters_of(manifest)
    rows = manifest.groupby(CHECKPOINT).agg(finite=("finite", "all"), constant=("constant", "all")).reset_index()
    whole = np.isfinite(losses["loss"]).groupby([losses["model"], losses["step"]]).all().rename("whole")
    rows = rows.merge(whole.reset_index(), on=CHECKPOINT, how="left")
    flags = np.column_stack([~rows["finite"], rows["constant"], ~rows["whole"].eq(True)]).astype(bool)
    found = pd.DataFrame(flags, columns=list(OWN_REASONS)).assign(reason=_told(flags, OWN_REASONS))
    return rows[[*CHECKPOINT, "finite"]].join(found)


def _told(flags: np.ndarray, reasons: tuple[str, ...]) -> list[str]:
    """The reasons whose flags are set, joined; ``flags`` has shape (checkpoints, reasons)."""
    return ["; ".join(np.array(reasons)[row]) for row in flags]


def wrong_tensors(manifest: pd.DataFrame) -> pd.DataFrame:
    """How many parameters of a checkpoint are missing, too many, or differ in shape or type from most of its model's.

    ``manifest`` has model, step, parameter, shape, dtype. Result: a row per checkpoint with their number wrong_tensors
    and the name of the first, wrong_tensor.
    """
    rows = []
    for model, tensors in manifest.groupby("model", sort=False):
        form = tensors["shape"] + " " + tensors["dtype"]
        table = form.groupby([tensors["parameter"], tensors["step"]]).first().unstack(fill_value="absent")
        usual = table.mode(axis=1)[0]
        differs = table.ne(usual, axis=0)
        for step in table.columns:
            names = sorted(table.index[differs[step]])
            first = names[0] if names else ""
            rows.append({"model": model, "step": step, "wrong_tensors": len(names), "wrong_tensor": first})
    return pd.DataFrame(rows, columns=[*CHECKPOINT, "wrong_tensors", "wrong_tensor"])


def out_of_order(losses: np.ndarray, limits: Limits) -> np.ndarray:
    """Which checkpoints stand out of the order in which a loss falls: those outside the longest run that keeps it.

    ``losses`` has shape (checkpoints, blocks), checkpoints by step, the same blocks for all; nats. From one kept
    checkpoint to the next the mean may rise by no more than chance: the limits' rise plus z paired standard errors.
    Of equally long runs the one that ends latest counts, since early steps that serve late weights are what is known.
    Returns a boolean array (checkpoints,); a checkpoint with losses that are not finite always stands out.
    """
    count, blocks = losses.shape
    finite = np.isfinite(losses).all(axis=1)
    length, previous = np.zeros(count, dtype=int), np.full(count, -1)
    for later in np.flatnonzero(finite):
        length[later] = 1
        for earlier in np.flatnonzero(finite[:later]):
            rises = losses[later] - losses[earlier]
            chance = limits.rise + limits.z * (rises.std(ddof=1) / np.sqrt(blocks) if blocks > 1 else 0.0)
            if rises.mean() <= chance and length[earlier] + 1 > length[later]:
                length[later], previous[later] = length[earlier] + 1, earlier
    out = np.ones(count, dtype=bool)
    kept = int(np.flatnonzero(length == length.max())[-1]) if finite.any() else -1
    while kept >= 0:
        out[kept] = False
        kept = previous[kept]
    return out


def screen(listed: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """The rows of the table ``screening`` from those of ``listing``: what the files' digests alone give away."""
    parts = listed[listed["weights"]]
    wanted = parts.loc[parts["wanted"], CHECKPOINT].drop_duplicates()
    return wanted.merge(shared_weights(parts, limits), on=CHECKPOINT).rename(columns={"wrong": "excluded"})


def audit(manifest: pd.DataFrame, losses: pd.DataFrame, screening: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """The rows of the table ``audit``: what was found about every checkpoint, and whether it is excluded.

    ``manifest``, ``losses`` and ``screening`` are the tables of that name; only the last knows checkpoints that were
    screened out, and it knows none that were trained here. Stored buffers count for nothing, and constant tensors (new
    biases, say) prove nothing and are not compared. The order of the losses is judged among the checkpoints that
    nothing else speaks against.
    """
    manifest = parameters_of(manifest)
    tensors = manifest[~manifest["constant"]].rename(columns={"elements": "size"})
    listed = screening.rename(columns={"excluded": "wrong"})
    both = pd.concat([shared_weights(tensors, limits), listed]).sort_values("shared", kind="stable")
    shared = both.groupby(CHECKPOINT, as_index=False, sort=False).agg(
        {"shared": "last", "shared_with": "last", "wrong": "any"}
    )  # fmt: skip
    rows = pd.concat([screening[CHECKPOINT], manifest[CHECKPOINT]]).drop_duplicates().merge(
        shared, on=CHECKPOINT, how="left"
    )  # fmt: skip
    rows = rows.merge(own_findings(manifest, losses).drop(columns="reason"), on=CHECKPOINT, how="left")
    rows = rows.merge(wrong_tensors(manifest), on=CHECKPOINT, how="left")
    rows = rows.merge(_mean_losses(losses), on=CHECKPOINT, how="left")
    rows = rows.fillna({"finite": True, "wrong_tensors": 0, "wrong_tensor": "", "shared": 0.0, "shared_with": ""})
    own = [rows[reason].eq(True) for reason in OWN_REASONS]
    wrong, others = rows["wrong_tensors"] > 0, rows["wrong"].eq(True)
    suspect = np.column_stack([*own, wrong, others]).any(axis=1)
    stray = _strays(losses, rows[~suspect], limits)
    keys = pd.MultiIndex.from_frame(rows[CHECKPOINT])
    flags = np.column_stack([*own, wrong, others, keys.isin(stray)]).astype(bool)
    rows["reason"] = _told(flags, REASONS)
    rows["excluded"] = flags.any(axis=1)
    rows = rows.astype({"finite": bool}).drop(columns=["wrong", *OWN_REASONS])
    models = list(dict.fromkeys([*screening["model"], *manifest["model"]]))
    return rows.sort_values(
        CHECKPOINT, key=lambda column: column.map(models.index) if column.name == "model" else column, ignore_index=True
    )


def stop(findings: pd.DataFrame) -> None:
    """Raise a StudyError that names the excluded checkpoints of a table ``screening`` or ``audit``, if any."""
    excluded = findings[findings["excluded"]]
    if len(excluded):
        reasons = excluded["reason"] if "reason" in excluded else "same weights as " + excluded["shared_with"]
        named = ", ".join(
            f"{model} step {step} ({reason})"
            for model, step, reason in zip(excluded["model"], excluded["step"], reasons, strict=True)
        )
        raise StudyError(f"audit: {named}: leave them out of the config's steps, or set audit: action: exclude")


def _mean_losses(losses: pd.DataFrame) -> pd.DataFrame:
    grouped = losses.groupby(CHECKPOINT)["loss"]
    return pd.DataFrame({"loss": grouped.mean(), "loss_se": grouped.sem()}).reset_index()


def _strays(losses: pd.DataFrame, sound: pd.DataFrame, limits: Limits) -> list[tuple[str, int]]:
    stray = []
    for model, checkpoints in sound.groupby("model"):
        blocks = losses[losses["model"] == model].pivot_table(index="step", columns=["split", "block"], values="loss")
        blocks = blocks.reindex(sorted(checkpoints["step"]))
        stray += [(model, step) for step in blocks.index[out_of_order(blocks.to_numpy(), limits)]]
    return stray
