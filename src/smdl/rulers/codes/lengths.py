"""The coding lengths of a checkpoint at one precision, under every code."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from smdl.rulers.codes.entropy import arithmetic_decode, arithmetic_encode, entropy_bits, huffman_decode, huffman_encode
from smdl.rulers.codes.priors import PARAMETER_BITS, gaussian, laplacian, mixture
from smdl.rulers.codes.quantized import Quantized
from smdl.rulers.codes.structured import BlockCounts, dictionary_and_counts, mask_bits

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
    tensors: Iterable[tuple[np.ndarray, Quantized]], coder: Coder, dense: int = 0
) -> list[dict[str, float | str]]:
    """The length of weights under every code, at the precision of their grids; a row a code.

    ``tensors`` are weights and their grid, one tensor after another: of one that was coded no more is kept than its
    distinct blocks. Each tensor has its own grid, its own prior and its own tables, all paid for, 32 bits for the grid
    among them; ``dense`` further weights are sent as they are. ``ratio`` is against dense float32; ``efficiency`` is
    the entropy of the codes, tensor by tensor, over the length of what is coded. It may pass 1 for
    ``mask_and_survivors`` and ``motifs``, which look beyond single weights: the second cuts the quantized weights into
    blocks and sends each distinct block once. Huffman and arithmetic lengths are those of real bytes, which are decoded
    and compared.
    """
    totals = dict.fromkeys((*FAMILIES, *ENCODERS, "mask_and_survivors"), 0.0)
    parameters, entropy, grids, value_bits, blocks = dense, 0.0, 0, 0.0, BlockCounts(coder.block)
    for weights, grid in tensors:
        for family in FAMILIES:
            totals[family] += _prior_bits(family, weights, grid, coder.components)
        for code in ENCODERS:
            totals[code] += encoded_bits(code, grid)
        totals["mask_and_survivors"] += _masked_bits(grid)
        blocks.add(grid.codes.astype(np.min_scalar_type(grid.levels - 1)))
        parameters += grid.codes.size
        entropy += entropy_bits(grid.counts)
        grids += 1
        value_bits = max(value_bits, np.log2(grid.levels))
    totals["motifs"] = dictionary_and_counts(blocks.counts(), coder.block, value_bits).total
    rows = []
    for code, total in totals.items():
        coded = float(total) + PARAMETER_BITS * grids
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
