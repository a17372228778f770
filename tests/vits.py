"""The vision transformers of `keras_saliency.testing`, and more of them."""

from __future__ import annotations

from functools import cache

import numpy as np

from keras_saliency.testing.attention import (
    CLASSES,
    PATCH,
    PLACES,
    SIZE,
    WIDTH,
    ClassToken,
    blind,
    blocks,
    chain,
    channels_first,
    drawn,
    flat,
    logits,
    nested,
    tokens_of,
    two_inputs,
    two_inputs_two_heads,
)

__all__ = [
    "CLASSES",
    "PATCH",
    "PLACES",
    "SIZE",
    "WIDTH",
    "ClassToken",
    "blind",
    "blocks",
    "chain",
    "channels_first",
    "drawn",
    "drawn_once",
    "flat",
    "logits",
    "nested",
    "pooled_vit",
    "tokens_of",
    "two_inputs",
    "two_inputs_two_heads",
]


@cache
def drawn_once(make, kind):
    """Build one of several networks, with weights drawn from a seed."""
    model = make(kind)
    if not model.built:
        names = ("left", "right")
        x = np.zeros((1, SIZE, SIZE, 3), "float32")
        model({name: x for name in names} if hasattr(model, "order") else x)
    return drawn(model)


@cache
def pooled_vit():
    return chain(class_token=False, name="pooled_vit")
