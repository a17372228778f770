"""Networks trained on ImageNet, cut open at strides 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_saliency.errors import FixationModelError, ModelFileError
from keras_saliency.pretrained import efficientnet_lite0
from keras_saliency.pretrained.lite0_layers import apply_features, restore_initializers

BLANK = "blank"  # weights that are filled in later: drawing random ones takes JAX half a minute
_READ = "help(keras_saliency.fixation.FixationModel)"
_CAFFE = {"mean": (103.939, 116.779, 123.68), "scale": 1.0, "reverse": True}


@dataclass(frozen=True)
class Encoder:
    """How a network is built, where it is tapped, and what becomes of pixels before it.

    Attributes:
        build: ``build(weights, input_shape)`` returns the network without its top.
        taps: Names of the layers at strides 8, 16 and 32.
        pixels: Arguments of the layer ``Pixels``.
    """

    build: Callable[[Any, tuple], Any]
    taps: tuple[str, str, str]
    pixels: dict[str, Any]


def _lite0(weights: Any, shape: tuple) -> Any:
    if weights == BLANK:
        image = keras.Input(shape)
        network = keras.Model(image, apply_features(keras.layers, image, "zeros"))
        restore_initializers(keras, network)
        return network
    weights = "pretrained" if weights == "imagenet" else weights
    return efficientnet_lite0(weights, input_shape=shape, include_top=False)


def _application(name: str) -> Callable[[Any, tuple], Any]:
    def build(weights: Any, shape: tuple) -> Any:
        if keras.config.image_data_format() != "channels_last":
            raise FixationModelError(
                f"A fixation model with {name} was asked for.",
                "Keras is set to channels_first, and keras.applications follow that.",
                "Call keras.config.set_image_data_format('channels_last') first.",
                _READ,
            )
        make = getattr(keras.applications, name)
        if weights in (None, "imagenet", BLANK):
            weights = None if weights == BLANK else weights
            return make(include_top=False, weights=weights, input_shape=shape)
        return _loaded(make(include_top=False, weights=None, input_shape=shape), weights)

    return build


def _loaded(network: Any, path: str | PathLike[str]) -> Any:
    found = "There is no such file."
    if Path(path).is_file():
        try:
            network.load_weights(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            found = f"Keras cannot load it: {error}"
        else:
            return network
    raise ModelFileError(
        f"The encoder {network.name} was asked for the weights in {str(path)!r}.",
        found,
        "Pass weights='imagenet', weights=None, or a file saved from that network without its top.",
        _READ,
    )


ENCODERS = {
    "efficientnet_lite0": Encoder(
        _lite0,
        ("block3b_add", "block5c_add", "block7a_project_bn"),
        {"mean": (127.0, 127.0, 127.0), "scale": 1 / 128},
    ),
    "mobilenet_v2": Encoder(
        _application("MobileNetV2"),
        ("block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        {"mean": (127.5, 127.5, 127.5), "scale": 1 / 127.5},
    ),
    "resnet50": Encoder(
        _application("ResNet50"),
        ("conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        _CAFFE,
    ),
    "vgg16": Encoder(_application("VGG16"), ("block3_pool", "block4_pool", "block5_pool"), _CAFFE),
}


def build(name: str, weights: str | PathLike[str] | None, shape: tuple) -> Any:
    """Return a model from an encoder's input to its three taps, finest first.

    Args:
        name: One of ``ENCODERS``.
        weights: ``"imagenet"``, ``None`` (random) or the path of a weights file without the top.
        shape: Height, width (each may be None) and 3.
    """
    encoder = ENCODERS[name]
    network = encoder.build(weights, shape)
    taps = [network.get_layer(tap).output for tap in encoder.taps]
    return keras.Model(network.inputs, taps, name="encoder")
