"""Backward rules: other propagations than the true gradient, over the steps of a model's run.

A rule runs each `Step` (`_graph.operations`) of a model and defines its backward pass. The score
is unchanged; its "gradient" by the picture is the rule's result: only the positive part at
rectifiers, relevance, or contributions against a baseline.
"""

from __future__ import annotations

from keras_saliency._rules.base import Rule
from keras_saliency._rules.gradients import Attention, Biases, Rectified, WeightedAttention
from keras_saliency._rules.multipliers import DeepLiftRule
from keras_saliency._rules.relevance import Relevance

__all__ = [
    "Attention",
    "Biases",
    "DeepLiftRule",
    "Rectified",
    "Relevance",
    "Rule",
    "WeightedAttention",
]
