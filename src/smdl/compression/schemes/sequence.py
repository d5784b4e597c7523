"""Two schemes one after the other: the first at a fixed level, then the second on what the first stores.

After pruning the second scheme sees the survivors (zeros stay zeros and cost nothing but the mask); after a
factorization it sees the two factors instead of the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from smdl.compression.scheme import FLOAT, NUMBERS_OF_VALUES, Axis, Compressed, Scheme, Tuned
from smdl.compression.schemes.factorize import Factorize
from smdl.compression.schemes.gptq import Gptq
from smdl.compression.schemes.kmeans import KMeans
from smdl.compression.schemes.prune import Prune
from smdl.compression.schemes.prune_heads import PruneHeads
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.schemes.round import Round
from smdl.compression.size import Size
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.shape import Shape
from smdl.models.views import WeightView
from smdl.settings.base import Number, Section


class _One(Section):
    """One scheme, by name, and its settings."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and len(raw) != 1:
            what = "has {count} entries; give one of {names}, and below it its settings"
            raise PydanticCustomError("count", what, {"count": len(raw), "names": ", ".join(cls.model_fields)})
        return raw

    @property
    def name(self) -> str:
        """The name of the scheme that is given."""
        (name,) = self.model_fields_set
        return name

    @property
    def scheme(self) -> Scheme:
        """The scheme that is given."""
        return getattr(self, self.name)


class First(_One):
    """The first scheme, by name, and its settings: one that stores a part of the values, or factors."""

    prune: Prune | None = None
    prune_heads: PruneHeads | None = None
    factorize: Factorize | None = None


class Second(_One):
    """The second scheme, by name, and its settings: one that stores values in fewer bits."""

    quantize: Quantize | None = None
    round: Round | None = None
    kmeans: KMeans | None = None
    gptq: Gptq | None = None


class Sequence(Scheme):
    """One scheme at a fixed level, then a second on what the first stores; level that of the second."""

    first: First
    first_level: Number = Field(ge=0, le=1, description="The level of the first scheme.")
    second: Second

    levels = NUMBERS_OF_VALUES
    version = 2

    @property
    def axis(self) -> Axis:
        return self.second.scheme.axis

    @property
    def tuned(self) -> Tuned | None:
        return self.second.scheme.tuned

    @property
    def random(self) -> bool:
        return self.first.scheme.random or self.second.scheme.random

    @property
    def needs_data(self) -> bool:
        return self.first.scheme.needs_data or self.second.scheme.needs_data

    def calibrated(self, key: str) -> Iterator[str]:
        for place, part in (("first", self.first), ("second", self.second)):
            yield from part.scheme.calibrated(f"{key}.{place}.{part.name}")

    def work(self, blocks: int) -> float:
        return self.first.scheme.work(blocks) + self.second.scheme.work(blocks)

    def held(self, shape: Shape, context: int) -> float:
        # What the first scheme made of the linear maps: tensors with their masks, or with factors (of full rank half as
        # long again) in the layers that it touches.
        if first := self.first.factorize:
            touched = 12 * first.touched(shape) * shape.width**2
            stored = FLOAT * (1 + 1.5 * (1 - self.first_level)) * touched
        else:
            stored = (FLOAT + 1) * shape.linear
        return stored + max(part.scheme.held(shape, context) for part in (self.first, self.second))

    def kept(self, shape: Shape) -> float:
        return self.first.scheme.kept(shape) + self.second.scheme.kept(shape)

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        stored = weights.once((self.first.scheme, self.first_level, seed), lambda: self._stored(weights, seed))
        whole = {part: view for view, parts in stored.parts.items() for part in parts}
        left = dict(stored.first)
        found: dict[WeightView, Compressed] = {}
        # Joined as soon as a view's parts are there: of what the second scheme makes no more is held.
        for item in self.second.scheme.compress(stored, level, seed, tuned):
            view = whole[item.view]
            if view not in left:
                yield item
                continue
            found[item.view] = item
            if all(part in found for part in stored.parts[view]):
                yield _joined(left.pop(view), [found.pop(part) for part in stored.parts[view]])
        for view, item in left.items():
            yield _joined(item, [found.pop(part, None) for part in stored.parts[view]])

    def _stored(self, weights: Weights, seed: int) -> Intermediate:
        return Intermediate(weights, list(self.first.scheme.compress(weights, self.first_level, seed, None)))


class Intermediate(Weights):
    """The weights as the first scheme stores them, in the place of the originals: factors instead of their product."""

    def __init__(self, weights: Weights, first: list[Compressed]):
        self.model = weights.model
        self.dense_bits = weights.dense_bits
        self.first = {item.view: item for item in first}
        self.parts: dict[WeightView, list[WeightView]] = {view: [view] for view in weights.views}
        self._whole = weights
        self._calibration, self._batch_size = weights._calibration, weights._batch_size
        self._tensors: dict[WeightView, Tensor] = {}
        self._cache = {}
        self._right: dict[WeightView, tuple[WeightView, Tensor]] = {}
        for item in first:
            self._replace(item)
        self.views = [part for parts in self.parts.values() for part in parts]

    def __getitem__(self, view: WeightView) -> Tensor:
        """What the first scheme stores for a view; not to be changed in place."""
        return self._tensors[view] if view in self._tensors else self._whole[view]

    def inputs(self, view: WeightView) -> Tensor | None:
        """E[x x^T] of the original's inputs; for a left factor, whose inputs are B x, it is B E[x x^T] B^T."""
        if view not in self._right:
            return self._whole.inputs(view)
        whole, right = self._right[view]
        return right @ self._whole.inputs(whole) @ right.T

    def _replace(self, item: Compressed) -> None:
        if item.factors is None:
            self._tensors[item.view] = item.tensor
            return
        name = f"{item.view.name}.left"
        left, right = item.factors
        parts = [
            replace(item.view, name=name, module=name, window=left, shape=tuple(left.shape)),
            replace(item.view, name=f"{item.view.name}.right", window=right, shape=tuple(right.shape)),
        ]
        self._tensors |= zip(parts, item.factors, strict=True)
        self._right[parts[0]] = item.view, right
        self.parts[item.view] = parts


def _joined(first: Compressed, second: list[Compressed | None]) -> Compressed:
    """What the first scheme stored, its parts replaced by what the second made of them (None: left alone)."""
    if all(part is None for part in second):
        return first
    if first.factors is not None:
        factors = tuple(
            factor if part is None else part.tensor for factor, part in zip(first.factors, second, strict=True)
        )
        bits = sum(
            factor.numel() * first.size.bits_each if part is None else part.size.bits
            for factor, part in zip(first.factors, second, strict=True)
        )
        tensor = (factors[0] @ factors[1]).to(first.tensor.dtype)
        return Compressed(first.view, tensor, Size(0, 0, bits + first.size.overhead), factors=factors)
    (part,) = second
    size = Size(first.size.values, part.size.bits_each, first.size.overhead + part.size.overhead)
    tensor = part.tensor if first.mask is None else torch.where(first.mask, part.tensor, 0)
    return Compressed(first.view, tensor, size, mask=first.mask)
