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
    return dictionary_and_counts(np.bincount(assignments, minlength=entries), block, value_bits)


def dictionary_and_counts(counts: np.ndarray, block: int, value_bits: float = PARAMETER_BITS) -> TwoParts:
    """As ``dictionary_and_assignments``, from how many blocks have each entry, (entries,)."""
    entries, blocks = len(counts), int(counts.sum())
    fixed = blocks * ceil(log2(entries)) if entries > 1 else 0.0
    coded = entropy_bits(counts) + entries * log2(blocks + 1)
    return TwoParts(entries * block * value_bits, float(min(fixed, coded)))


class BlockCounts:
    """How often each distinct block of ``block`` integers occurs, over tensors that come one after another.

    Each is flattened and padded with zeros to whole blocks, as in Mosaic-of-Motifs (arXiv:2602.14896); of it no more is
    kept than its distinct blocks.
    """

    def __init__(self, block: int):
        self.block = block
        self._rows: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, codes: np.ndarray) -> None:
        """Count the blocks of one more tensor; all are of one type, the shorter the better."""
        rows = np.pad(codes.ravel(), (0, -codes.size % self.block)).reshape(-1, self.block)
        keys, starts, order = _alike(_keys(rows))
        self._rows.append(keys[starts])
        self._counts.append(np.diff(starts, append=len(order)).astype(np.uint32))

    def counts(self) -> np.ndarray:
        """The counts, in no order; afterwards none is kept."""
        keys, counts = np.concatenate(self._rows), np.concatenate(self._counts)
        self._rows, self._counts = [], []
        starts, order = _alike(keys)[1:]
        del keys
        return np.add.reduceat(counts[order], starts, dtype=np.int64)


def _keys(rows: np.ndarray) -> np.ndarray:
    """Each row as one value: a number where it is as long as one, which sorts faster."""
    width = rows.itemsize * rows.shape[1]
    kind = np.dtype(f"u{width}") if width in (1, 2, 4, 8) else np.dtype((np.void, width))
    return np.ascontiguousarray(rows).view(kind).ravel()


def _alike(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``keys`` in order, where each kind of them begins, and the order."""
    order = keys.argsort()
    keys = keys[order]
    return keys, np.flatnonzero(np.append(True, keys[1:] != keys[:-1])), order


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
