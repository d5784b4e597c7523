"""The coding lengths of a checkpoint at one precision, under every code."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smdl.rulers.codes.entropy import arithmetic_decode, arithmetic_encode, entropy_bits, huffman_decode, huffman_encode
from smdl.rulers.codes.priors import PARAMETER_BITS, gaussian, laplacian, mixture
from smdl.rulers.codes.quantized import Quantized
from smdl.rulers.codes.structured import dictionary_and_assignments, distinct_blocks, mask_bits

DENSE_BITS = 32
FAMILIES = ("gaussian", "laplace", "mixture")
ENCODERS: dict[str, tuple[Callable[[np.ndarray, int], bytes], Callable[[bytes], np.ndarray]]] = {
    "huffman": (huffman_encode, huffman_decode),
    "arithmetic": (arithmetic_encode, arithmetic_decode),
}


@dataclass(frozen=True)
class Coder:
    """Settings of the codes: Gaussians of the mixture prior, length of a motif, bits of a weight left alone."""

    components: int
    block: int
    dense_bits: int = DENSE_BITS


def coding_lengths(
    weights: dict[str, np.ndarray], grids: dict[str, Quantized], coder: Coder, dense: int = 0
) -> list[dict[str, float | str]]:
    """The length of ``weights`` under every code, at the precision of their ``grids``; a row a code.

    Each tensor has its own grid, its own prior and its own tables, all paid for, 32 bits for the grid among them;
    ``dense`` further weights are sent as they are. ``ratio`` is against dense float32; ``efficiency`` is the entropy of
    the codes, tensor by tensor, over the length of what is coded. It may pass 1 for ``mask_and_survivors`` and
    ``motifs``, which look beyond single weights: the second cuts the quantized weights into blocks and sends each
    distinct block once. Huffman and arithmetic lengths are those of real bytes, which are decoded and compared.
    """
    parameters = dense + sum(grid.codes.size for grid in grids.values())
    entropy = sum(entropy_bits(grid.counts) for grid in grids.values())
    totals = {
        **{
            family: sum(_prior_bits(family, weights[name], grid, coder.components) for name, grid in grids.items())
            for family in FAMILIES
        },
        **{code: sum(encoded_bits(code, grid) for grid in grids.values()) for code in ENCODERS},
        "mask_and_survivors": sum(_masked_bits(grid) for grid in grids.values()),
        "motifs": _motif_bits(grids, coder.block),
    }
    rows = []
    for code, total in totals.items():
        coded = float(total) + PARAMETER_BITS * len(grids)
        bits = coded + dense * coder.dense_bits
        rows.append(
            {
                "code": code,
                "bits": bits,
                "bits_per_parameter": bits / parameters,
                "ratio": DENSE_BITS * parameters / bits,
                "entropy_bits": entropy,
                "efficiency": entropy / coded,
            }
        )
    return rows


def encoded_bits(code: str, grid: Quantized) -> int:
    """Bits of the bytes that ``code`` makes of the codes; raises RuntimeError should they not decode to the same."""
    encode, decode = ENCODERS[code]
    data = encode(grid.codes, grid.levels)
    if not np.array_equal(decode(data), grid.codes):
        raise RuntimeError(f"the {code} code did not decode to what was encoded")
    return 8 * len(data)


def _prior_bits(family: str, weights: np.ndarray, grid: Quantized, components: int) -> float:
    # clipped weights lie on the grid's ends; a width below a cell's own spread gains nothing
    flat, floor = np.clip(np.ravel(weights).astype(np.float64), -grid.bound, grid.bound), grid.step / np.sqrt(12)
    match family:
        case "gaussian":
            prior = gaussian(flat, floor)
        case "laplace":
            prior = laplacian(flat, floor)
        case _:
            prior = mixture(flat, floor, components)
    return prior.bits(grid)


def _masked_bits(grid: Quantized) -> float:
    """The commonest code as a mask, the others by their entropy and a table of their counts."""
    counts = grid.counts.copy()
    commonest = int(counts.argmax())
    size = grid.codes.size
    kept = size - int(counts[commonest])
    counts[commonest] = 0
    table = np.log2(grid.levels) + grid.levels * np.log2(kept + 1)
    return mask_bits(kept, size) + (entropy_bits(counts) + table if kept else 0.0)


def _motif_bits(grids: dict[str, Quantized], block: int) -> float:
    assignments, motifs = distinct_blocks([grid.codes for grid in grids.values()], block)
    value_bits = np.log2(max(grid.levels for grid in grids.values()))
    return dictionary_and_assignments(assignments, len(motifs), block, value_bits).total
