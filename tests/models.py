"""The networks of `keras_saliency.testing`, and the same weights in more shapes."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers

from keras_saliency.testing.networks import (
    CLASSES,
    SIZE,
    beside,
    blind,
    chain,
    channels_first,
    crossed,
    flat,
    linear,
    logits,
    nested,
    pictures,
    pooled,
    stack,
    two_inputs,
    two_inputs_two_heads,
    weights,
)

__all__ = [
    "CLASSES",
    "SIZE",
    "activation_layer",
    "beside",
    "blind",
    "chain",
    "channels_first",
    "crossed",
    "flat",
    "linear",
    "logits",
    "nested",
    "pictures",
    "pooled",
    "sequential",
    "softmax_layer",
    "softmax_op",
    "subclassed",
    "two_inputs",
    "two_inputs_two_heads",
    "weights",
]


@cache
def sequential() -> keras.Model:
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *stack()], name="sequential")
    model.set_weights(weights())
    return model


class _Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.stack = stack()

    def call(self, x):
        for layer in self.stack:
            x = layer(x)
        return x


@cache
def subclassed() -> keras.Model:
    model = _Subclassed()
    model(np.zeros((1, SIZE, SIZE, 3), "float32"))
    model.set_weights(weights())
    return model


@cache
def softmax_layer() -> keras.Model:
    """The same, its softmax a layer of its own, with a reshape after it."""
    body = chain(last=None)
    x = layers.Reshape((CLASSES,))(layers.Softmax(name="probabilities")(body.output))
    return keras.Model(body.input, x, name="softmax_layer")


@cache
def softmax_op() -> keras.Model:
    body = chain(last=None)
    return keras.Model(body.input, keras.ops.softmax(body.output), name="softmax_op")


@cache
def activation_layer() -> keras.Model:
    body = chain(last=None)
    return keras.Model(body.input, layers.Activation("softmax")(body.output), name="activation")
