"""The networks that are timed, and pictures for them.

Weights are random but sane (they cost what trained ones do): kernels drawn as He et al. 2015, and
what goes into a rectifier brought to mean 1 and deviation 1 on the pictures. With mean 0, as drawn,
so much of it lies within rounding of the kink that backends are 2e-2 apart; with 1 it is 4e-3 at
most (relative L2 of gradients). EfficientNet-Lite0 has its trained weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

SIDE = 224
_APPLICATIONS = {"MobileNetV2": "mobilenet_v2", "ResNet50": "resnet50", "VGG16": "vgg16"}
NAMES = ("VGG16", "ResNet50", "MobileNetV2", "EfficientNetLite0", "ViT")
CAM_LAYERS = {  # the last map with positions, for Grad-CAM
    "VGG16": "block5_conv3",
    "ResNet50": "conv5_block3_out",
    "MobileNetV2": "out_relu",
    "EfficientNetLite0": "head_relu",
    "tiny": "last",
}
_SHARP = {"kernel", "depthwise_kernel"}  # drawn by their fan-in
_SMALL = {"token", "places"}
_ONES = {"gamma", "beta", "moving_variance"}


def build(name: str, side: int = SIDE, activation: str | None = "softmax") -> Any:
    """Return a network of the name, its kernels 0 where it is not trained.

    Args:
        name: One of `NAMES`, or "tiny".
        side: Of its pictures, in pixels.
        activation: ``"softmax"``, as users have it, or ``None`` for logits.
    """
    import keras

    if name == "EfficientNetLite0":
        from keras_saliency.pretrained import efficientnet_lite0

        return efficientnet_lite0(input_shape=(side, side, 3), classifier_activation=activation)
    with no_random_kernels():
        if name == "ViT":
            from benchmarks.vit import vit

            return vit(side, activation)
        if name == "tiny":
            return _tiny(side, activation)
        kind = getattr(keras.applications, name)
        return kind(weights=None, input_shape=(side, side, 3), classifier_activation=activation)


@contextlib.contextmanager
def no_random_kernels() -> Iterator[None]:
    """Build networks whose weights are loaded afterwards: drawing them costs JAX 20 seconds."""
    import keras

    drawn = keras.initializers.VarianceScaling.__call__
    keras.initializers.VarianceScaling.__call__ = lambda self, shape, dtype=None, **_: (
        keras.ops.zeros(shape, dtype)
    )
    try:
        yield
    finally:
        keras.initializers.VarianceScaling.__call__ = drawn


def _tiny(side: int, activation: str | None) -> Any:
    from keras import Input, Model, layers

    inputs = Input((side, side, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(layers.Add()([x, y]))
    x = layers.Conv2D(16, 3, activation="relu", name="last")(layers.ZeroPadding2D()(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return Model(inputs, layers.Dense(10, activation=activation)(x), name="tiny")


def draw(model: Any) -> None:
    """Give a network random weights, the same on every backend."""
    random = np.random.default_rng(0)

    def value(variable: Any) -> np.ndarray:
        kind, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if kind in _SHARP:
            return random.normal(0, (2 / _fan_in(kind, variable)) ** 0.5, shape)
        if kind in _SMALL:
            return random.normal(0, 0.02, shape)
        return np.full(shape, float(kind in _ONES))

    model.set_weights([value(one).astype(np.float32) for one in model.weights])


def _fan_in(kind: str, variable: Any) -> int:
    shape = tuple(variable.shape)
    if kind == "depthwise_kernel":
        return int(np.prod(shape[:2]))
    if "attention" in variable.path and "output" not in variable.path:
        return int(shape[0])  # (width, heads, width of a head)
    return int(np.prod(shape[:-1]))


def calibrate(name: str, model: Any, images: np.ndarray) -> None:
    """Bring what goes into rectifiers to mean 1 and deviation 1 on these pictures, eight or more.

    Batch norm learns its mean and variance; in VGG16, which has none, each layer is scaled.
    """
    import keras

    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    if name == "VGG16":
        _scale_in_turn(model.layers[1:], images)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    if norms:
        model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _scale_in_turn(chain: list[Any], x: Any) -> None:
    from keras import activations, ops

    for layer in chain:
        if getattr(layer, "activation", None) is activations.relu:
            layer.activation = activations.linear
            found = ops.convert_to_numpy(layer(x))
            layer.activation = activations.relu
            axes = tuple(range(found.ndim - 1))
            mean, deviation = found.mean(axes), found.std(axes)
            layer.set_weights([layer.get_weights()[0] / deviation, 1 - mean / deviation])
        x = ops.convert_to_numpy(layer(x))


@lru_cache(maxsize=1)  # one at a time: memory is what runs out first
def network(name: str) -> Any:
    """Return a network with weights, as users have it, with a softmax at its end."""
    built = build(name)
    if name != "EfficientNetLite0":
        draw(built)
    return built


def pictures(name: str, count: int, side: int = SIDE) -> np.ndarray:
    """Return crops of a photo (B, side, side, 3) float32, preprocessed for the network.

    Each holds a black and a white pixel: so all span the same range, and noise that is a share of
    that range is the same number for all of them.
    """
    from PIL import Image

    from keras_saliency.pretrained import sample_photo

    random = np.random.default_rng(0)
    pixels = np.empty((count, side, side, 3), np.float32)
    with Image.open(sample_photo()) as file:
        photo = file.convert("RGB")
        for picture in pixels:
            edge = int(random.integers(min(photo.size) // 2, min(photo.size)))
            left, top = (int(random.integers(whole - edge)) for whole in photo.size)
            piece = photo.crop((left, top, left + edge, top + edge))
            picture[:] = np.asarray(piece.resize((side, side), Image.Resampling.BICUBIC))
    # As a sensor would: where a photo is flat, the larger of two equal values is anybody's guess.
    pixels = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.float32)
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
    # "caffe" gives a view with the channels turned round, which torch does not take.
    return np.ascontiguousarray(_preprocessed(name, pixels), np.float32)


def _preprocessed(name: str, pixels: np.ndarray) -> np.ndarray:
    if name not in _APPLICATIONS:
        return (pixels - 127) / 128
    import keras

    module = getattr(keras.applications, _APPLICATIONS[name])
    return module.preprocess_input(pixels, data_format="channels_last")
