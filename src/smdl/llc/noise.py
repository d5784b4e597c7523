"""The Langevin noise: standard normals that are a function of (seed, chain, step, place) alone.

They come from the counter-based generator Philox4x32-10 (Salmon et al., SC 2011) by Box and Muller's method, so that
any part of them can be made at any time, by any thread or device, by compiled or by plain code. Its whole numbers are
the same everywhere; the normals made of them are the same up to rounding (about 1e-6).
"""

import math

import torch
from torch import Tensor

LANES = 16
# Places are made in groups: four words of a counter for each of LANES counters in a row.
GROUP = 4 * LANES
WORD = 0xFFFFFFFF


def normals(seed: int, chain: int, step: int, place: int, count: int, device: torch.device) -> Tensor:
    """``count`` standard normals in float32, those of the stream's places from ``place`` on, a multiple of GROUP."""
    groups = -(-count // GROUP)
    first = place // 4
    words = philox(torch.arange(first, first + groups * LANES, device=device), step, chain, seed)
    pairs = (*box_muller(words[0], words[1]), *box_muller(words[2], words[3]))
    places = torch.stack([values.view(groups, LANES) for values in pairs], dim=1)
    return places.flatten()[:count].float()


def philox(counters: Tensor, step: int, chain: int, seed: int) -> Tensor:
    """Philox4x32-10 of the counters (counter, step, chain) under the key ``seed``; shape (4, len(counters)).

    Words and counters are int64: products of 64 bits wrap around, and what is above a word is masked off.
    """
    x = [counters & WORD, counters >> 32 & WORD, torch.full_like(counters, step), torch.full_like(counters, chain)]
    key = [seed & WORD, seed >> 32 & WORD]
    for _ in range(10):
        a, b = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [b >> 32 & WORD ^ x[1] ^ key[0], b & WORD, a >> 32 & WORD ^ x[3] ^ key[1], a & WORD]
        key = [(key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD]
    return torch.stack(x)


def box_muller(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normals, float64, of two random words, of which the upper 24 bits count."""
    radius = (-2 * (((u >> 8) + 1).double() * 2.0**-24).log()).sqrt()
    angle = 2 * math.pi * 2.0**-24 * (v >> 8).double()
    return radius * angle.cos(), radius * angle.sin()
