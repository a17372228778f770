"""Attention weighted by its gradient, followed through a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency._rules.gradients import WeightedAttention
from keras_saliency.methods.base import ZERO, Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_CUT = (
    f"{ZERO}: no attention weight has a gradient above 0, and the method's ReLU cut off what is "
    "negative (try 'attention_rollout' or 'gradient')"
)


@dataclass(frozen=True)
class TransformerAttribution(Method):
    """R = I, then for every block R += A' R with A' the mean over heads of relu(A * dy/dA).

    The gradient rule of Chefer et al. for self-attention; unlike rollout it depends on the class.
    For models with ``keras.layers.MultiHeadAttention``, which are not modified; grid and class
    token as in `AttentionRollout`.

    Example:
        >>> methods.TransformerAttribution().family
        'attention'
    """

    family = "attention"
    local = False
    kinds = ("picture",)
    reference = "Chefer, Gur, Wolf: Generic Attention-Model Explainability, 2021, arXiv:2103.15679"

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        grid = engine.tokens(self.name)
        result = engine.backward(WeightedAttention()).collected
        layers = [one for one in result if one.shape[1:] == (grid.count, grid.count)]
        relevance = np.broadcast_to(np.eye(grid.count), layers[0].shape).astype(np.float64)
        for weighted in layers:
            relevance = relevance + weighted.astype(np.float64) @ relevance
        return Attribution(
            grid.seen_by_the_score(relevance - np.eye(grid.count)),
            info={"attentions": len(layers)},
            findings=[() if one.any() else (_CUT,) for one in relevance - np.eye(grid.count)],
        )
