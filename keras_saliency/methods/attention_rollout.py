"""Attention multiplied through the blocks of a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from keras_saliency._rules.gradients import Attention
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class AttentionRollout(Method):
    """The product over blocks of 0.5 A + 0.5 I: how much of each patch arrives at the class token.

    For models with ``keras.layers.MultiHeadAttention``, which are not modified. The token grid is
    detected; the map leaves out class and register tokens. Without a class token, the mean over
    all tokens is used. Needs no gradient and does not depend on the class.

    Args:
        heads: How the heads' attention is reduced: ``"mean"``, ``"max"`` or ``"min"``.

    Example:
        >>> methods.AttentionRollout(heads="max").needs_gradient
        False
    """

    family = "attention"
    needs_gradient = False
    local = False
    kinds = ("picture",)
    reference = "Abnar, Zuidema: Quantifying Attention Flow in Transformers, 2020, arXiv:2005.00928"

    heads: Literal["mean", "max", "min"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        self._require(self.heads in ("mean", "max", "min"), "heads", "'mean', 'max' or 'min'")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        grid = engine.tokens(self.name)
        seen = engine.forward_with_rule(Attention(self.heads))
        map_batched = np.eye(grid.count)
        for layer in range(len(seen)):
            mixed = 0.5 * seen[str(layer)].astype(np.float64) + 0.5 * np.eye(grid.count)
            map_batched = mixed / mixed.sum(axis=-1, keepdims=True) @ map_batched
        return Attribution(grid.seen_by_the_score(map_batched), info={"attentions": len(seen)})
