"""What a language model's size says of its memory: how long its vectors are, its tensors, and what a pass keeps."""

from __future__ import annotations

from dataclasses import dataclass

BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
# Width over depth where neither is known: Pythia's sizes have 43 to 128, the largest two 80 and 128.
ASPECT = 100
# Where a job's vectors beside the model take more (bytes), they lie in main memory: it then fits the GPU of its model.
HELD_BYTES = 32e9


@dataclass(frozen=True)
class Shape:
    """A decoder of ``layers`` layers of 12 width^2 weights, with an embedding and an unembedding."""

    weights: int
    width: int
    layers: int
    vocabulary: int

    @classmethod
    def of(cls, weights: int, vocabulary: int) -> Shape:
        """The shape of a model of which only the number of weights is known: a hundred times as wide as deep."""
        low, high = 1, max(2, weights)
        while high - low > 1:
            width = (low + high) // 2
            low, high = (width, high) if 12 * width**3 / ASPECT + 2 * vocabulary * width <= weights else (low, width)
        return cls(weights, low, max(1, round(low / ASPECT)), vocabulary)

    @property
    def linear(self) -> int:
        """Weights of all linear maps in the layers."""
        return 12 * self.layers * self.width**2

    @property
    def largest(self) -> int:
        """Weights of the largest tensor: an embedding, or a matrix of an MLP."""
        return max(self.vocabulary * self.width, 4 * self.width**2)

    @property
    def moments(self) -> int:
        """Numbers in the second moments of the inputs of all linear maps: three of the width, one of four widths."""
        return (3 + 16) * self.layers * self.width**2

    def passed(self, tokens: int, each: int, *, gradient: bool) -> float:
        """Bytes of a pass over ``tokens`` at once, with numbers of ``each`` bytes.

        Layers keep about 34 w numbers of 2 bytes per token for the gradient, and 8 w of one layer at a time without it,
        w the width (Korthikanti et al., arXiv:2205.05198, equation 2); logits and their cross-entropy stand in float32.
        """
        kept = 34 * self.width * self.layers if gradient else 16 * self.width
        return tokens * (kept * each / 2 + 4 * self.vocabulary * (3 if gradient else 2))


@dataclass(frozen=True)
class Need:
    """Memory of a job (bytes): ``device``, where it computes, and ``host``, what lies in main memory even so.

    Without a GPU both are main memory.
    """

    device: float = 0.0
    host: float = 0.0


def held_elsewhere(elements: int, vectors: int) -> bool:
    """Whether ``vectors`` of ``elements`` float32 numbers beside a model lie in main memory and not on its GPU."""
    return BYTES["float32"] * vectors * elements > HELD_BYTES
