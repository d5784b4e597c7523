"""Models of the shapes of the Pythia suite with random weights (arXiv:2304.01373, table 1)."""

import numpy as np
import torch
from torch import nn

from smdl.models.loading import on
from smdl.sources.train import Architecture
from smdl.sources.training import new_model

# Tokens that all sizes know.
VOCABULARY = 50304
# Layers, width, heads, and rows of the embeddings, which the largest pad further.
SHAPES = {
    "pythia-14m": (6, 128, 4, VOCABULARY),
    "pythia-31m": (6, 256, 8, VOCABULARY),
    "pythia-70m": (6, 512, 8, VOCABULARY),
    "pythia-160m": (12, 768, 12, VOCABULARY),
    "pythia-410m": (24, 1024, 16, VOCABULARY),
    "pythia-1b": (16, 2048, 8, VOCABULARY),
    "pythia-1.4b": (24, 2048, 16, VOCABULARY),
    "pythia-2.8b": (32, 2560, 32, VOCABULARY),
    "pythia-6.9b": (32, 4096, 32, 50432),
    "pythia-12b": (36, 5120, 40, 50688),
}


def random_model(name: str, context: int, device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A model of the shape of ``name``, its weights drawn on the device, ready to evaluate."""
    layers, hidden, heads, rows = SHAPES[name]
    with on(device), torch.device(device):
        model = new_model(Architecture(layers=layers, hidden=hidden, heads=heads), rows, context, seed=0)
    return model.to(dtype).eval()


def random_blocks(blocks: int, context: int) -> np.ndarray:
    """Token blocks of random tokens, shape (blocks, context)."""
    return np.random.default_rng(0).integers(0, VOCABULARY, (blocks, context))
