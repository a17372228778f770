"""Small convolutional networks with known weights, in the shapes people have them."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers

SIZE = 12
CLASSES = 5
NEW = {"count": 2, "seed": 9}  # pictures that no other network of a law saw first
_LAST = "channels_last"  # whatever Keras is configured to


def pictures(count: int = 3, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Float pictures (count, 12, 12, channels)."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, SIZE, SIZE, channels)).astype("float32")


def stack(data_format: str = _LAST, last: str | None = "softmax") -> list[layers.Layer]:
    """Return the layers of the network."""
    return [
        layers.Conv2D(6, 3, activation="relu", name="conv1", data_format=data_format),
        layers.Conv2D(8, 3, strides=2, name="conv2", data_format=data_format),
        layers.BatchNormalization(axis=1 if data_format == "channels_first" else -1, name="bn"),
        layers.ReLU(name="relu2"),
        layers.GlobalAveragePooling2D(data_format=data_format, name="pool"),
        layers.Dense(CLASSES, activation=last, name="head"),
    ]


@cache
def weights() -> list[np.ndarray]:
    """Weights of the network, with batch statistics that are not 0 and 1."""
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *stack()])
    generator = np.random.default_rng(7)
    values = [generator.normal(0, 0.4, w.shape).astype("float32") for w in model.get_weights()]
    index = [w.path for w in model.weights].index(
        next(w.path for w in model.weights if "moving_variance" in w.path)
    )
    values[index] = np.abs(values[index]) + 0.5
    return values


def chain(data_format: str = _LAST, last: str | None = "softmax", **kwargs) -> keras.Model:
    """The network as a plain Functional model."""
    shape = (3, SIZE, SIZE) if data_format == "channels_first" else (SIZE, SIZE, 3)
    inputs = x = keras.Input(shape)
    for layer in stack(data_format, last):
        x = layer(x)
    model = keras.Model(inputs, x, **kwargs)
    model.set_weights(weights())
    return model


def beside(body: keras.Model) -> keras.Model:
    """The network beside another one, for another picture, which runs last and is added.

    The other one adds the same however its picture is shuffled.
    """
    picture, other = (
        keras.Input((SIZE, SIZE, 3), name="picture"),
        keras.Input((6, 6, 2), name="other"),
    )
    last = layers.Conv2D(CLASSES, 1, activation="relu", name="of_the_other", data_format=_LAST)
    pooled = layers.GlobalAveragePooling2D(_LAST)(last(other))
    model = keras.Model({"picture": picture, "other": other}, layers.Add()([body(picture), pooled]))
    drawn = np.random.default_rng(8)
    last.set_weights([drawn.normal(size=w.shape) for w in last.get_weights()])
    return model


@cache
def two_inputs() -> keras.Model:
    """Return the network beside another one."""
    return beside(chain(last=None, name="body"))


def crossed(body: keras.Model) -> keras.Model:
    """The network beside a tower for another picture, with a second head that both reach last.

    Of the layers that run after the network's, one sees only the other picture, one only reaches
    the second head.
    """
    picture, other = (keras.Input((SIZE, SIZE, 3), name=name) for name in ("picture", "other"))
    convolution = {
        name: layers.Conv2D(CLASSES, 3, activation="relu", name=name, data_format=_LAST)
        for name in ("tower", "aux")
    }
    head = layers.Add(name="sum")(
        [body(picture), layers.GlobalAveragePooling2D(_LAST)(convolution["tower"](other))]
    )
    aux = layers.GlobalAveragePooling2D(_LAST)(convolution["aux"](picture))
    model = keras.Model({"picture": picture, "other": other}, {"head": head, "aux": aux})
    drawn = np.random.default_rng(8)
    for layer in convolution.values():
        layer.set_weights([drawn.normal(size=w.shape) for w in layer.get_weights()])
    return model


@cache
def two_inputs_two_heads() -> keras.Model:
    """Return the network beside a tower, with a second head."""
    return crossed(chain(last=None, name="body"))


@cache
def flat() -> keras.Model:
    """Return the network, its softmax in the last layer."""
    return chain(name="flat")


@cache
def untouched() -> keras.Model:
    """Return the network, one layer frozen, for laws that show it the pictures of `NEW` only."""
    model = chain(name="untouched")
    model.layers[1].trainable = False
    return model


@cache
def logits() -> keras.Model:
    """Return the network without a softmax."""
    return chain(last=None, name="logits")


@cache
def channels_first() -> keras.Model:
    """Return the network for pictures (B, C, H, W)."""
    return chain("channels_first", name="first")


@cache
def nested() -> keras.Model:
    """The same, its convolutions in a backbone in a backbone."""
    body = stack()
    inner_in = x = keras.Input((SIZE, SIZE, 3))
    for layer in body[:4]:
        x = layer(x)
    inner = keras.Model(inner_in, x, name="inner")
    outer_in = keras.Input((SIZE, SIZE, 3))
    outer = keras.Model(outer_in, body[4](inner(outer_in)), name="outer")
    inputs = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(inputs, body[5](outer(inputs)), name="nested")
    model.set_weights(weights())
    return model


@cache
def linear() -> tuple[keras.Model, np.ndarray]:
    """y_c = sum(w_c * x), and w (CLASSES, H, W, C)."""
    inputs = keras.Input((SIZE, SIZE, 3))
    outputs = layers.Dense(CLASSES, use_bias=False)(layers.Flatten(data_format=_LAST)(inputs))
    model = keras.Model(inputs, outputs, name="linear")
    w = np.random.default_rng(1).normal(size=(SIZE * SIZE * 3, CLASSES)).astype("float32")
    model.set_weights([w])
    return model, w.T.reshape(CLASSES, SIZE, SIZE, 3)


@cache
def pooled() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """y = mean over positions of a 1x1 convolution: its kernel (3, K) and head (K, CLASSES)."""
    generator = np.random.default_rng(2)
    kernel = generator.normal(size=(1, 1, 3, 4)).astype("float32")
    head = generator.normal(size=(4, CLASSES)).astype("float32")
    inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(4, 1, use_bias=False, activation="relu", name="features", data_format=_LAST)(
        inputs
    )
    x = layers.GlobalAveragePooling2D(_LAST)(x)
    model = keras.Model(inputs, layers.Dense(CLASSES, use_bias=False)(x), name="pooled")
    model.set_weights([kernel, head])
    return model, kernel[0, 0], head


@cache
def blind() -> keras.Model:
    """Sees the upper left 6x6 pixels only."""
    inputs = keras.Input((SIZE, SIZE, 3))
    mask = np.zeros((SIZE, SIZE, 1), "float32")
    mask[: SIZE // 2, : SIZE // 2] = 1
    x = layers.Conv2D(4, 3, activation="relu", data_format=_LAST)(inputs * mask)
    model = keras.Model(
        inputs, layers.Dense(CLASSES)(layers.Flatten(data_format=_LAST)(x)), name="blind"
    )
    generator = np.random.default_rng(3)
    model.set_weights([generator.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model
