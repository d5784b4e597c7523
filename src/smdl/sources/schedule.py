"""The learning rate over the training of the source ``train``."""

import numpy as np

from smdl.sources.train import Training


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then the peak, or cosine decay to a tenth of it, as for Pythia (arXiv:2304.01373)."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.lr
    done = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return settings.lr * (0.55 + 0.45 * np.cos(np.pi * min(done, 1.0)))
