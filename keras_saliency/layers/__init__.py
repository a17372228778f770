"""Finding a model's layers by path, and the last one that still has a map."""

from __future__ import annotations

from keras_saliency.layers.calls import Call, Survey, is_attention, survey, tap, without_remat
from keras_saliency.layers.paths import find, tree, walk

__all__ = [
    "Call",
    "Survey",
    "find",
    "is_attention",
    "survey",
    "tap",
    "tree",
    "walk",
    "without_remat",
]
