"""Small vision transformers, in the shapes that `networks` has small convolutional networks."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_saliency.testing import networks
from keras_saliency.testing.networks import CLASSES, SIZE

WIDTH, PATCH = 8, 3
PLACES = (SIZE // PATCH) ** 2


class ClassToken(layers.Layer):
    """Puts a trained token before all others, in its own call, as people's models do."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, tokens: Any) -> Any:
        first = ops.broadcast_to(self.token, (ops.shape(tokens)[0], 1, tokens.shape[-1]))
        return ops.concatenate([first, tokens], axis=1)


def tokens_of(picture: Any, data_format: str = "channels_last") -> Any:
    """Cut a picture into tokens: (B, 16, 8)."""
    convolution = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patch", data_format=data_format)
    maps = convolution(picture)
    if data_format == "channels_first":
        maps = layers.Permute((2, 3, 1))(maps)
    return layers.Reshape((PLACES, WIDTH))(maps)


def blocks(x: Any, count: int = 2) -> Any:
    """Attention and a small dense network, each around a residual."""
    for _ in range(count):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    return x


def _head(x: Any, class_token: bool, last: str | None) -> Any:
    x = layers.LayerNormalization()(x)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D("channels_last")(x)
    return layers.Dense(CLASSES, activation=last, name="head")(x)


def drawn(model: keras.Model, seed: int = 5) -> keras.Model:
    """Give a model weights drawn from a seed."""
    draw = np.random.default_rng(seed).normal
    model.set_weights([draw(0, 0.4, w.shape) for w in model.get_weights()])
    return model


def chain(
    data_format: str = "channels_last",
    last: str | None = "softmax",
    class_token: bool = True,
    count: int = 2,
    **kwargs: Any,
) -> keras.Model:
    """Return the transformer as a plain Functional model."""
    shape = (3, SIZE, SIZE) if data_format == "channels_first" else (SIZE, SIZE, 3)
    inputs = keras.Input(shape)
    x = tokens_of(inputs, data_format)
    x = blocks(ClassToken()(x) if class_token else x, count)
    return drawn(keras.Model(inputs, _head(x, class_token, last), **kwargs))


@cache
def flat() -> keras.Model:
    """Return the transformer, its softmax in the last layer."""
    return chain(name="flat_vit")


@cache
def untouched() -> keras.Model:
    """Return the transformer, one layer frozen, for laws that show it few pictures."""
    model = chain(name="untouched_vit")
    model.layers[1].trainable = False
    return model


@cache
def logits() -> keras.Model:
    """Return the transformer without a softmax."""
    return chain(last=None, name="logits_vit")


@cache
def two_inputs() -> keras.Model:
    """Return the transformer beside another network."""
    return networks.beside(chain(last=None, count=1, name="body"))


@cache
def two_inputs_two_heads() -> keras.Model:
    """Return the transformer beside a tower, with a second head."""
    return networks.crossed(chain(last=None, count=1, name="body"))


@cache
def channels_first() -> keras.Model:
    """Return the transformer for pictures (B, C, H, W)."""
    return chain("channels_first", name="first_vit")


@cache
def nested() -> keras.Model:
    """The same, its blocks in a model of their own."""
    inputs = keras.Input((SIZE, SIZE, 3))
    cut = keras.Model(inputs, ClassToken()(tokens_of(inputs)), name="cut")
    tokens = keras.Input((PLACES + 1, WIDTH))
    body = keras.Model(tokens, blocks(tokens), name="body")
    outer = keras.Input((SIZE, SIZE, 3))
    return drawn(keras.Model(outer, _head(body(cut(outer)), True, "softmax"), name="nested_vit"))


@cache
def blind() -> keras.Model:
    """Sees the upper left quarter only."""
    inputs = keras.Input((SIZE, SIZE, 3))
    mask = np.zeros((SIZE, SIZE, 1), "float32")
    mask[: SIZE // 2, : SIZE // 2] = 1
    x = blocks(ClassToken()(tokens_of(inputs * mask)), 1)
    return drawn(keras.Model(inputs, _head(x, True, None), name="blind_vit"))
