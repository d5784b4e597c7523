"""Attention-head pruning: a fraction of all heads of the model is taken out.

A head is chosen at random, by the norm of its output (root mean square of what it adds to the residual stream, over
the calibration blocks), or by the norm of its weights; the smallest go first. Optionally what is left is retrained
briefly on the calibration blocks. Where queries or keys of all heads are normalised together (OLMo 2), those of a
pruned head stay, since without them the others' would change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from smdl.compression.scheme import FLOAT, FRACTIONS, Axis, Compressed, Scheme
from smdl.compression.size import Size, subset_bits
from smdl.compression.weights import Weights
from smdl.foundation.lazy import Tensor, torch
from smdl.models.heads import Attention, attention_layers
from smdl.models.shape import Shape, held_elsewhere
from smdl.models.views import ATTENTION_OUTPUT, KEY, QUERY, VALUE, WeightView
from smdl.settings.base import FromOne, Integer, Number

# Vectors of the retraining beside the model, as float32: what is trained, and Adam's two moments.
MASTERS = 3


class PruneHeads(Scheme):
    """Attention-head pruning; level the fraction of heads pruned."""

    score: Literal["random", "output_norm", "weight_norm"] = Field(
        "random", description="Which heads go first; output_norm needs calibration blocks."
    )
    retrain_steps: Integer = Field(
        0, ge=0, le=10**9, description="Steps of Adam on the calibration blocks after pruning."
    )
    retrain_lr: Number = Field(1e-4, gt=0, description="Their learning rate.")
    retrain_batch: Integer = Field(16, ge=1, description="Their blocks per step.")
    retrain_at_once: FromOne | None = Field(
        None, description="Of these, blocks per pass, to save memory; None: all of a step."
    )

    axis = Axis(level="fraction of heads pruned", unit="fraction", logarithmic=False, finer=-1)
    levels = FRACTIONS
    version = 1

    @property
    def needs_data(self) -> bool:
        return self.score == "output_norm" or self.retrain_steps > 0

    @property
    def random(self) -> bool:
        """Only the choice of heads counts: retraining takes its batches by the seed, but one seed will do."""
        return self.score == "random"

    def work(self, blocks: int) -> float:
        # A pass back is as long as two forward.
        return 3 * self.retrain_steps * self.retrain_batch / blocks

    def held(self, shape: Shape, context: int) -> float:
        # Masks and products of the attention's matrices, a third of the linear maps.
        attention = (FLOAT + 1) * shape.linear / 3
        if not self.retrain_steps:
            return super().held(shape, context) + attention
        blocks = min(self.retrain_batch, self.retrain_at_once or self.retrain_batch)
        gradients = shape.weights if blocks < self.retrain_batch else 3 * shape.largest
        passed = shape.passed(blocks * context, FLOAT, gradient=True)
        return attention + FLOAT * gradients + passed + self._vectors(shape, elsewhere=False)

    def kept(self, shape: Shape) -> float:
        return super().kept(shape) + (self._vectors(shape, elsewhere=True) if self.retrain_steps else 0.0)

    def _vectors(self, shape: Shape, *, elsewhere: bool) -> float:
        """Bytes of the retraining's long vectors in main memory, or else beside the model."""
        # Beside the model, what is trained are its own weights.
        vectors = MASTERS if elsewhere else MASTERS - 1
        return FLOAT * vectors * shape.weights if held_elsewhere(shape.weights, MASTERS) == elsewhere else 0.0

    def compress(self, weights: Weights, level: float, seed: int, tuned: float | None) -> Iterator[Compressed]:
        layers = attention_layers(weights.model, weights.views)
        order = self._order(weights, layers, seed)
        pruned = order[: round(level * len(order))]
        if not len(pruned):
            return
        masks = dict(_masks(layers, {divmod(int(head), layers[0].heads) for head in pruned}))
        naming = subset_bits(len(order), len(pruned))
        tensors = {view: weights[view] * mask for view, mask in masks.items()}
        if self.retrain_steps:
            tensors = self._retrained(weights, tensors, masks, seed)
        for index, view in enumerate(list(tensors)):
            tensor = tensors.pop(view).to(view.window.device)
            kept = int(masks[view].sum()) if view in masks else view.elements
            size = Size(kept, weights.dense_bits, naming if index == 0 else 0)
            yield Compressed(view, tensor, size, mask=masks.get(view))

    def _order(self, weights: Weights, layers: list[Attention], seed: int) -> np.ndarray:
        """All heads, layer by layer, in the order in which they go."""
        count = len(layers) * layers[0].heads
        if self.score == "random":
            return np.random.default_rng(seed).permutation(count)
        norm = weight_norms if self.score == "weight_norm" else output_norms
        return torch.cat([norm(weights, layer) for layer in layers]).argsort(stable=True).cpu().numpy()

    def _retrained(
        self, weights: Weights, pruned: dict[WeightView, Tensor], masks: dict[WeightView, Tensor], seed: int
    ) -> dict[WeightView, Tensor]:
        """All tensors of the model after the retraining; the pruned heads stay at zero."""
        from smdl.models.backward import backward, place_of
        from smdl.models.loading import as_tokens, sequence_losses

        model, blocks = weights.model, weights.calibration
        random = np.random.default_rng(seed)
        for view, tensor in pruned.items():
            view.put(tensor)
        parameters = list(model.parameters())
        place = place_of(weights.elements, MASTERS, parameters[0].device)
        # In bfloat16 a step below half the spacing of a weight's neighbours would be lost, and so every one after it:
        # what is trained is kept in float32. Of weights in float32 these are the weights themselves where they lie.
        masters = [parameter.detach().to(place, torch.float32) for parameter in parameters]
        optimizer = torch.optim.Adam(masters, lr=self.retrain_lr, foreach=False)

        def losses(chosen: np.ndarray) -> Tensor:
            return sequence_losses(model, as_tokens(blocks[chosen], model))

        def move(number: int, gradient: Tensor) -> None:
            masters[number].grad = gradient.to(place, torch.float32)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            parameters[number].detach().copy_(masters[number])

        try:
            with backward(losses, parameters, move, self.retrain_at_once) as run:
                for _ in range(self.retrain_steps):
                    run(np.sort(random.choice(len(blocks), min(self.retrain_batch, len(blocks)), replace=False)))
                    for view, mask in masks.items():
                        view.put(view.current() * mask)
            # Not held beside the result.
            optimizer.state.clear()
            masters.clear()
            return {view: view.current().to(place) for view in weights.views}
        finally:
            weights.restore()


def weight_norms(weights: Weights, layer: Attention) -> Tensor:
    """Euclidean norm of each head's rows of query, key and value and columns of the output matrix; shape (heads,)."""
    squares = []
    for head in range(layer.heads):
        parts = [weights[layer.matrices[role]][layer.rows(role, head)] for role in (QUERY, KEY, VALUE)]
        parts.append(weights[layer.matrices[ATTENTION_OUTPUT]][:, layer.columns(head)])
        squares.append(sum(part.float().square().sum() for part in parts))
    return torch.stack(squares).sqrt()


def output_norms(weights: Weights, layer: Attention) -> Tensor:
    """Root mean square norm of what each head adds to the residual stream: sqrt(tr(W_h E[x x^T] W_h^T)); (heads,)."""
    output = layer.matrices[ATTENTION_OUTPUT]
    moment = weights.inputs(output)
    squares = []
    for head in range(layer.heads):
        part = layer.columns(head)
        matrix = weights[output][:, part].float()
        squares.append(((matrix @ moment[part, part]) * matrix).sum())
    return torch.stack(squares).sqrt()


def _masks(layers: list[Attention], pruned: set[tuple[int, int]]) -> Iterator[tuple[WeightView, Tensor]]:
    """True where a weight stays, for every view that loses some; shared keys and values go with their last head."""
    for number, layer in enumerate(layers):
        gone = {head for index, head in pruned if index == number}
        if not gone:
            continue
        output = layer.matrices[ATTENTION_OUTPUT]
        mask = torch.ones(output.shape, dtype=torch.bool, device=output.window.device)
        for head in gone:
            mask[:, layer.columns(head)] = False
        yield output, mask
        for role in (role for role in (QUERY, KEY, VALUE) if role not in layer.joint):
            for view in filter(None, (layer.matrices[role], layer.biases.get(role))):
                mask = torch.zeros(view.shape, dtype=torch.bool, device=view.window.device)
                for head in set(range(layer.heads)) - gone:
                    mask[layer.rows(role, head)] = True
                if not mask.all():
                    yield view, mask
