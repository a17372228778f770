"""Networks and tasks whose preprocessing of pixels is known."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency._inputs.geometry import Geometry
from keras_saliency.errors import PreprocessError

_CLASSES = 1000  # ImageNet's


@dataclass(frozen=True)
class Network:
    """How a family of networks is recognised.

    Attributes:
        module: That of ``keras.applications`` that preprocesses for it, or the network's own name.
        stem: Name, kernel size, strides and filters of the first convolution; None: any.
        layers: Names and classes of some of its layers, from all its depth. A name that begins
            with ``*`` is an ending.
        without: A name that only a relative of it has.
    """

    module: str
    stem: tuple[str | None, int, int, int | None]
    layers: dict[str, str]
    without: str | None = None

    def is_in(self, children: dict[str, Any], stem: Any = None) -> bool:
        """Whether this network lies among layers (by name), beginning with the layer ``stem``."""
        if self.without in children:
            return False
        if not all(_has(children, name, kind) for name, kind in self.layers.items()):
            return False
        name, kernel, strides, filters = self.stem
        stem = stem or children.get(name or "")
        if stem is None:
            return name is None
        return (
            name in (None, stem.name)
            and tuple(getattr(stem, "kernel_size", ())) == (kernel, kernel)
            and tuple(getattr(stem, "strides", ())) == (strides, strides)
            and filters in (None, stem.filters)
        )


def _has(children: dict[str, Any], name: str, kind: str) -> bool:
    if name.startswith("*"):
        return any(one.endswith(name[1:]) for one in children)
    return name in children and type(children[name]).__name__ == kind


def _all(kind: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, kind)


_CONV = "Conv2D"
_APPLICATIONS = (
    Network(
        "vgg16", ("block1_conv1", 3, 1, 64),
        _all(_CONV, "block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
        without="block5_conv4",
    ),
    Network(
        "vgg19", ("block1_conv1", 3, 1, 64),
        _all(_CONV, "block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"),
    ),
    Network(
        "resnet", ("conv1_conv", 7, 2, 64),
        _all(_CONV, "conv2_block1_0_conv", "conv3_block4_3_conv", "conv5_block3_3_conv")
        | _all("BatchNormalization", "conv1_bn", "conv5_block3_3_bn"),
    ),
    Network(
        "resnet_v2", ("conv1_conv", 7, 2, 64),
        _all(_CONV, "conv2_block1_0_conv", "conv3_block4_3_conv", "conv5_block3_3_conv")
        | _all("BatchNormalization", "conv2_block1_preact_bn", "post_bn"),
        without="conv1_bn",
    ),
    Network(
        "mobilenet", ("conv1", 3, 2, None),
        _all("DepthwiseConv2D", "conv_dw_1", "conv_dw_13")
        | _all(_CONV, "conv_pw_1", "conv_pw_6", "conv_pw_13"),
    ),
    Network(
        "mobilenet_v2", ("Conv1", 3, 2, None),
        _all("DepthwiseConv2D", "expanded_conv_depthwise", "block_16_depthwise")
        | _all(_CONV, "block_1_expand", "block_16_project", "Conv_1"),
    ),
    Network(
        "inception_v3", (None, 3, 2, 32),
        _all("Concatenate", "mixed0", "mixed3", "mixed8", "mixed9", "mixed10"),
    ),
    Network(
        "inception_resnet_v2", (None, 3, 2, 32),
        {"mixed_5b": "Concatenate", "mixed_6a": "Concatenate", "mixed_7a": "Concatenate"}
        | {"block35_10_conv": _CONV, "block17_20_conv": _CONV, "conv_7b": _CONV},
    ),
    Network(
        "xception", ("block1_conv1", 3, 2, 32),
        _all("SeparableConv2D", "block2_sepconv1", "block8_sepconv3", "block14_sepconv2"),
    ),
    Network(
        "densenet", ("conv1_conv", 7, 2, 64),
        _all(_CONV, "conv2_block1_1_conv", "conv5_block16_2_conv")
        | {"pool4_conv": _CONV, "bn": "BatchNormalization"},
    ),
    Network(
        "nasnet", ("stem_conv1", 3, 2, None),
        _all(_CONV, "reduction_conv_1_stem_1", "adjust_conv_projection_stem_2"),
    ),
)  # fmt: skip
# These rescale by themselves, so their preprocess_input is the identity. Where built otherwise
# (include_preprocessing=False), their input range is unknown.
_RESCALING = (
    Network(
        "mobilenet_v3", ("conv", 3, 2, 16),
        _all(_CONV, "expanded_conv_project", "expanded_conv_10_project", "conv_1"),
    ),
    Network(
        "efficientnet", ("stem_conv", 3, 2, None),
        _all(_CONV, "block1a_se_reduce", "block7a_project_conv", "top_conv"),
    ),
    Network(
        "efficientnet_v2", ("stem_conv", 3, 2, None),
        _all(_CONV, "block1a_project_conv", "block4a_se_reduce", "top_conv"),
        without="block1a_se_reduce",
    ),
    Network(
        "convnext", (None, 4, 4, None),
        _all("", "*_stem", "*_stage_0_block_0_depthwise_conv", "*_stage_3_block_2_layer_scale"),
    ),
)  # fmt: skip
_OTHERS = (
    Network(
        "efficientnet_lite0", ("stem_conv", 3, 2, 32),
        {"block1a_dw_conv": "DepthwiseConv2D", "block7a_project_conv": _CONV, "head_conv": _CONV},
        without="block1a_se_reduce",
    ),
    Network(
        "squeezenet", ("conv1", 3, 2, 64),
        _all(_CONV, "fire2_squeeze1x1", "fire5_expand3x3", "fire9_expand3x3", "conv10"),
    ),
)  # fmt: skip


def recognised(stem: Any, parent: Any) -> str | None:
    """Return the network that begins with a layer, by the layers beside it; None: not known.

    Args:
        stem: The first layer with weights.
        parent: The model that contains it.

    Returns:
        A module of ``keras.applications`` whose ``preprocess_input`` does something, or
        ``"efficientnet_lite0"``.
    """
    children = _children(parent)
    known = (*_APPLICATIONS, _OTHERS[0])
    return next((one.module for one in known if one.is_in(children, stem)), None)


def class_names(model: Any) -> tuple[str, ...] | None:
    """Return ImageNet's class names for a known network with its own 1000 outputs, else None."""
    if tuple(getattr(model, "output_shape", None) or ())[1:] != (_CLASSES,):
        return None
    children = _children(model)
    own_top = "predictions" in children or _has(children, "*_head_dense", "Dense")
    known = (*_APPLICATIONS, *_RESCALING, *_OTHERS)
    if not own_top or not any(one.is_in(children) for one in known):
        return None
    from keras_saliency.pretrained import class_names

    return class_names()


def _children(container: Any) -> dict[str, Any]:
    return {layer.name: layer for layer in getattr(container, "layers", ())}


_READ = "help(keras_saliency.Preprocess)"
_INSTEAD = "or pass explain(preprocess=...), which replaces the task's preprocessor."


@dataclass(frozen=True)
class Converter:
    """The image converter of a keras_hub task.

    Attributes:
        task: The task's name.
        converter: A ``keras_hub.layers.ImageConverter``: resizes, scales, offsets. None leaves
            pictures as they are.
        as_float: Whether ``task.predict`` resizes without rounding to whole pixels. It does where
            its pipeline is TensorFlow's, and does not where it is grain's.
    """

    task: str
    converter: Any
    as_float: bool

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that it resizes to; None where it does not resize."""
        size = getattr(self.converter, "image_size", None)
        return None if size is None else (int(size[0]), int(size[1]))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return model input (B, h, w, C) float32 for pixels 0..255 (B, H, W, C)."""
        import keras

        if self.converter is None:
            return pixels.astype("float32")
        first = self.converter.data_format == "channels_first"
        given = np.moveaxis(pixels, -1, 1) if first else pixels
        kinds = ("float32",) if self.as_float else ("uint8", "float32")
        for kind in kinds:
            try:
                result = self.converter(given.astype(kind))
                break
            except Exception as error:
                if kind == kinds[-1]:
                    raise PreprocessError(
                        f"The preprocessor of keras_hub task {self.task!r} does not run on "
                        f"{keras.config.backend()}.",
                        f"{type(error).__name__}: {str(error).splitlines()[0]}",
                        f"Change its image_converter, {_INSTEAD}",
                        _READ,
                    ) from error
        array = keras.ops.convert_to_numpy(result)
        return (np.moveaxis(array, 1, -1) if first else array).astype("float32", copy=False)

    def geometry(self, original: tuple[int, int]) -> Geometry:
        """Return which window of a picture fills the model's input, as keras.ops.image.resize."""
        (height, width), size = original, self.size or original
        rows, columns = size
        if size == original:
            return Geometry.fitted(original, size)
        down, across = int(width * rows / columns), int(height * columns / rows)
        if self.converter.crop_to_aspect_ratio:
            h, w = max(min(height, down), 1), max(min(width, across), 1)
            top, left = int((height - h) / 2), int((width - w) / 2)
        elif self.converter.pad_to_aspect_ratio:
            h, w = max(height, down), max(width, across)
            top, left = -int((h - height) / 2), -int((w - width) / 2)
            h, w = height - 2 * top, width - 2 * left  # equal padding at opposite edges
        else:
            top, left, h, w = 0, 0, height, width
        return Geometry(original, size, (float(top), float(left), float(h), float(w)))

    def findings(self, original: tuple[int, int]) -> tuple[str, ...]:
        """Return why the score of a picture may differ from that of ``task.predict``."""
        import keras

        if self.size in (None, original):
            return ()
        bicubic = self.converter.interpolation == "bicubic" and not self.converter.antialias
        if not (bicubic and keras.config.backend() == "torch" and self.as_float):
            return ()
        return (
            "task.predict resizes in TensorFlow, whose bicubic interpolation differs from "
            "PyTorch's: its score may differ in the second digit",
        )


def converter(model: Any) -> Converter | None:
    """Return the image converter of a keras_hub task; None without such a preprocessor.

    Raises:
        PreprocessError: The task's preprocessor does more than convert images.
    """
    preprocessor = task_preprocessor(model)
    if preprocessor is None:
        return None
    images = getattr(preprocessor, "image_converter", None)
    known = _base(images, "ImageConverter")
    plain = images is None or (known is not None and type(images).call is known.call)
    if not plain or not _module(preprocessor).startswith("keras_hub."):
        raise PreprocessError(
            f"Expected the preprocessor of keras_hub task {model.name!r} to only convert images.",
            f"Got {type(preprocessor).__qualname__} with image converter "
            f"{type(images).__qualname__}, whose geometry is unknown.",
            "Give the task a keras_hub.layers.ImageConverter, " + _INSTEAD,
            _READ,
        )
    pipeline = _base(model, "PipelineModel")
    module = sys.modules.get(getattr(pipeline, "__module__", ""))
    return Converter(model.name, images, getattr(module, "grain", None) is None)


def task_preprocessor(model: Any) -> Any:
    """Return the preprocessor of a keras_hub task; None where the model is none or has none."""
    return getattr(model, "preprocessor", None) if _base(model, "Task") is not None else None


def _base(value: Any, name: str) -> Any:
    """Return keras_hub's class of that name among the bases of a value, else None."""
    for kind in type(value).__mro__:
        if kind.__name__ == name and kind.__module__.split(".")[0] == "keras_hub":
            return kind
    return None


def _module(layer: Any) -> str:
    return getattr(getattr(type(layer), "call", None), "__module__", "")
