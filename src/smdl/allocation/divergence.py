"""How far a changed model is from the one it was: loss, and the divergence of its predictions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smdl.models.loading import as_tokens

# Predictions of the unchanged model up to this size are kept; those of larger ones are made again every time.
KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Outcome:
    """Losses (nats) of token blocks, shape (blocks,), and the divergence of every prediction, (blocks, context - 1)."""

    losses: np.ndarray
    divergences: np.ndarray

    @property
    def kl(self) -> np.ndarray:
        """Mean divergence of every block (nats), shape (blocks,)."""
        return self.divergences.mean(axis=1)


class Reference:
    """A model's predictions on token ``blocks``, shape (blocks, context), which those of changed weights are held to.

    The divergence is KL(p || q) of the next token, p of the unchanged and q of the changed model, in nats. Made while
    the weights are unchanged; where predictions are too many to be kept, ``load`` gives a second model for them.
    """

    def __init__(self, model: nn.Module, blocks: np.ndarray, batch_size: int, load: Callable[[], nn.Module]):
        self.blocks = blocks
        self.batch_size = batch_size
        keeps = blocks.size * model.get_input_embeddings().num_embeddings * 4 <= KEPT_BYTES
        self._kept = [self._predictions(model, tokens).cpu() for tokens in self._batches(model)] if keeps else []
        self._unchanged = None if keeps else load()
        self.losses = self.compare(model).losses

    def compare(self, model: nn.Module) -> Outcome:
        """Losses and divergences of ``model`` as its weights are now."""
        losses, divergences = [], []
        for number, tokens in enumerate(self._batches(model)):
            own = self._predictions(model, tokens)
            kept = self._kept[number].to(own.device) if self._kept else self._predictions(self._unchanged, tokens)
            losses.append(-own.gather(2, tokens[:, 1:, None]).squeeze(2).mean(1).double().cpu())
            divergences.append((kept.exp() * (kept - own)).sum(2).cpu())
        return Outcome(torch.cat(losses).numpy(), torch.cat(divergences).numpy())

    @torch.no_grad()
    def _predictions(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """Log probabilities of next tokens, shape (batch, context - 1, vocabulary), float32."""
        return functional.log_softmax(model(input_ids=tokens).logits[:, :-1].float(), dim=-1)

    def _batches(self, model: nn.Module) -> list[Tensor]:
        starts = range(0, len(self.blocks), self.batch_size)
        return [as_tokens(self.blocks[start : start + self.batch_size], model) for start in starts]
