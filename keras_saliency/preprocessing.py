"""How pixels 0..255 become model input, and which networks are known to want what."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.errors import PreprocessError
from keras_saliency.geometry import Fit
from keras_saliency.layers import walk

_READ = "help(keras_saliency.preprocessing.Preprocess)"

# How keras.applications names its models, and the module that preprocesses for each.
_NETWORKS = (
    (r"vgg16", "vgg16"),
    (r"vgg19", "vgg19"),
    (r"resnet(50|101|152)", "resnet"),
    (r"resnet(50|101|152)v2", "resnet_v2"),
    (r"mobilenet_[\d.]+_.*", "mobilenet"),
    (r"mobilenetv2_.*", "mobilenet_v2"),
    (r"mobilenetv3(small|large)", "mobilenet_v3"),
    (r"inception_v3", "inception_v3"),
    (r"inception_resnet_v2", "inception_resnet_v2"),
    (r"xception", "xception"),
    (r"densenet(121|169|201)", "densenet"),
    (r"nasnet(_mobile|_large)?", "nasnet"),
    (r"efficientnetb\d", "efficientnet"),
    (r"efficientnetv2-.*", "efficientnet_v2"),
    (r"convnext_.*", "convnext"),
    (r"efficientnet_lite0", "efficientnet_lite0"),
)
_IMAGENET_STYLES = ("caffe", "tf", "torch")
_RESCALING = ("Rescaling", "Normalization")
_PIXELS = "keras_saliency>Pixels"  # as Keras registers the first layer of a fixation model


@dataclass(frozen=True)
class Preprocess:
    """What is done to a picture before the model sees it.

    Args:
        function: Takes a float32 batch (B, H, W, C) of pixels 0..255, already resized, and returns
            the model's input, the same shape. ``None`` leaves the pixels as they are.
        fit: How a picture is fitted to the model's size: ``"stretch"`` (the whole picture, its
            aspect ratio given up), ``"crop"`` (the middle) or ``"pad"`` (black bars).
        name: How the manifest calls it.

    Example:
        >>> from keras_saliency.preprocessing import Preprocess
        >>> halves = Preprocess(lambda x: x / 127.5 - 1, fit="crop", name="halves")
        >>> float(halves(np.full((1, 2, 2, 3), 255, "uint8")).max())
        1.0
    """

    function: Callable[[np.ndarray], Any] | None = None
    fit: Fit = "stretch"
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse an unknown fit."""
        if self.fit not in ("stretch", "crop", "pad"):
            raise PreprocessError(
                f"The fit {self.fit!r} was asked for.",
                "Known: 'stretch', 'crop', 'pad'.",
                "Take one of these.",
                _READ,
            )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return model input for a (B, H, W, C) batch of pixels 0..255."""
        batch = np.array(pixels, np.float32)  # a copy: keras.applications works in place
        if self.function is None:
            return batch
        result = np.asarray(self.function(batch))
        if result.shape != pixels.shape or not np.isfinite(result).all():
            raise PreprocessError(
                f"The preprocessing {self.name or self.function!r} was applied.",
                f"A batch of shape {pixels.shape} came back with shape {result.shape}"
                + ("." if result.shape != pixels.shape else " and values that are not finite."),
                "Return a finite array of the same shape.",
                _READ,
            )
        return result


def resolve(preprocess: Any, model: Any) -> Preprocess | None:
    """Return the preprocessing meant by explain()'s argument; ``None`` where nobody knows it.

    Args:
        preprocess: ``"auto"``, ``"caffe"``, ``"tf"``, ``"torch"``, ``None`` (pixels 0..255 as they
            are), a callable, or a `Preprocess`.
        model: The Keras model; ``"auto"`` looks at its name and for layers that rescale.

    Raises:
        PreprocessError: The argument is none of these.
    """
    if isinstance(preprocess, Preprocess):
        return preprocess
    if preprocess is None:
        return Preprocess(name="none")
    if callable(preprocess):
        return Preprocess(preprocess, name=getattr(preprocess, "__qualname__", repr(preprocess)))
    if preprocess in _IMAGENET_STYLES:
        return _imagenet_style(preprocess)
    if preprocess == "auto":
        return _known(model)
    raise PreprocessError(
        f"preprocess={preprocess!r} was asked for.",
        "Known words: 'auto', 'caffe', 'tf', 'torch', None.",
        "Take one of these, or pass a callable of a (B, H, W, C) batch of pixels 0..255.",
        _READ,
    )


def unknown(model: Any) -> PreprocessError:
    """Return the error for a picture given to a model whose preprocessing nobody knows."""
    return PreprocessError(
        f"A picture was to be preprocessed for model {model.name!r}.",
        "It is not a keras.applications network by name, and no layer of it rescales.",
        "Say how: explain(..., preprocess=lambda x: x / 255) gets a float32 batch (B, H, W, C) of "
        "pixels 0..255; preprocess=None leaves them; a float array counts as preprocessed.",
        _READ,
    )


def network(model: Any) -> str | None:
    """Return the module of keras.applications that the model's name belongs to, if any."""
    name = model.name.lower()
    return next((module for form, module in _NETWORKS if re.fullmatch(form, name)), None)


def _known(model: Any) -> Preprocess | None:
    import keras

    module = network(model)
    registered = keras.saving.get_registered_name
    if any(
        type(layer).__name__ in _RESCALING or registered(type(layer)) == _PIXELS
        for _, layer in walk(model)
    ):
        return Preprocess(name="none (the model rescales)")
    if module == "efficientnet_lite0":
        from keras_saliency.pretrained.efficientnet_lite0 import preprocess_input

        return Preprocess(preprocess_input, name="efficientnet_lite0")
    if module is not None:
        function = getattr(keras.applications, module).preprocess_input
        # The arrays here are channels-last whatever the model's layout is.
        return Preprocess(
            lambda x: function(x, data_format="channels_last"), name=f"keras.applications.{module}"
        )
    return None


def _imagenet_style(mode: str) -> Preprocess:
    from keras.applications.imagenet_utils import preprocess_input

    return Preprocess(
        lambda x: preprocess_input(x, data_format="channels_last", mode=mode), name=mode
    )


def class_names(model: Any) -> tuple[str, ...] | None:
    """Return ImageNet's class names for a known network with 1000 outputs, else None."""
    known = network(model) is not None or model.name.lower().startswith("squeezenet")
    if not known or tuple(getattr(model, "output_shape", ()))[1:] != (1000,):
        return None
    from keras_saliency.pretrained import class_names

    return class_names()
