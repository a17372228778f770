"""A model's own scaling of pixels before its first weights: none, a rescaling, or unclear.

Four flat pictures (black, white, a colour, a grey) go through the operations that lie between the
explained input and the first layers with weights, and through no others. The values there show
whether the model rescales pixels 0..255, whatever those operations are: ``Rescaling``,
``Normalization``, a ``preprocess_input`` inside the graph, or arithmetic in a ``call``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from keras_saliency._backend.hooks import intercept
from keras_saliency._graph import walk
from keras_saliency._graph.adapter import Adapter, InputLayout
from keras_saliency._graph.ends import nodes_by_input, symbolic

Kind = Literal["none", "rescales", "unclear"]

_COLOUR = (10.0, 90.0, 170.0, 250.0)
_GREY = 64.0
_OFF = 0.01  # of the span: how far grey may lie from the line between black and white
_FREE = 32  # height and width of the flat pictures where the model takes any
# A model made for 0..1 or -1..1 turns 0..255 into a span of 127.5, as (x + 1) / 2 does, or more; of
# 64, if it takes a quarter (Haar). One made for pixels shrinks them to a few units, or only moves
# their middle to 0 (caffe).
_SHRUNK, _MOVED, _MIDDLE = 32.0, 256.0, -32.0


@dataclass(frozen=True)
class First:
    """A layer with weights that sees the picture before any other does.

    Attributes:
        layer: The layer.
        parent: The model or layer that it is directly inside.
        values: (4, ...) what reaches it from a black, a white, a coloured and a grey picture;
            channels last where it takes maps.
    """

    layer: Any
    parent: Any
    values: np.ndarray


@dataclass(frozen=True)
class Scaling:
    """The scaling of pixels 0..255 before the first weights.

    Attributes:
        kind: ``"none"`` (they arrive unchanged), ``"rescales"`` (the model is made for pixels)
            or ``"unclear"`` (another change, or one that could not be followed).
        firsts: The layers where they arrive.
        low: The smallest number that arrives from black or white.
        high: The largest.
    """

    kind: Kind
    firsts: tuple[First, ...] = ()
    low: float = float("nan")
    high: float = float("nan")


def scaling(
    adapter: Adapter,
    explained: int = 0,
    shape: tuple[int | None, ...] | None = None,
    extra_inputs: Sequence[np.ndarray] = (),
    packing: InputLayout | None = None,
) -> Scaling:
    """Return what a built model does to the pixels of one of its inputs before its first weights.

    Args:
        adapter: The model.
        explained: Which of its inputs takes the picture.
        shape: (H, W, C) of the picture, for a model that does not say what it takes.
        extra_inputs: Arrays for its other inputs. Only a model that is no graph needs them.
        packing: How a model that is no graph is called.
    """
    import keras

    model = adapter.model
    try:
        with keras.StatelessScope():  # no run can write a variable
            if symbolic(model) is None:
                flat = _flat(adapter.inputs[0].shape or shape or (None, None, 3))
                rows = [np.repeat(one[:1], len(flat), axis=0) for one in extra_inputs]
                run = partial(adapter.forward, flat, rows, packing or InputLayout())
                firsts: tuple[First, ...] = (_first_call(model, run),)
            else:
                firsts = tuple(_firsts(model, model, explained, _as_taken(adapter, explained)))
    except Exception:  # it does not run on these pictures
        return Scaling("unclear")
    # Values that are equal for every picture, such as a mask of its pixels, carry no information.
    firsts = tuple(one for one in firsts if np.ptp(one.values, axis=0).any())
    if not firsts:
        return Scaling("unclear")
    ends = [first.values[:2] for first in firsts]
    low, high = min(float(one.min()) for one in ends), max(float(one.max()) for one in ends)
    kinds = {_kind(first.values) for first in firsts}
    return Scaling(kinds.pop() if len(kinds) == 1 else "unclear", firsts, low, high)


def _flat(shape: tuple[int | None, ...]) -> np.ndarray:
    """Return a black, a white, a coloured and a grey picture: (4, H, W, C) for (H, W[, C]).

    Of videos, (T, H, W, C), each frame is such a picture: (4, T, H, W, C).
    """
    if len(shape) == 4:
        return np.repeat(_flat(shape[1:])[:, None], shape[0] or 2, axis=1)
    height, width, channels = shape[0] or _FREE, shape[1] or _FREE, (*shape, 1)[2] or 3
    colours = [np.full(channels, level) for level in (0.0, 255.0, 0.0, _GREY)]
    colours[2] = np.resize(_COLOUR, channels)
    return np.tile(np.array(colours, "float32")[:, None, None], (1, height, width, 1))


def _as_taken(adapter: Adapter, explained: int) -> np.ndarray:
    """Return the flat pictures in the layout that one input of a graph has."""
    shape = adapter.inputs[explained].shape or (None, None, 3)
    if len(shape) == 2:
        return _flat(shape)[..., 0]
    if adapter.channels_first and len(shape) == 3:
        return np.moveaxis(_flat((*shape[1:], shape[0])), -1, 1)
    return _flat(shape)


def _kind(values: np.ndarray) -> Kind:
    black, white, colour, grey = (_pixel(one) for one in values)
    if not np.isfinite([black, white, colour, grey]).all():
        return "unclear"
    # Affine, whatever it does to the channels. A step that saturates (a clip at 1, tanh) is not.
    line = black + (white - black) * _GREY / 255
    if np.abs(grey - line).max() > _OFF * np.abs(white - black).max():
        return "unclear"
    if np.allclose(black, 0) and np.allclose(white, 255):
        return "none" if np.allclose(colour, np.resize(_COLOUR, len(colour)), atol=1) else "unclear"
    span = float(np.abs(white - black).max())
    moved = span <= _MOVED and min(black.min(), white.min()) <= _MIDDLE
    return "rescales" if 0 < span <= _SHRUNK or moved else "unclear"


def _pixel(flat: np.ndarray) -> np.ndarray:
    """Return the channels of one pixel of a flat picture, away from its border: that is padded."""
    if flat.ndim in (3, 4):
        return flat[tuple(size // 2 for size in flat.shape[:-1])]
    return flat.reshape(-1)[:3]  # cut into patches, or flattened


# ---------------------------------------------------------------------- following the picture


def _firsts(operation: Any, parent: Any, index: int, values: Any) -> Iterator[First]:
    """Yield where ``values``, input number ``index`` of ``operation``, reach weights first."""
    tensors = symbolic(operation)
    if tensors is not None:
        source = tensors[0][index]
        reached = _frontier(source, tensors[1])
        arriving = _run(source, [node.input_tensors[i] for node, i in reached], values)
        for (node, i), arrived in zip(reached, arriving, strict=True):
            yield from _firsts(node.operation, operation, i, arrived)
    elif any(_has_weights(layer) for _, layer in walk(operation)):
        yield _first_call(operation, partial(operation, values, training=False))
    else:
        yield First(operation, parent, _numpy(operation, values))


def _frontier(source: Any, outputs: list[Any]) -> list[tuple[Any, int]]:
    """Return the calls with weights, and their inputs, that are reached without any other."""
    consumers = nodes_by_input(outputs)
    reached: dict[tuple[int, int], tuple[Any, int]] = {}
    passed: set[int] = set()
    pending = [source]
    while pending:
        for node, i in consumers.get(id(pending.pop()), []):
            if _has_weights(node.operation):
                reached[id(node), i] = (node, i)
            elif id(node) not in passed:
                passed.add(id(node))
                pending.extend(node.output_tensors)
    return list(reached.values())


def _has_weights(operation: Any) -> bool:
    """Whether it has weights beside the statistics of Normalization layers."""
    import keras

    weights = getattr(operation, "weights", None)
    if not weights or isinstance(operation, keras.layers.Normalization):
        return False
    inside = [
        layer for _, layer in walk(operation) if isinstance(layer, keras.layers.Normalization)
    ]
    statistics = {id(weight) for layer in inside for weight in layer.weights}
    return any(id(weight) not in statistics for weight in weights)


def _run(source: Any, tensors: list[Any], values: Any) -> list[Any]:
    import keras

    if all(tensor is source for tensor in tensors):
        return [values] * len(tensors)
    # A name of its own: Keras numbers the others, and the user's next model is among them.
    before = keras.Model(source, tensors, name="before_weights")
    return keras.tree.flatten(before(values, training=False))


class _Arrived(Exception):
    """A picture has reached a layer with weights."""


def _first_call(operation: Any, run: Callable[[], Any]) -> First:
    """Run what is no graph until the first layer with weights inside it sees the picture."""
    arrived: list[First] = []
    parents = {"": operation}
    handlers = []
    for path, layer in walk(operation):
        parents[path] = layer
        if _has_weights(layer) and not any(_has_weights(one) for _, one in walk(layer)):
            parent = parents[path.rpartition("/")[0]]
            handlers.append((layer, _stopping(layer, parent, arrived)))
    with intercept(handlers):
        try:
            run()
        except Exception:  # Keras may have wrapped it
            if not arrived:
                raise
    return arrived[0]


def _stopping(layer: Any, parent: Any, arrived: list[First]) -> Any:
    def handler(call, *args, **kwargs):
        import keras

        for tensor in keras.tree.flatten((args, kwargs)):
            if keras.ops.is_tensor(tensor) and tensor.shape and tensor.shape[0] == 4:
                values = _numpy(layer, tensor)
                if (values[0] != values[1]).any():
                    arrived.append(First(layer, parent, values))
                    raise _Arrived
        return call(*args, **kwargs)

    return handler


def _numpy(layer: Any, tensor: Any) -> np.ndarray:
    import keras

    values = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    first = values.ndim == 4 and getattr(layer, "data_format", None) == "channels_first"
    return np.moveaxis(values, 1, -1) if first else values
