"""The attention heads of a model: which parts of its views serve which head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smdl.foundation.errors import StudyError
from smdl.foundation.lazy import nn
from smdl.models.views import ATTENTION_OUTPUT, KEY, QUERY, VALUE, WeightView


@dataclass(frozen=True)
class Attention:
    """The views of one layer's attention: matrices by role, the biases of query, key and value where there are any.

    ``joint`` are the roles, of query and key, whose heads one norm takes together.
    """

    matrices: dict[str, WeightView]
    biases: dict[str, WeightView]
    joint: frozenset[str]
    heads: int
    key_heads: int

    def columns(self, head: int) -> slice:
        """The inputs of the output projection that are ``head``'s; also its rows in the query matrix."""
        size = self.matrices[ATTENTION_OUTPUT].shape[1] // self.heads
        return slice(head * size, (head + 1) * size)

    def rows(self, role: str, head: int) -> slice:
        """The rows of ``role``'s matrix that serve ``head``; several heads may share their keys and values."""
        heads = self.heads if role == QUERY else self.key_heads
        size = self.matrices[role].shape[0] // heads
        own = head * heads // self.heads
        return slice(own * size, (own + 1) * size)


def attention_layers(model: nn.Module, views: Sequence[WeightView]) -> list[Attention]:
    """The attention of every layer; StudyError where its query, key, value and output matrices cannot be told apart."""
    config = model.config
    by_name = {view.name: view for view in views}
    layers = []
    for layer in sorted({view.layer for view in views if view.layer is not None}):
        matrices = {view.role: view for view in views if view.is_linear and view.layer == layer}
        if not {QUERY, KEY, VALUE, ATTENTION_OUTPUT} <= set(matrices):
            raise StudyError(
                f"{type(model).__name__}: layer {layer} has no separate query, key, value and output matrices"
                ", so that its heads cannot be told apart; leave prune_heads out of the model's key schemes"
                " (models.<name>.schemes), and single heads out of llc.restrictions"
            )
        names = {role: matrices[role].name.replace(".weight", ".bias") for role in (QUERY, KEY, VALUE)}
        biases = {role: by_name[name] for role, name in names.items() if name in by_name}
        heads = config.num_attention_heads
        key_heads = getattr(config, "num_key_value_heads", None) or heads
        layers.append(Attention(matrices, biases, _joint(matrices, by_name), heads, key_heads))
    return layers


def _joint(matrices: dict[str, WeightView], by_name: dict[str, WeightView]) -> frozenset[str]:
    """The roles whose matrix a norm follows that is as wide as all heads; a norm of one head's width is each head's."""
    norms = {role: by_name.get(matrices[role].name.replace("_proj.", "_norm.")) for role in (QUERY, KEY)}
    return frozenset(
        role for role, norm in norms.items() if norm is not None and norm.shape == matrices[role].shape[:1]
    )
