"""The layers of EfficientNet-Lite0 up to the pooling: stem, 16 inverted residual blocks, head."""

from __future__ import annotations

from typing import Any

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
