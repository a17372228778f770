"""The networks that are timed, pictures for them, and the file that brings both to all processes.

Weights are random but sane (they cost what trained ones do): kernels drawn as He et al. 2015, and
what goes into a rectifier brought to mean 1 and deviation 1 on the pictures. With mean 0, as drawn,
so much of it lies within rounding of the kink that backends are 2e-2 apart; with 1 it is 4e-3 at
most (relative L2 of gradients). EfficientNet-Lite0 has its trained weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
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
            return _vit(side, activation)
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
            output = ops.convert_to_numpy(layer(x))
            layer.activation = activations.relu
            axes = tuple(range(output.ndim - 1))
            mean, deviation = output.mean(axes), output.std(axes)
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
            crop = photo.crop((left, top, left + edge, top + edge))
            picture[:] = np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))
    # As a sensor would: where a photo is flat, the larger of two equal values is arbitrary.
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


# ----------------------------------------------------------------------- a small vision transformer


PATCH, WIDTH, DEPTH, HEADS, CLASSES = 16, 192, 6, 3, 1000


def _vit(side: int, activation: str | None) -> Any:
    """Return the network for pictures (B, side, side, 3), its weights as Keras draws them."""
    from keras import Input, Model, layers, ops

    class Tokens(layers.Layer):
        """Prepends a learned token to the others and adds position embeddings."""

        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
            self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="places")

        def call(self, tokens: Any) -> Any:
            first = ops.broadcast_to(self.token, (ops.shape(tokens)[0], 1, tokens.shape[-1]))
            return ops.concatenate([first, tokens], axis=1) + self.places

    inputs = Input((side, side, 3))
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(inputs)
    x = Tokens(name="tokens")(layers.Reshape((-1, WIDTH))(x))
    for _ in range(DEPTH):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    return Model(inputs, layers.Dense(CLASSES, activation=activation, name="head")(x), name="vit")


# ---------------------------------------------------------------- the same network in every process


def write(name: str, side: int, count: int, path: str) -> None:
    """Draw and calibrate a network, and write it with pictures and the classes it predicts.

    Args:
        name: Of the network.
        side: Of its pictures.
        count: How many pictures.
        path: Of the file.
    """
    images = pictures(name, max(count, 8), side)
    model = build(name, side, None)
    if name != "EfficientNetLite0":
        draw(model)
        calibrate(name, model, images[:8])
    images = images[:count]
    logits = np.concatenate([model.predict_on_batch(images[i : i + 8]) for i in range(0, count, 8)])
    weights = {f"weight{i:04}": each for i, each in enumerate(model.get_weights())}
    part = Path(path).with_suffix(".part")  # a file that is there is whole
    with part.open("wb") as file:
        np.savez(file, name=name, side=side, pictures=images, logits=logits, **weights)
    part.rename(path)


class Loaded:
    """A network of such a file in this process; each form of it is built at first use."""

    def __init__(self, path: str) -> None:
        """Read the file."""
        with np.load(path) as file:
            self.name, self.side = str(file["name"]), int(file["side"])
            self.pictures, self.logits = file["pictures"], file["logits"]
        self._path = path

    @property
    def layer(self) -> str:
        """Where Grad-CAM looks."""
        return CAM_LAYERS[self.name]

    @cached_property
    def with_softmax(self) -> Any:
        """The network as users have it."""
        return self._built("softmax")

    @cached_property
    def with_logits(self) -> Any:
        """The network without softmax, for libraries that explain what it returns."""
        return self._built(None)

    @cached_property
    def native(self) -> Any:
        """The network of torch.nn modules, channels first, its logits checked."""
        from benchmarks.contenders.torch_modules import converted, require_same

        twin = converted(self._built(None))
        require_same(twin, self.pictures[:8], self.logits[:8])
        return twin

    def _built(self, activation: str | None) -> Any:
        model = build(self.name, self.side, activation)
        with np.load(self._path) as file:
            names = sorted(one for one in file.files if one.startswith("weight"))
            model.set_weights([file[one] for one in names])
        return model


@dataclass(frozen=True)
class Subject:
    """A network and the first pictures of its file."""

    loaded: Loaded
    batch: int

    @property
    def pictures(self) -> np.ndarray:
        """(B, side, side, 3) float32, preprocessed."""
        return self.loaded.pictures[: self.batch]

    @property
    def classes(self) -> np.ndarray:
        """What is explained of each picture, (B,): the class it was first predicted as."""
        return self.loaded.logits[: self.batch].argmax(axis=-1)

    @property
    def noise(self) -> float:
        """SmoothGrad's standard deviation, in the network's input range."""
        from benchmarks.cases import NOISE

        return NOISE * float(np.ptp(self.pictures[0]))

    @property
    def window(self) -> int:
        """Height and width of occlusion's window."""
        from benchmarks.cases import WINDOWS

        return -(-self.loaded.side // WINDOWS)
