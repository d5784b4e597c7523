"""A chain job on a small random GPT-NeoX model, for tests that interrupt it: FOLDER [DIGEST]."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from smdl.errors import StudyError
from smdl.llc.chains import block, sample
from smdl.llc.sampler import SamplerSettings
from smdl.llc.state import StateStore
from smdl.models import BlockLoss, block_losses
from smdl.training import Architecture, new_model

folder, digest = Path(sys.argv[1]), (sys.argv[2:] or ["digest"])[0]
model = new_model(Architecture(layers=1, hidden=16, heads=2, vocabulary=256, context=16), seed=0).eval()
blocks = np.random.default_rng(0).integers(0, 256, size=(64, 16), dtype=np.uint16)
settings = SamplerSettings(
    lr=1e-4, n_beta=30, gamma=300, alpha=0.99, eps_rms=0.1, batch_size=4, burn_in=10, draws=40, steps_between_draws=1
)
store = StateStore(folder / "state", digest, interval=0)
try:
    draws = sample(BlockLoss(model, blocks), block_losses(model, blocks, 16), settings, block([0, 1], True), 3, store)
except StudyError as error:
    sys.exit(f"error: {error}")
draws.to_parquet(folder / "draws.parquet")
store.clear()
