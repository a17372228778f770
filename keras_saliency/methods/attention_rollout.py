"""Attention multiplied through the blocks of a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from keras_saliency.backward import Attention
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class AttentionRollout(Method):
    """The product over blocks of 0.5 A + 0.5 I: how much of each patch arrives at the class token.

    For models with ``keras.layers.MultiHeadAttention``, which stay as they are. The token grid is
    found; class and register tokens are left out of the map. Without a class token the mean over
    all tokens is taken. Needs no gradient, and does not depend on the class.

    Args:
        heads: How the attention of several heads becomes one: ``"mean"``, ``"max"`` or ``"min"``.

    Example:
        >>> methods.AttentionRollout(heads="max").needs_gradient
        False
    """

    family = "attention"
    needs_gradient = False
    local = False
    reference = "Abnar, Zuidema: Quantifying Attention Flow in Transformers, 2020, arXiv:2005.00928"

    heads: Literal["mean", "max", "min"] = "mean"

    def __post_init__(self) -> None:
        """Refuse unknown ways."""
        self._require(self.heads in ("mean", "max", "min"), "heads", "'mean', 'max' or 'min'")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        grid = engine.tokens(self.name)
        seen = engine.look(Attention(self.heads))
        flow = np.eye(grid.count)
        for layer in range(len(seen)):
            mixed = 0.5 * seen[str(layer)].astype(np.float64) + 0.5 * np.eye(grid.count)
            flow = mixed / mixed.sum(axis=-1, keepdims=True) @ flow
        return Attribution(grid.seen_by_the_score(flow), info={"attentions": len(seen)})
