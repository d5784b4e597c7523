"""The losses of a checkpoint itself: the baselines that chains and compressed models are paired with."""

from pathlib import Path

import numpy as np

from smdl.models.loading import block_losses, check_corpus, load


def reference_losses(
    folder: str | Path, blocks: dict[str, np.ndarray], batch_size: int, dtype: str, autocast: bool
) -> dict[str, np.ndarray]:
    """Loss (nats) of every block of the splits ``sampling`` and ``evaluation``, computed as what it is held against.

    The sampling blocks as by the chains, in the model's ``dtype``, under ``autocast`` where they are; the evaluation
    blocks as by compression, in float32 (in TF32 where the model is): bfloat16 has no room for a grid of more than some
    256 values, nor for small noise. Raises StudyError where the model cannot read the blocks.
    """
    model = load(folder, dtype)
    for own in blocks.values():
        check_corpus(model, own)
    sampling = block_losses(model, blocks["sampling"], batch_size, autocast)
    if dtype == "bfloat16":
        model = load(folder)
    return {"sampling": sampling, "evaluation": block_losses(model, blocks["evaluation"], batch_size)}
