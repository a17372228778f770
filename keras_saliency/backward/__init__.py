"""How a gradient goes back where it is not the true one: rules over the pieces of a model's run.

A rule runs each `keras_saliency.pieces.Piece` of a model and says what goes back through it. The
score stays as it is; its "gradient" by the picture is what the rule makes of it: only the positive
part at rectifiers, relevance, or contributions against a baseline.
"""

from __future__ import annotations

from keras_saliency.backward.attention import Attention, WeightedAttention
from keras_saliency.backward.base import Rule
from keras_saliency.backward.biases import Biases
from keras_saliency.backward.multipliers import Multipliers
from keras_saliency.backward.rectified import Rectified
from keras_saliency.backward.relevance import Relevance

__all__ = [
    "Attention",
    "Biases",
    "Multipliers",
    "Rectified",
    "Relevance",
    "Rule",
    "WeightedAttention",
]
