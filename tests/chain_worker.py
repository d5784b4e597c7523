"""A chain job on a small loss whose minibatches differ, for tests that interrupt it: FOLDER [DIGEST].

Its process id is in the folder's file ``pid``.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from smdl.foundation.errors import StudyError
from smdl.llc.chains import sample
from smdl.llc.settings import Sampler
from smdl.llc.state import StateStore


class Regression:
    """Squared error of a two-layer network on random data, a sequence a data point."""

    def __init__(self, points: int):
        random = torch.Generator().manual_seed(0)
        self.inputs, self.targets = (torch.randn(points, 8, generator=random) for _ in range(2))
        self.parameters = [torch.nn.Parameter(torch.randn(8, 8, generator=random) / 3) for _ in range(2)]
        self.size = points

    def __call__(self, sequences: np.ndarray) -> torch.Tensor:
        first, second = self.parameters
        return (torch.tanh(self.inputs[sequences] @ first) @ second - self.targets[sequences]).pow(2).mean(dim=1)


folder, digest = Path(sys.argv[1]), (sys.argv[2:] or ["digest"])[0]
(folder / "pid").write_text(str(os.getpid()))
loss = Regression(64)
baseline = loss(np.arange(64)).detach().double().numpy()
settings = Sampler(
    lr=1e-4, n_beta=30, gamma=300, alpha=0.99, eps_rms=0.1, batch_size=4, burn_in=10, draws=40, steps_between_draws=1
)
store = StateStore(folder / "state", digest, interval=0)
try:
    draws = sample(loss, baseline, settings, range(4), 3, store)
except StudyError as error:
    sys.exit(f"error: {error}")
draws.to_parquet(folder / "draws.parquet")
