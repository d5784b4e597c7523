"""The Langevin noise: standard normals that are a function of (seed, chain, step, place) alone.

On a CPU they come from the counter-based generator Philox4x32-10 (Salmon et al., SC 2011) by Box and Muller's method,
so that any part of them can be made at any time, by any thread, by compiled or by plain code. On a GPU they come from
torch's own Philox.
"""

import numpy as np
import torch
from torch import Tensor

LANES = 16
# Places are made in groups: four words of a counter for each of LANES counters in a row.
GROUP = 4 * LANES


def normals(seed: int, chain: int, step: int, offset: int, count: int, device: torch.device) -> Tensor:
    """``count`` standard normals in float32, those of the stream's places from ``offset`` on, a multiple of GROUP."""
    if device.type != "cpu":
        key = np.random.SeedSequence([seed, chain, step, offset]).generate_state(1, np.uint64)[0]
        return torch.randn(count, generator=torch.Generator(device).manual_seed(int(key >> 1)), device=device)
    groups = -(-count // GROUP)
    first = offset // 4
    words = philox(np.arange(first, first + groups * LANES, dtype=np.uint64), step, chain, seed)
    pairs = (*box_muller(words[0], words[1]), *box_muller(words[2], words[3]))
    places = np.stack([values.reshape(groups, LANES) for values in pairs], axis=1)
    return torch.from_numpy(places.ravel()[:count].astype(np.float32))


def philox(counters: np.ndarray, step: int, chain: int, seed: int) -> np.ndarray:
    """Philox4x32-10 of the counters (counter, step, chain) under the key ``seed``; shape (4, len(counters)), uint64."""
    low, word = np.uint64(0xFFFFFFFF), np.uint64(32)
    x = [counters & low, counters >> word, np.full_like(counters, step), np.full_like(counters, chain)]
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(b >> word) ^ x[1] ^ np.uint64(key[0]), b & low, (a >> word) ^ x[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(x)


def box_muller(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two standard normals of two random words, of which the upper 24 bits count."""
    radius = np.sqrt(-2 * np.log(((u >> np.uint64(8)) + np.uint64(1)) * 2.0**-24))
    angle = 2 * np.pi * 2.0**-24 * (v >> np.uint64(8))
    return radius * np.cos(angle), radius * np.sin(angle)
