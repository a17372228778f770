"""One call of a layer: its output, whether it lies between input and score, whether it is a map."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency._graph import probing
from keras_saliency._hooks import intercept, is_builtin_keras_layer


@dataclass(frozen=True)
class Call:
    """One call of one layer during a run: the ``index``-th of that layer, of output ``shape``.

    Of several outputs it is the first. The run has one picture, so a layer with another number of
    output rows has cut it up, and no row is a picture. Calls since number ``begins`` are inside
    this one. The layer is held weakly: a cached survey must not hold a model alive.

    Attributes:
        path: The layer's path.
        index: Which call of this layer it is, from 0.
        calls: How often the layer is called in all.
        shape: Of the output, with the batch axis.
        channels_first: Whether (B, C, h, w).
        reference: The layer, weakly.
        begins: Number of the first call inside this one.
        number: Its own number, in the order in which calls ended.
        same_as: Number of the first call that returned the same tensor.
        is_reached: Whether the output depends on the explained input.
        contributes: Whether the score depends on the output.
        has_features: Whether a trained kernel lies between the input and the output.
        is_kernel: Whether the layer itself holds one.
        is_end: Whether the output is the model's own, or its logits.
        is_map: Whether the output is a map of the picture: followed from the input layer by layer,
            or measured (`keras_saliency._graph.probing`).
        grid: Positions of the picture's tokens, of (B, T, D).
    """

    path: str
    index: int
    calls: int
    shape: tuple[int | None, ...]
    channels_first: bool
    reference: weakref.ref[Any]
    begins: int
    number: int
    same_as: int
    is_reached: bool
    contributes: bool
    has_features: bool
    is_kernel: bool
    is_end: bool
    is_map: bool = False
    grid: probing.Grid | None = None

    @property
    def layer(self) -> Any:
        """The layer itself."""
        return self.reference()

    @property
    def name(self) -> str:
        """The path, with the number of the call where the layer is called more than once."""
        return f"{self.path}@{self.index}" if self.calls > 1 else self.path

    @property
    def is_by_picture(self) -> bool:
        """Whether the output has a row for each picture."""
        return self.shape[:1] in ((1,), (None,))

    @property
    def may_be_map(self) -> bool:
        """Whether the output has the shape of a map larger than 1x1, or of tokens."""
        if not self.is_by_picture or len(self.shape) not in (3, 4):
            return False
        if len(self.shape) == 3:
            return (self.shape[1] or 0) > 3
        return max(self.size) > 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a map."""
        height, width = self.shape[2:4] if self.channels_first else self.shape[1:3]
        return height or 1, width or 1

    def to_map(self, output: np.ndarray) -> np.ndarray:
        """Return an output of this call as (B, h, w, K)."""
        if self.grid is not None:
            return self.grid.to_map(output)
        return np.moveaxis(output, 1, -1) if self.channels_first else output

    def from_map(self, maps: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return (B, h, w, K) as an output of this call; other tokens stay as in ``output``."""
        if self.grid is not None:
            return self.grid.from_map(maps, output)
        return np.moveaxis(maps, -1, 1) if self.channels_first else maps


@dataclass(frozen=True)
class Measured:
    """The measurement of a call.

    Attributes:
        call: The call as a map; None where its cells do not follow the picture's positions.
        reason: Why it is no map between input and score; ``""`` where it is one.
    """

    call: Call | None
    reason: str = ""


def as_map(call: Call, grid: probing.Grid | None = None) -> Call:
    """Return a call as the map that it was measured to be."""
    return replace(call, is_map=True, grid=grid)


@contextlib.contextmanager
def tap(call: Call, handler: Callable[[Any], Any]) -> Iterator[None]:
    """Replace the first output of just this one call by ``handler(output)`` while a model runs."""
    import keras

    count = 0

    def count_then_handle(original, *args, **kwargs):
        nonlocal count
        output = original(*args, **kwargs)
        count += 1
        if count != call.index + 1:
            return output
        first, *others = keras.tree.flatten(output)
        return keras.tree.pack_sequence_as(output, [handler(first), *others])

    with intercept([(call.layer, count_then_handle)]):
        yield


def without_remat(operations: Iterable[Any]) -> contextlib.AbstractContextManager[None]:
    """Run layers and operations plainly where they are set to compute their outputs twice.

    Rematerialisation saves memory in training; Keras' way of doing it on TensorFlow fails inside a
    graph on every layer called with keywords.
    """
    remat = [operation for operation in operations if getattr(operation, "_remat_mode", None)]
    return intercept([(operation, _as_it_is) for operation in remat])


def _as_it_is(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*args, **kwargs)


# All of these preserve the positions of (B, h, w, C), or their proportions.
_WINDOWED = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "MaxPooling2D",
             "AveragePooling2D", "UpSampling2D", "ZeroPadding2D", "SpatialDropout2D")  # fmt: skip
_POINTWISE = (
    "Activation", "Add", "Average", "BatchNormalization", "CustomScaleLayer", "Dropout", "ELU",
    "GELU", "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity", "LayerScale",
    "LeakyReLU", "Maximum", "Minimum", "Multiply", "Normalization", "PReLU", "ReLU", "Rescaling",
    "StochasticDepth", "Subtract",
    # operations of a graph
    "Absolute", "Cast", "Clip", "Divide", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSilu",
    "LeakyRelu", "Log", "Negative", "Power", "Relu", "Relu6", "Selu", "Sigmoid", "Silu",
    "Softplus", "Sqrt", "Square", "Tanh", "TrueDivide",
)  # fmt: skip
_ON_CHANNELS = ("Dense", "LayerNormalization", "RMSNormalization", "UnitNormalization")
_WIDEST = 0.25  # of a map's height or width may be padding that no convolution has removed


@dataclass(frozen=True)
class Followed:
    """A map of the picture, as far as layers show.

    Attributes:
        channels_first: Whether it is (B, C, h, w).
        padding: Rows and columns, at both edges together, that lie beyond the picture.
    """

    channels_first: bool
    padding: tuple[float, float] = (0.0, 0.0)

    def is_whole(self, shape: tuple[int | None, ...]) -> bool:
        """Whether an output of this shape is a map of the picture and little else."""
        sizes = shape[2:] if self.channels_first else shape[1:3]
        return all(
            pad <= _WIDEST * (size or 1) for pad, size in zip(self.padding, sizes, strict=True)
        )


def after(
    operation: Any, inputs: list[Any], output: Any, known: dict[int, Followed]
) -> Followed | None:
    """Return an output as a map of the picture, where it provably is one.

    Args:
        operation: The Keras layer or operation.
        inputs: Its tensors.
        output: Its output.
        known: By id, the tensors that are maps.
    """
    maps = [known[id(one)] for one in inputs if id(one) in known]
    layouts = {one.channels_first for one in maps}
    shape = tuple(getattr(output, "shape", ()))
    if not is_builtin_keras_layer(operation) or len(shape) != 4 or len(layouts) != 1:
        return None
    (first,) = layouts
    others = [one for one in inputs if id(one) not in known]
    if not all(_broadcasts(one, first) for one in others):
        return None
    name = type(operation).__name__
    rows, columns = (max(one.padding[axis] for one in maps) for axis in (0, 1))
    same = Followed(first, (rows, columns))
    if name in _WINDOWED:
        layout = getattr(operation, "data_format", None)
        if layout not in (None, "channels_first" if first else "channels_last"):
            return None
        return Followed(first, _padding(operation, name, (rows, columns)))
    if name in _ON_CHANNELS:
        return same if not first and _is_last(getattr(operation, "axis", -1)) else None
    if name == "Concatenate":
        return same if operation.axis % 4 == (1 if first else 3) else None
    return same if name in _POINTWISE else None


def _padding(operation: Any, name: str, before: tuple[float, float]) -> tuple[float, float]:
    """Return the padding after a layer with a window."""
    if name == "ZeroPadding2D":
        (top, bottom), (left, right) = operation.padding
        return before[0] + top + bottom, before[1] + left + right
    if name == "UpSampling2D":
        return before[0] * operation.size[0], before[1] * operation.size[1]
    if name == "SpatialDropout2D":
        return before
    window = getattr(operation, "kernel_size", None) or operation.pool_size
    dilation = getattr(operation, "dilation_rate", 1)
    dilations = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    strides = (
        operation.strides if isinstance(operation.strides, tuple) else (operation.strides,) * 2
    )
    if name == "Conv2DTranspose":
        return before[0] * strides[0], before[1] * strides[1]
    valid = operation.padding == "valid"
    taken = [
        (size - 1) * dilation if valid else 0
        for size, dilation in zip(window, dilations, strict=True)
    ]
    rows, columns = (
        max(0.0, pad - less) / stride
        for pad, less, stride in zip(before, taken, strides, strict=True)
    )
    return rows, columns


def _broadcasts(tensor: Any, channels_first: bool) -> bool:
    """Whether a tensor beside a map is equal at all positions: (B, 1, 1, C), (C,) or a number."""
    shape = tuple(getattr(tensor, "shape", ()))
    if len(shape) == 4:
        return (shape[2:] if channels_first else shape[1:3]) == (1, 1)
    return len(shape) == 0 or (len(shape) == 1 and not channels_first)


def _is_last(axis: Any) -> bool:
    return (axis if isinstance(axis, int) else list(axis)) in (-1, 3, [-1], [3])
