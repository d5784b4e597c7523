"""Codes for structure: mask plus survivors of pruning, dictionary plus assignments of shared weights."""

from dataclasses import dataclass
from math import ceil, log, log2

import numpy as np
from scipy.special import gammaln

from smdl.rulers.codes.entropy import entropy_bits
from smdl.rulers.codes.priors import PARAMETER_BITS


@dataclass(frozen=True)
class TwoParts:
    """Bits of a code in two parts: ``structure`` (mask or dictionary) and ``content`` (survivors or assignments)."""

    structure: float
    content: float

    @property
    def total(self) -> float:
        """Bits of both parts."""
        return self.structure + self.content


def mask_bits(kept: int, total: int) -> float:
    """Bits to say which ``kept`` of ``total`` weights survive: their number, then one of the binomially many masks."""
    log_masks = gammaln(total + 1) - gammaln(kept + 1) - gammaln(total - kept + 1)
    return log2(total + 1) + max(log_masks, 0.0) / log(2)


def mask_and_survivors(mask: np.ndarray, bits_each: float) -> TwoParts:
    """L = L(mask) + L(active): survivors (True in ``mask``, any shape) at ``bits_each`` bits."""
    kept = int(mask.sum())
    return TwoParts(mask_bits(kept, mask.size), kept * bits_each)


def dictionary_and_assignments(
    assignments: np.ndarray, entries: int, block: int, value_bits: float = PARAMETER_BITS
) -> TwoParts:
    """A dictionary of ``entries`` blocks of ``block`` values, and for each block (N,) its entry.

    Assignments cost the cheaper of a fixed-width index and their entropy code with a table of counts. Entries that no
    block uses cost as well: they are sent with the rest.
    """
    counts = np.bincount(assignments, minlength=entries)
    fixed = len(assignments) * ceil(log2(entries)) if entries > 1 else 0.0
    coded = entropy_bits(counts) + entries * log2(len(assignments) + 1)
    return TwoParts(entries * block * value_bits, float(min(fixed, coded)))


def distinct_blocks(weights: list[np.ndarray], block: int) -> tuple[np.ndarray, np.ndarray]:
    """Assignments of all blocks of ``block`` values, (N,), to the distinct ones among them, (entries, block).

    Each array is flattened and padded with zeros to whole blocks, as in Mosaic-of-Motifs (arXiv:2602.14896).
    """
    blocks = np.concatenate([np.pad(w.ravel(), (0, -w.size % block)).reshape(-1, block) for w in weights])
    # adding zero makes -0.0 and 0.0 one value before rows are compared as bytes
    blocks = np.ascontiguousarray(blocks + blocks.dtype.type(0))
    rows = blocks.view(np.dtype((np.void, blocks.dtype.itemsize * block))).ravel()
    _, first, assignments = np.unique(rows, return_index=True, return_inverse=True)
    return assignments.ravel(), blocks[first]
