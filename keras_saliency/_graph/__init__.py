"""A model's layers by path, the calls of a run, and which outputs are maps of the picture."""

from __future__ import annotations

from keras_saliency._graph.calls import Call, Measured, as_map, tap, without_remat
from keras_saliency._graph.ends import find, layer_tree
from keras_saliency._graph.logits import Head, head, is_regression
from keras_saliency._graph.model_cache import walk
from keras_saliency._graph.recorder import EXPLAINED, SCORE, Recorder
from keras_saliency._graph.survey import READ, CallTrace, is_attention

__all__ = [
    "EXPLAINED",
    "READ",
    "SCORE",
    "Call",
    "CallTrace",
    "Head",
    "Measured",
    "Recorder",
    "as_map",
    "find",
    "head",
    "is_attention",
    "is_regression",
    "layer_tree",
    "tap",
    "walk",
    "without_remat",
]
