"""The losses of a checkpoint itself: the baselines that chains and compressed models are paired with."""

from pathlib import Path

import numpy as np

from smdl.models import block_losses, load


def reference_losses(
    folder: str | Path, blocks: dict[str, np.ndarray], batch_size: int, dtype: str, autocast: bool
) -> dict[str, np.ndarray]:
    """Loss (nats) of every block of the splits ``sampling`` and ``evaluation``, computed as what it is held against.

    The sampling blocks as by the chains, in the model's ``dtype``, under ``autocast`` where they are; the evaluation
    blocks in float32, as compression computes whatever the model's type: bfloat16 has no room for a grid of more than
    some 256 values, nor for small noise.
    """
    return {
        "sampling": block_losses(load(folder, dtype), blocks["sampling"], batch_size, autocast),
        "evaluation": block_losses(load(folder), blocks["evaluation"], batch_size),
    }
