"""Small vision transformers, in the shapes that ``models`` has small convolutional networks."""

from __future__ import annotations

from functools import cache

import keras
import models
import numpy as np
from keras import layers, ops

SIZE, CLASSES, WIDTH, PATCH = 12, 5, 8, 3
PLACES = (SIZE // PATCH) ** 2


class ClassToken(layers.Layer):
    """Puts a learnt token before all others, in its own call, as people's models do."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, tokens):
        first = ops.broadcast_to(self.token, (ops.shape(tokens)[0], 1, tokens.shape[-1]))
        return ops.concatenate([first, tokens], axis=1)


def tokens_of(picture, data_format=None):
    """Cut a picture into tokens: (B, 16, 8)."""
    convolution = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patch", data_format=data_format)
    maps = convolution(picture)
    if data_format == "channels_first":
        maps = layers.Permute((2, 3, 1))(maps)
    return layers.Reshape((PLACES, WIDTH))(maps)


def blocks(x, count=2):
    """Attention and a small dense network, each around a residual."""
    for _ in range(count):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    return x


def _head(x, class_token, last):
    x = layers.LayerNormalization()(x)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D()(x)
    return layers.Dense(CLASSES, activation=last, name="head")(x)


def drawn(model, seed=5):
    """Give a model weights drawn from a seed."""
    draw = np.random.default_rng(seed).normal
    model.set_weights([draw(0, 0.4, w.shape) for w in model.get_weights()])
    return model


@cache
def drawn_once(make, kind):
    """Build one of several networks, with weights drawn from a seed."""
    model = make(kind)
    if not model.built:
        names = ("left", "right")
        x = np.zeros((1, SIZE, SIZE, 3), "float32")
        model({name: x for name in names} if hasattr(model, "order") else x)
    return drawn(model)


def chain(data_format=None, last="softmax", class_token=True, **kwargs):
    shape = (3, SIZE, SIZE) if data_format == "channels_first" else (SIZE, SIZE, 3)
    inputs = keras.Input(shape)
    x = tokens_of(inputs, data_format)
    x = blocks(ClassToken()(x) if class_token else x)
    return drawn(keras.Model(inputs, _head(x, class_token, last), **kwargs))


@cache
def flat():
    return chain(name="flat_vit")


@cache
def pooled_vit():
    return chain(class_token=False, name="pooled_vit")


@cache
def logits():
    return chain(last=None, name="logits_vit")


@cache
def two_inputs():
    return models.beside(chain(last=None, name="body"))


@cache
def two_inputs_two_heads():
    return models.crossed(chain(last=None, name="body"))


@cache
def channels_first():
    return chain("channels_first", name="first_vit")


@cache
def nested():
    """The same, its blocks in a model of their own."""
    inputs = keras.Input((SIZE, SIZE, 3))
    cut = keras.Model(inputs, ClassToken()(tokens_of(inputs)), name="cut")
    tokens = keras.Input((PLACES + 1, WIDTH))
    body = keras.Model(tokens, blocks(tokens), name="body")
    outer = keras.Input((SIZE, SIZE, 3))
    return drawn(keras.Model(outer, _head(body(cut(outer)), True, "softmax"), name="nested_vit"))


@cache
def blind():
    """Sees the upper left quarter only."""
    inputs = keras.Input((SIZE, SIZE, 3))
    mask = np.zeros((SIZE, SIZE, 1), "float32")
    mask[: SIZE // 2, : SIZE // 2] = 1
    x = blocks(ClassToken()(tokens_of(inputs * mask)))
    return drawn(keras.Model(inputs, _head(x, True, None), name="blind_vit"))
