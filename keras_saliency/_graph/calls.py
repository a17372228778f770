"""One call of a layer: its output, whether it lies between input and score, whether it is a map."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency._backend.hooks import intercept, is_builtin_keras_layer
from keras_saliency._graph import probing


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
        axes: Number of spatial axes of the explained input, which a map has as well.
        frames: In a ``TimeDistributed`` layer, the number of steps it is called for: this call is
            the first of as many, and ``shape`` that of all, (B, frames, ...).
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
    axes: int = 2
    frames: int | None = None

    @property
    def layer(self) -> Any:
        """The layer itself."""
        return self.reference()

    @property
    def name(self) -> str:
        """The path, with the number of the call where the layer is called more than once."""
        several = self.calls > 1 if self.frames is None else self.calls > self.frames
        return f"{self.path}@{self.index}" if several else self.path

    @property
    def is_by_picture(self) -> bool:
        """Whether the output has a row for each picture."""
        return self.shape[:1] in ((1,), (None,))

    @property
    def may_be_map(self) -> bool:
        """Whether the output has the shape of a map larger than 1x1, or of tokens."""
        if not self.is_by_picture:
            return False
        if self.has_map_shape:
            return max(self.size) > 1
        return self.axes == 2 and len(self.shape) == 3 and (self.shape[1] or 0) > 3

    @property
    def has_map_shape(self) -> bool:
        """Whether the output has the axes of a map, not of tokens."""
        return len(self.shape) == self.axes + 2

    @property
    def size(self) -> tuple[int, ...]:
        """Sizes of a map, as (height, width)."""
        first = self._first_axis
        return tuple(axis or 1 for axis in self.shape[first : first + self.axes])

    @property
    def _first_axis(self) -> int:
        return 2 if self.channels_first and self.frames is None else 1

    def to_map(self, output: np.ndarray) -> np.ndarray:
        """Return an output of this call as (B, *size, K)."""
        if self.grid is not None:
            return self.grid.to_map(output)
        return np.moveaxis(output, self._channel_axis, -1) if self.channels_first else output

    def from_map(self, maps: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return (B, *size, K) as an output of this call; other tokens stay as in ``output``."""
        if self.grid is not None:
            return self.grid.from_map(maps, output)
        return np.moveaxis(maps, -1, self._channel_axis) if self.channels_first else maps

    @property
    def _channel_axis(self) -> int:
        return 1 if self.frames is None else 2


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


class Tap:
    """What passed at a call during a run."""

    def __init__(self) -> None:
        """Start empty."""
        self.outputs: list[Any] = []

    def joined(self, call: Call) -> Any:
        """Return the call's output before the handler; of several frames, (B, frames, ...)."""
        from keras import ops

        return self.outputs[0] if call.frames is None else ops.stack(self.outputs, axis=1)


@contextlib.contextmanager
def tap(call: Call, handler: Callable[[Any, Any], Any], replacing: Any = None) -> Iterator[Tap]:
    """Replace the first output of just this one call while a model runs.

    Args:
        call: The call; of one with frames, each of these is replaced.
        handler: ``handler(output, part)`` returns what replaces the output.
        replacing: Its ``part``, a tensor of the whole call's shape, (B, frames, ...) of several.
    """
    import keras

    seen, count = Tap(), 0

    def count_then_handle(original, *args, **kwargs):
        nonlocal count
        output = original(*args, **kwargs)
        frame = count - call.index
        count += 1
        if not 0 <= frame < (call.frames or 1):
            return output
        first, *others = keras.tree.flatten(output)
        seen.outputs.append(first)
        part = replacing if call.frames is None or replacing is None else replacing[:, frame]
        return keras.tree.pack_sequence_as(output, [handler(first, part), *others])

    with intercept([(call.layer, count_then_handle)]):
        yield seen


def without_remat(operations: Iterable[Any]) -> contextlib.AbstractContextManager[None]:
    """Run layers and operations plainly where they are set to compute their outputs twice.

    Rematerialisation saves memory in training; Keras' way of doing it on TensorFlow fails inside a
    graph on every layer called with keywords.
    """
    remat = [operation for operation in operations if getattr(operation, "_remat_mode", None)]
    return intercept([(operation, _as_it_is) for operation in remat])


def _as_it_is(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return original(*args, **kwargs)


# All of these preserve the positions of (B, h, w, C), or their proportions; {} is the number of
# spatial axes, as in Conv2D.
_WINDOWED = ("Conv{}D", "DepthwiseConv{}D", "SeparableConv{}D", "Conv{}DTranspose",
             "MaxPooling{}D", "AveragePooling{}D", "UpSampling{}D", "ZeroPadding{}D",
             "SpatialDropout{}D")  # fmt: skip
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "Bidirectional")  # one output a step
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
        padding: Rows and columns, at both edges together, that lie beyond the picture; one number
            for each spatial axis.
    """

    @property
    def axes(self) -> int:
        """The number of spatial axes."""
        return len(self.padding)

    channels_first: bool
    padding: tuple[float, ...] = (0.0, 0.0)

    def is_whole(self, shape: tuple[int | None, ...]) -> bool:
        """Whether an output of this shape is a map of the picture and little else."""
        sizes = shape[2:] if self.channels_first else shape[1:-1]
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
    kinds = {(one.channels_first, one.axes) for one in maps}
    shape = tuple(getattr(output, "shape", ()))
    if not is_builtin_keras_layer(operation) or len(kinds) != 1:
        return None
    ((first, axes),) = kinds
    others = [one for one in inputs if id(one) not in known]
    if len(shape) != axes + 2 or not all(_broadcasts(one, first, axes) for one in others):
        return None
    name = type(operation).__name__
    same = Followed(first, tuple(max(one.padding[axis] for one in maps) for axis in range(axes)))
    if name == f"ConvLSTM{axes - 1}D" and _is_in_order(operation) and not first:
        return Followed(first, (same.padding[0], *_padding(operation, same.padding[1:])))
    if name in [one.format(axes) for one in _WINDOWED]:
        layout = getattr(operation, "data_format", None)
        if layout not in (None, "channels_first" if first else "channels_last"):
            return None
        return Followed(first, _padding(operation, same.padding))
    if name in _RECURRENT:
        return same if axes == 1 and _is_in_order(operation) else None
    if name in _ON_CHANNELS:
        return same if not first and _is_last(getattr(operation, "axis", -1), axes) else None
    if name == "Concatenate":
        return same if operation.axis % (axes + 2) == (1 if first else axes + 1) else None
    return same if name in _POINTWISE else None


def _is_in_order(operation: Any) -> bool:
    """Whether a recurrent layer returns one output for each step, in the order of the steps."""
    return operation.return_sequences and not getattr(operation, "go_backwards", False)


def _padding(operation: Any, before: tuple[float, ...]) -> tuple[float, ...]:
    """Return the padding after a layer with a window."""
    name, count = type(operation).__name__, len(before)

    def by_axis(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, tuple | list) else (value,) * count

    if name.startswith("ZeroPadding"):
        padding = operation.padding if count > 1 else [by_axis(operation.padding)]
        sums = [sum(one) if isinstance(one, tuple | list) else 2 * one for one in padding]
        return tuple(pad + more for pad, more in zip(before, sums, strict=True))
    if name.startswith("UpSampling"):
        factors = by_axis(operation.size)
        return tuple(pad * factor for pad, factor in zip(before, factors, strict=True))
    if name.startswith("SpatialDropout"):
        return before
    strides = by_axis(operation.strides)
    if name.endswith("Transpose"):
        return tuple(pad * stride for pad, stride in zip(before, strides, strict=True))
    window = by_axis(getattr(operation, "kernel_size", None) or operation.pool_size)
    dilations = by_axis(getattr(operation, "dilation_rate", 1))
    valid = operation.padding == "valid"
    taken = [
        (size - 1) * dilation if valid else 0
        for size, dilation in zip(window, dilations, strict=True)
    ]
    return tuple(
        max(0.0, pad - less) / stride
        for pad, less, stride in zip(before, taken, strides, strict=True)
    )


def _broadcasts(tensor: Any, channels_first: bool, axes: int) -> bool:
    """Whether a tensor beside a map is equal at all positions: (B, 1, 1, C), (C,) or a number."""
    shape = tuple(getattr(tensor, "shape", ()))
    if len(shape) == axes + 2:
        return (shape[2:] if channels_first else shape[1:-1]) == (1,) * axes
    return len(shape) == 0 or (len(shape) == 1 and not channels_first)


def _is_last(axis: Any, axes: int) -> bool:
    (axis,) = [axis] if isinstance(axis, int) else axis if len(axis) == 1 else [0]
    return axis in (-1, axes + 1)
