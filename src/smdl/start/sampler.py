"""Settings of the sampler for a model of some size: those of the published study for the size that is nearest."""

import math
from dataclasses import dataclass

N_BETA, GAMMA, EPS_RMS = 30, 300, 0.1
# arXiv:2510.12077: weights of a Pythia model and its learning rate.
PUBLISHED = {
    14_067_712: 1e-3,
    30_494_720: 3e-4,
    70_426_624: 3e-4,
    162_322_944: 1e-4,
    405_334_016: 1e-4,
    1_011_781_632: 3e-5,
    1_414_647_808: 3e-5,
    2_775_208_960: 1e-5,
    6_857_302_016: 3e-6,
}
# From here on a chain in float32 does not fit in the 80 GB of one GPU.
HALF_FROM = 5_000_000_000


@dataclass(frozen=True)
class Start:
    """Where a model's sampler starts: its learning rate, the steps left out, and whether in half precision."""

    lr: float
    burn_in: int
    half: bool


def start(parameters: int) -> Start:
    """The settings of the published size that is nearest on a log scale, and a burn-in that goes with them.

    The localisation forgets its start in 2 eps_rms / (lr gamma) steps (docs/how-to/one-setting.md): three times these.
    """
    lr = PUBLISHED[min(PUBLISHED, key=lambda size: abs(math.log(size / max(parameters, 1))))]
    return Start(lr, math.ceil(round(3 * 2 * EPS_RMS / (lr * GAMMA), 6)), parameters >= HALF_FROM)
